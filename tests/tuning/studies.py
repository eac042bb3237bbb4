"""Studies of a tiny model, run in this process or in one that is killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import TINY
from killed_runs import SERVER

from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.tuning.space import check_values, read_space, run_overrides, with_space
from embexp.tuning.study_run import _run_study


def study(folder: Path, *arguments: str, tiny: tuple[str, ...] = TINY) -> dict[str, Any]:
    """What `python -m embexp.tune` finds, in that folder."""
    typed = with_space([*tiny, *arguments])
    with hydra_started():
        config, _ = composed(typed, "tune")
        fixed = run_overrides(typed)
        space = read_space(config.tune.space, fixed)
        check_values(space, fixed)
        return _run_study(config, typed, fixed, space, folder)


def killed_study(arrange: Callable[..., None], arguments: tuple, folder: Path, *overrides: str) -> None:
    """A study in a child process in which `arrange(*arguments)` was called first, and which must end by SIGKILL."""
    child = SERVER.Process(target=_study_arranged, args=(arrange, arguments, folder, overrides))
    child.start()
    child.join(timeout=120)
    assert child.exitcode == -signal.SIGKILL, child.exitcode


def _study_arranged(arrange: Callable[..., None], arguments: tuple, folder: Path, overrides: tuple[str, ...]) -> None:
    os.chdir(folder.parent)
    arrange(*arguments)
    study(folder, *overrides)
