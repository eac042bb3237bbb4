"""Races of candidates that are made of random numbers, so that the truth is known."""

from collections.abc import Sequence

import numpy

from embexp.evaluation.stats.seeds import Cell
from embexp.racing.budget import Budget
from embexp.racing.course import Course, Rules
from embexp.racing.rounds import Level, Result


class World:
    """Scores of candidates whose means are known.

    Args:
        means: true score of each candidate after all training.
        of_untouched: that of an untouched model.
        seeds, drift: standard deviations, as in `Prior`.
        examples: of dev; each has a difficulty that all candidates share.
        spread: standard deviation of what each run makes of each example; own: of what all runs of a candidate do.
    """

    def __init__(
        self,
        means: Sequence[float],
        seed: int,
        of_untouched: float = 0.5,
        seeds: float = 0.005,
        drift: float = 0.03,
        examples: int = 500,
        spread: float = 0.15,
        resamples: int = 200,
        costs: Sequence[float] | None = None,
        own: float = 0.0,
    ) -> None:
        self.random = numpy.random.default_rng(seed)
        self.means = means
        self.of_untouched = of_untouched
        self.seeds = seeds
        self.late = drift * self.random.standard_normal(len(means))
        self.spread = spread
        self.shared = 0.3 * self.random.standard_normal(examples)
        counts = self.random.multinomial(examples, numpy.full(examples, 1 / examples), resamples)
        self.weights = counts / examples
        self.costs = costs or [1.0] * len(means)
        self.own = own * numpy.random.default_rng(seed).standard_normal((len(means), examples))
        self.known: dict[tuple[int, int], numpy.ndarray] = {}

    def _of_run(self, candidate: int, seed: int) -> numpy.ndarray:
        """Per-example values of a run at its end, `(examples,)`."""
        if (candidate, seed) not in self.known:
            mean = self.of_untouched if candidate < 0 else self.means[candidate]
            moved = 0.0 if candidate < 0 else self.seeds * self.random.standard_normal()
            own = self.spread * self.random.standard_normal(len(self.shared))
            own += self.own[candidate] if candidate >= 0 else 0.0
            self.known[candidate, seed] = mean + moved + self.shared + own
        return self.known[candidate, seed]

    def cell(self, candidate: int, level: Level) -> Cell:
        values = self._of_run(candidate, level.seed)
        if candidate >= 0:
            values = values - self.late[candidate] * (1 - level.share) ** 0.5
        return Cell(
            numpy.array([values.mean()]), (self.weights @ values)[None, :], len(values), candidate >= 0, len(values)
        )

    def cells_at(self, level: Level, numbers: Sequence[int]) -> dict[int, list[Cell]]:
        seeds = range(level.seed + 1)
        share = level.share
        return {
            number: [self.cell(number, Level(seed, share if seed == level.seed else 1.0)) for seed in seeds]
            if number >= 0
            else [self.cell(number, level._replace(seed=0))]
            for number in numbers
        }

    def result(self, candidate: int, level: Level, width: float) -> Result:
        cost = self.costs[candidate] * width
        return Result(float(self.cell(candidate, level).values[0]), cost, cost, int(1000 * width))


def run_race(world: World, rules: Rules, budget: Budget | None = None) -> Course:
    """The whole race."""
    course = Course(rules, untouched=(-1,))
    budget = budget or Budget()
    while begun := course.next_round(budget):
        results = {
            task.number: world.result(task.candidate, task.level, course.width(task.level)) for task in begun.tasks
        }
        course.elapsed += sum(result.seconds for result in results.values())
        course.end(begun, results, world.cells_at)
    return course
