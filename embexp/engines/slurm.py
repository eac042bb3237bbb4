"""Workers that are jobs of Slurm, submitted through submitit as one array; they outlive who submitted them.

submitit asks `sacct` how its jobs are, which needs an accounting daemon. Here `squeue` is asked by the name of the
jobs, which holds the sweep's id: so a job that an earlier process has submitted is found, and none that has got its
number.
"""

import getpass
import logging
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.claim_files import ENGINE_JOB
from embexp.core.environment import lack_of
from embexp.core.signals import listen
from embexp.errors import ConfigError, EngineError, Terminated

logger = logging.getLogger("embexp.sweep")
_LOGS = "slurm"  # in the sweep's folder: what the workers print that belongs to no job
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
_PATIENCE = 90.0  # seconds for cancelled workers to close their runs: Slurm kills them after KillWait
_SILENCE = 600.0  # seconds that squeue may fail before we give up
_COUNT, _FROM_ZERO = LegalValues(least=1, whole=True), LegalValues(least=0, whole=True)
_LEGAL = {  # each with a value to type
    "cpus_per_job": (_COUNT, 1),
    "gpus_per_job": (_FROM_ZERO, 1),
    "memory_gb": (LegalValues(above=0, optional=True), 8),
    "signal_seconds": (LegalValues(least=1, most=65535, whole=True), 90),
    "max_requeues": (_FROM_ZERO, 100),
    "retries": (_FROM_ZERO, 2),
    "jobs_per_worker": (LegalValues(least=1, whole=True, optional=True), "null"),
    "pause": (LegalValues(above=0), 5),
}


