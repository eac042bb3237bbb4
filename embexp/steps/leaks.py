"""The leak audit: what dev and test have in common with train, and with one another."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations as pairs_among
from typing import TYPE_CHECKING

from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.errors import listed
from embexp.steps.comparing.near import Document, NearIndex, faults_of_search
from embexp.steps.comparing.overlap import Keys, combinations, single_texts, texts_together
from embexp.steps.leak_report import Leak, Leaks
from embexp.steps.refusals import keep_rows, refuse

if TYPE_CHECKING:
    import numpy

REMOVE = ("nothing", "train", "eval")
SHOWN_CHARS = 80  # of each text of an example

logger = logging.getLogger(__name__)


def audit_leaks(
    dataset: EmbeddingDataset, remove: str = "nothing", near_threshold: float | None = None, examples: int = 3
) -> EmbeddingDataset:
    """The data set, with what its splits have in common counted and logged, and taken out where asked for.

    Args:
        remove: "nothing"; "train": rows of train whose texts stand together in a row of dev or test; "eval": rows of
            dev and test whose texts stand together in a row of train. Rows that share a single text, or that are
            only near, are counted and stay.
        near_threshold: look for near-duplicates too, from this Jaccard similarity of character n-grams, in (0, 1].
        examples: how many are logged for each pair of splits and level.

    Raises:
        ConfigError: lists every argument that is out of range.
        DataError: a split would be left without rows.
    """
    refuse("audit_leaks", _faults(dataset, remove, near_threshold, examples))
    leaks = find_leaks(dataset, near_threshold, examples)
    for line in leaks.lines():
        logger.info("%s: %s", dataset.name, line)
    keep = _kept(dataset, remove)
    gone = {split: int((~mask).sum()) for split, mask in keep.items()}
    parts = [str(leak) for leak in leaks.found if leak.rows] or [f"no leaks among {listed(dataset.splits)}"]
    parts += [f"{count:,} {split} rows removed" for split, count in gone.items() if count]
    return keep_rows(dataset, "audit_leaks", keep, "; ".join(parts))


def find_leaks(dataset: EmbeddingDataset, near_threshold: float | None = None, examples: int = 3) -> Leaks:
    """What dev and test have in common with train, and test with dev. Arguments as in `audit_leaks`."""
    pairs = list(pairs_among([split for split in SPLITS if split in dataset.splits], 2))
    levels = {"row": texts_together}
    if len(dataset.text_columns) > 1:
        levels["text"] = single_texts
    found, known = [], {}
    for level, read in levels.items():
        keys = {split: read(dataset, split) for split in dataset.splits}
        for seen, judged in pairs:
            shared = keys[judged].among(keys[seen])
            found.append(_exact(dataset, (judged, seen, level), keys[judged], shared, examples))
            if level == "row":
                known[judged, seen] = keys[judged].rows_of(shared)
    if near_threshold is not None:
        found += [_near(dataset, *which, rows, near_threshold, examples) for which, rows in known.items()]
    return Leaks(tuple(sorted(found, key=lambda leak: pairs.index((leak.seen, leak.judged)))))


def leaked_rows(train: EmbeddingDataset, judged: EmbeddingDataset, split: str) -> "numpy.ndarray":
    """Which rows of `judged.splits[split]` were seen in training, bool `(num_rows,)`.

    A row was seen when its texts stand together in one row of the train split of `train`, in either order: its first
    text with any of the others (so each positive and negative of a triplet or ranked row counts). A single text was
    seen when any row has it. Case, spaces and punctuation do not count. Rows of pairs are never seen in single texts.
    """
    import numpy

    rows = texts_together(judged, split)
    if "train" not in train.splits:
        return numpy.zeros(rows.num_rows, dtype=bool)
    seen = (single_texts if len(judged.text_columns) == 1 else texts_together)(train, "train")
    return rows.rows_of(rows.among(seen))


def _faults(dataset: EmbeddingDataset, remove: str, near_threshold: float | None, examples: int) -> Iterator[str]:
    if len(dataset.splits) < 2:
        yield (
            f"{dataset.name} has only the split {listed(dataset.splits)} here, so there is nothing to compare. "
            "Make splits first: step=[split,leaks], in this order."
        )
    if remove not in REMOVE:
        yield f"remove={remove!r} is none of: {listed(REMOVE)}."
    if near_threshold is not None:
        yield from faults_of_search(near_threshold, name="near_threshold")
    if examples < 0:
        yield f"examples={examples} must be 0 or more."


def _kept(dataset: EmbeddingDataset, remove: str) -> dict[str, "numpy.ndarray"]:
    """The mask of rows that stay, for each split that may lose some."""
    import numpy

    judged = [split for split in ("dev", "test") if split in dataset.splits]
    if remove == "nothing" or "train" not in dataset.splits or not judged:
        return {}
    if remove == "eval":
        return {split: ~leaked_rows(dataset, dataset, split) for split in judged}
    train = texts_together(dataset, "train")
    hit = numpy.logical_or.reduce([train.among(texts_together(dataset, split)) for split in judged])
    return {"train": ~train.rows_of(hit)}


def _exact(
    dataset: EmbeddingDataset, which: tuple[str, str, str], keys: Keys, shared: "numpy.ndarray", examples: int
) -> Leak:
    import numpy

    judged, _, level = which
    rows = keys.rows_of(shared)
    first_rows = numpy.flatnonzero(rows)[:examples].tolist()
    shown = tuple(_shown(dataset, judged, row, level, keys.values[shared]) for row in first_rows)
    return Leak(*which, int(rows.sum()), keys.num_rows, keys.num_distinct(shared), shown)


def _shown(dataset: EmbeddingDataset, split: str, row: int, level: str, shared: "numpy.ndarray") -> str:
    """The first texts of a row whose key is among the shared ones."""
    import numpy

    alone = replace(dataset, splits={split: dataset.splits[split].select([row])})
    if level == "row":
        documents, keys = [raw for _, raw, _ in combinations(alone, split)], texts_together(alone, split)
    else:
        documents, keys = [(text,) for text in alone.texts(split)], single_texts(alone, split)
    return _readable(documents[int(numpy.isin(keys.values, shared).argmax())])


def _near(
    dataset: EmbeddingDataset, judged: str, seen: str, known: "numpy.ndarray", threshold: float, examples: int
) -> Leak:
    """Rows of `judged` near a row of `seen`, but for those of the mask `known`."""
    index = NearIndex(threshold)
    for _, _, document in combinations(dataset, seen):
        index.add(document)
    found: dict[int, tuple[Document, int]] = {}
    distinct = set()
    for row, raw, document in combinations(dataset, judged):
        place = None if known[row] else _place_in(index, document)
        if place is not None:
            found.setdefault(row, (raw, place))
            distinct.add(document)
    few = list(found.values())[:examples]
    places = {place for _, place in few}
    others = {place: raw for place, (_, raw, _) in enumerate(combinations(dataset, seen)) if place in places}
    shown = tuple(f"{_readable(raw)} ~ {_readable(others[place])}" for raw, place in few)
    return Leak(judged, seen, "near", len(found), len(known), len(distinct), shown)


def _place_in(index: NearIndex, document: Document) -> int | None:
    """The number of a near document, in either order."""
    place = index.find(document)
    return index.find(document[::-1]) if place is None and len(document) > 1 else place


def _readable(document: Document) -> str:
    return " | ".join(text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…" for text in document)
