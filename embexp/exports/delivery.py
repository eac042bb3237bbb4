"""Exports one after another: planned before training, made after it; one that fails does not end the run."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embexp.config import instantiate
from embexp.errors import ExportError
from embexp.exports.trained import Export, Exported, TrainedModel
from embexp.misfits import Misfits

logger = logging.getLogger(__name__)


def plan_exports(config: Mapping[str, Mapping[str, Any]] | None, misfits: Misfits) -> tuple[Export, ...]:
    """The exports of a configuration, checked; those that hand on what the others made come last."""
    planned = [misfits.attempt(_plan_export, name, node) for name, node in (config or {}).items()]
    return tuple(sorted((export for export in planned if export), key=lambda export: export.comes_last))


def _plan_export(name: str, node: Mapping[str, Any]) -> Export:
    return instantiate(node, name=name)


def make_exports(exports: Sequence[Export], trained: TrainedModel) -> Iterator[Exported]:
    """Each export as it is made, in its own folder below `trained.output`.

    One that cannot be made is told as an error, with its problem in what is returned; an earlier one of the same name
    stays as it is.
    """
    for export in exports:
        logger.info("Export %s", export.name)
        try:
            made = _make(export, trained)
        except ExportError as error:
            made = Exported(export.name, trained.output / export.name, problem=str(error))
            logger.error("%s", error)
        trained.made.append(made)
        yield made


def _make(export: Export, trained: TrainedModel) -> Exported:
    """The export, made beside its folder and then put there at once, in place of what was there.

    Raises:
        ExportError: it cannot be made, or its files cannot be written or read.
    """
    folder = trained.output / export.name
    try:
        trained.output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=trained.output, prefix=".making-") as making:
            fresh, old = Path(making) / export.name, Path(making) / "old"
            fresh.mkdir()
            made = export.make(trained, fresh)
            if folder.exists():
                folder.rename(old)
            fresh.rename(folder)
    except OSError as error:
        raise ExportError(
            f"export={export.name} failed on the files of {trained.output}: {error}. Expected a folder that can be "
            f"written, with enough room, and the model whole in {trained.folder}. Make room, then type it once more: "
            f"{_again(export, trained)}"
        ) from error
    return replace(made, folder=folder)


def _again(export: Export, trained: TrainedModel) -> str:
    subject = f"run={trained.run_folder}" if trained.run_folder else f"model={trained.folder}"
    return f"python -m embexp.export {subject} export=[{export.name}]"
