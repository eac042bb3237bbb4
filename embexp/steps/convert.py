"""Conversions between shapes: each knows what the labels mean, and none guesses."""

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embexp.data.checks import checked
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import Shape, shape_named, text_columns
from embexp.errors import ShapeError, listed

Rows = Iterator[dict[str, Any]]
NLI = ("entailment", "neutral", "contradiction")
# Similarity that an NLI label stands for, when pairs must have a score.
NLI_SCORES = {"entailment": 1.0, "neutral": 0.0, "contradiction": 0.0}


@dataclass(frozen=True)
class Conversion:
    """One way from a shape to another, with what it does in a few words for the log."""

    source: str
    target: str
    rows: Callable[[EmbeddingDataset, str], Rows]
    reason: str


def nli_to_triplets(dataset: EmbeddingDataset, split: str) -> Rows:
    """Premise, an entailed and a contradicted hypothesis of the same premise; the k-th of each go together."""
    by_premise: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, name in _nli_rows(dataset, split):
        by_premise[row["sentence1"]][name].append(row["sentence2"])
    for premise, hypotheses in by_premise.items():
        for positive, negative in zip(hypotheses["entailment"], hypotheses["contradiction"], strict=False):
            yield {"anchor": premise, "positive": positive, "negative_1": negative}


def nli_to_positive_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Premise and entailed hypothesis; neutral and contradicted ones are no positives and go."""
    for row, name in _nli_rows(dataset, split):
        if name == "entailment":
            yield {"anchor": row["sentence1"], "positive": row["sentence2"]}


def nli_to_binary_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Entailment is 1, contradiction 0, neutral goes."""
    for row, name in _nli_rows(dataset, split):
        if name != "neutral":
            yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "label": int(name == "entailment")}


def nli_to_scored_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Entailment scores 1, neutral and contradiction 0 (as in the NLI tutorials)."""
    for row, name in _nli_rows(dataset, split):
        yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "score": NLI_SCORES[name]}


def ranked_to_triplets(dataset: EmbeddingDataset, split: str) -> Rows:
    """One row for each positive, with the negative of the same place (from the start again when they end)."""
    for row in dataset.splits[split]:
        negatives = row["negatives"]
        for place, positive in enumerate(row["positives"]):
            if negatives:
                yield {
                    "anchor": row["query"],
                    "positive": positive,
                    "negative_1": negatives[place % len(negatives)],
                }


def ranked_to_positive_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """One row for each positive."""
    for row in dataset.splits[split]:
        for positive in row["positives"]:
            yield {"anchor": row["query"], "positive": positive}


def triplets_to_positive_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """The negatives go."""
    for row in dataset.splits[split]:
        yield {"anchor": row["anchor"], "positive": row["positive"]}


def triplets_to_binary_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Anchor and positive are 1, anchor and each negative 0."""
    for row in dataset.splits[split]:
        yield {"sentence1": row["anchor"], "sentence2": row["positive"], "label": 1}
        for column in text_columns(dataset.shape, list(row))[2:]:
            yield {"sentence1": row["anchor"], "sentence2": row[column], "label": 0}


def labelled_texts_to_triplets(dataset: EmbeddingDataset, split: str) -> Rows:
    """Each text with another one of its class and one of another class, drawn with a fixed seed."""
    draw = random.Random(0)
    classes = _classes(dataset, split)
    for text, label, positive in _with_classmate(dataset, split, draw):
        others = [other for other in classes if other != label]
        if others:
            negative = draw.choice(classes[draw.choice(others)])
            if negative != text:  # a text that is in two classes is no negative of itself
                yield {"anchor": text, "positive": positive, "negative_1": negative}


