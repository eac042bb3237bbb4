"""All conversions, from which shape to which; those of ranked lists have a module of their own.

Of pairs with classes, such as NLI, the names of the classes decide what is a positive or a negative.
"""

import random
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from embexp.data.arrow import batches_of
from embexp.data.shapes import SHAPES, text_columns
from embexp.errors import ShapeError, as_typed, listed
from embexp.steps.augment.text_changes import Deletion, TextChange, change_text
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row, prompt_of
from embexp.steps.conversions.ranked_lists import FROM_RANKED_LISTS
from embexp.steps.dedup.row_keys import first_places, texts_of_batch

_MOST_CLASSES = 3  # that are each proposed as the positive one


def _positive_pairs_of_binary(source: ConversionInput) -> Iterator[Row]:
    """Pairs labelled 1; those labelled 0 are left out."""
    for row in source.rows():
        if row["label"] == 1:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out["labelled 0"] += 1


def _scored_pairs_of_binary(source: ConversionInput) -> Iterator[Row]:
    """The label becomes the score: 1.0 or 0.0."""
    for row in source.rows():
        pair = {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}
        yield pair | {"score": float(row["label"])} | prompt_of(row)


def _positive_pairs_of_scored(source: ConversionInput) -> Iterator[Row]:
    """Pairs scored at least `min_score`."""
    lowest = source.settings.min_score
    for row in source.rows():
        if row["score"] >= lowest:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out[f"below {lowest}"] += 1


def _binary_pairs_of_scored(source: ConversionInput) -> Iterator[Row]:
    """Pairs scored at least `min_score` are 1, those scored at most `max_score` 0; those between are left out."""
    lowest, highest = source.settings.min_score, source.settings.max_score
    for row in source.rows():
        if highest < row["score"] < lowest:
            source.left_out[f"between {highest} and {lowest}"] += 1
        else:
            label = int(row["score"] >= lowest)
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": label, **prompt_of(row)}


def _positive_pairs_of_triplets(source: ConversionInput) -> Iterator[Row]:
    """Anchor and positive; the negatives are left out."""
    for row in source.rows():
        yield {"anchor": row["anchor"], "positive": row["positive"], **prompt_of(row)}


def _binary_pairs_of_triplets(source: ConversionInput) -> Iterator[Row]:
    """Anchor and positive are 1, anchor and each negative 0."""
    others = source.dataset.text_columns[1:]
    for row in source.rows():
        for column in others:
            label = int(column == "positive")
            yield {"sentence1": row["anchor"], "sentence2": row[column], "label": label, **prompt_of(row)}


def _triplets_without_scores(source: ConversionInput) -> Iterator[Row]:
    """The texts without scores."""
    columns = text_columns(source.dataset.shape, source.table.column_names)
    for row in source.rows():
        yield {column: row[column] for column in columns} | prompt_of(row)


_Classes = dict[int, list[str]]


def _positive_pairs_of_classes(source: ConversionInput) -> Iterator[Row]:
    """Each text with another one of its class."""
    for text, _, positive in _with_classmate(source, _classes(source), random.Random(source.settings.seed)):
        yield {"anchor": text, "positive": positive}


def _triplets_of_classes(source: ConversionInput) -> Iterator[Row]:
    """Each text with another one of its class and one of another class."""
    generator, classes = random.Random(source.settings.seed), _classes(source)
    labels = list(classes)
    for text, label, positive in _with_classmate(source, classes, generator):
        if len(labels) == 1:
            source.left_out["without another class"] += 1
            continue
        place = generator.randrange(len(labels) - 1)
        negative = generator.choice(classes[labels[place + (place >= labels.index(label))]])
        if negative == text:  # a text may be in two classes
            source.left_out["with itself sampled as negative"] += 1
        else:
            yield {"anchor": text, "positive": positive, "negative_1": negative}


def _classes(source: ConversionInput) -> _Classes:
    """The distinct texts of each class, in the order of the rows."""
    classes: dict[int, dict[str, None]] = defaultdict(dict)
    for row in source.rows():
        classes[row["label"]][row["text"]] = None
    return {label: list(texts) for label, texts in classes.items()}


def _with_classmate(
    source: ConversionInput, classes: _Classes, generator: random.Random
) -> Iterator[tuple[str, int, str]]:
    """Each text with its label and another text of the same class; texts alone in their class are left out."""
    places = {label: {text: place for place, text in enumerate(texts)} for label, texts in classes.items()}
    for row in source.rows():
        text, label = row["text"], row["label"]
        others = len(classes[label]) - 1
        if not others:
            source.left_out["alone in their class"] += 1
            continue
        place = generator.randrange(others)
        yield text, label, classes[label][place + (place >= places[label][text])]


