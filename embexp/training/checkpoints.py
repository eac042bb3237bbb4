"""Checkpoints on disk: which are whole, which is the best, which go; and the loss's own weights in them.

sentence-transformers' trainer saves model, optimizer, schedule and random states, but not what a loss trains besides
the model: a classifier, a decoder, a second copy of the model, a temperature. That is added here as `loss.pt`, and last
of all a mark that lists every file with its hash: a checkpoint without it, or with a file that is missing or not as it
was written, does not count. A checkpoint of Ctrl-C is outside the schedule and goes once training has resumed.
Of a run that waits (`embexp/experiment/rungs.py`) the best checkpoint may have its weights alone.
"""

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.file_contents import content_hash, json_in, link_copies
from embexp.core.run_folder import FREED, LOSS_STATE, MARK, RESUME_FILES, UNLOGGED, read_json, write_json
from embexp.errors import TrainingError, listed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module

logger = logging.getLogger(__name__)
_RESUMES = "resumes"  # in the mark: false where only the weights were kept


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
    files = {file.relative_to(path).as_posix(): content_hash(file) for file in _files(path)}
    write_json(path / MARK, {"seconds": seconds, "files": files})


def _fault_of(path: Path) -> str:
    """What is wrong with a checkpoint; empty when it is whole."""
    mark = json_in(path / MARK)
    if not isinstance(mark, Mapping) or not isinstance(files := mark.get("files"), Mapping):
        return "it was being written when the run ended"
    faulty = [
        name for name, hashed in files.items() if not (path / name).is_file() or content_hash(path / name) != hashed
    ]
    return f"{listed(faulty)} in it is not as it was written" if faulty else ""


def _read_checkpoint(path: Path) -> Checkpoint:
    mark, state = read_json(path / MARK), read_json(path / "trainer_state.json")
    return Checkpoint(path, state["global_step"], state["max_steps"], state["best_global_step"] or 0, mark["seconds"])


def folders(place: Path) -> list[Path]:
    """The checkpoint folders, whole or not, by step."""
    return sorted(place.glob("checkpoint-*"), key=step_of)


def step_of(path: Path) -> int:
    """The step after which a checkpoint was saved, as its folder is called."""
    return int(path.name.rpartition("-")[2])


def last_checkpoint(place: Path) -> Checkpoint | None:
    """The latest checkpoint that is whole, and whose best one so far is, too; None where there is none.

    Later ones, and those that are not whole, are removed, with a line for each.
    """
    found, faults = None, {path: _fault_of(path) for path in folders(place)}
    for path, fault in reversed(faults.items()):
        if not fault and found is None and not read_json(path / MARK).get(_RESUMES, True):
            fault = "only its weights were kept while the run waited"
        elif not fault and found is None:
            checkpoint = _read_checkpoint(path)
            best = place / f"checkpoint-{checkpoint.best_step}"
            if checkpoint.best_step == 0 or faults.get(best) == "":
                found = checkpoint
                continue
            fault = f"the best one before it, {best.name}, cannot be used"
        if fault:
            logger.warning("%s is not whole: %s. It is left out.", path.name, fault)
            shutil.rmtree(path)
    if found is None and (place / FREED).is_file():
        logger.warning("The checkpoints in %s were removed by embexp clean: the training begins anew.", place)
    return found


def best_checkpoint(place: Path, best_step: int) -> Path | None:
    """The folder of the best checkpoint, or of the last one when none was evaluated; None where nothing was saved.

    Raises:
        TrainingError: it is not as it was written.
    """
    found = folders(place)
    best = place / f"checkpoint-{best_step}"
    chosen = best if best in found else (found[-1] if found else None)
    if chosen and (fault := _fault_of(chosen)):
        text, expected = f"{chosen} cannot be loaded: {fault}", "a disk that keeps what is written on it"
        raise TrainingError(text, expected=expected, note="The run resumes from the checkpoint before it")
    return chosen


def rotate(place: Path, limit: int | None, best_step: int) -> None:
    """Remove the oldest checkpoints until `limit` are left; the last and the best one always stay."""
    found = folders(place)
    kept = {found[-1], place / f"checkpoint-{best_step}"}
    surplus = len(found) - limit if limit else 0
    for path in [path for path in found if path not in kept][: max(surplus, 0)]:
        _remove(path)


def strip(place: Path) -> None:
    """Remove what only resuming needs from all checkpoints: two thirds of their size."""
    for path in folders(place):
        (path / MARK).unlink(missing_ok=True)
        for file in filter(_is_for_resuming, _files(path)):
            file.unlink()


KEEPS = ("none", "weights", "full")  # what may stay of checkpoints


def tidy_checkpoints(places: Iterable[Path], keep: str) -> None:
    """Remove of the checkpoints of finished stages, in these folders, what one of `KEEPS` does not ask for.

    What the model beside them has, byte for byte, is one file with that of the model.
    """
    for place in places:
        if keep == "none":
            shutil.rmtree(place, ignore_errors=True)
            continue
        if keep == "weights":
            strip(place)
        for path in folders(place):
            link_copies(path, place.with_name("model"))


def slim(place: Path, best_step: int) -> None:
    """Leave what a run that waits will load: the last checkpoint, and the weights of the best one before it."""
    for path in folders(place)[:-1]:
        if step_of(path) != best_step:
            _remove(path)
        elif not _fault_of(path):
            mark = read_json(path / MARK)
            kept = {name: hashed for name, hashed in mark["files"].items() if not _is_for_resuming(Path(name))}
            write_json(path / MARK, mark | {"files": kept, _RESUMES: False})  # first: it is whole without the others
            for file in filter(_is_for_resuming, _files(path)):
                file.unlink()


def _is_for_resuming(file: Path) -> bool:
    return any(file.match(pattern) for pattern in RESUME_FILES)


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
    """Write the losses since the last log line into a checkpoint outside the schedule, as after Ctrl-C.

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
    """Remove the checkpoints outside the schedule, once training has resumed; `before` a step or all."""
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
