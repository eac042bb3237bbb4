"""How a multirun starts: values checked, folder found or made, parent run opened, jobs run or handed to workers."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import ConfigCompositionException, HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from embexp.cli.app import JOBS, end_with
from embexp.cli.messages import unknown_override
from embexp.cli.quoting import quoted
from embexp.config.compose import composed, instantiate
from embexp.core.arguments import refuse
from embexp.core.claims import held
from embexp.core.redaction import redact_files
from embexp.core.run_folder import RESULT, is_closed, readable
from embexp.errors import ConfigError, EmbexpError, Problems
from embexp.evaluation.stats.verdicts import Margins, margins_in
from embexp.experiment.settings_checks import LEAVE_OUT
from embexp.experiment.sweep_record import (
    PART_KEY,
    RACED,
    begin_sweep,
    changes_no_job,
    find_sweep,
    read_sweep,
    sweep_key,
)
from embexp.sweep.coordinator import check_engine, forget_workers, run_in_workers
from embexp.sweep.fair import fairness_problems, is_fair, with_best_rates
from embexp.sweep.jobs import Job, JobRunner, Outcome, varying
from embexp.sweep.progress import Progress
from embexp.tracking.outbox import Outbox

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from embexp.sweep.parts import Variant


def _split_known(job: Sequence[str], config_name: str) -> tuple[list[str], dict[str, Exception]]:
    """The overrides of a job whose keys it knows, and the others with what Hydra says of each."""
    known, unknown = [*job], {}
    while True:
        try:
            composed(known, config_name)
        except ConfigCompositionException as error:
            found = unknown_override(error)
            left = [override for override in known if found and override.partition("=")[0] == found[0]]
            if not left:
                raise
            unknown |= dict.fromkeys(left, error)
            known = [override for override in known if override not in left]
        else:
            return known, unknown


def _check_jobs(jobs: Sequence[Sequence[str]], config_name: str, choice: str) -> None:
    """Raise the error of a job that cannot be composed; keys that only some jobs know may be left out by `choice`."""
    split = [_split_known(job, config_name) for job in jobs]
    known_somewhere = {override for known, _ in split for override in known}
    for job, (_, unknown) in zip(jobs, split, strict=True):
        for override, error in unknown.items():
            if override not in known_somewhere:
                raise error
            if choice != LEAVE_OUT:
                where = " ".join(each for each in job if not all(each in other for other in jobs))
                raise ConfigError(
                    f"{override} is for some jobs of the sweep only: {where} has no such key",
                    expected=f"keys that all jobs have, or {LEAVE_OUT}: each job goes without the keys it lacks",
                    fix=f"sweep.unknown_keys={LEAVE_OUT}",
                )


@dataclass(frozen=True)
class OpenSweep:
    """A multirun that has begun.

    Attributes:
        outbox: sends to the parent run.
        id: a tag of the sweep's runs; embexp.leaderboard takes it.
        margins: the smallest differences worth having, also of jobs that were done before with others.
        variants: what a job leaves out, or trains on alone, by the values of `sweep.part`.
        lock: holds its folder for this process until it is closed.
    """

    id: str
    outbox: Outbox
    folder: Path
    overrides: tuple[str, ...]
    margins: Margins
    variants: "Mapping[str, Variant]" = field(default_factory=dict)
    lock: ExitStack = field(default_factory=ExitStack)


# The sweep that was opened in the current `closing_sweep`: Hydra makes callback and launcher, and hands them nothing.
OPENED: ContextVar[list[OpenSweep]] = ContextVar("opened sweep")


class SweepCallback(Callback):
    """Hydra's callback: opens the sweep once, before any job starts, whichever launcher runs them.

    Args:
        id, parent: in a job's configuration: its sweep, and the id of the parent run.
    """

    def __init__(self, id: str | None = None, parent: str | None = None) -> None:
        self.id, self.parent = id, parent

    def on_multirun_start(self, config: DictConfig, config_name: str | None = None, **kwargs: Any) -> None:
        """Check the configuration of all jobs, then open the parent run; mistakes end the program here."""
        try:
            if (overrides := JOBS.get()) is not None:  # Hydra's sweepers read them there
                with flag_override(config, "readonly", False):
                    config.hydra.overrides.task = [*overrides]
            OPENED.get([]).append(_open_sweep(config, config_name or "config"))
        except Exception as error:  # noqa: BLE001 - Hydra makes a warning of it and runs the jobs without their sweep
            end_with(error)


def _open_sweep(config: DictConfig, config_name: str) -> OpenSweep:
    """Open the parent run of a multirun, after the values it sweeps over were checked."""
    from embexp.sweep.parts import as_override, variants_of

    overrides = _swept_overrides(config)
    if any(override.startswith("resume=") for override in overrides):
        raise ConfigError("was typed with -m", key="resume", expected="it alone, without -m, for each run")
    problems = Problems()
    problems.attempt(check_engine, OmegaConf.to_container(config.sweep, resolve=True), not config.sweep.get("race"))
    problems.attempt(refuse, fairness_problems(OmegaConf.to_container(config.sweep), overrides))
    grid = []
    if config.sweep.get("race"):
        from embexp.sweep.raced import check_raced, race_problems  # plans jobs, which takes numpy

        grid = [*product(*(values for _, values in _values_by_key(overrides)))]
        problems.attempt(refuse, race_problems(config, grid))
    problems.raise_if_any()
    jobs = [*_each_value_once(overrides)]
    _check_jobs(jobs, config_name, config.sweep.unknown_keys)
    if grid:
        leaves_out = config.sweep.unknown_keys == LEAVE_OUT
        check_raced([_split_known(job, config_name)[0] if leaves_out else job for job in grid], config_name)
    variants = variants_of(OmegaConf.to_container(config.sweep)["parts"], jobs, config_name)
    swept = (*overrides, *as_override(variants))
    key = sweep_key((*swept, *(f"{PART_KEY}: {each}" for each in variants.values())), config_name)
    folder = _sweep_folder(config, key)
    lock = ExitStack()
    lock.enter_context(held(folder, "sweep"))
    record = begin_sweep(folder, key, overrides, begins_anew=config.sweep.rerun == "all")
    tracker = instantiate(OmegaConf.to_container(config.tracking, resolve=True))
    outbox = Outbox(folder, tracker)
    outbox.open(_name_of(config, swept), None, record["id"])
    # All launchers compose a job from the multirun's overrides of Hydra's own keys and those of the job, also in other
    # processes: what is added to the first is the only thing that reaches the jobs of all of them.
    callback = "+hydra.callbacks.sweep"
    with flag_override(config, "readonly", False):
        config.hydra.sweep.dir = str(folder)
        config.hydra.overrides.task += as_override(variants)
        config.hydra.overrides.hydra += [
            f"hydra.sweep.dir={quoted(str(folder))}",
            f"{callback}.id={quoted(record['id'])}",
            f"{callback}.parent={quoted(outbox.run['id'])}",
        ]
    typed = (override.partition("=") for override in overrides if not changes_no_job(override))
    outbox.send("log_params", {f"override.{key.lstrip('+~')}": value or "left out" for key, _, value in typed})
    margins = margins_in(OmegaConf.to_container(config, resolve=False))
    return OpenSweep(record["id"], outbox, folder, overrides, margins, variants, lock)


_MANY = {"loss": "losses", "model": "models", "seed": "seeds", "dataset": "data sets", "modifier": "modifiers"}
_MANY[PART_KEY] = "parts"


def _name_of(config: DictConfig, overrides: Sequence[str]) -> str:
    """What a multirun varies, in a few words, such as `faq: 3 losses x 2 models x 2 seeds`."""
    counts = {key: len(values) for key, values in _values_by_key(overrides) if len(values) > 1}
    varied = [f"{number} {_MANY.get(key) or f'values of {key}'}" for key, number in counts.items()]
    dataset = "" if "dataset" in counts else Path(config.hydra.runtime.choices.get("dataset") or "").stem
    return ": ".join(filter(None, (config.name or dataset, " x ".join(varied)))) or "sweep"


def sweep_of_job() -> tuple[str | None, str | None]:
    """Id and parent run of the sweep to which the job belongs that Hydra has started; None and None without one."""
    from hydra.core.hydra_config import HydraConfig

    callback = HydraConfig.get().callbacks.get("sweep") or {}
    return callback.get("id"), callback.get("parent")


def _swept_overrides(config: DictConfig) -> tuple[str, ...]:
    """All that a multirun varies or sets: what a `sweep=` file says, then what was typed, which wins."""
    typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    params = OmegaConf.to_container(config.hydra.sweeper, resolve=True).get("params") or {}
    keys = {override.partition("=")[0] for override in typed}
    return (*(f"{key}={value}" for key, value in params.items() if key not in keys), *typed)


def _sweep_folder(config: DictConfig, key: str) -> Path:
    """The folder that was typed, else that of the same sweep earlier, else a fresh one.

    With sweep.rerun=all an earlier one is only resumed if it began in the same way and did not come to its end.
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


