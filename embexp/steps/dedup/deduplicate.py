"""Leaving out rows that repeat, word for word or nearly, within a split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, holds_lists, list_lengths
from embexp.data.dataset import EmbeddingDataset, keep_rows
from embexp.errors import Problem, listed
from embexp.steps.dedup.near import NGRAM, NUM_PERM, SEED, NearIndex, near_search_problems
from embexp.steps.dedup.row_keys import comparable, joined_keys, list_keys, pair_keys, text_keys

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_ROW = "row"
_SINGLE_LABELS = ("score", "binary", "class")  # kinds of labels of which two rows can have the same


def deduplicate(
    dataset: EmbeddingDataset,
    by: str = _ROW,
    ignore_case_and_punctuation: bool = False,
    either_order: bool = False,
    on_conflict: str = "keep",
) -> EmbeddingDataset:
    """The data set without rows that repeat an earlier one of their split; the first stays.

    Rows of the same texts with another label are not duplicates: they contradict each other and are counted.

    Args:
        by: "row": all texts and the label must repeat; or a text column: only its text must repeat.
        ignore_case_and_punctuation: compare letters, marks and digits only, in lower case (see row_keys).
        either_order: the two texts of a pair may come in either order.
        on_conflict: what happens to texts with different labels: "keep", or "drop" all their rows.

    Raises:
        ConfigError: lists every argument that is out of range or without effect.
        DataError: a split would be left without rows.
    """
    columns = dataset.text_columns
    refuse(_problems(dataset, by, either_order, on_conflict))
    compared = columns if by == _ROW else [by]
    label = dataset.shape.label if by == _ROW else None
    keep, repeated, contradicted = {}, 0, 0
    for split, rows in dataset.splits.items():
        texts, labels = _keys(rows, compared, label, ignore_case_and_punctuation, either_order)
        keep[split] = _first_of_each(texts if label is None else joined_keys(texts, labels))
        repeated += int((~keep[split]).sum())
        if label:
            against, different = _contradicting(texts, keep[split])
            contradicted += different
            keep[split] &= ~against if on_conflict == "drop" else True
    what = "repeat an earlier one" if by == _ROW else f"repeat the {by} of an earlier one"
    reason = [f"{repeated:,} {what}"]
    if contradicted:
        done = "dropped" if on_conflict == "drop" else "kept"
        reason.append(f"{contradicted:,} texts or pairs with contradicting labels {done}")
    return keep_rows(dataset, "deduplicate", keep, ", ".join(reason))


def drop_near_duplicates(
    dataset: EmbeddingDataset, threshold: float = 0.8, ngram: int = NGRAM, num_perm: int = NUM_PERM, seed: int = SEED
) -> EmbeddingDataset:
    """The data set without rows that nearly repeat an earlier row of their split.

    Two rows are near when the texts of every column are (see near.NearIndex): two questions on the same passage are
    not. Rows with another score or class are never near. For up to a million rows.

    Args:
        threshold: lowest Jaccard similarity of the character n-grams, in (0, 1].
        ngram: characters in an n-gram, 1 or more; spaces and punctuation do not count, accents and Korean letters do.
        num_perm: hashes of a MinHash signature, 16 or more: more of them miss fewer pairs near the threshold.
        seed: of the hashes; only the exact similarity decides on a pair.

    Raises:
        ConfigError: lists every argument that is out of range.
        DataError: a split would be left without rows.
    """
    refuse(near_search_problems(threshold, ngram, num_perm))
    label = dataset.shape.label if dataset.shape.label_kind in _SINGLE_LABELS else None
    keep = {}
    for split, rows in dataset.splits.items():
        indexes = defaultdict(lambda: NearIndex(threshold, ngram, num_perm, seed))
        documents = _documents(rows, dataset.text_columns, label)
        found = [indexes[value].find_or_add(document) for document, value in documents]
        keep[split] = numpy.array([place is None for place in found], dtype=bool)
    near = sum(int((~mask).sum()) for mask in keep.values())
    reason = f"{near:,} nearly repeat an earlier one, Jaccard similarity from {threshold}"
    return keep_rows(dataset, "drop_near_duplicates", keep, reason)


def _problems(dataset: EmbeddingDataset, by: Any, either_order: bool, on_conflict: Any) -> Iterator[Problem]:
    shape, columns = dataset.shape, dataset.text_columns
    yield from problems_with("by", by, LegalValues(one_of=(_ROW, *columns)), such_as=_ROW)
    if either_order and (len(columns) != 2 or by != _ROW):
        text = f"compares whole pairs, but {dataset.name} is {shape.name} ({listed(columns)}), compared by {by}"
        yield Problem(text, key="either_order", given=True, fix=("either_order=false",))
    yield from problems_with("on_conflict", on_conflict, LegalValues(one_of=("keep", "drop")), such_as="keep")
    if on_conflict == "drop" and (by != _ROW or shape.label is None):
        expected = "keep, or by=row on data with labels"
        text = "has no effect without labels to compare"
        yield Problem(text, key="on_conflict", given="drop", expected=expected, fix=("on_conflict=keep",))


def _keys(
    rows: "Dataset", columns: Sequence[str], label: str | None, loosely: bool, either_order: bool
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Keys of the texts and of the label of each row, uint64 `(num_rows,)` each."""
    combined = pair_keys if either_order else joined_keys
    texts, labels = [numpy.zeros(0, "uint64")], [numpy.zeros(0, "uint64")]
    for batch in batches_of(rows):
        keys = [_column_keys(batch[column].combine_chunks(), loosely) for column in columns]
        texts.append(combined(*keys))
        labels.append(_label_keys(batch[label].combine_chunks()) if label else numpy.zeros(0, "uint64"))
    return numpy.concatenate(texts), numpy.concatenate(labels)


