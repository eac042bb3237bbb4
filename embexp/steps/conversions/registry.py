"""All conversions, from which shape to which; those of class pairs and ranked lists have modules of their own."""

import random
from collections import defaultdict
from collections.abc import Iterator

from embexp.data.arrow import batches_of
from embexp.data.shapes import SHAPES, text_columns
from embexp.steps.augment.text_changes import Deletion, TextChange, change_text
from embexp.steps.conversions.class_pairs import FROM_CLASS_PAIRS
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row, prompt_of
from embexp.steps.conversions.ranked_lists import FROM_RANKED_LISTS
from embexp.steps.dedup.row_keys import first_places, texts_of_batch


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


_WITHOUT_LABELS = ("text", "twin_text", "noised_text")

CONVERSIONS = (
    *FROM_CLASS_PAIRS,
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
