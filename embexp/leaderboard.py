"""`python -m embexp.leaderboard sweep=<sweep>`: which loss on which model is better, by how much, and at what cost."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from embexp.protocols import Tracker
    from embexp.ranked_runs import Source
    from embexp.reports.board_content import Leaderboard

LISTS = ("rows", "columns")
TEXTS = ("filter", "of_sweep", "output", "metric")
OWN_KEYS = {"sweep": "of_sweep"}
ARGUMENTS = (*LISTS, "metric", "cost", "resamples")  # of make_leaderboard


def main() -> None:
    """Compose the configuration and make the leaderboard."""
    from embexp.command import run_command

    sys.argv[1:] = as_overrides(sys.argv[1:])
    run_command(leaderboard, "leaderboard")


def as_overrides(arguments: Sequence[str]) -> list[str]:
    r"""The arguments for Hydra: `rows` and `columns` as lists, texts in quotes; `sweep` has the name of a group.

    >>> as_overrides(["rows=loss,loss.scale", "columns=[model]", "filter=params.model = 'minilm'", "sweep=1a2b"])
    ['rows=[loss,loss.scale]', 'columns=[model]', 'filter="params.model = \'minilm\'"', 'of_sweep="1a2b"']
    """
    return [_as_override(*argument.partition("=")) for argument in arguments]


def _as_override(key: str, sign: str, value: str) -> str:
    from embexp.overrides import quoted

    key = OWN_KEYS.get(key, key)
    if value in ("", "null") or value[0] in "[\"'":
        return f"{key}{sign}{value}"
    if key in LISTS:
        return f"{key}=[{value}]"
    return f"{key}={quoted(value)}" if key in TEXTS else f"{key}{sign}{value}"


def leaderboard(
    config: DictConfig, _choices: dict[str, Any] | None = None, _folder: Path | None = None
) -> dict[str, Any]:
    """Make the leaderboard of a sweep, or of the runs that a filter finds; print it, write it, store it with the sweep.

    Raises:
        ConfigError: no such sweep, a filter, parameter, metric or cost that is not known.
        TrackingError: MLflow's store does not answer.
    """
    from embexp.board.leaderboard import make_leaderboard
    from embexp.config import instantiate, resolve
    from embexp.ranked_runs import source_of
    from embexp.reports.board_content import as_plain
    from embexp.reports.board_tables import print_board

    settings = resolve(config)
    _check(settings)
    tracker = instantiate(settings["tracking"])
    with tempfile.TemporaryDirectory() as scratch:
        source = source_of(settings, tracker, Path(scratch))
        board = make_leaderboard(source.runs, *(settings[key] for key in ARGUMENTS))
        print_board(board)
        _keep(board, settings, source, tracker, Path(scratch) / "board")
    return as_plain(board)


def _check(settings: dict[str, Any]) -> None:
    from embexp.board.costs import cost_named
    from embexp.errors import ConfigError

    cost_named(settings["cost"])
    if settings["of_sweep"] and settings["filter"]:
        raise ConfigError(
            f"sweep={settings['of_sweep']} and filter={settings['filter']} were both typed. Expected one of them: type "
            "filter=\"tags.`mlflow.parentRunId` = '<id>' and ...\" for some runs of a sweep."
        )
    if settings["resamples"] < 1:
        raise ConfigError(f"resamples={settings['resamples']}: expected 1 or more. Type resamples=2000.")


def _keep(board: "Leaderboard", settings: dict[str, Any], source: "Source", tracker: "Tracker", scratch: Path) -> None:
    """The files: where they were asked for, in the sweep's folder, and among the artifacts of its own run."""
    from embexp.board.leaderboard import write_leaderboard
    from embexp.ranked_runs import ARTIFACTS, send_board

    asked = [Path(settings["output"]).expanduser()] if settings["output"] else []
    own = [source.folder / ARTIFACTS] if source.folder else []
    folders = asked + own or ([scratch] if source.parent else [])
    for folder in folders:
        write_leaderboard(board, folder)
    for folder in asked + own:
        print(f"in         {folder}")
    if source.parent:
        send_board(folders[0], source, tracker)


if __name__ == "__main__":
    main()
