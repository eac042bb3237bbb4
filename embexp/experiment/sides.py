"""Sides of a comparison: runs of one configuration with their seeds, and what all sides scored on the same examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy

from embexp.config.session import shell_command
from embexp.core.run_folder import RESULT, find_run, read_config, read_json, read_record, status_of
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.evaluation.metrics import Measure, Statistics
from embexp.evaluation.scores import ID, Scores, collapse_finding, on_common_examples, read_examples
from embexp.evaluation.stats.resampling import drawn_in
from embexp.evaluation.stats.seeds import Cell, resample_cells
from embexp.experiment.fingerprint import config_differences, data_differences
from embexp.experiment.stage_config import seed_keys
from embexp.experiment.sweep_record import SWEEP, job_folders
from embexp.reports.verdict_words import IDENTICAL

EXAMPLES = "examples"
_BY_SEED = "differ by seed (vary=[split]), so that several seeds share no test"
_SPLITS = ("test", "dev")  # that of the verdict first
SidesScores = tuple[list[Scores], ...]  # of the runs of every side


@dataclass(frozen=True)
class Side:
    """One or several finished runs of the same configuration, which differ in their seeds only."""

    folders: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What the run is called; of several runs what they share."""
        record = read_record(self.folders[0])
        if len(self.folders) == 1:
            return record["name"]
        return f"{record['choices']['loss']}/{record['choices']['model']} ({len(self.folders)} seeds)"

    @property
    def seeds(self) -> list[Any]:
        return [result_of(folder)["seed"] for folder in self.folders]

    def check(self, command: str) -> None:
        """Raise ConfigError unless all runs have finished and differ in their seeds, and in nothing else.

        Args:
            command: that names the sides, for what to type.
        """
        for folder in self.folders:
            if (status := status_of(folder)) != "FINISHED":
                raise ConfigError(f"The run in {folder} is {status}. Expected one that has finished.")
        seeds = self.seeds
        if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            raise ConfigError(
                f"One side has several runs with seed {', '.join(map(str, twice))}. Expected runs with seeds of their "
                "own: the same one again shows nothing of what seeds do."
            )
        for folder in self.folders[1:]:
            of_seed = seed_keys(read_config(folder))
            other = [key for key, *_ in config_differences(self.folders[0], folder) if key not in of_seed]
            if other := [*other, *data_differences(self.folders[0], folder, ["weights"])]:
                raise ConfigError(
                    f"{self.folders[0]} and {folder} stand on one side and differ in {', '.join(other)}",
                    expected="runs of one side to differ in their seed only, and the two sides to be named apart",
                    fix=command,
                )


def result_of(folder: Path) -> dict[str, Any]:
    """What a run's result.json says."""
    return read_json(folder / RESULT)


def folders_of(named: Sequence[str], roots: Sequence[str]) -> list[Path]:
    """The folders of runs that were named by folder or id, with commas between several; of a sweep, those of its jobs.

    Args:
        roots: where runs and sweeps are, to be searched for an id.

    Raises:
        ConfigError: there is no such run.
    """
    words = [word.strip() for words in named for word in words.split(",") if word.strip()]
    found: list[Path] = []
    for word in words:
        folder = Path(word).expanduser()
        found += job_folders(folder) if (folder / SWEEP).is_file() else [find_run(word, roots)]
    return found


def shared_scores(sides: Sequence[Side], untouched: bool = False) -> tuple[dict[str, SidesScores], list[str]]:
    """By evaluator and split the trained models' scores of all sides on common examples, and what is left out.

    Args:
        untouched: the last side are the untouched models that the runs began with, one for each run.
    """
    folders = [folder for side in sides for folder in side.folders]
    files = [{path.stem: path for path in sorted((folder / EXAMPLES).glob("*.parquet"))} for folder in folders]
    shared, left_out = {}, []
    for name in dict.fromkeys(name for each in files for name in each):
        if not all(name in each for each in files):
            left_out.append(f"{name}: not all of them have it")
            continue
        if any(_differ_by_seed(side, name) for side in sides):
            left_out.append(f"{name}: its rows {_BY_SEED}")
            continue
        kept = [read_examples(each[name]) for each in files]
        every = [each.trained for each in kept] + [each.base for each in kept if untouched]
        scores, missing = on_common_examples(every)
        left_out += [f"{name}: {missing}"] * bool(missing)
        evaluated = {_evaluated_rows(folder, name) for folder in folders}
        if len(evaluated) > 1 and not _is_known_by_itself(scores[0]):
            left_out.append(f"{name}: its rows differ, on which its values of every example depend")
        elif len(scores[0].examples[ID]) > 1:
            ends = numpy.cumsum([len(side.folders) for side in sides])
            parts = [scores[end - len(side.folders) : end] for side, end in zip(sides, ends, strict=True)]
            shared[name] = (*parts, scores[ends[-1] :]) if untouched else tuple(parts)
    return shared, left_out