class SlurmEngine:
    """Jobs of the Slurm cluster whose commands are on the PATH; each is one worker.

    Args:
        partition: None: the cluster's default.
        time: that a worker has, in minutes or as Slurm writes it (`12:00:00`, `1-12`). A worker that runs out of it
            writes a checkpoint and is requeued.
        signal_seconds: before its end, to write that checkpoint in; Slurm may signal a minute earlier.
        max_requeues: of one worker after time-outs. Preemption and failed nodes do not count.
        retries: how often a job is tried again whose worker died, of lack of memory for example.
        jobs_per_worker: None: a worker does jobs until none is left, since it needs seconds to start.
        then: wait until the sweep has ended; leave the jobs to Slurm; or cancel those of this sweep.
        pause: seconds between two calls of squeue.
        setup: lines of shell before the worker starts, such as `module load cuda`.
        sbatch: other options by their names, such as `{account: mine, constraint: a100}`.
    """

    outlives, is_here = True, False

    def __init__(
        self,
        partition: str | None = None,
        time: int | str = "1:00:00",
        cpus_per_job: int = 1,
        gpus_per_job: int = 0,
        memory_gb: float | None = None,
        signal_seconds: int = 90,
        max_requeues: int = 100,
        retries: int = 2,
        jobs_per_worker: int | None = None,
        then: Literal["wait", "leave", "cancel"] = "wait",
        pause: float = 5.0,
        setup: list[str] | None = None,
        sbatch: dict[str, Any] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _LEGAL}
        refuse(
            problem
            for name, value in given.items()
            for problem in problems_with(f"sweep.engine.{name}", value, *_LEGAL[name])
        )
        self.retries, self.jobs_per_worker, self.then, self.pause = retries, jobs_per_worker, then, pause
        self.max_requeues, self.cpus = max_requeues, cpus_per_job
        self.common = {"partition": partition, "signal_delay_s": signal_seconds, "setup": setup}
        memory = None if memory_gb is None else f"{math.ceil(memory_gb * 1024)}M"
        self.needs = {"time": minutes_in(time), "cpus_per_task": cpus_per_job, "mem": memory}
        self.needs |= {"gpus_per_node": gpus_per_job} if gpus_per_job else {}
        self.options = {name.lstrip("-").replace("_", "-"): value for name, value in (sbatch or {}).items()}
        self.scope, self.name, self.folder = "", "", Path()
        self.known: dict[str, str] = {}
        self.heard, self.reasons = time_now(), ""

    def check(self, workers: int) -> None:
        if lack := lack_of("slurm", imports=False):
            raise EngineError(f"sweep/engine=slurm needs {lack.text}", fix=lack.fix)
        absent = [each for each in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(each) is None]
        if absent:
            expected = "the machine from which you submit, or workers on this one"
            raise EngineError(f"Slurm is not here: no {absent[0]}", expected=expected, fix="sweep/engine=local")
        if workers < 1:
            expected = "how many workers may run side by side on the cluster"
            raise ConfigError(key="sweep.workers", given=workers, expected=expected, fix="sweep.workers=4")

    def begin(self, sweep: str, folder: Path) -> None:
        cluster = re.search(r"^ClusterName\s*=\s*(\S+)", _output("scontrol", "show", "config"), re.MULTILINE)
        hosts = {name.partition(".")[0] for name in _output("sinfo", "-h", "-N", "-o", "%n").split()}
        self.is_here = hosts == {platform.node().partition(".")[0]}
        self.scope = f"slurm:{cluster[1] if cluster else ''}/"
        self.name, self.folder = f"embexp-{sweep}", folder.absolute() / _LOGS

    def submit(self, work: Callable[[], None], number: int, limit: int, environment: Mapping[str, str]) -> None:
        executor = self._executor(self.name, self.needs | {"array_parallelism": limit})
        with _added(environment):
            jobs = executor.map_array(in_job, [work] * number, [self.scope] * number, [self.max_requeues] * number)
        self.known |= {f"{self.scope}{job.job_id}": "waiting" for job in jobs}
        logger.info("Slurm has %s of this sweep (%s).", _jobs(len(jobs)), ", ".join(job.job_id for job in jobs))

    def _executor(self, name: str, needs: Mapping[str, Any], **options: Any) -> Any:
        from submitit import SlurmExecutor

        executor = SlurmExecutor(self.folder)
        given = {key: value for key, value in (self.common | dict(needs)).items() if value is not None}
        extra = {"requeue": True, "chdir": str(Path.cwd()), **options, **self.options}
        one = {"nodes": 1, "ntasks_per_node": 1, "stderr_to_stdout": True}
        executor.update_parameters(job_name=name, additional_parameters=extra, **one, **given)
        return executor

    def states(self) -> dict[str, str]:
        """As Slurm says; what it has forgotten is left out. While it does not answer, what it said last."""
        try:
            lines = _squeue(self.name, "%i|%T|%r", "all").splitlines()
        except EngineError:
            if time_now() - self.heard > _SILENCE:
                raise
            return self.known
        self.heard = time_now()
        found = [line.strip().split("|") for line in lines if line.strip()]
        self.known = {f"{self.scope}{number}": _state(word) for number, word, _ in found}
        self._hurry([number for number, word, reason in found if (word, reason) == ("PENDING", "BeginTime")])
        self._show_reasons([reason for _, word, reason in found if word in _WAITING])
        return self.known

    def _hurry(self, numbers: Sequence[str]) -> None:
        """Let jobs that were requeued start at once: Slurm would wait for two minutes."""
        for number in numbers if "begin" not in self.options else ():
            subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], capture_output=True, timeout=60)

    def _show_reasons(self, reasons: Sequence[str]) -> None:
        """Why jobs wait, each time that this has changed."""
        text = ", ".join(sorted({each for each in reasons if each not in ("None", "Prolog", "BeginTime")}))
        if text and text != self.reasons:
            logger.info("Slurm lets %s wait: %s", _jobs(len(reasons)), text)
        self.reasons = text

    def cancel(self) -> None:
        self._cancel_all(self.name)
        end = time_now() + _PATIENCE
        while any(state in ("running", "waiting") for state in self.states().values()) and time_now() < end:
            time.sleep(min(1.0, self.pause))

    def _cancel_all(self, name: str, state: str = "") -> None:
        """Cancel the jobs of that name, or those in that state, except the one that this process runs in."""
        numbers = _squeue(name, "%i", state).split()
        if left := [each for each in numbers if each != os.environ.get("SLURM_JOB_ID")]:
            _output("scancel", *left)

    def follow_up(self, work: Callable[[], None], environment: Mapping[str, str]) -> None:
        self._cancel_all(f"{self.name}-end")
        alive = [name for name, state in self.states().items() if state in ("running", "waiting")]
        numbers = sorted({name.removeprefix(self.scope).partition("_")[0] for name in alive})
        after = {"dependency": ":".join(["afterany", *numbers])} if numbers else {}
        needs = {"time": max(30, self.needs["time"]), "cpus_per_task": 1, "mem": self.needs["mem"]}
        executor = self._executor(f"{self.name}-end", needs, **after)
        with _added(environment):
            executor.submit(alone, work)

    def close(self) -> None:
        """Cancel what still waits; workers that run see that no job is left, and end by themselves."""
        self._cancel_all(self.name, "PENDING")
        self._cancel_all(f"{self.name}-end")