def labelled_texts_to_positive_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Each text with another one of its class, drawn with a fixed seed."""
    for text, _, positive in _with_classmate(dataset, split, random.Random(0)):
        yield {"anchor": text, "positive": positive}


def binary_to_positive_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """Pairs labelled 1; those labelled 0 are no positives and go."""
    for row in dataset.splits[split]:
        if row["label"] == 1:
            yield {"anchor": row["sentence1"], "positive": row["sentence2"]}


def binary_to_scored_pairs(dataset: EmbeddingDataset, split: str) -> Rows:
    """The label becomes the score: 1.0 or 0.0."""
    for row in dataset.splits[split]:
        yield {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "score": float(row["label"])}


CONVERSIONS = (
    Conversion("class_pair", "triplet", nli_to_triplets, "premises with an entailed and a contradicted hypothesis"),
    Conversion("class_pair", "positive_pair", nli_to_positive_pairs, "entailments only"),
    Conversion("class_pair", "binary_pair", nli_to_binary_pairs, "entailment 1, contradiction 0, neutral left out"),
    Conversion("class_pair", "scored_pair", nli_to_scored_pairs, "entailment 1, neutral and contradiction 0"),
    Conversion("ranked", "triplet", ranked_to_triplets, "one row per positive, each with one negative"),
    Conversion("ranked", "positive_pair", ranked_to_positive_pairs, "one row per positive"),
    Conversion("triplet", "positive_pair", triplets_to_positive_pairs, "negatives left out"),
    Conversion("triplet", "binary_pair", triplets_to_binary_pairs, "positive 1, each negative 0"),
    Conversion("labelled_text", "triplet", labelled_texts_to_triplets, "positive and negative drawn by class"),
    Conversion("labelled_text", "positive_pair", labelled_texts_to_positive_pairs, "positive drawn from the class"),
    Conversion("binary_pair", "positive_pair", binary_to_positive_pairs, "pairs labelled 1 only"),
    Conversion("binary_pair", "scored_pair", binary_to_scored_pairs, "the label as score"),
)


def route(
    offered: Sequence[str], accepted: Sequence[str], most: int | None = None
) -> tuple[str, tuple[Conversion, ...]] | None:
    """The way from a shape that the data offer to one that is accepted: where it starts, and its conversions.

    A shape that is offered as it is comes first; then the fewest conversions; among equals the accepted order.
    None when there is no way, or none of at most `most` conversions.

    >>> start, steps = route(["class_pair"], ["triplet", "positive_pair"])
    >>> start, [step.target for step in steps]
    ('class_pair', ['triplet'])
    """
    for shape in accepted:
        if shape in offered:
            return shape, ()
    ways = [way for start in offered for way in _ways_from(start) if way[-1].target in accepted]
    ways = [way for way in ways if most is None or len(way) <= most]
    if not ways:
        return None
    best = min(ways, key=lambda way: (len(way), accepted.index(way[-1].target)))
    return best[0].source, best


def _ways_from(start: str) -> Iterator[tuple[Conversion, ...]]:
    waiting, seen = deque([()]), {start}
    while waiting:
        way = waiting.popleft()
        here = way[-1].target if way else start
        for conversion in CONVERSIONS:
            if conversion.source == here and conversion.target not in seen:
                seen.add(conversion.target)
                waiting.append((*way, conversion))
                yield (*way, conversion)


def convert(dataset: EmbeddingDataset, conversion: Conversion) -> EmbeddingDataset:
    """The data set in the conversion's target shape; every split is converted, the report counts the rows.

    Raises:
        ShapeError: class labels that are not those of NLI, or no row is left to train on.
    """
    target = shape_named(conversion.target)
    splits = {split: _table(conversion.rows(dataset, split), target) for split in dataset.splits}
    splits = {split: rows for split, rows in splits.items() if rows.num_rows}
    if "train" in dataset.splits and "train" not in splits:
        raise ShapeError(
            f"No row of {dataset.name} is left after {dataset.shape.name} -> {target.name} ({conversion.reason}). "
            "Choose another shape with shape=<name>, or other data."
        )
    label_names = () if target.label_kind != "class" else dataset.label_names
    made = dataset.after(
        f"convert {dataset.shape.name} -> {target.name}",
        splits,
        conversion.reason,
        shape=target,
        label_names=label_names,
    )
    return checked(made)


def limit_negatives(dataset: EmbeddingDataset, most: int | None) -> EmbeddingDataset:
    """Triplets with at most `most` negatives a row; further ones go to rows of their own."""
    if most is None or not dataset.shape.negatives or dataset.shape.label:
        return dataset
    first = next(iter(dataset.splits.values()))
    names = text_columns(dataset.shape, first.column_names)[2:]
    if len(names) <= most:
        return dataset
    # The last rows repeat a negative rather than have fewer than the others.
    groups = [names[min(start, len(names) - most) :][:most] for start in range(0, len(names), most)]
    splits = {
        split: _table(
            (
                {"anchor": row["anchor"], "positive": row["positive"]}
                | {f"negative_{place}": row[name] for place, name in enumerate(group, 1)}
                for row in rows
                for group in groups
            ),
            dataset.shape,
        )
        for split, rows in dataset.splits.items()
    }
    return dataset.after(f"at most {most} negative(s) a row", splits, "one row for each further negative")


def _nli_rows(dataset: EmbeddingDataset, split: str) -> Iterator[tuple[dict[str, Any], str]]:
    if set(dataset.label_names) != set(NLI):
        names = listed(dataset.label_names) if dataset.label_names else "not named"
        raise ShapeError(
            f"The classes of {dataset.name} are {names}; this conversion reads NLI classes ({listed(NLI)}). "
            "Name yours in that spelling with dataset.reader.label_names=[...], in the order of their numbers, "
            "or choose loss=softmax."
        )
    for row in dataset.splits[split]:
        yield row, dataset.label_names[row["label"]]


def _classes(dataset: EmbeddingDataset, split: str) -> dict[int, list[str]]:
    """The distinct texts of each class, in the order of the rows."""
    rows = dataset.splits[split]
    classes: dict[int, dict[str, None]] = defaultdict(dict)
    for text, label in zip(rows["text"][:], rows["label"][:], strict=True):
        classes[label][text] = None
    return {label: list(texts) for label, texts in classes.items()}


def _with_classmate(dataset: EmbeddingDataset, split: str, draw: random.Random) -> Iterator[tuple[str, int, str]]:
    """Each text with its label and another text of the same class; texts alone in their class are left out."""
    rows, classes = dataset.splits[split], _classes(dataset, split)
    places = {(label, text): place for label, texts in classes.items() for place, text in enumerate(texts)}
    for text, label in zip(rows["text"][:], rows["label"][:], strict=True):
        texts = classes[label]
        if len(texts) > 1:
            place = draw.randrange(len(texts) - 1)
            yield text, label, texts[place + (place >= places[label, text])]


def _table(rows: Rows, shape: Shape) -> Any:
    from datasets import Dataset

    columns = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            columns[name].append(value)
    return Dataset.from_dict({name: columns[name] for name in columns} or {name: [] for name in shape.texts})
