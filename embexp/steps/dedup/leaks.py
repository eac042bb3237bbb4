"""The leak audit: what dev and test have in common with train and with each other."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations as pairs_among
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import COUNT_FROM_0, LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, holds_lists, list_rows
from embexp.data.dataset import SPLITS, EmbeddingDataset, keep_rows
from embexp.errors import Problem, listed
from embexp.steps.dedup.near import Document, NearIndex, near_search_problems
from embexp.steps.dedup.row_keys import comparable, pair_keys, text_keys

if TYPE_CHECKING:
    import pyarrow

    Columns = list[tuple[numpy.ndarray, numpy.ndarray]]


@dataclass(frozen=True)
class _Keys:
    """Keys of the rows of a split; a row may have several, or none."""

    values: numpy.ndarray  # uint64 `(num_keys,)`
    rows: numpy.ndarray  # the row of each key, int32 `(num_keys,)`
    num_rows: int  # of the split

    def among(self, others: "_Keys") -> numpy.ndarray:
        """Which of these keys are among others, bool `(num_keys,)`."""
        known = numpy.sort(others.values)
        places = numpy.searchsorted(known, self.values)
        found = places < len(known)
        found[found] = known[places[found]] == self.values[found]
        return found

    def rows_of(self, chosen: numpy.ndarray) -> numpy.ndarray:
        """Which rows have one of the chosen keys, bool `(num_rows,)`; `chosen` is a mask of keys."""
        mask = numpy.zeros(self.num_rows, dtype=bool)
        mask[self.rows[chosen]] = True
        return mask


def _single_texts(dataset: EmbeddingDataset, split: str) -> _Keys:
    """The texts of each row, as row_keys.comparable reads them."""
    return _keys(dataset, split, lambda columns: columns)


def _texts_together(dataset: EmbeddingDataset, split: str) -> _Keys:
    """The first text of each row with each of the others, in either order; for shapes of one text, that text."""
    if len(dataset.text_columns) == 1:
        return _single_texts(dataset, split)
    return _keys(dataset, split, lambda texts: [(pair_keys(texts[0][0][rows], keys), rows) for keys, rows in texts[1:]])


def _combinations(dataset: EmbeddingDataset, split: str) -> Iterator[tuple[int, Document, Document]]:
    """What `_texts_together` has keys of, in its order: the row, its raw texts, and its comparable texts."""
    start = 0
    for batch in batches_of(dataset.splits[split].select_columns(dataset.text_columns)):
        columns = [_flat(batch[column].combine_chunks()) for column in dataset.text_columns]
        (first, _), *others = (
            (list(zip(texts.to_pylist(), comparable(texts).to_pylist(), strict=True)), rows) for texts, rows in columns
        )
        if not others:
            yield from ((start + row, (raw,), (read,)) for row, (raw, read) in enumerate(first))
        for texts, rows in others:
            for row, (raw, read) in zip(rows.tolist(), texts, strict=True):
                yield start + row, (first[row][0], raw), (first[row][1], read)
        start += batch.num_rows


def _keys(dataset: EmbeddingDataset, split: str, found: Callable[["Columns"], "Columns"]) -> _Keys:
    values, rows, start = [numpy.zeros(0, "uint64")], [numpy.zeros(0, "int32")], 0
    for batch in batches_of(dataset.splits[split].select_columns(dataset.text_columns)):
        columns = [_flat(batch[column].combine_chunks()) for column in dataset.text_columns]
        for keys, places in found([(text_keys(comparable(texts)), places) for texts, places in columns]):
            values.append(keys)
            rows.append((places + start).astype("int32"))
        start += batch.num_rows
    return _Keys(numpy.concatenate(values), numpy.concatenate(rows), start)


def _flat(values: "pyarrow.Array") -> tuple["pyarrow.Array", numpy.ndarray]:
    """The texts of a column, those of lists one by one, with the row of each."""
    if holds_lists(values.type):
        return values.flatten(), list_rows(values)
    return values, numpy.arange(len(values))


@dataclass(frozen=True)
class _Leak:
    """What one split has in common with another one, at one level.

    Level "row": the texts of a row together, in either order; "text": any one text; "near": as "row", but each text
    only nearly the same, without the rows that leak at level "row".
    """

    held_out: str  # the split that should be new: dev or test
    seen: str  # the split before it: train, or dev for test
    level: str
    rows: int  # of `held_out` that leak, of `num_rows`
    num_rows: int
    distinct: int  # different pairs or texts that leak
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = {"row": "also stand in", "text": "share a text with", "near": "nearly stand in"}[self.level]
        share = 100 * self.rows / max(self.num_rows, 1)
        return f"{self.rows:,} of {self.num_rows:,} {self.held_out} rows ({share:.1f} %) {what} {self.seen}"


@dataclass(frozen=True)
class _Leaks:
    """All that an audit found; pairs of splits and levels without a leak are there with 0 rows."""

    found: tuple[_Leak, ...]

    def between(self, held_out: str, seen: str, level: str = "row") -> _Leak:
        """What `held_out` has in common with `seen` at a level; KeyError when that was not compared."""
        return {(leak.held_out, leak.seen, leak.level): leak for leak in self.found}[held_out, seen, level]

    def lines(self) -> list[str]:
        """A line for each pair of splits and level that leaks, followed by its examples."""
        return [
            line
            for leak in self.found
            if leak.rows
            for line in (f"{leak}, {leak.distinct:,} different", *(f"  {example}" for example in leak.examples))
        ]


_SHOWN_CHARS = 80  # of each text of an example

logger = logging.getLogger(__name__)


def audit_leaks(
    dataset: EmbeddingDataset, remove: str = "nothing", near_threshold: float | None = None, examples: int = 3
) -> EmbeddingDataset:
    """The data set, with what its splits have in common counted, logged, and removed where requested.

    Args:
        remove: "nothing"; "train": rows of train whose texts are together in a row of dev or test; "eval": rows of dev
            and test whose texts are together in a row of train. Rows that share a single text, or that are only near,
            are counted and stay.
        near_threshold: find near-duplicates too, from this Jaccard similarity of character n-grams, in (0, 1].
        examples: how many are logged for each pair of splits and level.

    Raises:
        ConfigError: lists every argument that is out of range.
        DataError: a split would be left without rows.
    """
    problems = [
        *problems_with("remove", remove, LegalValues(one_of=("nothing", "train", "eval")), such_as="nothing"),
        *(near_search_problems(near_threshold, name="near_threshold") if near_threshold is not None else ()),
        *problems_with("examples", examples, COUNT_FROM_0, such_as=3),
    ]
    if len(dataset.splits) < 2:
        text = f"{dataset.name} has only the split {listed(dataset.splits)}, so there is nothing to compare"
        problems.append(Problem(text, expected="the step split before this one", fix=("step=[split,leaks]",)))
    refuse(problems)
    leaks = find_leaks(dataset, near_threshold, examples)
    for line in leaks.lines():
        logger.info("%s: %s", dataset.name, line)
    keep = _kept(dataset, remove)
    gone = {split: int((~mask).sum()) for split, mask in keep.items()}
    parts = [str(leak) for leak in leaks.found if leak.rows] or [f"no leaks among {listed(dataset.splits)}"]
    parts += [f"{count:,} {split} rows removed" for split, count in gone.items() if count]
    return keep_rows(dataset, "audit_leaks", keep, "; ".join(parts))


def find_leaks(dataset: EmbeddingDataset, near_threshold: float | None = None, examples: int = 3) -> _Leaks:
    """What dev and test have in common with train, and test with dev. Arguments as in `audit_leaks`."""
    pairs = list(pairs_among([split for split in SPLITS if split in dataset.splits], 2))
    levels = {"row": _texts_together}
    if len(dataset.text_columns) > 1:
        levels["text"] = _single_texts
    found, known = [], {}
    for level, read in levels.items():
        keys = {split: read(dataset, split) for split in dataset.splits}
        for seen, held_out in pairs:
            shared = keys[held_out].among(keys[seen])
            found.append(_exact(dataset, (held_out, seen, level), keys[held_out], shared, examples))
            if level == "row":
                known[held_out, seen] = keys[held_out].rows_of(shared)
    if near_threshold is not None:
        found += [_near(dataset, *which, rows, near_threshold, examples) for which, rows in known.items()]
    return _Leaks(tuple(sorted(found, key=lambda leak: pairs.index((leak.seen, leak.held_out)))))


def leaked_rows(train: EmbeddingDataset, evaluated: EmbeddingDataset, split: str) -> numpy.ndarray:
    """Which rows of `evaluated.splits[split]` were seen in training, bool `(num_rows,)`.

    A row was seen when its texts are together in one row of the train split of `train`, in either order: its first
    text with any of the others (so each positive and negative of a triplet or ranked row counts). A single text was
    seen when any row has it. Case, spaces and punctuation do not count. Rows of pairs are never seen in single texts.
    """
    rows = _texts_together(evaluated, split)
    if "train" not in train.splits:
        return numpy.zeros(rows.num_rows, dtype=bool)
    seen = (_single_texts if len(evaluated.text_columns) == 1 else _texts_together)(train, "train")
    return rows.rows_of(rows.among(seen))


def _kept(dataset: EmbeddingDataset, remove: str) -> dict[str, numpy.ndarray]:
    """The mask of rows that stay, for each split that may lose some."""
    held_out = [split for split in ("dev", "test") if split in dataset.splits]
    if remove == "nothing" or "train" not in dataset.splits or not held_out:
        return {}
    if remove == "eval":
        return {split: ~leaked_rows(dataset, dataset, split) for split in held_out}
    train = _texts_together(dataset, "train")
    hit = numpy.logical_or.reduce([train.among(_texts_together(dataset, split)) for split in held_out])
    return {"train": ~train.rows_of(hit)}


def _exact(
    dataset: EmbeddingDataset, which: tuple[str, str, str], keys: _Keys, shared: numpy.ndarray, examples: int
) -> _Leak:
    held_out, _, level = which
    rows, num_distinct = keys.rows_of(shared), len(numpy.unique(keys.values[shared]))
    first_rows = numpy.flatnonzero(rows)[:examples].tolist()
    shown = tuple(_shown(dataset, held_out, row, level, keys.values[shared]) for row in first_rows)
    return _Leak(*which, int(rows.sum()), keys.num_rows, num_distinct, shown)


def _shown(dataset: EmbeddingDataset, split: str, row: int, level: str, shared: numpy.ndarray) -> str:
    """The first texts of a row whose key is among the shared ones."""
    alone = replace(dataset, splits={split: dataset.splits[split].select([row])})
    if level == "row":
        documents, keys = [raw for _, raw, _ in _combinations(alone, split)], _texts_together(alone, split)
    else:
        documents, keys = [(text,) for text in alone.texts(split)], _single_texts(alone, split)
    return _readable(documents[int(numpy.isin(keys.values, shared).argmax())])


def _near(
    dataset: EmbeddingDataset, held_out: str, seen: str, known: numpy.ndarray, threshold: float, examples: int
) -> _Leak:
    """Rows of `held_out` near a row of `seen`, without those of the mask `known`."""
    index = NearIndex(threshold)
    for _, _, document in _combinations(dataset, seen):
        index.add(document)
    found: dict[int, tuple[Document, int]] = {}
    distinct = set()
    for row, raw, document in _combinations(dataset, held_out):
        place = None if known[row] else index.find(document)
        if place is None and not known[row] and len(document) > 1:
            place = index.find(document[::-1])
        if place is not None:
            found.setdefault(row, (raw, place))
            distinct.add(document)
    few = list(found.values())[:examples]
    places = {place for _, place in few}
    others = {place: raw for place, (_, raw, _) in enumerate(_combinations(dataset, seen)) if place in places}
    shown = tuple(f"{_readable(raw)} ~ {_readable(others[place])}" for raw, place in few)
    return _Leak(held_out, seen, "near", len(found), len(known), len(distinct), shown)


def _readable(document: Document) -> str:
    return " | ".join(text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…" for text in document)