def in_job(work: Callable[[], None], scope: str, max_requeues: int) -> None:
    """What a job runs: the work; after the signal that its time is nearly up it is requeued.

    After SIGTERM alone it is not: Slurm itself requeues what it preempts.
    """
    alone(lambda: None)
    os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    array, place = (os.environ.get(f"SLURM_ARRAY_{each}") for each in ("JOB_ID", "TASK_ID"))
    number = f"{array}_{place}" if array else os.environ["SLURM_JOB_ID"]
    os.environ[ENGINE_JOB] = f"{scope}{number}"
    signals: list[int] = []

    def time_is_up(number: int, _: Any) -> None:
        signals.append(number)
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGUSR2, time_is_up)
    try:
        work()
    except Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which requeueing sends, too
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signals and int(os.environ.get("SLURM_RESTART_COUNT", 0)) < max_requeues:
            print("The time of the job is up: it is requeued.", file=sys.stderr, flush=True)
            subprocess.run(
                ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False, timeout=60
            )  # else it is submitted again
        raise


def alone(work: Callable[[], None]) -> None:
    """Do the work without submitit's handlers of signals."""
    os.environ.pop("SUBMITIT_EXECUTOR", None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGCONT, signal.SIG_DFL)
    listen()
    work()


time_now = time.monotonic


def minutes_in(given: int | str) -> int:
    """Minutes of a time as Slurm writes it.

    >>> [minutes_in(each) for each in (90, "90", "90:30", "12:00:00", "1-12", "2-0:30")]
    [90, 90, 91, 720, 2160, 2910]

    Raises:
        ConfigError: it is none.
    """
    text = str(given).strip()
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if isinstance(given, bool) or not found or not any(map(int, filter(None, found.groups()))):
        expected = "minutes, or a time such as 12:00:00 or 1-12"
        raise ConfigError(key="sweep.engine.time", given=given, expected=expected, fix="sweep.engine.time=60")
    days, first, second, third = (None if each is None else int(each) for each in found.groups())
    if days is not None:
        return days * 1440 + first * 60 + (second or 0) + math.ceil((third or 0) / 60)
    if third is not None:
        return first * 60 + second + math.ceil(third / 60)
    return first + math.ceil((second or 0) / 60)


def _state(word: str) -> str:
    if word in _WAITING:
        return "waiting"
    if word in _RUNNING:
        return "running"
    return "" if word == "COMPLETED" else f"{word} (Slurm)"


def _squeue(name: str, form: str, states: str = "") -> str:
    """A line for each of the user's jobs of that name: in these states, else those that have not ended."""
    chosen = ["--user", getpass.getuser(), "--name", name, *(["-t", states] if states else [])]
    return _output("squeue", "-h", "-r", *chosen, "-o", form)


def _output(*command: str) -> str:
    """What a command of Slurm prints.

    Raises:
        EngineError: it fails or does not answer.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"Slurm does not answer: {error}") from error
    if done.returncode:
        raise EngineError(f"{' '.join(command[:3])}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def _added(environment: Mapping[str, str]) -> Iterator[None]:
    """Inside, the environment that sbatch hands on holds these, too, and nothing of a job that this process is in."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("SLURM_", "SUBMITIT_")) and name != "SLURM_CONF":
            del os.environ[name]
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _jobs(number: int) -> str:
    return f"{number} job{'s' if number != 1 else ''}"
