"""The command line as a whole, and what all commands share: Hydra's entry, and mistakes as one message.

Hydra composes a multirun once without what is swept, so of the default option of each group, and applies the other
overrides to that: `loss=contrastive,triplet loss.margin=0.3` and `dataset=my.csv ~dataset.steps.split` would fail. So
it gets only what the multirun itself reads; the jobs get all (`JOBS`).
"""

import errno
import importlib
import os
import re
import runpy
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from embexp.cli.help import COMMANDS, FUNCTIONS, note_config_dir, show_help, split_flags
from embexp.cli.messages import coloured, explain
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import check_config
from embexp.config.session import TRUSTED, VERSION_BASE, conf_dir
from embexp.core.claims import held
from embexp.core.launch import launched, refuse_launch
from embexp.core.redaction import note_overrides, redact_files
from embexp.core.run_folder import BEHIND, IS_BEHIND, RESULT
from embexp.core.signals import listen, unmasked
from embexp.errors import ConfigError, EmbexpError, did_you_mean, listed


def run_named_command(arguments: Sequence[str]) -> bool:
    """Run the command that the arguments name, as `python -m embexp.<command>` does; False where they name none.

    Raises:
        ConfigError: a word that is neither a command nor an override.
    """
    flags, others = split_flags(arguments)
    words = _words_in(others)
    if not words:
        return False
    if (name := words[0]) not in COMMANDS:
        text, near = f"{name} is neither a command nor an override", did_you_mean(name, COMMANDS)
        expected = f"an override (<key>=<value>) or one of the commands: {listed(COMMANDS)}"
        raise ConfigError(text, expected=expected, note=near, fix=_as_dataset(name))
    others.remove(name)
    sys.argv[1:] = [*flags, *others]
    if name in FUNCTIONS:
        module, function = FUNCTIONS[name]
        getattr(importlib.import_module(module), function)()
        return True
    runpy.run_module(f"embexp.{name}", run_name="__main__", alter_sys=True)
    return True


def _words_in(arguments: Sequence[str]) -> list[str]:
    """The arguments that are no overrides."""
    return [each for each in arguments if "=" not in each and not each.startswith(("~", "+", "-"))]


def _as_dataset(word: str) -> tuple[str, ...]:
    """What to type for a word that names a file or folder here."""
    folder = "" if not os.path.isdir(word) or word.endswith("/") else "/"
    return (shlex.quote(f"dataset={word}{folder}"),) if os.path.exists(word) else ()


def _check_words(flags: Sequence[str], arguments: Sequence[str], config_name: str) -> None:
    """Raise ConfigError for words that are no overrides, and for flags that Hydra does not have."""
    known = [each for action in hydra._internal.utils.get_args_parser()._actions for each in action.option_strings]
    for flag in (each for each in flags if each.startswith("-")):
        name = flag.partition("=")[0]
        if not any(each == name or (name.startswith("--") and each.startswith(name)) for each in known):
            fix = (shlex.quote(flag.lstrip("-")),) if "=" in flag else ()
            raise ConfigError(f"{flag} is no flag", expected="overrides without dashes: <key>=<value>", fix=fix)
    for word in _words_in(arguments):
        fix = _as_dataset(word) if config_name in ("inspect", "prepare", "evaluate", "pairs") else ()
        raise ConfigError(f"{word} is no override", expected="<key>=<value>", fix=fix)


_OF_THE_MULTIRUN = re.compile(
    r"[+~]*(hydra|sweep|tracking|paths|experiment|verdict)\b(?!@)"
)  # what the multirun itself reads
_PROCESSES = "trainer.processes"
_MULTIRUN, _SHOWS = {"-m", "--multirun"}, {"--cfg", "-c"}
TYPED: ContextVar[tuple[str, ...]] = ContextVar("the arguments of the command, as they were typed", default=())
JOBS: ContextVar[tuple[str, ...] | None] = ContextVar("overrides of the jobs of a multirun", default=None)


