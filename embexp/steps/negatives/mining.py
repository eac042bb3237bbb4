"""Mining the negatives of one split: search, guard, select, and count."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import listed
from embexp.steps.negatives.candidates import Candidates, Retriever
from embexp.steps.negatives.guards import Guards, NearCopies
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pairs, Pool
from embexp.steps.negatives.report import EXAMPLES, MiningReport, readable

if TYPE_CHECKING:
    import numpy

_CHOICES = ("top", "random")


@dataclass(frozen=True)
class Selection:
    """How negatives are chosen.

    Attributes:
        num_negatives: of each query, at most.
        choose: top: the best ranked; random: drawn from all that may be taken.
        near_duplicate: Jaccard similarity from which a text is too near a positive or an earlier negative; None for no
            such limit.
    """

    num_negatives: int
    choose: str
    near_duplicate: float | None
    seed: int

    def faults(self, key: str) -> Iterator[str]:
        """What cannot be meant, a line each; `key` is that of the step."""
        yield from faults_of(f"{key}.num_negatives", self.num_negatives, whole=True, least=1, such_as=1)
        if self.choose not in _CHOICES:
            yield f"{key}.choose={self.choose} is none of: {listed(_CHOICES)}."

    def of(self, mask: "numpy.ndarray", candidates: Candidates, pool: Pool) -> tuple[list[list[int]], Counter[str]]:
        """For each query the columns of its negatives; and how many candidates repeat a text, by which (see `Copies`).

        Args:
            mask: which candidates may be taken, `(queries, k)`.
        """
        removed: Counter[str] = Counter()
        if self.near_duplicate is None:
            return [columns[: self.num_negatives] for columns in self._in_turn(mask)], removed
        copies, rows = NearCopies(pool, self.near_duplicate), []
        for query, columns in enumerate(self._in_turn(mask)):
            places, known, taken = candidates.places[query], copies.of(query), []
            for column in columns:
                if fault := known.fault_of(int(places[column])):
                    removed[fault] += 1
                    continue
                taken.append(column)
                if len(taken) == self.num_negatives:
                    break
            rows.append(taken)
        return rows, removed

    def _in_turn(self, mask: "numpy.ndarray") -> Iterator[list[int]]:
        """The columns of each row of the mask in the order in which they are tried."""
        import numpy

        draw = numpy.random.default_rng(self.seed)
        for row in mask:
            columns = numpy.flatnonzero(row)
            yield (draw.permutation(columns) if self.choose == "random" else columns).tolist()


@dataclass(frozen=True)
class Mined:
    """The negatives of a pool.

    Attributes:
        candidates: what the retriever found.
        columns: those of each query's negatives among its candidates.
    """

    pool: Pool
    candidates: Candidates
    columns: list[list[int]]

    def places(self, query: int) -> list[int]:
        """The documents that are a query's negatives, the first one first."""
        return self.candidates.places[query, self.columns[query]].tolist()

    def differences(self) -> "numpy.ndarray":
        """The score of the positive minus that of the negative, for each negative whose query has a positive."""
        import numpy

        if self.candidates.positive_scores is None:
            return numpy.zeros(0)
        queries = numpy.repeat(numpy.arange(len(self.columns)), [len(some) for some in self.columns])
        columns = numpy.array([column for some in self.columns for column in some], dtype="int64")
        values = self.candidates.positive_scores[queries] - self.candidates.scores[queries, columns]
        return values[~numpy.isnan(values)]


def mine(
    pool: Pool, retriever: Retriever, guards: Guards, selection: Selection, taken: Pairs
) -> tuple[Mined, MiningReport]:
    """The negatives of each query of a pool.

    Known positives are looked for among the candidates, so more of these are fetched; a query with more positives than
    the window is long may find fewer negatives.

    Args:
        taken: each query with the documents that must not become its negatives besides the known ones.
    """
    import numpy

    known = Pairs(*(numpy.concatenate(both) for both in zip(_both(pool.known), _both(taken), strict=True)))
    most_known = int(numpy.bincount(known.left, minlength=1).max())
    window = guards.skip + guards.within
    candidates = retriever.search(pool, window + min(window, most_known))
    looked_at, removed = guards.window(candidates, known, len(pool.documents))
    mask, by_score = guards.by_score(looked_at, candidates)
    columns, copies = selection.of(mask, candidates, pool)
    mined = Mined(pool, candidates, columns)
    report = MiningReport(
        selection.num_negatives,
        numpy.array([len(some) for some in columns]),
        len(pool.documents),
        removed + by_score + copies,
        mined.differences(),
        _share_above(looked_at, candidates, selection.num_negatives),
        tuple(_examples(mined)),
    )
    return mined, report


def _both(pairs: Pairs) -> "tuple[numpy.ndarray, numpy.ndarray]":
    return pairs.left, pairs.right


def _share_above(looked_at: "numpy.ndarray", candidates: Candidates, num_negatives: int) -> float | None:
    """Of the first candidates of each query with a positive, the share that scores above it."""
    import numpy

    if candidates.positive_scores is None:
        return None
    first = looked_at & (numpy.cumsum(looked_at, axis=1) <= num_negatives)
    first &= ~numpy.isnan(candidates.positive_scores)[:, None]
    above = first & (candidates.scores > candidates.positive_scores[:, None])
    return float(above.sum() / max(first.sum(), 1))


def _examples(mined: Mined) -> Iterator[str]:
    """Queries from all over the split, each with the positive that scores lowest, if scores tell, and its negatives."""
    import numpy

    pool, candidates = mined.pool, mined.candidates
    with_any = numpy.array([query for query, columns in enumerate(mined.columns) if columns], dtype="int64")
    positive_of = dict(zip(pool.positives.left[::-1].tolist(), pool.positives.right[::-1].tolist(), strict=True))
    for query in with_any[numpy.linspace(0, len(with_any) - 1, min(EXAMPLES, len(with_any))).astype(int)].tolist():
        scored = candidates.positive_scores is not None
        positive = positive_of.get(query)
        parts = [readable(pool.queries[query], None)]
        if positive is not None:
            score = float(candidates.positive_scores[query]) if scored else None
            parts.append(f"+ {readable(pool.documents[positive], score)}")
        for place, column in zip(mined.places(query), mined.columns[query], strict=True):
            score = float(candidates.scores[query, column]) if scored else None
            parts.append(f"- {readable(pool.documents[place], score)}")
        yield " | ".join(parts)
