"""What a leak audit found, in numbers and in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Leak:
    """What one split has in common with another one, at one level.

    Attributes:
        judged: the split that should be new (dev or test).
        seen: the split that came before it (train, or dev for test).
        level: "row" (the texts of a row together, in either order), "text" (any one text) or "near" (the texts of a
            row together, each nearly the same, in either order; rows that leak at level "row" do not count).
        rows: rows of `judged` that leak, of `num_rows`.
        distinct: different pairs or texts that leak, however often they stand there.
        examples: a few of them, as people read them.
    """

    judged: str
    seen: str
    level: str
    rows: int
    num_rows: int
    distinct: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = {"row": "also stand in", "text": "share a text with", "near": "nearly stand in"}[self.level]
        share = 100 * self.rows / max(self.num_rows, 1)
        return f"{self.rows:,} of {self.num_rows:,} {self.judged} rows ({share:.1f} %) {what} {self.seen}"


@dataclass(frozen=True)
class Leaks:
    """All that an audit found; pairs of splits and levels without a leak stand there with 0 rows."""

    found: tuple[Leak, ...]

    def of(self, judged: str, seen: str, level: str = "row") -> Leak:
        """What `judged` has in common with `seen` at a level; KeyError when that was not looked at."""
        return {(leak.judged, leak.seen, leak.level): leak for leak in self.found}[judged, seen, level]

    def lines(self) -> list[str]:
        """What leaks, for people: a line for each pair of splits and level, each followed by its examples."""
        return [
            line
            for leak in self.found
            if leak.rows
            for line in (f"{leak}, {leak.distinct:,} different", *(f"  {example}" for example in leak.examples))
        ]
