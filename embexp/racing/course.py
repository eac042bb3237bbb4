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

from embexp.evaluation.stats.racing import (
    NOT_BETTER,
    NOT_BETTER_HERE,
    Look,
    Prior,
    fate_of,
    look_at,
    noise_of,
    with_seeds,
)
from embexp.evaluation.stats.seeds import Cell
from embexp.racing.budget import Budget
from embexp.racing.rounds import (
    BETTER,
    EQUAL,
    HERE,
    NOTHING,
    TIED,
    UNDECIDED,
    UNTOUCHED,
    Ending,
    Level,
    Result,
    Round,
    Task,
)


@dataclass(frozen=True)
class Rules:
    """What a race is decided by.

    Attributes:
        margin: the smallest difference worth having.
        alpha: the chance that the candidate that is best by more than the margin on dev is dropped, at most.
        rivals: how many others each candidate has, untouched models among them.
        models: the base model of each candidate, by its number: an example costs all of one about the same.
        examples: that a whole training of each candidate reads.
        seconds: that a whole training of each may take at most; None: no limit.
    """

    levels: tuple[Level, ...]
    margin: float
    alpha: float
    rivals: int
    prior: Prior
    models: Sequence[str]
    examples: Sequence[int]
    seconds: Sequence[float | None]
    workers: int = 1

    @property
    def error(self) -> float:
        """Of each comparison."""
        return self.alpha / (len(self.levels) * max(1, self.rivals))


CellsAt = Callable[[Level, Sequence[int]], Mapping[int, Sequence[Cell]]]  # the run of each seed, up to that level


