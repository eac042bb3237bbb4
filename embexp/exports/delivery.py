"""Exports one after another: planned before training, made after it; one that fails does not end the run."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
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
    """Each export as it is made, in its own folder below `trained.output`, in place of what was there.

    One that cannot be made is told as an error, with its problem in what is returned.
    """
    for export in exports:
        folder = trained.output / export.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        logger.info("Export %s", export.name)
        try:
            made = export.make(trained, folder)
        except ExportError as error:
            shutil.rmtree(folder)
            made = Exported(export.name, folder, problem=str(error))
            logger.error("%s", error)
        trained.made.append(made)
        yield made
