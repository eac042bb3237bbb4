"""Pairs with classes, such as NLI: what makes a positive or a negative is told by the names of the classes."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence

from embexp.errors import ShapeError, listed
from embexp.steps.conversions.conversion import ConversionInput, Row, prompt_of


def to_triplets(source: ConversionInput) -> Iterator[Row]:
    """Premise, a positive and a negative hypothesis of the same premise; the k-th of each go together."""
    premises: dict[tuple, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for row, name in _named_rows(source, "positive_labels", "negative_labels"):
        positives, negatives = premises[row["sentence1"], *prompt_of(row).items()]
        if name in source.settings.positive_labels:
            positives.append(row["sentence2"])
        elif name in source.settings.negative_labels:
            negatives.append(row["sentence2"])
        else:
            source.left_out[name] += 1
    for (premise, *prompt), (positives, negatives) in premises.items():
        source.left_out["without a counterpart"] += abs(len(positives) - len(negatives))
        for positive, negative in zip(positives, negatives, strict=False):
            yield {"anchor": premise, "positive": positive, "negative_1": negative, **dict(prompt)}


def to_positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Premise and positive hypothesis; the others are no positives and go."""
    for row, name in _named_rows(source, "positive_labels"):
        if name in source.settings.positive_labels:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out[name] += 1


def to_binary_pairs(source: ConversionInput) -> Iterator[Row]:
    """Positive classes are 1, negative ones 0, others go."""
    labels = dict.fromkeys(source.settings.negative_labels, 0) | dict.fromkeys(source.settings.positive_labels, 1)
    for row, name in _named_rows(source, "positive_labels", "negative_labels"):
        if name in labels:
            yield _pair(row) | {"label": labels[name]} | prompt_of(row)
        else:
            source.left_out[name] += 1


def to_scored_pairs(source: ConversionInput) -> Iterator[Row]:
    """The class becomes the score that the settings give it."""
    names, scores = source.dataset.label_names, source.settings.label_scores
    missing = [name for name in names if name not in scores]
    if missing:
        entries = listed(f"{name}: {scores.get(name, '<0 to 1>')}" for name in names)
        raise ShapeError(
            f"The classes of {source.dataset.name} are {listed(names)}; conversion.label_scores has no score for "
            f"{listed(missing)}. Type {shlex.quote(f'conversion.label_scores={{{entries}}}')}."
        )
    for row, name in _named_rows(source):
        yield _pair(row) | {"score": float(scores[name])} | prompt_of(row)


def _pair(row: Row) -> Row:
    return {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}


def _named_rows(source: ConversionInput, *settings: str) -> Iterator[tuple[Row, str]]:
    """The rows with the name of their class, after the classes that the settings speak of were found among them."""
    names = source.dataset.label_names
    unknown = [key for key in settings if not set(getattr(source.settings, key)) <= set(names)]
    if unknown or not names:
        raise ShapeError(_other_classes(source, names, unknown))
    for row in source.rows():
        yield row, names[row["label"]]


def _other_classes(source: ConversionInput, names: Sequence[str], unknown: Sequence[str]) -> str:
    if not names:
        return (
            f"The classes of {source.dataset.name} are not named. Expected their names: type "
            "dataset.reader.label_names=[...], in the order of their numbers, or choose loss=softmax."
        )
    return (
        f"The classes of {source.dataset.name} are {listed(names)}; this conversion reads "
        + " and ".join(f"{listed(getattr(source.settings, key))} (conversion.{key})" for key in unknown)
        + f". Type {' '.join(f'conversion.{key}=[<some of yours>]' for key in unknown)}, or choose loss=softmax."
    )
