"""Which parameters make the rows and columns of a leaderboard, and which runs stand at one place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embexp.board.varying import CHOICES, DATASET, LOSS, METRIC, MODEL, OF_COLUMNS, Entry, differs, varying
from embexp.errors import ConfigError, did_you_mean, listed
from embexp.reports.board_content import Labels


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
    entries: tuple[Entry, ...]

    @property
    def metric(self) -> str:
        return self.entries[0].metric


def axes_of(entries: Sequence[Entry], rows: Sequence[str] | None, columns: Sequence[str] | None) -> Axes:
    """The typed keys; in place of those that were not typed the loss, model and data set, and all else that varies.

    A parameter varies where runs of the same loss, model and data set differ in it: `loss.scale` between two losses
    follows from their choice, between two runs of one loss it does not.

    Raises:
        ConfigError: no run has a typed key.
    """
    typed = [*(rows or ()), *(columns or ())]
    _check(typed, entries)
    left = [key for key in (*CHOICES, METRIC) if key not in typed and differs(entries, key)]
    left += varying(entries, [*CHOICES, METRIC, *typed])
    of_columns = [key for key in left if key in (MODEL, DATASET, METRIC) or key.startswith(OF_COLUMNS)]
    of_rows = [key for key in left if key not in of_columns]
    if METRIC in left and rows and columns:
        columns = [*columns, METRIC]  # scores by different metrics have no mean
    return Axes(
        tuple(rows) if rows else _keys((LOSS, MODEL, DATASET), typed, [*of_rows, *(of_columns if columns else ())]),
        tuple(columns) if columns else _keys((MODEL, DATASET, LOSS), typed, [*of_columns, *(of_rows if rows else ())]),
    )


def _keys(choices: Sequence[str], typed: Sequence[str], left: Sequence[str]) -> Labels:
    """The first choice unless it was typed, then all that is left; where that is nothing, the next choice."""
    ordered = sorted(left, key=lambda key: choices.index(key) if key in choices else len(choices))
    keys = dict.fromkeys([*(key for key in choices[:1] if key not in typed), *ordered])
    return tuple(keys) or tuple(key for key in choices if key not in typed)[:1]


def _check(typed: Sequence[str], entries: Sequence[Entry]) -> None:
    known = {key for entry in entries for key in entry.run.params} | {METRIC}
    if unknown := [key for key in typed if key not in known]:
        near = " ".join(filter(None, (did_you_mean(key, known) for key in unknown)))
        raise ConfigError(
            f"No run has a parameter {listed(unknown)}. Expected parameters as MLflow shows them: type "
            f"rows=loss,loss.scale columns=model,dataset. {near}".strip()
        )
    if twice := sorted({key for key in typed if typed.count(key) > 1}):
        raise ConfigError(f"{listed(twice)} stands in rows and columns twice. Expected each parameter once.")


def places_of(entries: Iterable[Entry], axes: Axes) -> list[Place]:
    """The runs by row and column, in the order of the runs."""
    found: dict[tuple[Labels, Labels], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.values(axes.rows), entry.values(axes.columns)), []).append(entry)
    return [Place(row, column, tuple(several)) for (row, column), several in found.items()]