def _values_by_key(overrides: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each override's key, and the overrides with a single value that it stands for; none of a range without steps."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    for override in parser.parse_overrides(list(overrides)):
        key = override.get_key_element()
        if override.is_discrete_sweep():
            yield key, [f"{key}={value}" for value in override.sweep_string_iterator()]
        elif not override.is_sweep_override():
            yield key, [override.input_line]


def _each_value_once(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Jobs in which every swept value occurs once; not every combination."""
    values = [several for _, several in _values_by_key(overrides)]
    first = [choices[0] for choices in values]
    yield first
    for place, choices in enumerate(values):
        for value in choices[1:]:
            yield [*first[:place], value, *first[place + 1 :]]


logger = logging.getLogger("embexp.sweep")
Do = Callable[[Sequence[Job]], list[Outcome]]  # has jobs done, and says how each ended


def launch(
    runner: JobRunner,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    in_rounds: Callable[[JobRunner, Sequence[Job], dict[int, str], Margins, Do], Mapping[int, Outcome]] | None = None,
) -> list["JobReturn"]:
    """What each job returned; failures are not raised, they are listed when the sweep is closed.

    Args:
        in_rounds: has the jobs done that it does not drop, and takes what is dropped from their names; None: all.
    """
    from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals

    setup_globals()
    redact_files(Path(runner.config.hydra.sweep.dir).glob("multirun.yaml"))
    configure_log(runner.config.hydra.hydra_logging, runner.config.hydra.verbose)
    given = [Job(number, tuple(overrides)) for number, overrides in enumerate(job_overrides, first)]
    names = dict(zip((job.number for job in given), varying(given), strict=True))
    from embexp.sweep.parts import expanded

    opened = OPENED.get([])
    given = [Job(job.number, expanded(job.overrides, opened[0].variants if opened else {})) for job in given]
    jobs = given if runner.config.sweep.unknown_keys != LEAVE_OUT else _without_unknown(given, runner.config)
    failing = [*_failing(runner, jobs)]
    if failing:
        by_cause: dict[str, list[str]] = {}
        for job, error in failing:
            by_cause.setdefault(str(error), []).append(names[job.number])
        lines = "".join(f"\n- {'; '.join(several)}: {cause}" for cause, several in by_cause.items())
        logger.warning(
            "%s of %s jobs do not fit and will fail when their turn comes:%s", len(failing), len(jobs), lines
        )
    if is_fair(runner.config.sweep):
        jobs = with_best_rates(runner, jobs, names, {job.number for job, _ in failing})
    logger.info("%s jobs; the report and the log of each are in %s/<number>/", len(jobs), runner.config.hydra.sweep.dir)
    progress = Progress(names, runner.config.sweep.workers, logger.info, opened[0].outbox if opened else None)

    def do(several: Sequence[Job]) -> list[Outcome]:
        workers = min(runner.config.sweep.workers, len(several))
        progress.workers = workers
        if workers:
            return run_in_workers(runner, several, workers, progress)
        forget_workers(runner.place)
        return [progress.follow(job, runner.folder(job), runner.run) for job in several]

    if in_rounds:
        margins = opened[0].margins if opened else margins_in(OmegaConf.to_container(runner.config, resolve=False))
        ended = in_rounds(runner, jobs, names, margins, do)
    else:
        (runner.place / RACED).unlink(missing_ok=True)  # of the same sweep that was raced before
        ended = dict(zip((job.number for job in jobs), do(jobs), strict=True))
    return [
        JobReturn(job.overrides, status=JobStatus.COMPLETED, _return_value=ended.get(job.number, Outcome()).value)
        for job in jobs
    ]


_MOST_CHECKED = 100  # jobs that are looked at before the first one runs: composing one takes a third of a second


def _failing(runner: JobRunner, jobs: Sequence[Job]) -> Iterator[tuple[Job, Exception]]:
    """The jobs that cannot be run, as their YAML files show, with the reason; those that are done are not looked at."""
    from embexp.experiment.plan import check_without_rows

    for job in jobs[:_MOST_CHECKED]:
        folder = runner.folder(job)
        if (folder / RESULT).is_file() and any(closed for _, closed in readable([folder], is_closed)):
            continue
        try:
            check_without_rows(*composed(job.overrides, runner.config.hydra.job.config_name))
        except (EmbexpError, HydraException, OmegaConfBaseException) as error:
            yield job, error


def _without_unknown(jobs: Sequence[Job], config: "DictConfig") -> Sequence[Job]:
    """The jobs, each without the keys that it does not know."""
    split = [_split_known(job.overrides, config.hydra.job.config_name) for job in jobs]
    for override, number in Counter(override for _, unknown in split for override in unknown).items():
        logger.info("%s is left out of %s of %s jobs, which have no such key.", override, number, len(jobs))
    return [Job(job.number, tuple(known)) for job, (known, _) in zip(jobs, split, strict=True)]