def check_shared(
    shared: Mapping[str, SidesScores], left_out: Sequence[str], command: str, sides: Sequence[Side], name: str
) -> None:
    """Raise ConfigError where no examples are shared, with the reasons.

    Args:
        command: that compares the sides: of seeds with test rows of their own it can compare one of each side.
        name: of the sides in the message.
    """
    if shared:
        return
    reasons = f" ({'; '.join(left_out)})" if left_out else ""
    text = f"{name} were evaluated on no examples that are the same{reasons}"
    if not any(_BY_SEED in each for each in left_out):
        raise ConfigError(text, expected="runs with the same evaluator on the same data")
    by_seed = [dict(zip(map(str, side.seeds), side.folders, strict=True)) for side in sides]
    seed = next((seed for seed in by_seed[0] if all(seed in each for each in by_seed)), None)
    folders = [quote(str(each[seed])) for each in by_seed] if seed else []
    folders[1:] = [f"against={each}" if command == "gate" else each for each in folders[1:]]
    raise ConfigError(
        text,
        expected="one seed of each side, with the same rows, or a leaderboard, which compares all of them unpaired",
        fix=shell_command(command, folders) if folders else (),
    )


def _differ_by_seed(side: Side, name: str) -> bool:
    """Whether each seed of a side has test rows of its own, of which only chance ones are common to all."""
    is_split = any("split" in (read_config(folder).get("vary") or ()) for folder in side.folders[:1])
    return is_split and len({_evaluated_rows(folder, name) for folder in side.folders}) > 1


def _evaluated_rows(folder: Path, name: str) -> str:
    """The hash of all rows that an evaluator read on a split, documents that no query finds relevant among them."""
    evaluator, _, split = name.rpartition("_")
    return result_of(folder).get("tags", {}).get(f"evaluated.{evaluator}/{split}", "")


def _is_known_by_itself(scores: Scores) -> bool:
    """Whether a model's values of an example depend on nothing but its texts: those of pairs and triplets."""
    return not scores.examples.keys().isdisjoint(("sentence1", "anchor"))


def examples_of(key: str) -> str:
    """The name of the examples' file that a metric is of.

    >>> examples_of("test/sts/spearman_cosine")
    'sts_test'
    """
    split, evaluator, _ = key.split("/")
    return f"{evaluator}_{split}"


def key_of(given: str, shared: Mapping[str, SidesScores], named: str) -> str:
    """The full key of a metric: <split>/<evaluator>/<metric>, <evaluator>/<metric> or <evaluator>.

    Without a split it is that on test where there is one; without a metric the evaluator's first one.

    Args:
        named: the key of the configuration that names it.

    Raises:
        ConfigError: not all runs have it.
    """
    parts = given.split("/")
    splits = [parts.pop(0)] if parts[0] in _SPLITS else _SPLITS
    stems = [f"{parts[0]}_{split}" for split in splits if parts and f"{parts[0]}_{split}" in shared]
    if stems and len(parts) <= 2:
        measures = shared[stems[0]][0][0].measures
        name = parts[1] if len(parts) == 2 else next((each.name for each in measures), "")
        if measure_named(name, shared[stems[0]]):
            evaluator, _, split = stems[0].rpartition("_")
            return f"{split}/{evaluator}/{name}"
    known = [
        f"{stem.rpartition('_')[2]}/{stem.rpartition('_')[0]}/{each.name}"
        for stem, sides in shared.items()
        for each in sides[0][0].measures
    ]
    if not known:
        raise ConfigError("The runs were evaluated on no examples that are the same")
    raise ConfigError(
        "is no metric that all these runs have with the same examples",
        key=named,
        given=given,
        expected=f"an evaluator ({listed(sorted({each.split('/')[1] for each in known}))}) or one of its metrics",
        note=did_you_mean(given, known),
        fix=f"{named}={known[0] if named == 'metric' else f'[{known[0]}]'}",
    )


def measure_named(name: str, sides: SidesScores) -> Measure | None:
    """The measure that all runs of all sides have."""
    measures = [{each.name: each for each in scores.measures} for side in sides for scores in side]
    return measures[0][name] if all(name in each for each in measures) else None


def finding_of(measure: Measure, first: Sequence[Scores], second: Sequence[Scores]) -> str:
    """What the predictions of all pairs of runs, one of each side, have in common; empty for nothing."""
    pairs = [(before, after) for before in first for after in second]
    found = {collapse_finding(measure, *pair) or _same_predictions(measure, *pair) for pair in pairs}
    return found.pop() if len(found) == 1 else ""


def _same_predictions(measure: Measure, first: Scores, second: Scores) -> str:
    same = numpy.array_equal(first.predicted[measure.predicted], second.predicted[measure.predicted])
    return IDENTICAL if same else ""


def cells_of(measure: Measure, sides: SidesScores, resamples: int) -> list[Cell]:
    """The cell of every side, all on the same resamples."""
    statistic = Statistics().statistic_for
    statistics = [[statistic(measure, scores.columns) for scores in side] for side in sides]
    examples = sides[0][0].examples
    rows = len(examples[ID])
    return resample_cells(statistics, rows, resamples, drawn=drawn_in(measure, examples, rows))


def gain_on(untouched: Cell, trained: Cell) -> tuple[Cell, Cell]:
    """Nothing, and the gain of each run on the untouched model that it began with, to be compared as two cells.

    Args:
        untouched: the model of each run, in their order; they differ where models are made from scratch.
    """
    values, resampled = trained.values - untouched.values, trained.resampled - untouched.resampled
    gain = replace(trained, values=values, resampled=resampled)
    return replace(gain, values=gain.values[:1] * 0, resampled=gain.resampled[:1] * 0, has_seed=False), gain
