"""The scores of a race's candidates as cells that can be compared: all on the same examples and resamples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy

from embexp.errors import DataError
from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.scores import ID, KeptExamples, Scores, read_examples
from embexp.evaluation.stats.resampling import drawn_in
from embexp.evaluation.stats.seeds import Cell, resample_cells
from embexp.racing.record import Race
from embexp.racing.rounds import Level

_RESAMPLES = 400  # they give a variance, no percentiles


class RaceScores:
    """Reads what the tasks of a race have left.

    Args:
        race: its rounds say where the scores of each task are.
        now: where those of the tasks of the round are that ends.
    """

    def __init__(self, race: Race, now: Mapping[tuple[int, Level], str]) -> None:
        done = {(task.candidate, task.level): result.scores for _, task, result in race.course.done() if result.scores}
        self.new = dict(now)
        self.files = done | self.new
        self.race = race
        self.metric = race.metric.rpartition("/")[2]
        self._known: dict[str, KeptExamples] = {}

    def cells_at(self, level: Level, numbers: Sequence[int]) -> dict[int, list[Cell]]:
        """The cell of every run of candidates up to a level; one of an untouched model of which a candidate has begun.

        Raises:
            DataError: the metric has no per-example values, or candidates were scored on other examples.
        """
        found: list[tuple[int, Scores]] = []
        for number in numbers:
            found += [(number, scores) for scores in self._scores(number, level)]
        statistic, measure = self._statistic([scores for _, scores in found])
        examples = found[0][1].examples
        rows = len(examples[ID])
        cells = resample_cells(
            [[statistic(scores)] for _, scores in found], rows, _RESAMPLES, drawn=drawn_in(measure, examples, rows)
        )
        several: dict[int, list[Cell]] = {}
        for (number, _), cell in zip(found, cells, strict=True):
            several.setdefault(number, []).append(replace(cell, has_seed=number >= 0))
        return several

    def _scores(self, number: int, level: Level) -> list[Scores]:
        if number < 0:
            model = self.race.named(number).model
            own = {each.number for each in self.race.candidates if each.model == model}
            return [self._read(file).base for (owner, _), file in self.files.items() if owner in own][:1]
        levels = [level] if level.seed == 0 else [Level(seed, 1.0) for seed in range(level.seed + 1)]
        return [self._read(self.files[number, each]).trained for each in levels]

    def untouched(self) -> dict[int, float]:
        """The score of each untouched model on dev, as far as it is known."""
        found = {each.number: self._scores(each.number, Level(0, 1.0)) for each in self.race.untouched}
        return {number: scores[0].metrics[self.metric] for number, scores in found.items() if scores}

    def _read(self, file: str) -> KeptExamples:
        if file not in self._known:
            self._known[file] = read_examples(Path(file))
        return self._known[file]

    def _statistic(self, several: Sequence[Scores]) -> tuple[Callable, Measure]:
        """The statistic of a model's scores, and its measure; examples that do not count for one count for none."""
        first = several[0]
        measure = next((each for each in first.measures if each.name == self.metric), None)
        if measure is None:
            text = f"{self.race.metric} has no values of single examples"
            raise DataError(text, expected="a metric that has: candidates are compared example by example")
        if any([*each.examples[ID]] != [*first.examples[ID]] for each in several):
            raise DataError("Candidates were scored on other examples of dev than the others")
        statistics, known = Statistics(), {}
        if measure.gold:
            known[measure.gold] = first.examples[measure.gold]
        if measure.where:
            known[measure.where] = numpy.logical_and.reduce([each.examples[measure.where] for each in several])
        return (lambda scores: statistics.statistic_for(measure, {**scores.columns, **known})), measure
