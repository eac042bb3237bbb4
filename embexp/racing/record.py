"""What a race's folder says about it: how it was typed, its candidates, its rounds, its end."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embexp.core.run_folder import read_json, write_json
from embexp.evaluation.stats.racing import Prior
from embexp.experiment.sweep_record import taken_from
from embexp.racing.budget import Budget
from embexp.racing.course import Course, Rules
from embexp.racing.folder import RACE
from embexp.racing.rounds import Ending, levels_of, rounds_from

RUNS = "runs"  # in a race's folder: a folder for each candidate and seed
SHORT_ID = 8


@dataclass(frozen=True)
class Entrant:
    """A candidate, or an untouched model.

    Attributes:
        number: from 0; of untouched models from -1 downward.
        overrides: of its runs, less the seed.
        own: those of them in which it differs from the others.
        model: its base model, as in conf/model.
        examples: that a whole training reads.
        seconds: that it may take at most; None: no limit.
    """

    number: int
    name: str
    overrides: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    model: str = ""
    examples: int = 0
    seconds: float | None = None


@dataclass
class Race:
    """A race as its folder keeps it.

    Attributes:
        metric: `dev/<evaluator>/<metric>`, by which candidates are compared.
        rows: a hash of the rows of dev.
        left_out: what does not take part, and why.
        began: by base model: the candidate that was looked at, hashes of its rows and model files, and of code.
        versions: of packages.
        shown: of each ending that has shown test: the winner, how many of its seeds, and the budget.
    """

    id: str
    key: str
    overrides: Sequence[str]
    metric: str
    rows: str
    entrants: Sequence[Entrant]
    left_out: Sequence[str]
    seeds: Sequence[int]
    budget: Budget
    course: Course
    ending: Ending | None = None
    began: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    shown: list[dict[str, Any]] = field(default_factory=list)

    @property
    def candidates(self) -> list[Entrant]:
        return [each for each in self.entrants if each.number >= 0]

    @property
    def untouched(self) -> list[Entrant]:
        return [each for each in self.entrants if each.number < 0]

    def named(self, number: int) -> Entrant:
        return next(each for each in self.entrants if each.number == number)

    def note_shown(self, seeds: int) -> None:
        """Note, as the last one, that the ending shows test of its winner; the same number again is no other look."""
        now = {"candidate": self.ending.winner, "seeds": seeds}
        same = [each for each in self.shown if now.items() <= each.items()]
        self.shown = [each for each in self.shown if each not in same] + (same or [now | {"budget": str(self.budget)}])

    def write(self, folder: Path) -> None:
        rules = self.course.rules
        write_json(
            folder / RACE,
            {
                "id": self.id,
                "key": self.key,
                "overrides": [*self.overrides],
                "metric": self.metric,
                "rows": self.rows,
                "entrants": [asdict(each) for each in self.entrants],
                "left_out": [*self.left_out],
                "seeds": [*self.seeds],
                "budget": asdict(self.budget),
                "rules": {
                    "rungs": [level.share for level in rules.levels if level.seed == 0],
                    "seeds": len({level.seed for level in rules.levels}),
                    "margin": rules.margin,
                    "alpha": rules.alpha,
                    "prior": asdict(rules.prior),
                },
                "rounds": self.course.as_plain(),
                "elapsed": self.course.elapsed,
                "began": self.began,
                "versions": self.versions,
                "ending": asdict(self.ending) if self.ending else None,
                "shown": self.shown,
            },
        )


def read_race(folder: Path, workers: int = 1) -> Race:
    """The race of a folder.

    Raises:
        UnreadableError: race.json is damaged.
    """
    plain = read_json(folder / RACE)
    entrants = [
        Entrant(**{**each, "overrides": tuple(each["overrides"]), "own": tuple(each["own"])})
        for each in plain["entrants"]
    ]
    untouched = tuple(each.number for each in entrants if each.number < 0)
    rules = rules_of(plain["rules"], entrants, workers)
    ending = plain["ending"] and Ending(**{**plain["ending"], "rivals": tuple(plain["ending"]["rivals"])})
    course = Course(rules, rounds_from(plain["rounds"]), untouched, plain["elapsed"])
    own = [plain[key] for key in ("id", "key", "overrides", "metric", "rows")]
    began = [plain[key] for key in ("began", "versions")]
    budget, shown = Budget(**plain["budget"]), plain.get("shown", [])
    return Race(*own, entrants, plain["left_out"], plain["seeds"], budget, course, ending, *began, shown)


def rules_of(settings: Mapping[str, Any], entrants: Sequence[Entrant], workers: int) -> Rules:
    """The rules of a race.

    Args:
        settings: rungs, seeds, margin, alpha, prior.
        entrants: candidates and untouched models.
    """
    candidates = [each for each in entrants if each.number >= 0]
    prices = (tuple(getattr(each, what) for each in candidates) for what in ("model", "examples", "seconds"))
    levels, prior = levels_of(settings["rungs"], settings["seeds"]), Prior(**settings["prior"])
    rivals = len(entrants) - 1
    return Rules(levels, settings["margin"], settings["alpha"], rivals, prior, *prices, max(1, workers))


def new_id() -> str:
    return uuid.uuid4().hex[:SHORT_ID]


def run_folder(folder: Path, candidate: int, seed: int) -> Path:
    """Where the run of a candidate with a seed is, or will be; one that was taken lies elsewhere."""
    own = folder / RUNS / f"{candidate}-{seed}"
    return taken_from(own) or own
