"""The rounds and the ending of a race as plain data: what was trained in each, what it showed, how it ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Level(NamedTuple):
    """How far a candidate has come: with the seed of this place (from 0) to this share of its training."""

    seed: int
    share: float


def levels_of(rungs: Sequence[float], seeds: int) -> tuple[Level, ...]:
    """All levels of a race, one after the other.

    >>> [tuple(level) for level in levels_of([0.25, 1], 3)]
    [(0, 0.25), (0, 1), (1, 1), (2, 1)]
    """
    return (*(Level(0, share) for share in rungs), *(Level(seed, 1) for seed in range(1, seeds)))


@dataclass(frozen=True)
class Task:
    """One job of a round: a candidate that is trained to a level.

    Attributes:
        number: of all tasks of the race, from 0.
        is_finish: the run comes to its end: scored on test, saved.
    """

    number: int
    candidate: int
    level: Level
    is_finish: bool = False


@dataclass(frozen=True)
class Result:
    """What a task came to.

    Attributes:
        value: the primary metric on dev; nan where it failed.
        seconds: of all that was done for it, in whatever process.
        trained: seconds of these that were training, with the evaluations on its way.
        examples: that training has read for it.
        is_taken: it comes from a run that had finished elsewhere, and has cost nothing.
        scores: the file of its per-example scores on dev.
        error: why it failed.
    """

    value: float = math.nan
    seconds: float = 0.0
    trained: float = 0.0
    examples: int = 0
    is_taken: bool = False
    scores: str = ""
    error: str = ""


@dataclass
class Round:
    """One round: its tasks, and once it has ended what they showed.

    Attributes:
        is_pilot: it shows what training costs; nobody is dropped before the others have come as far.
        waiting: candidates that the budget did not reach.
        elapsed: seconds of the clock that the race had taken at its end.
        leads: of each candidate over the leader: value, lower and upper limit, upper limit on these examples.
        dropped: who is out after it, and why (`evaluation.stats.racing.fate_of`).
    """

    level: Level
    tasks: tuple[Task, ...]
    is_pilot: bool = False
    waiting: tuple[int, ...] = ()
    results: dict[int, Result] = field(default_factory=dict)
    leader: int | None = None
    leads: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)
    dropped: dict[int, str] = field(default_factory=dict)
    has_ended: bool = False
    elapsed: float = 0.0


BETTER, EQUAL, HERE, TIED = "better", "equal", "equal on this dev", "tied"
UNDECIDED, UNTOUCHED, NOTHING = "undecided", "untouched", "nothing"


@dataclass(frozen=True)
class Ending:
    """How a race ended.

    Attributes:
        status: BETTER: each other candidate is worse than the winner, and so are the untouched models; EQUAL: each was
            worse than the one that led, or not ahead of it by the margin; HERE: some are not ahead by the margin on
            these examples of dev, which says nothing of others; TIED: all seeds are trained, and do not tell some from
            the winner; UNDECIDED: the budget came to an end before; UNTOUCHED: no candidate is better than an untouched
            model by the margin; NOTHING: no training came to its end.
        winner: its number; the best trained candidate where an untouched model has won, if there is one.
        rivals: who may be better than the winner by the margin.
    """

    status: str
    winner: int | None = None
    rivals: tuple[int, ...] = ()


def rounds_from(plain: Sequence[Mapping[str, Any]]) -> list[Round]:
    """The rounds that `Course.as_plain` gave, read from JSON."""
    return [_round_from(each) for each in plain]


def _round_from(plain: Mapping[str, Any]) -> Round:
    tasks = tuple(Task(**{**each, "level": Level(*each["level"])}) for each in plain["tasks"])
    return Round(
        **{
            **plain,
            "level": Level(*plain["level"]),
            "tasks": tasks,
            "waiting": tuple(plain["waiting"]),
            "results": {int(number): Result(**each) for number, each in plain["results"].items()},
            "leads": {
                int(number): (*each, each[2])[:4] for number, each in plain["leads"].items()
            },  # once there were 3
            "dropped": {int(number): why for number, why in plain["dropped"].items()},
        }
    )
