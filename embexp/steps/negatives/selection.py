"""Choosing the negatives of each query among the candidates that no guard takes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import listed
from embexp.steps.comparing.near import NGRAM, similarity
from embexp.steps.comparing.row_keys import comparable
from embexp.steps.negatives.candidates import Candidates

if TYPE_CHECKING:
    import numpy

CHOICES = ("top", "random")


@dataclass(frozen=True)
class Selection:
    """How negatives are chosen.

    Attributes:
        num_negatives: of each query, at most.
        choose: top: the best ranked; random: drawn from all that may be taken.
        near_duplicate: Jaccard similarity from which a text is too near an earlier negative; None for no such limit.
    """

    num_negatives: int
    choose: str
    near_duplicate: float | None
    seed: int

    def faults(self) -> Iterator[str]:
        """What cannot be meant, a line each."""
        if self.num_negatives < 1:
            yield f"num_negatives={self.num_negatives} must be 1 or more."
        if self.choose not in CHOICES:
            yield f"choose={self.choose} is none of: {listed(CHOICES)}."

    def of(
        self, mask: "numpy.ndarray", candidates: Candidates, documents: Sequence[str]
    ) -> tuple[list[list[int]], int]:
        """For each query the columns of its negatives; and how many candidates were near-duplicates of one of them.

        Args:
            mask: which candidates may be taken, `(queries, k)`.
        """
        if self.near_duplicate is None or self.num_negatives == 1:
            return [columns[: self.num_negatives] for columns in self._in_turn(mask)], 0
        texts = comparable(_as_array(documents))
        rows, near = [], 0
        for columns, places in zip(self._in_turn(mask), candidates.places.tolist(), strict=True):
            taken: dict[int, str] = {}
            for column in columns:
                text = texts[places[column]].as_py()
                if any(similarity((text,), (other,), NGRAM) >= self.near_duplicate for other in taken.values()):
                    near += 1
                else:
                    taken[column] = text
                if len(taken) == self.num_negatives:
                    break
            rows.append([*taken])
        return rows, near

    def _in_turn(self, mask: "numpy.ndarray") -> Iterator[list[int]]:
        """The columns of each row of the mask in the order in which they are tried."""
        import numpy

        draw = numpy.random.default_rng(self.seed)
        for row in mask:
            columns = numpy.flatnonzero(row)
            yield (draw.permutation(columns) if self.choose == "random" else columns).tolist()


def _as_array(texts: Sequence[str]):
    import pyarrow

    return pyarrow.array(texts, pyarrow.string())