@dataclass
class Course:
    """A race so far.

    Attributes:
        untouched: numbers of the untouched models, which are below 0.
        elapsed: seconds of the clock while the race went on, in whatever process.
    """

    rules: Rules
    rounds: list[Round] = field(default_factory=list)
    untouched: tuple[int, ...] = ()
    elapsed: float = 0.0

    @property
    def candidates(self) -> range:
        return range(len(self.rules.models))

    @property
    def failed(self) -> dict[int, str]:
        """Whose training ended with an error, and with which."""
        return {task.candidate: result.error for _, task, result in self.done() if result.error and not task.is_finish}

    @property
    def dropped(self) -> dict[int, str]:
        """Who is out, and why; whom one has beaten that failed later is not."""
        failed = self.failed
        beaten = (each.dropped for each in self.rounds if each.leader not in failed)
        return {number: why for each in beaten for number, why in each.items()} | failed

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
        """Seconds of the clock, or examples, so far."""
        if budget.examples is not None:
            return float(sum(result.examples for _, _, result in self.done()))
        return self.elapsed

    def estimate(self, seeds: int | None = None) -> float:
        """Seconds that it takes to train all candidates with so many seeds (None: all), as trainings so far show."""
        levels = [level for level in self.levels if seeds is None or level.seed < seeds]
        costs = [self.cost(each, level, Budget()) for each in self.candidates for level in levels]
        return sum(costs) / self.rules.workers

    def next_round(self, budget: Budget) -> Round | None:
        """What comes next; None where the race has ended."""
        if self.rounds and not self.rounds[-1].has_ended:
            return self.rounds[-1]
        racing, waiting = self._racing(), []
        for place in sorted({self.place(each) for each in racing}):
            level, chosen = self.levels[place], [each for each in racing if self.place(each) == place]
            if pilots := self._pilots(chosen, budget) if place == 0 else []:
                return self._begin(Round(level, self._tasks(pilots, level), is_pilot=True))
            affordable = self._affordable(chosen, place, budget)
            waiting += [each for each in chosen if each not in affordable]
            if affordable:
                return self._begin(Round(level, self._tasks(affordable, level), waiting=tuple(waiting)))
        return None

    def _racing(self) -> list[int]:
        """Who may still be trained further: all that are left, until one is that no untouched model may beat."""
        left = self.left
        if len(left) == 1 and self.place(left[0]) >= self._full and not self._ahead():
            return []
        aside = {number for each in self.rounds for number in each.waiting}
        return [each for each in left if each not in aside and self.place(each) < len(self.levels)]

    def _ahead(self) -> list[int]:
        """The untouched models that may be better by the margin than the one that leads at the end of its training.

        One that was never scored, since no training on it could begin, is none of them where nobody is left to do so.
        """
        leads, models = self._final_leads(), [*dict.fromkeys(self.rules.models)]
        wanted = {self.rules.models[each] for each in self.left}
        open_ones = [each for each in self.untouched if each in leads or models[-1 - each] in wanted]
        open_ones = [each for each in open_ones if each not in leads or not math.isnan(leads[each][0])]
        return [each for each in open_ones if each not in leads or not fate_of(*leads[each][2:], self.rules.margin)]

    def _final_leads(self) -> Mapping[int, tuple[float, float, float, float]]:
        looks = [each for each in self.rounds if each.leader is not None and each.level.share == 1]
        return looks[-1].leads if looks else {}

    @property
    def _full(self) -> int:
        """How many levels a candidate has reached that was trained to the end once."""
        return next(place for place, level in enumerate(self.levels, 1) if level.share == 1)

    def raise_budget(self) -> None:
        """Let those go on that the budget had not reached."""
        for each in self.rounds:
            each.waiting = ()

    def forget_failures(self) -> None:
        """Let those be tried again whose training, or whose end, came to an error."""
        for each in self.rounds:
            each.results = {number: result for number, result in each.results.items() if not result.error}

    def _begin(self, begun: Round) -> Round:
        self.rounds.append(begun)
        return begun

    def _tasks(self, candidates: Sequence[int], level: Level, is_finish: bool = False) -> tuple[Task, ...]:
        first = sum(len(each.tasks) for each in self.rounds)
        return tuple(Task(first + place, each, level, is_finish) for place, each in enumerate(candidates))

    def finishing(self, candidate: int) -> Round | None:
        """The last round, in which runs of a candidate come to their end; None where all of them have."""
        wanted = [level for level in self.levels[: self.place(candidate)] if level.share == 1]
        ended = {
            task.level
            for _, task, result in self.done()
            if task.is_finish and task.candidate == candidate and not result.error
        }
        missing = [level for level in wanted if level not in ended]
        if not missing:
            return None
        first = sum(len(each.tasks) for each in self.rounds)
        tasks = tuple(Task(first + place, candidate, level, is_finish=True) for place, level in enumerate(missing))
        return self._begin(Round(missing[-1], tasks))

    def _pilots(self, candidates: Sequence[int], budget: Budget) -> list[int]:
        """The first candidate of each base model whose price is not known yet, where prices are not in examples.

        With a budget they begin as many at a time as there are workers, and no more of them once half of it is spent.
        """
        known = {self.rules.models[task.candidate] for task, _ in self._priced()}
        first = {self.rules.models[each]: each for each in reversed(candidates)}
        pilots = sorted(each for model, each in first.items() if model not in known)
        if budget.examples is not None or (budget.seconds and self.spent(budget) > budget.seconds / 2):
            return []
        return pilots[: self.rules.workers] if budget.seconds else pilots

    def _priced(self) -> list[tuple[Task, Result]]:
        """The tasks that show what training costs."""
        return [(task, result) for _, task, result in self.done() if result.examples and not task.is_finish]

    def cost(self, candidate: int, level: Level, budget: Budget) -> float:
        """What it takes to bring a candidate to a level from the one before, by what it, or its model, took so far."""
        examples = self.rules.examples[candidate] * self.width(level)
        if budget.examples is not None:
            return examples
        done, model = self._priced(), self.rules.models[candidate]
        of_model = [(task, result) for task, result in done if self.rules.models[task.candidate] == model]
        known = [each for each in of_model if each[0].candidate == candidate] or of_model or done
        price = sum(result.seconds for _, result in known) / max(1, sum(result.examples for _, result in known))
        most = self.rules.seconds[candidate]
        return examples * price if most is None else min(examples * price, most * self.width(level))

    def _reserve(self, budget: Budget) -> float:
        """Seconds that the end will take: every run of the winner is loaded, and scored on test.

        Of each twice what a task takes beside its training, on average.
        """
        done = self._priced()
        if budget.examples is not None or not done:
            return 0.0
        beside = sum(max(0.0, result.seconds - result.trained) for _, result in done) / len(done)
        return 2 * beside * (1 + max(task.level.seed for task, _ in done))

    def width(self, level: Level) -> float:
        """How much of a training lies between a level and the one before it."""
        place = self.levels.index(level)
        before = self.levels[place - 1].share if place and self.levels[place - 1].seed == level.seed else 0.0
        return level.share - before

    def _affordable(self, candidates: Sequence[int], place: int, budget: Budget) -> list[int]:
        """As many candidates, the best first, as the budget can train to this level, half of them to each later one.

        Without a budget these are all. Another seed of one alone decides nothing while others are left that lack it.
        """
        if budget.is_unlimited:
            return [*candidates]
        rest, found = budget.size - self.spent(budget) - self._reserve(budget), []
        for each in sorted(candidates, key=self._rank):
            if self._price([*found, each], place, budget) <= rest:
                found.append(each)
        lacking = [each for each in self.left if self.place(each) <= place]
        is_alone = place >= self._full and len(found) == 1 and len(lacking) == len(self.left) > 1
        return [] if is_alone else sorted(found)

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
        ended.has_ended, ended.elapsed = True, self.elapsed
        lacking = [each for each in self.left if self.place(each) <= self.levels.index(ended.level)]
        if (ended.is_pilot and lacking) or any(task.is_finish for task in ended.tasks):
            return
        look = self._look(ended.level, cells_at)
        if look is None:
            return
        ended.leader = look.leader
        ended.leads = {number: lead[:4] for number, lead in look.leads.items()}
        ended.dropped = dict(look.dropped)

    def _look(self, level: Level, cells_at: CellsAt) -> Look | None:
        """Compare who has reached a level; before the end of the training only those that have come to just there."""
        place, is_end = self.levels.index(level), level.share == 1
        further = {task.candidate for _, task, result in self.done() if result.is_taken and task.level.seed == 0}
        there = [each for each in self.left if self.place(each) > place and (is_end or each not in further)]
        others = self.untouched if is_end else ()
        if len(there) + len(others) < 2 or not there:
            return None
        runs = cells_at(level, [*there, *others])
        cells = {number: with_seeds(several) for number, several in runs.items()}
        noise = noise_of(self.rules.prior, [cell for number, cell in cells.items() if number >= 0] if is_end else [])
        return look_at(cells, noise, level.share, self.rules.margin, self.rules.error, self.untouched)

    def ending(self) -> Ending:
        """How the race has ended."""
        trained = self._final_values()
        among = [each for each in self.left if each in trained] or ([*trained] if not self.left else [])
        winner = max(among, key=lambda each: (trained[each], -each), default=None)
        if not self.left:
            return Ending(NOTHING if {*self.candidates} == {*self.failed} else UNTOUCHED, winner)
        if winner is None:
            return Ending(NOTHING, None, tuple(self.left))
        if rivals := (*(each for each in self.left if each != winner), *self._ahead()):
            seeds_left = any(self.place(each) < len(self.levels) for each in self.left)
            return Ending(UNDECIDED if seeds_left else TIED, winner, rivals)
        leads = self._final_leads()
        of_untouched = (fate_of(*leads[each][2:], self.rules.margin) for each in self.untouched if each in leads)
        fates = {*self.dropped.values(), *of_untouched}
        return Ending(HERE if NOT_BETTER_HERE in fates else EQUAL if NOT_BETTER in fates else BETTER, winner)

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
