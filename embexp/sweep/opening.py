"""How a multirun begins: all its values checked, its folder found or made, its parent run open before any job."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from embexp.environment import PARENT_RUN, SWEEP_FOLDER, SWEEP_ID
from embexp.errors import ConfigError, EmbexpError, did_you_mean
from embexp.job_overrides import as_typed
from embexp.protocols import Tracker
from embexp.run_record import held
from embexp.sweep.gpus import gpus_for
from embexp.sweep.record import begin_sweep, changes_nothing, find_sweep, read_sweep, sweep_key
from embexp.sweep.unknown_keys import check_choice, check_jobs

RERUNS = ("failed", "all", "none")


@dataclass(frozen=True)
class OpenSweep:
    """A multirun that has begun.

    Attributes:
        tracker: holds the parent run.
        id: what tells it from other sweeps: a tag of its runs, and what embexp.leaderboard takes.
        lock: holds its folder for this process until it is closed.
    """

    id: str
    tracker: Tracker
    folder: Path
    overrides: tuple[str, ...]
    lock: ExitStack = field(default_factory=ExitStack)


class SweepCallback(Callback):
    """Hydra's callback: opens the sweep once, before any job starts, whichever launcher runs them."""

    current: OpenSweep | None = None

    def on_multirun_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Check the configuration of all jobs, then open the parent run; mistakes end the program here."""
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        from embexp.command import exit_with

        try:
            SweepCallback.current = open_sweep(config, config_name or "config")
        except (EmbexpError, HydraException, OmegaConfBaseException) as error:
            exit_with(error)


def open_sweep(config: DictConfig, config_name: str) -> OpenSweep:
    """Open the parent run of a multirun, after the values it sweeps over were checked.

    Raises:
        EmbexpError: a swept value does not fit, the tracker's store cannot be opened, or the sweep is going on already.
    """
    from embexp.config import instantiate

    overrides = swept_overrides(config)
    if any(override.startswith("resume=") for override in overrides):
        raise ConfigError("resume goes on with one run and was typed with -m. Type it alone, without -m, for each run.")
    check_settings(config)
    check_jobs([*_each_value_once(overrides)], config_name, config.sweep.unknown_keys)
    key = sweep_key(overrides, config_name)
    folder = sweep_folder(config, key)
    lock = ExitStack()
    lock.enter_context(held(folder, "sweep"))
    record = begin_sweep(folder, key, overrides, begins_anew=config.sweep.rerun == "all")
    tracker = instantiate(OmegaConf.to_container(config.tracking, resolve=True))
    tracker.prepare()
    parent = tracker.start("sweep " + " ".join(overrides), key=record["id"])
    os.environ |= {PARENT_RUN: parent, SWEEP_ID: record["id"], SWEEP_FOLDER: str(folder)}
    typed = (override.partition("=") for override in overrides if not changes_nothing(override))
    tracker.log_params({f"override.{key.lstrip('+~')}": value or "left out" for key, _, value in typed})
    return OpenSweep(record["id"], tracker, folder, overrides, lock)


def swept_overrides(config: DictConfig) -> tuple[str, ...]:
    """All that a multirun varies or sets: what a `sweep=` file says, then what was typed, which wins."""
    typed = [as_typed(override) for override in OmegaConf.to_container(config.hydra.overrides.task, resolve=False)]
    params = OmegaConf.to_container(config.hydra.sweeper, resolve=True).get("params") or {}
    keys = {override.partition("=")[0] for override in typed}
    return (*(f"{key}={value}" for key, value in params.items() if key not in keys), *typed)


def check_settings(config: DictConfig) -> None:
    """Raise ConfigError unless the group sweep says what can be done."""
    rerun, workers = config.sweep.rerun, config.sweep.workers
    if rerun not in RERUNS:
        hint = did_you_mean(str(rerun), RERUNS)
        raise ConfigError(f"sweep.rerun={rerun} is not known. Expected {', '.join(RERUNS)}. {hint}".strip())
    if not isinstance(workers, int) or workers < 0:
        raise ConfigError(f"sweep.workers={workers}: expected 0 (in this process) or a number of processes.")
    check_choice(config.sweep.unknown_keys)
    gpus = config.sweep.gpus
    if gpus is not None and not OmegaConf.is_list(gpus):
        raise ConfigError(f"sweep.gpus={gpus}: expected a list: sweep.gpus=[{gpus}].")
    if workers:
        gpus_for(workers, gpus)


def sweep_folder(config: DictConfig, key: str) -> Path:
    """The folder that was typed, else that of the same sweep earlier, else a fresh one.

    With sweep.rerun=all an earlier one is only gone on with if it began in the same way and did not come to its end.
    """
    fresh = Path(config.hydra.sweep.dir)
    if any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra):
        return fresh
    earlier = find_sweep(Path(config.paths.sweeps), key)
    if earlier is None:
        return fresh
    record = read_sweep(earlier)
    goes_on = config.sweep.rerun != "all" or (record["began_anew"] and not record["ended"])
    return earlier if goes_on else fresh


def _each_value_once(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Jobs in which every swept value occurs once; not every combination."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    values = []
    for override in parser.parse_overrides(list(overrides)):
        if override.is_discrete_sweep():
            key = override.get_key_element()
            values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        elif not override.is_sweep_override():
            values.append([override.input_line])
    first = [choices[0] for choices in values]
    yield first
    for place, choices in enumerate(values):
        for value in choices[1:]:
            yield [*first[:place], value, *first[place + 1 :]]