def _texts(source: ConversionInput) -> Iterator[Row]:
    """Every distinct text, row by row; texts are equal when all their characters are."""
    import pyarrow

    columns, start = source.dataset.text_columns, 0
    is_first = first_places(source.table, columns)
    for batch in batches_of(source.table):
        texts, _ = texts_of_batch(batch, columns)
        kept = texts.filter(pyarrow.array(is_first[start : start + len(texts)]))
        source.left_out["repeated texts"] += len(texts) - len(kept)
        start += len(texts)
        for text in kept.to_pylist():
            yield {"text": text}


def _twins(source: ConversionInput) -> Iterator[Row]:
    """Each text twice: dropout makes the two encodings differ (Gao et al. 2021, SimCSE)."""
    for row in source.rows():
        yield {"text": row["text"], "twin": row["text"]}


def noised_texts(source: ConversionInput, noise: TextChange | None = None, seed: int | None = None) -> Iterator[Row]:
    """Each text with noise, and whole. The shipped noise deletes words (Wang et al. 2021, TSDAE).

    Args:
        noise, seed: None takes those of the settings.
    """
    noise = noise or Deletion(source.settings.deletion_ratio)
    seed = source.settings.seed if seed is None else seed
    for row in source.rows():
        yield {"damaged": change_text(row["text"], noise, seed), "original": row["text"]}


def _triplets_of_class_pairs(source: ConversionInput) -> Iterator[Row]:
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


def _positive_pairs_of_class_pairs(source: ConversionInput) -> Iterator[Row]:
    """Premise and positive hypothesis; other hypotheses are left out."""
    for row, name in _named_rows(source, "positive_labels"):
        if name in source.settings.positive_labels:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"], **prompt_of(row)}
        else:
            source.left_out[name] += 1


def _binary_pairs_of_class_pairs(source: ConversionInput) -> Iterator[Row]:
    """Positive classes are 1, negative ones 0; others are left out."""
    labels = dict.fromkeys(source.settings.negative_labels, 0) | dict.fromkeys(source.settings.positive_labels, 1)
    for row, name in _named_rows(source, "positive_labels", "negative_labels"):
        if name in labels:
            yield _pair(row) | {"label": labels[name]} | prompt_of(row)
        else:
            source.left_out[name] += 1


def _scored_pairs_of_class_pairs(source: ConversionInput) -> Iterator[Row]:
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


_WITHOUT_LABELS = ("text", "twin_text", "noised_text")

CONVERSIONS = (
    Conversion(
        "class_pair", "triplet", _triplets_of_class_pairs, "premises with {positive_labels} and {negative_labels}"
    ),
    Conversion("class_pair", "positive_pair", _positive_pairs_of_class_pairs, "{positive_labels} only"),
    Conversion("class_pair", "binary_pair", _binary_pairs_of_class_pairs, "{positive_labels} 1, {negative_labels} 0"),
    Conversion("class_pair", "scored_pair", _scored_pairs_of_class_pairs, "{label_scores}"),
    *FROM_RANKED_LISTS,
    Conversion("triplet", "positive_pair", _positive_pairs_of_triplets, "negatives left out"),
    Conversion("triplet", "binary_pair", _binary_pairs_of_triplets, "positive 1, each negative 0"),
    Conversion("scored_triplet", "triplet", _triplets_without_scores, "scores left out"),
    Conversion("labelled_text", "triplet", _triplets_of_classes, "positive and negative sampled by class"),
    Conversion("labelled_text", "positive_pair", _positive_pairs_of_classes, "positive sampled from the class"),
    Conversion("binary_pair", "positive_pair", _positive_pairs_of_binary, "pairs labelled 1 only"),
    Conversion("binary_pair", "scored_pair", _scored_pairs_of_binary, "the label as score"),
    Conversion(
        "scored_pair", "positive_pair", _positive_pairs_of_scored, "pairs scored at least {min_score}", ("min_score",)
    ),
    Conversion(
        "scored_pair",
        "binary_pair",
        _binary_pairs_of_scored,
        "at least {min_score} is 1, at most {max_score} 0",
        ("min_score", "max_score"),
    ),
    # Texts lead to no labelled shape: labels that were dropped are not made up again.
    *(
        Conversion(shape, "text", _texts, "distinct texts, labels left out")
        for shape in SHAPES
        if shape not in _WITHOUT_LABELS
    ),
    Conversion("text", "twin_text", _twins, "each text twice"),
    Conversion("text", "noised_text", noised_texts, "{deletion_ratio} of the words deleted"),
)
