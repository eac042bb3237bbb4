"""Rows and columns of a leaderboard: in which parameters runs differ, and which runs share a cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embexp.config.compose import describes
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.experiment.compare import NOT_RESULTS
from embexp.reports.leaderboard_content import Labels
from embexp.tracking.mlflow_runs import RecordedRun

LOSS, _MODEL, DATASET, _SEED = "loss", "model", "dataset", "seed"
_METRIC = "metric"  # a key as parameters are, where runs were judged by different metrics
_CHOICES = (LOSS, _MODEL, DATASET)
_OF_COLUMNS = ("model.", "evaluator.")  # with them the untouched model, or what it is measured on, changes
_DERIVED = ("base_model", "dataset.shape", "dataset.train_rows")  # follow from others, and are logged to be read
_HOW_SURE = ("resamples", "dimensions", "precisions")  # of an evaluator: they change no primary metric
MISSING = "-"  # where a run does not have the parameter


@dataclass(frozen=True)
class RunEntry:
    """A run with the metric that it is ranked by."""

    run: RecordedRun
    metric: str

    def value(self, key: str) -> str:
        return self.metric if key == _METRIC else self.run.params.get(key, MISSING)

    def values(self, keys: Iterable[str]) -> Labels:
        return tuple(self.value(key) for key in keys)


def find_varying(entries: Sequence[RunEntry], given: Sequence[str]) -> list[str]:
    """Parameters in which entries with the same values of the given ones differ, and that change a result.

    One that follows from those found before it is left out: names of choices (`trainer`) come before their values.
    """
    keys = sorted({key for entry in entries for key in entry.run.params}, key=lambda key: ("." in key, key))
    found: list[str] = []
    for key in keys:
        if key not in given and changes_results(key) and not is_seed(entries, key):
            found += [key] * (not follows(entries, key, [*given, *found]))
    return found


def is_seed(entries: Sequence[RunEntry], key: str) -> bool:
    """Whether a parameter is the seed, or always has its value."""
    return all(entry.value(key) == entry.run.seed for entry in entries)


def changes_results(key: str) -> bool:
    """Whether a parameter changes a result, and is not only told with others."""
    parts = key.split(".")
    of_sureness = parts[0] == "evaluator" and parts[-1] in _HOW_SURE
    return not (parts[0] in NOT_RESULTS or key in _DERIVED or of_sureness or any(map(describes, parts)))


def follows(entries: Sequence[RunEntry], key: str, others: Sequence[str]) -> bool:
    """Whether the values of others say what the value of the key is."""
    known: dict[Labels, str] = {}
    return all(known.setdefault(entry.values(others), entry.value(key)) == entry.value(key) for entry in entries)


def differs(entries: Sequence[RunEntry], key: str) -> bool:
    return len({entry.value(key) for entry in entries}) > 1


@dataclass(frozen=True)
class Axes:
    """The parameters of rows and of columns."""

    rows: Labels
    columns: Labels


@dataclass(frozen=True)
class Place:
    """The runs that share their values of rows and columns."""

    row: Labels
    column: Labels
    entries: tuple[RunEntry, ...]

    @property
    def metric(self) -> str:
        return self.entries[0].metric


def choose_axes(entries: Sequence[RunEntry], rows: Sequence[str] | None, columns: Sequence[str] | None) -> Axes:
    """The typed keys; in place of those that were not typed the loss, model and data set, and all else that varies.

    A parameter varies where runs of the same loss, model and data set differ in it: `loss.scale` between two losses
    follows from their choice, between two runs of one loss it does not.

    Raises:
        ConfigError: no run has a typed key.
    """
    typed = [*(rows or ()), *(columns or ())]
    _check(typed, entries)
    left = [key for key in (*_CHOICES, _METRIC) if key not in typed and differs(entries, key)]
    left += find_varying(entries, [*_CHOICES, _METRIC, *typed])
    of_columns = [key for key in left if key in (_MODEL, DATASET, _METRIC) or key.startswith(_OF_COLUMNS)]
    of_rows = [key for key in left if key not in of_columns]
    if _METRIC in left and rows and columns:
        columns = [*columns, _METRIC]  # scores by different metrics have no mean
    return Axes(
        tuple(rows) if rows else _keys((LOSS, _MODEL, DATASET), typed, [*of_rows, *(of_columns if columns else ())]),
        tuple(columns) if columns else _keys((_MODEL, DATASET, LOSS), typed, [*of_columns, *(of_rows if rows else ())]),
    )


def _keys(choices: Sequence[str], typed: Sequence[str], left: Sequence[str]) -> Labels:
    """The first choice unless it was typed, then all that is left; where that is nothing, the next choice."""
    ordered = sorted(left, key=lambda key: choices.index(key) if key in choices else len(choices))
    keys = dict.fromkeys([*(key for key in choices[:1] if key not in typed), *ordered])
    return tuple(keys) or tuple(key for key in choices if key not in typed)[:1]


def _check(typed: Sequence[str], entries: Sequence[RunEntry]) -> None:
    known = {key for entry in entries for key in entry.run.params} | {_METRIC}
    if unknown := [key for key in typed if key not in known]:
        near = " ".join(filter(None, (did_you_mean(key, known) for key in unknown)))
        raise ConfigError(
            f"No run has a parameter {listed(unknown)}. Expected parameters as MLflow shows them: type "
            f"rows=loss,loss.scale columns=model,dataset. {near}".strip()
        )
    if twice := sorted({key for key in typed if typed.count(key) > 1}):
        raise ConfigError(f"{listed(twice)} stands in rows and columns twice. Expected each parameter once.")


def group_by_place(entries: Iterable[RunEntry], axes: Axes) -> list[Place]:
    """The runs by row and column, in the order of the runs."""
    found: dict[tuple[Labels, Labels], list[RunEntry]] = {}
    for entry in entries:
        found.setdefault((entry.values(axes.rows), entry.values(axes.columns)), []).append(entry)
    return [Place(row, column, tuple(several)) for (row, column), several in found.items()]
