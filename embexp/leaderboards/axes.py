"""Rows and columns of a leaderboard: the parameters in which runs differ, and the runs that share a cell."""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from embexp.config.compose import describes
from embexp.core.arguments import refuse
from embexp.errors import Problem, did_you_mean, listed
from embexp.experiment.fingerprint import NOT_RESULTS
from embexp.reports.leaderboard_content import Labels
from embexp.tracking.mlflow_runs import RecordedRun

LOSS, MODEL, DATASET = "loss", "model", "dataset"
PART = "part"  # of a job that leaves one out, or trains on one alone: `all`, `without web`, `only web`
_METRIC = "metric"  # a key like parameters, where runs have different metrics
_CHOICES = (PART, LOSS, MODEL, DATASET)
_OF_COLUMNS = ("model.", "evaluator.")  # they change the untouched model, or the data of its evaluation
_DERIVED = ("base_model", "dataset.shape", "dataset.train_rows")  # follow from others; logged for people
_PRECISION = ("resamples", "dimensions", "precisions")  # of an evaluator: they change no primary metric
MISSING = "-"  # for a run without the parameter


@dataclass(frozen=True)
class RunEntry:
    """A run with the metric that ranks it."""

    run: RecordedRun
    metric: str

    def value(self, key: str) -> str:
        return self.metric if key == _METRIC else self.run.params.get(key, MISSING)

    def values(self, keys: Iterable[str]) -> Labels:
        return tuple(self.value(key) for key in keys)


def find_varying(entries: Sequence[RunEntry], given: Sequence[str]) -> list[str]:
    """Parameters that change a result and differ between entries with the same values of the given ones.

    Parameters that follow from those already found are left out: names of choices (`trainer`) come before their values.
    The learning rate comes last: a search gives each cell its own.
    """
    keys = sorted({key for entry in entries for key in entry.run.params}, key=_order)
    found: list[str] = []
    for key in keys:
        if key not in given and changes_results(key) and _differs(entries, key) and not _is_seed(entries, key):
            found += [key] * (not _follows(entries, key, [*given, *found]))
    return found


def _order(key: str) -> tuple[bool, bool, str]:
    return key == "trainer.learning_rate", "." in key, key


def find_unexplained(entries: Sequence[RunEntry], axes: "Axes") -> list[str]:
    """Parameters that differ between cells, and that neither rows, columns nor a shown option explain.

    A parameter is explained by the option of its group (`trainer.optim` by `trainer`, all of `dataset.steps.negatives`
    by `negatives`). One that differs within a cell is not listed: another note says so.
    """
    shown = [*axes.rows, *axes.columns]
    keys = sorted({key for entry in entries for key in entry.run.params if key not in shown and changes_results(key)})
    return [
        key
        for key in keys
        if _differs(entries, key)
        and not _is_seed(entries, key)
        and _follows(entries, key, shown)
        and not any(_follows(entries, key, [group]) for group in (PART, *key.split(".")[:-1]))
    ]


def _is_seed(entries: Sequence[RunEntry], key: str) -> bool:
    return all(entry.value(key) == entry.run.seed for entry in entries)


@functools.cache  # a leaderboard asks of each parameter of each run
def changes_results(key: str) -> bool:
    """Whether a parameter changes a result."""
    parts = key.split(".")
    of_precision = parts[0] == "evaluator" and parts[-1] in _PRECISION
    return not (parts[0] in NOT_RESULTS or key in _DERIVED or of_precision or any(map(describes, parts)))


def _follows(entries: Sequence[RunEntry], key: str, others: Sequence[str]) -> bool:
    """Whether the values of others determine the value of the key."""
    known: dict[Labels, str] = {}
    return all(known.setdefault(entry.values(others), entry.value(key)) == entry.value(key) for entry in entries)


def _differs(entries: Sequence[RunEntry], key: str) -> bool:
    return len({entry.value(key) for entry in entries}) > 1


@dataclass(frozen=True)
class Axes:
    """The parameters of rows and of columns."""

    rows: Labels
    columns: Labels


CellKey = tuple[Labels | None, Labels]  # row and column; the untouched model of a column has the row None


@dataclass(frozen=True)
class Place:
    """The runs that share their values of rows and columns."""

    row: Labels
    column: Labels
    entries: tuple[RunEntry, ...]

    @property
    def metric(self) -> str:
        return self.entries[0].metric

    @property
    def key(self) -> "CellKey":
        return self.row, self.column


def choose_axes(entries: Sequence[RunEntry], rows: Sequence[str] | None, columns: Sequence[str] | None) -> Axes:
    """The given keys; instead of those not given the loss, model and data set, and all other varying parameters.

    A parameter varies if runs of the same loss, model and data set differ in it: `loss.scale` of two losses follows
    from their choice, of two runs of one loss it does not.

    Raises:
        ConfigError: no run has a given key, or one is given twice.
    """
    typed = [*(rows or ()), *(columns or ())]
    refuse(_problems({"rows": rows or (), "columns": columns or ()}, entries))
    left = [key for key in (*_CHOICES, _METRIC) if key not in typed and _differs(entries, key)]
    left += find_varying(entries, [*_CHOICES, _METRIC, *typed])
    of_columns = [key for key in left if key in (MODEL, DATASET, _METRIC) or key.startswith(_OF_COLUMNS)]
    of_rows = [key for key in left if key not in of_columns]
    if _METRIC in left and rows and columns:
        columns = [*columns, _METRIC]  # scores in different metrics have no mean
    return Axes(
        tuple(rows) if rows else _keys((LOSS, MODEL, DATASET), typed, [*of_rows, *(of_columns if columns else ())]),
        tuple(columns) if columns else _keys((MODEL, DATASET, LOSS), typed, [*of_columns, *(of_rows if rows else ())]),
    )


def _keys(choices: Sequence[str], typed: Sequence[str], left: Sequence[str]) -> Labels:
    """The first choice unless it was given, then all that is left; the next choice if that is nothing."""
    ordered = sorted(left, key=lambda key: choices.index(key) if key in choices else len(choices))
    keys = dict.fromkeys([*(key for key in choices[:1] if key not in typed), *ordered])
    return tuple(keys) or tuple(key for key in choices if key not in typed)[:1]


def _problems(given: Mapping[str, Sequence[str]], entries: Sequence[RunEntry]) -> Iterator[Problem]:
    known = {key for entry in entries for key in entry.run.params} | {_METRIC}
    for key, names in given.items():
        if unknown := [name for name in names if name not in known]:
            near = " ".join(filter(None, (did_you_mean(name, known) for name in unknown)))
            text, expected = f"names {listed(unknown)}, which no run has", "parameters as MLflow shows them"
            yield Problem(text, key, ",".join(names), expected, near, ("rows=loss,loss.scale columns=model,dataset",))
    every = [name for names in given.values() for name in names]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        yield Problem(f"{listed(twice)} stands in rows and columns twice", expected="each parameter once")


def group_by_place(entries: Iterable[RunEntry], axes: Axes) -> list[Place]:
    """The runs by row and column, in the order of the runs."""
    found: dict[tuple[Labels, Labels], list[RunEntry]] = {}
    for entry in entries:
        found.setdefault((entry.values(axes.rows), entry.values(axes.columns)), []).append(entry)
    return [Place(row, column, tuple(several)) for (row, column), several in found.items()]
