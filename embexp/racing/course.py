"""The course of a race, as plain data: what was trained, what it showed, who is out, and what comes next.

A race goes in rounds. In a round several candidates are trained to the same level: to a rung, a share of their training
with the first seed, or to the end with a further seed. Then all that have reached the level are compared
(`evaluation/stats/racing.py`), and the losers are dropped. What comes next depends on nothing but what is written here,
so that a race that was killed goes on as it would have.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from embexp.evaluation.stats.racing import NOT_BETTER, WORSE, Look, Prior, look_at, noise_of, with_seeds
from embexp.evaluation.stats.seeds import Cell
from embexp.racing.budget import Budget
from embexp.racing.rounds import Level, Result, Round, Task


@dataclass(frozen=True)
class Rules:
    """What a race is decided by.

    Attributes:
        margin: the smallest difference worth having.
        alpha: the chance that the candidate that is best by more than the margin is dropped, at most.
        rivals: how many others each candidate has, untouched models among them.
        models: the base model of each candidate, by its number: an example costs all of one about the same.
        examples: that a whole training of each candidate reads.
    """

    levels: tuple[Level, ...]
    margin: float
    alpha: float
    rivals: int
    prior: Prior
    models: Sequence[str]
    examples: Sequence[int]
    workers: int = 1

    @property
    def error(self) -> float:
        """Of each comparison."""
        return self.alpha / (len(self.levels) * max(1, self.rivals))


BETTER, EQUAL, UNDECIDED, UNTOUCHED, NOTHING = "better", "equal", "undecided", "untouched", "nothing"


@dataclass(frozen=True)
class Ending:
    """How a race ended.

    Attributes:
        status: BETTER: each other candidate is worse than the winner, and so are the untouched models; EQUAL: none is
            better than it by the margin; UNDECIDED: budget or seeds came to an end before that; UNTOUCHED: no candidate
            is better than an untouched model by the margin; NOTHING: no training came to its end.
        winner: its number; the best trained candidate where an untouched model has won, if there is one.
        rivals: who may be better than the winner by the margin.
    """

    status: str
    winner: int | None = None
    rivals: tuple[int, ...] = ()


CellsAt = Callable[[Level, Sequence[int]], Mapping[int, Sequence[Cell]]]  # the run of each seed, up to that level


@dataclass
class Course:
    """A race so far.

    Attributes:
        untouched: numbers of the untouched models, which are below 0.
        reserve: seconds or examples of the budget that the end of the race will take.
        overhead: seconds so far that belong to no task, such as those of planning.
    """

    rules: Rules
    rounds: list[Round] = field(default_factory=list)
    untouched: tuple[int, ...] = ()
    reserve: float = 0.0
    overhead: float = 0.0

    @property
    def candidates(self) -> range:
        return range(len(self.rules.models))

    @property
    def dropped(self) -> dict[int, str]:
        """Who is out, and why."""
        return {number: why for each in self.rounds for number, why in each.dropped.items()}

    @property
    def left(self) -> list[int]:
        return [each for each in self.candidates if each not in self.dropped]

    def place(self, candidate: int) -> int:
        """How many levels a candidate has reached."""
        reached = {task.level for _, task, result in self.done() if task.candidate == candidate and not result.error}
        return next((place for place, level in enumerate(self.rules.levels) if level not in reached), len(self.levels))

    @property
    def levels(self) -> tuple[Level, ...]:
        return self.rules.levels

    def done(self) -> list[tuple[Round, Task, Result]]:
        """Every task that has a result, in the order of the rounds."""
        return [
            (each, task, each.results[task.number])
            for each in self.rounds
            for task in each.tasks
            if task.number in each.results
        ]

    def spent(self, budget: Budget) -> float:
        """Seconds (of all workers side by side) or examples so far."""
        if budget.examples is not None:
            return float(sum(result.examples for _, _, result in self.done()))
        return self.overhead + sum(result.seconds for _, _, result in self.done()) / self.rules.workers

    def estimate(self, seeds: int | None = None) -> float:
        """Seconds that it takes to train all candidates with so many seeds (None: all), as trainings so far show."""
        levels = [level for level in self.levels if seeds is None or level.seed < seeds]
        costs = [self.cost(each, level, Budget()) for each in self.candidates for level in levels]
        return sum(costs) / self.rules.workers

    def next_round(self, budget: Budget) -> Round | None:
        """What comes next; None where the race has ended."""
        if self.rounds and not self.rounds[-1].has_ended:
            return self.rounds[-1]
        if not (racing := self._racing()):
            return None
        place = min(map(self.place, racing))
        level, chosen = self.levels[place], [each for each in racing if self.place(each) == place]
        if pilots := self._pilots(chosen) if not self._is_priced(chosen) else []:
            return self._begin(Round(level, self._tasks(pilots, level), is_pilot=True))
        affordable = self._affordable(chosen, place, budget)
        waiting = tuple(each for each in chosen if each not in affordable)
        if not affordable:
            return None
        return self._begin(Round(level, self._tasks(affordable, level), waiting=waiting))

    def _racing(self) -> list[int]:
        """Who may still be trained further: all that are left until one is, or until all have had all seeds."""
        left = [each for each in self.left if each not in self._set_aside()]
        finished = [each for each in left if self.place(each) >= self._full]
        is_decided = len(self.left) == 1 and bool(finished)
        return [] if is_decided else [each for each in left if self.place(each) < len(self.levels)]

    @property
    def _full(self) -> int:
        """How many levels a candidate has reached that was trained to the end once."""
        return next(place for place, level in enumerate(self.levels, 1) if level.share == 1)

    def _set_aside(self) -> set[int]:
        return {number for each in self.rounds for number in each.waiting}

    def raise_budget(self) -> None:
        """Let those go on that the budget had not reached."""
        for each in self.rounds:
            each.waiting = ()

    def _begin(self, begun: Round) -> Round:
        self.rounds.append(begun)
        return begun

    def _tasks(self, candidates: Sequence[int], level: Level, is_finish: bool = False) -> tuple[Task, ...]:
        first = sum(len(each.tasks) for each in self.rounds)
        return tuple(Task(first + place, each, level, is_finish) for place, each in enumerate(candidates))

    def finishing(self, candidate: int) -> Round:
        """The last round: all runs of a candidate come to their end."""
        levels = [level for level in self.levels[: self.place(candidate)] if level.share == 1]
        first = sum(len(each.tasks) for each in self.rounds)
        tasks = tuple(Task(first + place, candidate, level, is_finish=True) for place, level in enumerate(levels))
        return self._begin(Round(levels[-1], tasks))

    def _pilots(self, candidates: Sequence[int]) -> list[int]:
        """The first candidate of each base model, whose training shows what it costs."""
        first = {self.rules.models[each]: each for each in reversed(candidates)}
        return sorted(first.values())

    def _is_priced(self, candidates: Sequence[int]) -> bool:
        known = {self.rules.models[task.candidate] for _, task, _ in self.done()}
        return all(self.rules.models[each] in known for each in candidates)

    def cost(self, candidate: int, level: Level, budget: Budget) -> float:
        """What it takes to bring a candidate to a level from the one before, by what it, or its model, took so far."""
        examples = self.rules.examples[candidate] * self.width(level)
        if budget.examples is not None:
            return examples
        done = [(task.candidate, result) for _, task, result in self.done() if not task.is_finish and not result.error]
        of_model = [each for each in done if self.rules.models[each[0]] == self.rules.models[candidate]]
        known = [result for other, result in of_model if other == candidate] or [
            result for _, result in of_model or done
        ]
        return examples * sum(result.seconds for result in known) / max(1, sum(result.examples for result in known))

    def width(self, level: Level) -> float:
        """How much of a training lies between a level and the one before it."""
        place = self.levels.index(level)
        before = self.levels[place - 1].share if place and self.levels[place - 1].seed == level.seed else 0.0
        return level.share - before

    def _affordable(self, candidates: Sequence[int], place: int, budget: Budget) -> list[int]:
        """As many candidates, the best first, as the budget can train to this level, half of them to each later one.

        Without a budget these are all. Of further seeds at least two candidates have to be affordable: the seeds of one
        alone decide nothing.
        """
        if budget.is_unlimited:
            return [*candidates]
        rest = budget.size - self.spent(budget) - self.reserve
        order = sorted(candidates, key=self._rank)
        least = 1 if place < self._full else 2
        for number in range(len(order), least - 1, -1):
            if self._price(order[:number], place, budget) <= rest:
                return sorted(order[:number])
        return []

    def _price(self, order: Sequence[int], place: int, budget: Budget) -> float:
        total, last = 0.0, max(place + 1, self._full)
        for ahead in range(place, last):
            kept = order[: max(1, math.ceil(len(order) / 2 ** (ahead - place)))]
            total += self._time([self.cost(each, self.levels[ahead], budget) for each in kept], budget)
        return total

    def _time(self, costs: Sequence[float], budget: Budget) -> float:
        """Of jobs that run side by side."""
        return sum(costs) if budget.examples is not None else max(sum(costs) / self.rules.workers, max(costs))

    def _rank(self, candidate: int) -> tuple[float, int]:
        """The best first, by the last value of each; those without one in the order of their priors."""
        values = [result.value for _, task, result in self.done() if task.candidate == candidate]
        return (-values[-1] if values and not math.isnan(values[-1]) else math.inf), candidate

    def end(self, ended: Round, results: Mapping[int, Result], cells_at: CellsAt) -> None:
        """Note how the tasks of a round ended, and drop who has lost.

        Args:
            cells_at: reads the scores of candidates and of untouched models.
        """
        ended.results = dict(results)
        ended.has_ended = True
        ended.dropped = {
            task.candidate: results[task.number].error for task in ended.tasks if results[task.number].error
        }
        if ended.is_pilot or any(task.is_finish for task in ended.tasks):
            return
        place = self.levels.index(ended.level)
        there = [each for each in self.left if self.place(each) > place]
        look = self._look(ended.level, there, cells_at)
        if look is None:
            return
        ended.leader = look.leader
        ended.leads = {number: (lead.value, lead.low, lead.high) for number, lead in look.leads.items()}
        ended.dropped |= look.dropped

    def _look(self, level: Level, there: Sequence[int], cells_at: CellsAt) -> Look | None:
        if len(there) + len(self.untouched) < 2 or not there:
            return None
        runs = cells_at(level, [*there, *self.untouched])
        cells = {number: with_seeds(several) for number, several in runs.items()}
        finished = [cell for number, cell in cells.items() if number >= 0] if level.share == 1 else []
        noise = noise_of(self.rules.prior, finished, self._gains())
        return look_at(cells, noise, level.share, self.rules.margin, self.rules.error, self.untouched)

    def _gains(self) -> dict[float, list[float]]:
        """What candidates have gained from each rung to the end of their first training."""
        values: dict[int, dict[float, float]] = {}
        for _, task, result in self.done():
            if task.level.seed == 0 and not math.isnan(result.value):
                values.setdefault(task.candidate, {})[task.level.share] = result.value
        finished = [each for each in values.values() if 1 in each]
        return {
            level.share: [each[1] - each[level.share] for each in finished if level.share in each]
            for level in self.levels
            if level.share < 1
        }

    def ending(self) -> "Ending":
        """How the race has ended."""
        trained = self._final_values()
        left = [each for each in self.left if each in trained]
        among = left or ([*trained] if not self.left else [])
        winner = max(among, key=lambda each: (trained[each], -each), default=None)
        if not self.left:
            failed = all(why not in (WORSE, NOT_BETTER) for why in self.dropped.values())
            return Ending(NOTHING if failed else UNTOUCHED, winner)
        if winner is None:
            return Ending(NOTHING, None, tuple(self.left))
        looks = [each for each in self.rounds if each.leader is not None and each.level.share == 1]
        leads = looks[-1].leads if looks else {}
        ahead = [each for each in self.untouched if each not in leads or leads[each][2] >= self.rules.margin]
        rivals = (*(each for each in self.left if each != winner), *ahead)
        if rivals:
            return Ending(UNDECIDED, winner, rivals)
        equal = NOT_BETTER in self.dropped.values() or any(leads[each][2] >= 0 for each in self.untouched)
        return Ending(EQUAL if equal else BETTER, winner)

    def _final_values(self) -> dict[int, float]:
        """The mean over seeds of every candidate that was trained to the end."""
        values: dict[int, list[float]] = {}
        for _, task, result in self.done():
            if task.level.share == 1 and not task.is_finish and not math.isnan(result.value):
                values.setdefault(task.candidate, []).append(result.value)
        return {candidate: fmean(several) for candidate, several in values.items()}

    def as_plain(self) -> list[dict[str, Any]]:
        """The rounds, as JSON has them."""
        return [asdict(each) for each in self.rounds]