def _for_hydra(arguments: Sequence[str], config_name: str) -> list[str]:
    """The arguments that Hydra gets. Those of a multirun that are for its jobs stand in `JOBS`, in their order.

    >>> _for_hydra(["-m", "loss=contrastive,angle", "~loss.margin", "sweep.workers=2", "seed=1"], "config"), JOBS.get()
    (['-m', 'sweep.workers=2'], ('loss=contrastive,angle', '~loss.margin', 'sweep.workers=2', 'seed=1'))
    >>> _for_hydra(["-m", "--cfg", "job", "loss=angle,mnrl"], "config")
    ['--cfg', 'job', 'loss=angle']
    """
    JOBS.set(None)
    if not _MULTIRUN & {*arguments} or config_name != "config":
        return [*arguments]
    if _SHOWS & {*arguments}:  # the configuration of the first job
        return [_first_value(each) for each in arguments if each not in _MULTIRUN]
    flags, overrides = split_flags(arguments)
    own = [each for each in overrides if _OF_THE_MULTIRUN.match(each) and not is_sweep(each)]
    JOBS.set(tuple(each for each in overrides if not each.lstrip("+~").startswith("hydra")))
    return [*flags, *own]


def _first_value(argument: str) -> str:
    parsed = _parsed(argument)
    if parsed is None or not parsed.is_discrete_sweep():
        return argument
    return f"{parsed.get_key_element()}={next(parsed.sweep_string_iterator())}"


def is_sweep(override: str) -> bool:
    """Whether an override names several values."""
    parsed = _parsed(override)
    return parsed is not None and parsed.is_sweep_override()


