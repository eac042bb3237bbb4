"""The pairs to label: gold rows, and pairs of their texts that retrievers find, or pairs that have no label yet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy

from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.data.arrow import select_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.data.formats import chunks_of
from embexp.data.readers import read_files
from embexp.data.text_files import FileOptions
from embexp.errors import ConfigError, DataError, Problem, as_typed, listed
from embexp.steps.dedup.row_keys import pair_keys
from embexp.steps.negatives.candidates import NOTHING, Retriever
from embexp.steps.negatives.pool import Pairs, Pool, keys_of

if TYPE_CHECKING:
    from datasets import Dataset

_SAMPLER = "dataset.steps.silver.sampler"
_SPARE = 20  # candidates beyond the requested ones: a text with more known partners than that may get fewer pairs


def split_gold(rows: "Dataset", share: float, number: int | None, seed: int) -> tuple["Dataset", "Dataset"]:
    """The rows that keep their labels, and the others, both in their order.

    Args:
        share: of the rows that stay gold, above 0 and at most 1.
        number: how many stay gold, in place of a share; None for the share.
    """
    wanted = min(number or max(1, round(share * rows.num_rows)), rows.num_rows)
    is_gold = numpy.zeros(rows.num_rows, bool)
    is_gold[numpy.random.default_rng(seed).permutation(rows.num_rows)[:wanted]] = True
    return select_rows(rows, is_gold), select_rows(rows, ~is_gold)


Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPool:
    """Texts of gold rows. Texts that differ only in case, spaces and punctuation are the same.

    Attributes:
        sides: the texts of gold's first and of its second column, in order.
        rest: pairs of the other rows, without their labels.
        taken: keys (`pair_keys`) of the pairs of gold, dev and test, in either order.
        held_out: keys of the texts of dev and test.
        prompts: of first and second texts, as `Encoder.encode` takes them.
    """

    sides: tuple[list[str], list[str]]
    rest: list[Pair]
    taken: numpy.ndarray
    held_out: numpy.ndarray
    prompts: tuple[str | None, str | None]

    def are_free(self, first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
        """Which pairs may be made, given the keys of their texts: two texts that are not a pair yet."""
        return (first != second) & ~numpy.isin(pair_keys(first, second), self.taken)

    def free_pairs(self, pairs: Sequence[Pair]) -> tuple[list[Pair], Counter[str]]:
        """The pairs that may be made, each once in the order of its first time, and why others may not."""
        first, second = (keys_of([pair[side] for pair in pairs]) for side in (0, 1))
        free = self.are_free(first, second)
        is_first = numpy.zeros(len(pairs), bool)
        is_first[numpy.unique(pair_keys(first, second), return_index=True)[1]] = True
        reasons = {
            "of one text": first == second,
            "in gold, dev or test": (first != second) & ~free,
            "there before": free & ~is_first,
        }
        kept = [pairs[place] for place in numpy.flatnonzero(free & is_first).tolist()]
        return kept, Counter({reason: int(mask.sum()) for reason, mask in reasons.items() if mask.any()})

    def num_held_out(self, pairs: Sequence[Pair]) -> int:
        """How many of the pairs have a text that is in another pair of dev or test.

        Such pairs are allowed: public sets of sentence pairs share sentences between their splits, too.
        """
        first, second = (numpy.isin(keys_of([pair[side] for pair in pairs]), self.held_out) for side in (0, 1))
        return int((first | second).sum())


class PairSampler(Protocol):
    """Finds pairs to label."""

    def sample(self, pool: PairPool) -> list[Pair]:
        """Pairs, best first; some may be taken already or come twice."""


def make_pair_pool(dataset: EmbeddingDataset, gold: "Dataset", rest: "Dataset") -> PairPool:
    """The pool of the train rows of a data set of pairs, divided into gold and the rest."""
    columns = dataset.text_columns
    texts = tuple(gold[column][:] for column in columns)
    others = [rows for split, rows in dataset.splits.items() if split != "train"]
    keys = [[keys_of(rows[column][:]) for column in columns] for rows in (gold, *others)]
    none = numpy.empty(0, "uint64")
    return PairPool(
        texts,
        [*zip(*(rest[column][:] for column in columns), strict=True)],
        numpy.unique(numpy.concatenate([pair_keys(*sides) for sides in keys])),
        numpy.unique(numpy.concatenate([none, *(side for of_rows in keys[1:] for side in of_rows)])),
        tuple(dataset.prompts.prompt_for(column) for column in columns),
    )


@dataclass(frozen=True)
class RetrievedPairs:
    """Pairs each text of gold with the texts that retrievers find for it (Augmented SBERT, Thakur et al. 2020).

    Args:
        retrievers: by names of your choice, each finds as many pairs; one that is null is left out.
        pairs_per_text: of each text and retriever, at most; a pair that both of its texts find counts for both.
        across: pair first texts with second ones only, such as premises with hypotheses.
    """

    retrievers: Mapping[str, Retriever | None]
    pairs_per_text: int
    across: bool

    def sample(self, pool: PairPool) -> list[Pair]:
        """Pairs that may be made: the best ones of all texts, then their second best, and so on.

        Raises:
            ConfigError: the number of pairs is below 1, or no retriever is given.
        """
        retrievers = [retriever for retriever in self.retrievers.values() if retriever is not None]
        problems = [*problems_with("pairs_per_text", self.pairs_per_text, COUNT, such_as=3)]
        if not retrievers:
            names = listed(self.retrievers)
            problems.append(Problem(f"are all null: {names}", "retrievers", expected="at least one that is not null"))
        refuse(problems, under=_SAMPLER)
        search = _search_pool(*(pool.sides if self.across else (pool.sides[0] + pool.sides[1],) * 2), pool.prompts)
        keys = keys_of(search.queries), keys_of(search.documents)
        searched = (retriever.search(search, self.pairs_per_text + _SPARE).places for retriever in retrievers)
        found = [self._best(places, keys, pool) for places in searched]
        ranks, queries, documents = (numpy.concatenate(parts) for parts in zip(*found, strict=True))
        order = numpy.argsort(ranks, kind="stable")
        numbers = zip(queries[order].tolist(), documents[order].tolist(), strict=True)
        return [(search.queries[query], search.documents[document]) for query, document in numbers]

    def _best(
        self, places: numpy.ndarray, keys: tuple[numpy.ndarray, numpy.ndarray], pool: PairPool
    ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """The first free pairs of each query: rank among them from 1, query and document, `(num_pairs,)` each."""
        rows, columns = numpy.nonzero(places != NOTHING)
        documents = places[rows, columns]
        free = pool.are_free(keys[0][rows], keys[1][documents])
        rows, documents = rows[free], documents[free]
        counts = numpy.bincount(rows, minlength=len(places))
        ranks = numpy.arange(len(rows)) - numpy.repeat(numpy.cumsum(counts) - counts, counts) + 1
        best = ranks <= self.pairs_per_text
        return ranks[best], rows[best], documents[best]


def _search_pool(queries: Sequence[str], documents: Sequence[str], prompts: tuple[str | None, str | None]) -> Pool:
    """The pool in which every distinct query looks for every distinct document."""
    from datasets import Dataset

    none = Pairs(numpy.zeros(0, "int64"), numpy.zeros(0, "int64"))
    return Pool(_distinct(queries), _distinct(documents), Dataset.from_dict({}), none.left, none, none, none, prompts)


def _distinct(texts: Sequence[str]) -> list[str]:
    """The first one of texts that differ only in case, spaces and punctuation."""
    first = numpy.unique(keys_of(texts), return_index=True)[1]
    return [texts[place] for place in sorted(first.tolist())]


@dataclass(frozen=True)
class RemainingPairs:
    """Pairs without a label: those of a file, or the rows that are not gold, without the labels they had.

    Args:
        path: CSV, TSV, JSONL or Parquet; None for the rows that are not gold.
        columns: the file's columns of the first and the second text.
    """

    path: str | None
    columns: tuple[str, str]

    def sample(self, pool: PairPool) -> list[Pair]:
        """The pairs in their order.

        Raises:
            ConfigError: all rows are gold, and no file is named, or not two columns.
            DataError: the file cannot be read, or has no such columns.
        """
        if self.path is None and not pool.rest:
            text, key = "labels the rows that are not gold, and all rows are", f"{_SAMPLER}.path"
            expected, fix = "a share of the rows as gold, or pairs in a file", "dataset.steps.silver.gold_share=0.2"
            raise ConfigError(text, key=key, given=None, expected=expected, fix=(fix, f"{key}=<file>"))
        if self.path is None:
            return pool.rest
        _check_columns(Path(self.path), self.columns)
        names = dict(zip(("anchor", "positive"), self.columns, strict=True))
        rows = read_files(self.path, "remaining", "positive_pair", names).splits["train"]
        return [*zip(rows["anchor"][:], rows["positive"][:], strict=True)]


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    """Refuse columns that a file does not have: the error of reading names the key of the data set's own reader."""
    first = next(chunks_of(path, FileOptions(), FaultLog("drop")), None) if path.is_file() else None
    expected, names = "the columns of two texts", [*first.columns] if first else []
    fix = (f"'{_SAMPLER}.columns={as_typed(names[:2])}'",) if len(names) > 1 else ()
    if isinstance(columns, str) or len(columns) != 2:
        raise ConfigError(key=f"{_SAMPLER}.columns", given=columns, expected=expected, fix=fix)
    if first and (missing := [column for column in columns if column not in first.columns]):
        text = f"has no column {listed(missing)}. It has: {listed(first.columns)}"
        raise DataError(text, file=path, expected=expected, fix=fix)