def _column_keys(values: "pyarrow.Array", loosely: bool) -> numpy.ndarray:
    texts = values.flatten() if holds_lists(values.type) else values
    keys = text_keys(comparable(texts) if loosely else texts)
    return list_keys(keys, list_lengths(values)) if holds_lists(values.type) else keys


def _label_keys(values: "pyarrow.Array") -> numpy.ndarray:
    numbers = values.flatten() if holds_lists(values.type) else values
    # Adding 0.0 makes the two zeros one.
    bits = (numpy.asarray(numbers.to_numpy(zero_copy_only=False), "float64") + 0.0).view("uint64")
    return list_keys(bits, list_lengths(values)) if holds_lists(values.type) else bits


def _first_of_each(keys: numpy.ndarray) -> numpy.ndarray:
    """The mask of rows whose key did not occur before."""
    order = numpy.argsort(keys, kind="stable")
    ordered = keys[order]
    first = numpy.ones(len(keys), dtype=bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first


def _contradicting(texts: numpy.ndarray, distinct: numpy.ndarray) -> tuple[numpy.ndarray, int]:
    """Which distinct rows have the texts of another one, bool `(num_rows,)`, and how many such texts there are."""
    chosen = numpy.flatnonzero(distinct)
    order = numpy.argsort(texts[chosen])
    ordered = texts[chosen[order]]
    like_next = numpy.append(ordered[1:] == ordered[:-1], False)
    like_last = numpy.append(False, like_next[:-1])
    mask = numpy.zeros(len(texts), dtype=bool)
    mask[chosen[order[like_next | like_last]]] = True
    return mask, int((like_next & ~like_last).sum())


def _documents(
    rows: "Dataset", columns: Sequence[str], label: str | None
) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """The comparable texts of each row, a list of texts as one, with the label."""
    for batch in batches_of(rows, "near duplicates"):
        texts = [comparable(_as_one(batch[column].combine_chunks())).to_pylist() for column in columns]
        labels = batch[label].to_pylist() if label else [None] * batch.num_rows
        yield from zip(zip(*texts, strict=True), labels, strict=True)


def _as_one(values: "pyarrow.Array") -> "pyarrow.Array":
    import pyarrow
    import pyarrow.compute as compute

    if not holds_lists(values.type):
        return values
    return compute.binary_join(values.cast(pyarrow.list_(pyarrow.string())), "\n")