def _parsed(override: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:  # Hydra reads it next and reports it
        return None


MISTAKES = (EmbexpError, HydraException, OmegaConfBaseException)
_NO_PLACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


def _no_place(error: OSError) -> ConfigError:
    """What to type where nothing can be written, such as the folder of a run."""
    expected = "a folder that can be written, on a disk with room: change to one, or name those of paths"
    fix = " ".join(f"paths.{each}=<folder>" for each in ("runs", "sweeps", "tunings", "races", "evaluations", "cache"))
    return ConfigError(str(error.strerror), file=error.filename, expected=expected, fix=fix)


_Task = Callable[[DictConfig, dict[str, Any], Path], Any]
_Rewrite = Callable[[Sequence[str]], list[str]]


def run_command(task: _Task, config_name: str = "config", rewrite: _Rewrite | None = None) -> None:
    """Run `task(config, choices, folder)` for the command line, through Hydra.

    `rewrite` turns the arguments without Hydra's flags into overrides, where a command takes others than overrides.

    A user's mistake is printed as one message and exits with code 1; HYDRA_FULL_ERROR=1 shows the traceback.
    SIGTERM ends the task with Terminated, so that its run is closed as KILLED. Where the tracker lacks something of a
    run that came to its end, the exit code is `IS_BEHIND`; a sweep says so when it is closed.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    listen()
    BEHIND.clear()
    with _own_environment():
        _run_through_hydra(task, config_name, rewrite, wants_traceback)
    if BEHIND and JOBS.get() is None:
        sys.exit(IS_BEHIND)


@contextmanager
def _own_environment() -> Iterator[None]:
    """Inside, Hydra hands its errors to us in place of printing them, and bars of libraries do not fill a log."""
    own = {"HYDRA_FULL_ERROR": "1"}
    own |= {} if sys.stderr.isatty() else {"TQDM_DISABLE": os.environ.get("TQDM_DISABLE", "1")}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})


def _run_through_hydra(task: _Task, config_name: str, rewrite: _Rewrite | None, wants_traceback: bool) -> None:
    def job(config: DictConfig) -> Any:
        return _run_job(task, config, config_name, wants_traceback)

    try:
        if show_help(sys.argv[1:], config_name):
            return
        flags, arguments = split_flags(sys.argv[1:])
        note_config_dir(flags)
        note_overrides(arguments)
        TYPED.set(tuple(sys.argv[1:]))
        arguments = [*arguments, *_of_launcher(flags, arguments, config_name)]
        overrides = rewrite(arguments) if rewrite else arguments
        _check_words(flags, overrides, config_name)
        mixes = config_name in ("config", "tune", "race")
        sys.argv[1:] = _for_hydra([*flags, *quote_texts(expand_paths(overrides, mixes))], config_name)
        with unmasked():
            hydra.main(config_path=str(conf_dir()), config_name=config_name, **VERSION_BASE, **TRUSTED)(job)()
    except MISTAKES as error:
        if wants_traceback:
            raise
        exit_with(error)
    except BrokenPipeError:
        _end_unread()
    except OSError as error:
        if wants_traceback or error.errno not in _NO_PLACE:
            raise
        exit_with(_no_place(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _of_launcher(flags: Sequence[str], arguments: Sequence[str], config_name: str) -> list[str]:
    """The number of processes that torchrun or accelerate has started, as an override; a run to resume has its own.

    Raises:
        ConfigError: this is no run, which alone trains in several processes.
    """
    launch, keys = launched(), {each.lstrip("+").partition("=")[0] for each in arguments}
    processes = [f"++{_PROCESSES}={launch.size}"] if launch and not keys & {"resume", _PROCESSES} else []
    if config_name != "config":
        refuse_launch(f"embexp {config_name}", shlex.join(["python", "-m", f"embexp.{config_name}", *arguments]))
    if _MULTIRUN & {*flags}:
        refuse_launch("A sweep (-m)", shlex.join(["python", "-m", "embexp", "-m", *arguments, *processes]))
    return processes


def _run_job(task: _Task, config: DictConfig, config_name: str, wants_traceback: bool) -> Any:
    hydra_config = HydraConfig.get()
    try:
        choices = OmegaConf.to_container(hydra_config.runtime.choices)
        with unmasked():
            check_config(config, choices, config_name)
            redact_files(Path(hydra_config.runtime.output_dir).glob(".hydra/*.yaml"))
            return task(config, choices, Path(hydra_config.runtime.output_dir))
    except BrokenPipeError:  # Hydra would print that the job failed
        _end_unread()
    except MISTAKES as error:
        if hydra_config.mode != RunMode.MULTIRUN:
            _remove_refused(Path(hydra_config.runtime.output_dir))
        if wants_traceback or hydra_config.mode == RunMode.MULTIRUN:
            raise
        exit_with(error)


def _end_unread() -> None:
    """End where nobody reads any more what is printed: who did, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


_OF_A_REFUSED_RUN = {".hydra", "run.claim", RESULT, "error.txt"}  # and its log: what it leaves before it begins


def _remove_refused(folder: Path) -> None:
    """Remove the folder of a run that was refused before it began, and those above that held only this.

    A folder that holds anything else stays as it is; so do the working directory, and what another process is using.
    """
    folder, here = folder.resolve(), Path.cwd()
    kept = {here, *here.parents}
    if folder in kept or not folder.is_dir():
        return
    if {path.name for path in folder.iterdir() if path.suffix != ".log"} - _OF_A_REFUSED_RUN:
        return
    with suppress(ConfigError), held(folder):
        shutil.rmtree(folder)
    for above in folder.parents[:2]:
        if above in kept or any(above.iterdir()):  # such as the folder itself
            break
        above.rmdir()


def end_with(error: Exception) -> None:
    """End the program with code 1: a mistake by its one message, anything else by its traceback."""
    if isinstance(error, OSError) and error.errno in _NO_PLACE:
        error = _no_place(error)
    if not isinstance(error, MISTAKES):
        traceback.print_exception(error)
        sys.exit(1)
    exit_with(error)


def exit_with(error: Exception) -> None:
    """Print the one message that a mistake deserves, and end with code 1."""
    print(coloured(f"Error: {explain(error)}", sys.stderr), file=sys.stderr)
    sys.exit(1)
