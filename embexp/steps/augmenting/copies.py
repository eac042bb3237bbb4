"""Changed copies of rows, with the reasons for those that are left out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from embexp.data.arrow import batches_of
from embexp.data.shapes import MADE_BY
from embexp.steps.augmenting.filters import Change, Filter
from embexp.steps.made_rows import Row, made_of, with_source
from embexp.steps.rewording.rewording import Rewording, reworded

if TYPE_CHECKING:
    from datasets import Dataset

TRIES = 5  # drawings until a copy differs from its source and its fellows


class Copy(NamedTuple):
    """A row made of another one, and the texts that differ."""

    row: Row
    changes: list[Change]


@dataclass
class Copies:
    """Makes copies of rows in which texts of some columns are changed.

    Attributes:
        filters: what copies must pass, in this order.
        examples: the first changes that stayed, `num_examples` of them.
        left_out: how many copies went, by the reason.
    """

    method: Rewording
    made_by: str
    columns: Sequence[str]
    per_row: int
    seed: int
    filters: Sequence[Filter]
    num_examples: int
    examples: list[Change] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    num_made: int = 0

    def beside_sources(self, rows: "Dataset", id_columns: Sequence[str]) -> Iterator[Row]:
        """Each row, with its id, and after it the copies of it that stay; of rows that are copies themselves none."""
        for batch in batches_of(rows, f"augment by {self.made_by}"):
            sources = [with_source(row, id_columns) for row in batch.to_pylist()]
            copies = [list(self._copies_of(row)) for row in sources]
            stays = iter(self._stay([copy for of_row in copies for copy in of_row]))
            for source, of_row in zip(sources, copies, strict=True):
                yield source
                for copy in compress(of_row, stays):
                    self._note(copy)
                    yield copy.row

    def _copies_of(self, source: Row) -> Iterator[Copy]:
        made: list[Row] = []
        for number in range(self.per_row if source[MADE_BY] is None else 0):
            tries = (self._copy(source, number, attempt) for attempt in range(TRIES))
            differing = (copy for copy in tries if copy.changes and copy.row not in made)
            if copy := next(differing, None):
                made.append(copy.row)
                yield copy
            else:
                self.left_out["without a change" if not made else "without another change"] += 1

    def _copy(self, source: Row, *seeds: int) -> Copy:
        changed, changes = {}, []
        for column in self.columns:
            before = source[column] if isinstance(source[column], list) else [source[column]]
            after = [reworded(text, self.method, self.seed, self.made_by, column, *seeds) for text in before]
            changes += [each for each in zip(before, after, strict=True) if each[0].strip() != each[1].strip()]
            changed[column] = after if isinstance(source[column], list) else after[0]
        return Copy(made_of(source, self.made_by, **changed), changes)

    def _stay(self, copies: Sequence[Copy]) -> list[bool]:
        """Which copies have no change that a filter refuses; a filter sees only what passed those before it."""
        stay = [True] * len(copies)
        for refusal_of in self.filters:
            places = [place for place, copy in enumerate(copies) if stay[place] for _ in copy.changes]
            changes = [change for copy in compress(copies, stay) for change in copy.changes]
            for place, reason in zip(places, refusal_of(changes) if changes else [], strict=True):
                if reason and stay[place]:
                    stay[place] = False
                    self.left_out[reason] += 1
        return stay

    def _note(self, copy: Copy) -> None:
        self.num_made += 1
        if len(self.examples) < self.num_examples:
            self.examples.append(copy.changes[0])
