"""Choosing the negatives of each query among the candidates that no guard takes out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import listed
from embexp.steps.negatives.candidates import Candidates
from embexp.steps.negatives.near_copies import Copies
from embexp.steps.negatives.numbers_given import faults_of
from embexp.steps.negatives.pool import Pool

if TYPE_CHECKING:
    import numpy

CHOICES = ("top", "random")


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
        if self.choose not in CHOICES:
            yield f"{key}.choose={self.choose} is none of: {listed(CHOICES)}."

    def of(self, mask: "numpy.ndarray", candidates: Candidates, pool: Pool) -> tuple[list[list[int]], Counter[str]]:
        """For each query the columns of its negatives; and how many candidates repeat a text, by which (see `Copies`).

        Args:
            mask: which candidates may be taken, `(queries, k)`.
        """
        removed: Counter[str] = Counter()
        if self.near_duplicate is None:
            return [columns[: self.num_negatives] for columns in self._in_turn(mask)], removed
        copies, rows = Copies(pool, self.near_duplicate), []
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
