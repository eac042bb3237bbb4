"""Pairs with classes, such as NLI: the names of the classes decide what is a positive or a negative."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from embexp.errors import ShapeError, as_typed, listed
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row, prompt_of

_MOST_CLASSES = 3  # that are each proposed as the positive one


def _triplets(source: ConversionInput) -> Iterator[Row]:
    """Premise, and the k-th positive with the k-th negative hypothesis of the same premise."""
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


def _positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """Premise and positive hypothesis; other hypotheses are left out."""
    for row, name in _named_rows(source, "positive_labels"):
        if name in source.settings.positive_labels:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out[name] += 1


def _binary_pairs(source: ConversionInput) -> Iterator[Row]:
    """Positive classes are 1, negative ones 0; others are left out."""
    labels = dict.fromkeys(source.settings.negative_labels, 0) | dict.fromkeys(source.settings.positive_labels, 1)
    for row, name in _named_rows(source, "positive_labels", "negative_labels"):
        if name in labels:
            yield _pair(row) | {"label": labels[name]} | prompt_of(row)
        else:
            source.left_out[name] += 1


def _scored_pairs(source: ConversionInput) -> Iterator[Row]:
    """The class becomes its score in the settings."""
    names, scores = source.dataset.label_names, source.settings.label_scores
    if missing := [name for name in names if name not in scores]:
        fix = (*_scores_for(missing, names, scores),)
        text = f"The classes of {source.dataset.name} are {listed(names)}; no score is given for {listed(missing)}"
        raise ShapeError(text, expected="a score from 0 to 1 for each class", fix=fix)
    for row, name in _named_rows(source):
        yield _pair(row) | {"score": float(scores[name])} | prompt_of(row)


def _meanings(keys: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """What to type for settings that name classes: each of the first as the positive one, the others as negative."""
    for name in names[:_MOST_CLASSES]:
        others = [other for other in names if other != name]
        chosen = {"positive_labels": [name], "negative_labels": others}
        typed = (f"conversion.{key}={as_typed(chosen[key])}" for key in keys if chosen[key])
        yield " ".join(each if each.isascii() and " " not in each else shlex.quote(each) for each in typed)


def _scores_for(missing: Sequence[str], names: Sequence[str], known: Mapping[str, float]) -> Iterator[str]:
    """What to type for classes without a score: each of the first of them as 1, the others as 0."""
    for chosen in missing[:_MOST_CLASSES]:
        scores = {name: known.get(name, int(name == chosen)) for name in names}
        yield shlex.quote(f"conversion.label_scores={as_typed(scores)}")


def _pair(row: Row) -> Row:
    return {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}


def _named_rows(source: ConversionInput, *settings: str) -> Iterator[tuple[Row, str]]:
    """The rows with the name of their class."""
    names = source.dataset.label_names
    if not names:
        expected = "their names, in the order of their numbers, or a loss that needs none"
        fix = ("dataset.reader.label_names=[...]", "loss=softmax")
        raise ShapeError(f"The classes of {source.dataset.name} are not named", expected=expected, fix=fix)
    if unknown := [key for key in settings if not set(getattr(source.settings, key)) <= set(names)]:
        given = " and ".join(f"{listed(getattr(source.settings, key))} ({key})" for key in unknown)
        text = f"The classes of {source.dataset.name} are {listed(names)}; this conversion reads {given}"
        fix = (*_meanings(unknown, names), "loss=softmax")
        raise ShapeError(text, expected="some of your classes, or a loss that takes all of them", fix=fix)
    for row in source.rows():
        yield row, names[row["label"]]


FROM_CLASS_PAIRS = (
    Conversion("class_pair", "triplet", _triplets, "premises with {positive_labels} and {negative_labels}"),
    Conversion("class_pair", "positive_pair", _positive_pairs, "{positive_labels} only"),
    Conversion("class_pair", "binary_pair", _binary_pairs, "{positive_labels} 1, {negative_labels} 0"),
    Conversion("class_pair", "scored_pair", _scored_pairs, "{label_scores}"),
)
