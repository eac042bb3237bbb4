"""Runs of a tiny model that are killed with SIGKILL at a chosen moment, in processes that start in a moment."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.core.claims import held
from embexp.experiment.plan import plan_run
from embexp.experiment.resume import resumed

# The server imports the heavy libraries once, and every child is forked from it before it has done anything. There is
# one in a process, whoever calls for it, and who sets its imports last has set them: they are set here alone.
SERVER = multiprocessing.get_context("forkserver")
_OF_MLFLOW = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.tracking.client", "alembic.command")
SERVER.set_forkserver_preload(["sentence_transformers", "mlflow", *_OF_MLFLOW, "killed_runs"])
CHOICES = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "modifier": "none", "trainer": "default"}


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """A run from its beginning to its end; returns its result."""
    from embexp.experiment.execute import execute

    arguments = expand_paths(list(overrides))
    typed = (argument.partition("=") for argument in arguments)
    choices = CHOICES | {key: value for key, _, value in typed if key in CHOICES}
    return dict(execute(plan_run(compose(arguments), choices, folder)).content)


def resume(folder: Path, typed: Sequence[str] = ("resume=x",)) -> dict[str, Any]:
    """The rest of a run, as `resume=<folder>` on the command line."""
    from embexp.experiment.execute import execute

    with held(folder):
        config, choices = resumed(folder, typed)
        return dict(execute(plan_run(config, choices, folder), resume=True).content)


def killed(arrange: Callable[..., None], arguments: tuple, folder: Path, *overrides: str) -> None:
    """A run in a child process in which `arrange(*arguments)` was called first, and which must end by SIGKILL."""
    child = SERVER.Process(target=_run_arranged, args=(arrange, arguments, folder, overrides))
    child.start()
    child.join(timeout=120)
    assert child.exitcode == -signal.SIGKILL, child.exitcode


def _run_arranged(arrange: Callable[..., None], arguments: tuple, folder: Path, overrides: tuple[str, ...]) -> None:
    os.chdir(folder.parent)
    arrange(*arguments)
    if (folder / "run.json").exists():
        resume(folder)
    else:
        run(folder, *overrides)


def die(*_: Any, **__: Any) -> None:
    """End this process at once, as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_step(deadly: int) -> None:
    """Arrange to be killed when the loss of a step is about to be logged."""
    from embexp.tracking.journal import Journal

    log_metrics = Journal.log_metrics

    def log_or_die(self: Journal, metrics: dict[str, float], step: int | None = None) -> None:
        if step == deadly and "train/loss" in metrics:
            die()
        log_metrics(self, metrics, step)

    Journal.log_metrics = log_or_die


def before(name: str, owner: str, times: int = 1) -> None:
    """Arrange to be killed at the n-th call of a function of a module or a class, in place of it."""
    import pkgutil

    place, calls = pkgutil.resolve_name(owner), []
    function = getattr(place, name)

    def call_or_die(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == times:
            die()
        return function(*args, **kwargs)

    setattr(place, name, call_or_die)


def at_touch(folder: str, number: int) -> None:
    """Arrange to be killed when a file of the folder is opened or renamed for the n-th time."""
    touched = []

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        path = str(arguments[0]) if event in ("open", "os.rename") else ""
        if path.startswith(folder) and ".claim" not in path:  # which a thread rewrites at any time
            touched.append(event)
            if len(touched) == number:
                die()

    sys.addaudithook(count)


def while_writing(name: str) -> None:
    """Arrange to be killed when half of a file of that name in a second checkpoint is written by torch.save."""
    import io

    import torch

    save, seen = torch.save, []

    def half_save(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if Path(path).name == name:
            seen.append(path)
        if len(seen) < 2:
            save(content, path, *args, **kwargs)
            return
        whole = io.BytesIO()
        save(content, whole)
        Path(path).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        die()

    torch.save = half_save


def model_of(folder: Path) -> dict[str, Any]:
    """The weights that a run trained."""
    from safetensors.torch import load_file

    return load_file(folder / "stages/main/model/model.safetensors")


def measured(folder: Path) -> dict[str, float]:
    """The metrics of a result, without costs."""
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    return {key: value for key, value in metrics.items() if not key.startswith("cost/")}


def assert_same_end(whole: Path, broken: Path) -> None:
    """Fail unless two runs ended with the same weights, metrics and lines of metrics.jsonl, to the last bit."""
    import torch

    expected, found = model_of(whole), model_of(broken)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert measured(whole) == measured(broken)
    assert logged(whole) == logged(broken)


def logged(folder: Path) -> list[tuple[int | None, dict[str, float]]]:
    """What metrics.jsonl holds, without costs."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["metrics"]) for line in lines if not str(line["metrics"]).startswith("{'cost/")]
