"""Building a data set to keep, and writing it with a manifest."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

logger = logging.getLogger(__name__)


def prepare_command() -> None:
    """`python -m embexp.prepare`: compose the configuration and prepare the data set that it describes."""
    from embexp.cli.app import run_command

    typed = sys.argv[1:]

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        prepare(config, choices, typed)

    run_command(task, "prepare")


def prepare(config: DictConfig, choices: dict[str, Any], typed: Sequence[str] = ()) -> Path:
    """Read, apply the steps, convert, write; returns the folder.

    Args:
        typed: the command line, for the command that is suggested.

    Raises:
        EmbexpError: the data cannot be prepared so, or something else is in the folder already.
    """
    from embexp.config.compose import resolve
    from embexp.data.storage import write_dataset
    from embexp.experiment.datasets import builder_of, dataset_name
    from embexp.experiment.routing import route_to_shape
    from embexp.inspection.suggestions import cannot_train, kept, training_command

    resolved = resolve(config)
    name = dataset_name(resolved["dataset"], choices)
    folder = Path(resolved["output"] or f"prepared/{name.replace(' (stand-in: ', '-').rstrip(')')}")
    _check_output(folder, resolved["format"], resolved["overwrite"])
    builder, shape = builder_of(resolved), resolved["shape"]
    dataset = builder.in_shape(
        resolved["dataset"], name, lambda offered: route_to_shape(offered, shape or offered[0], name, builder.settings)
    )
    for report in dataset.history:
        logger.info("%s", report)
    write_dataset(dataset, folder, resolved["format"], config={key: resolved[key] for key in ("dataset", "conversion")})
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in dataset.splits.items())
    print(f"{folder}/ holds {name} as {dataset.shape.name} ({rows} rows).")
    command = training_command(
        [f"dataset={folder}/", *kept(typed, ("conversion", "paths"))], dataset, [dataset.shape.name], builder.settings
    )
    print(f"Train on it: {command}" if command else f"Note: {cannot_train(dataset)}.")
    return folder


def _check_output(folder: Path, format: str, overwrite: bool) -> None:
    """Refuse, before anything is read, a format that cannot be written and a folder that holds something else."""
    from embexp.data.storage import check_format, is_prepared
    from embexp.errors import ConfigError

    check_format(format)
    if folder.exists() and not folder.is_dir():
        raise ConfigError("is a file", key="output", given=folder, expected="a folder", fix="output=<folder>")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not is_prepared(folder):
        text, fix = "holds files that embexp did not prepare", "output=<another folder>"
        raise ConfigError(text, key="output", given=folder, expected="a folder that is empty or new", fix=fix)
    if not overwrite:
        expected, fix = "another folder, or to overwrite it", ("overwrite=true", "output=<another folder>")
        raise ConfigError(f"{folder} holds a prepared data set", expected=expected, fix=fix)
