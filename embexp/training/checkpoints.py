"""Checkpoints on disk: which are whole, which is the best, which go; and the loss's own weights in them.

sentence-transformers' trainer saves model, optimizer, schedule and random states, but not what a loss trains besides
the model: a classifier, a decoder, a second copy of the model, a temperature. That is added here as `loss.pt`, and last
of all a mark that lists every file with its size: a checkpoint without it, or with a file missing or cut, does not
count. A checkpoint of Ctrl-C is beside the schedule and goes once the training has gone on.
"""

import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.run_folder import LOSS_STATE, MARK, RESUME_FILES, UNLOGGED, write_json

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        step: optimizer steps that were done.
        max_steps: those that the training was to do.
        best_step: the step with the best dev score so far; 0 where none was evaluated.
        seconds: time spent on training so far, over all processes that trained.
    """

    path: Path
    step: int
    max_steps: int
    best_step: int
    seconds: float


def complete(path: Path, seconds: float) -> None:
    """Mark a checkpoint as whole, once its files are on the disk: one that a killed process leaves has no mark."""
    for file in _files(path):
        with open(file, "rb") as content:
            os.fsync(content.fileno())
    files = {file.relative_to(path).as_posix(): file.stat().st_size for file in _files(path)}
    write_json(path / MARK, {"seconds": seconds, "files": files})


def _read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint in a folder; None when it is not whole."""
    try:
        mark = json.loads((path / MARK).read_text(encoding="utf-8"))
        whole = all((path / name).stat().st_size == size for name, size in mark["files"].items())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if not whole:
        return None
    state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
    return Checkpoint(path, state["global_step"], state["max_steps"], state["best_global_step"] or 0, mark["seconds"])


def folders(place: Path) -> list[Path]:
    """The checkpoint folders, whole or not, by step."""
    return sorted(place.glob("checkpoint-*"), key=step_of)


def step_of(path: Path) -> int:
    """The step after which a checkpoint was saved, as its folder is called."""
    return int(path.name.rpartition("-")[2])


def last_checkpoint(place: Path) -> Checkpoint | None:
    """The latest whole checkpoint, None where there is none; torn ones are removed, with a line for each."""
    found = None
    for path in folders(place):
        checkpoint = _read_checkpoint(path)
        if checkpoint is None:
            logger.warning("%s is not whole: it was being written when the run ended. It is left out.", path.name)
            shutil.rmtree(path)
        else:
            found = checkpoint
    return found


def best_checkpoint(place: Path, best_step: int) -> Path | None:
    """The folder of the best checkpoint, or of the last one when none was evaluated; None where nothing was saved."""
    found = folders(place)
    best = place / f"checkpoint-{best_step}"
    return best if best in found else (found[-1] if found else None)


def rotate(place: Path, limit: int | None, best_step: int) -> None:
    """Remove the oldest checkpoints until `limit` are left; the last and the best one always stay."""
    found = folders(place)
    kept = {found[-1], place / f"checkpoint-{best_step}"}
    surplus = len(found) - limit if limit else 0
    for path in [path for path in found if path not in kept][: max(surplus, 0)]:
        _remove(path)


def strip(place: Path) -> None:
    """Remove what only going on with the training needs from all checkpoints: two thirds of their size."""
    for path in folders(place):
        (path / MARK).unlink(missing_ok=True)
        for file in _files(path):
            if any(file.match(pattern) for pattern in RESUME_FILES):
                file.unlink()


def _files(path: Path) -> Iterable[Path]:
    return [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != MARK]


def save_loss_state(loss: "Module", model: "SentenceTransformer", path: Path) -> None:
    """Write what the loss holds besides the model into a checkpoint: tensors that are trained, and buffers.

    Left out are the model's own tensors (also where the loss ties others to them) and frozen ones, such as a guide's.
    """
    import torch

    own = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    own |= {id(parameter) for parameter in loss.parameters() if not parameter.requires_grad}
    tensors = loss.state_dict(keep_vars=True)
    if state := {name: tensor.detach() for name, tensor in tensors.items() if id(tensor) not in own}:
        torch.save(state, path / LOSS_STATE)


def load_loss_state(loss: "Module", path: Path) -> None:
    """Give the loss the state that a checkpoint holds."""
    import torch

    if (path / LOSS_STATE).is_file():
        state: Mapping[str, Any] = torch.load(path / LOSS_STATE, map_location="cpu", weights_only=True)
        _, unexpected = loss.load_state_dict(state, strict=False)
        assert not unexpected, f"the loss has no place for {unexpected}"


def save_unlogged(trainer: Any, path: Path) -> None:
    """Write the losses since the last log line into a checkpoint that is beside the schedule, as after Ctrl-C.

    At any other checkpoint a line is logged. Here none is, so that the lines are those of a training without the break.
    """
    import torch

    parts = getattr(trainer, "accum_loss_components", {}).get("train", {})  # of a loss that has several
    state = {"loss": trainer._tr_loss.detach().cpu(), "logged": trainer._globalstep_last_logged}
    torch.save(state | {"parts": {key: value.cpu() for key, value in parts.items()}}, path / UNLOGGED)


def load_unlogged(trainer: Any, path: Path) -> None:
    """Give a trainer that begins the losses that a checkpoint holds."""
    import torch

    state: Mapping[str, Any] = torch.load(path / UNLOGGED, map_location=trainer._tr_loss.device, weights_only=True)
    trainer._tr_loss += state["loss"]
    trainer._globalstep_last_logged = state["logged"]
    if state["parts"]:
        trainer.accum_loss_components["train"] = dict(state["parts"])


def remove_unscheduled(place: Path, before: int | None = None) -> None:
    """Remove the checkpoints beside the schedule, as soon as the training has gone on; `before` a step or all."""
    for path in folders(place):
        if (path / UNLOGGED).is_file() and (before is None or step_of(path) < before):
            _remove(path)


def _remove(path: Path) -> None:
    (path / MARK).unlink(missing_ok=True)  # first: a checkpoint that is half gone does not count
    shutil.rmtree(path)


def load_weights(model: "SentenceTransformer", path: Path) -> None:
    """Give the model the weights that were saved in a folder, in place."""
    saved = type(model)(str(path), device="cpu", trust_remote_code=model.trust_remote_code)
    model.load_state_dict(saved.state_dict())
