"""Workers that are tasks of a Ray cluster, which is found or started here; they end with the process that started them.

Ray places them by what they need and starts none a second time: the sweep counts how often a job was tried. A worker
whose node is lost frees its job, and the next one resumes it from its last checkpoint.
"""

import contextlib
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embexp.core.claim_files import ENGINE_JOB
from embexp.core.environment import lack_of
from embexp.errors import ConfigError, EngineError

logger = logging.getLogger("embexp.sweep")
_PATIENCE = 30.0  # seconds that cancelled workers have to close their runs; then they are killed
_KILLED = 5.0  # seconds to see that they are
_HERE = "local"
_CANNOT = "A worker cannot do jobs: "
_KNOCK = 10.0  # seconds that a cluster has to take a connection


class RayEngine:
    """Tasks of a Ray cluster: of the one that runs, else of one that is started on this machine for the sweep.

    Args:
        address: `auto`: the cluster of `RAY_ADDRESS`, else the one that this machine belongs to, else one that is
            started here; `local`: always one that is started here; or `<host>:6379`, `ray://<host>:10001`.
        cpus_per_job: also the threads of a worker.
        memory_gb: what Ray reserves, for placement only; None: nothing.
        resources: others by the names that the cluster's nodes have, such as `{accelerator_type:A100: 0.01}`.
        retries: how often a job is tried again whose worker or node died.
        pause: seconds between two looks at the workers.
    """

    outlives, then, jobs_per_worker = False, "wait", None

    def __init__(
        self,
        address: str = "auto",
        cpus_per_job: float = 1,
        gpus_per_job: float = 0,
        memory_gb: float | None = None,
        resources: dict[str, float] | None = None,
        retries: int = 2,
        pause: float = 0.5,
    ) -> None:
        self.address, self.retries, self.pause = address, retries, pause
        memory = {} if memory_gb is None else {"memory": int(memory_gb * 2**30)}
        self.needs = {"num_cpus": cpus_per_job, "num_gpus": gpus_per_job, "resources": resources or {}} | memory
        self.scope = "ray:"
        self.is_here = False
        self.began_it = False
        self.tasks: dict[str, Any] = {}
        self.ends: dict[str, str] = {}
        self.shown: set[str] = set()

    def check(self, workers: int) -> None:
        if lack := lack_of("ray", imports=False):
            raise EngineError(f"sweep/engine=ray needs {lack.text}", fix=lack.fix)
        given = {"cpus_per_job": "num_cpus", "gpus_per_job": "num_gpus", "memory_gb": "memory"}
        for key, name in given.items():
            if (value := self.needs.get(name, 0)) < 0:
                key = f"sweep.engine.{key}"
                raise ConfigError("is below 0", key=key, given=value, expected="0 or more", fix=f"{key}=1")
        if workers < 1:
            expected = "how many workers may run side by side on the cluster"
            raise ConfigError(key="sweep.workers", given=workers, expected=expected, fix="sweep.workers=4")

    def begin(self, sweep: str, folder: Path) -> None:
        """Find the cluster, or start one.

        Raises:
            EngineError: the one that was named does not answer, or is of another version.
        """
        self.scope = f"ray:{sweep}/"
        ray = _quiet_ray()
        if not ray.is_initialized():
            with _own_handlers():
                self._connect(ray)
        nodes = [each for each in ray.nodes() if each["Alive"]]
        self.is_here = self.began_it
        lacking = _lacking(self.needs, [each["Resources"] for each in nodes])
        if lacking and self.is_here:
            raise EngineError(
                f"No worker can ever start: this machine has {lacking}", expected="needs that it can meet"
            )
        if lacking:
            logger.warning("No node of the Ray cluster has what a worker needs yet: %s. Waiting for one.", lacking)
        total = ray.cluster_resources()
        logger.info(
            "Ray %s: %s, %g CPUs, %g GPUs",
            self._where(),
            _counted(len(nodes)),
            total.get("CPU", 0),
            total.get("GPU", 0),
        )

    def _where(self) -> str:
        return "started on this machine" if self.began_it else f"at {self.address}"

    def _connect(self, ray: Any) -> None:
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        named = os.environ.get("RAY_ADDRESS") if self.address == "auto" else self.address
        if named and named not in (_HERE, "auto"):
            self.address = named
            try:
                _knock(named)
                ray.init(address=named, **quiet)
            except (OSError, RuntimeError, ValueError, ImportError) as error:
                raise EngineError(
                    f"The Ray cluster at {named} cannot be used: {str(error).strip().splitlines()[0]}",
                    expected="one that answers, of this version of Ray and Python, or one that is started here",
                    fix=f"sweep.engine.address={_HERE}",
                ) from error
            return
        if named != _HERE:
            with contextlib.suppress(ConnectionError):
                ray.init(address="auto", **quiet)
                return
        ray.init(address=_HERE, include_dashboard=False, **quiet)
        self.began_it = True

    def submit(self, work: Callable[[], None], number: int, limit: int, environment: Mapping[str, str]) -> None:
        import ray

        # Its worker process ends with the task: nothing of one sweep, such as a GPU's memory, is left for another.
        task = ray.remote(max_retries=0, max_calls=1, **self.needs)(_in_task)
        for _ in range(number):
            name = f"{self.scope}{uuid.uuid4().hex[:8]}"
            self.tasks[name] = task.remote(work, {**environment, ENGINE_JOB: name})

    def states(self) -> dict[str, str]:
        import ray

        going = {task: name for name, task in self.tasks.items() if name not in self.ends}
        ended, _ = ray.wait([*going], num_returns=len(going), timeout=0) if going else ([], [])
        for task in ended:
            self.ends[going[task]] = end = _end_of(task)
            if end.startswith(_CANNOT) and end not in self.shown:
                logger.warning("%s", end)
                self.shown.add(end)
        return {name: self.ends.get(name, "running") for name in self.tasks}

    def cancel(self) -> None:
        import ray

        end = time.monotonic() + _PATIENCE
        for force in (False, True):
            going = [task for name, task in self.tasks.items() if self.states()[name] == "running"]
            for task in going:
                ray.cancel(task, force=force)
            if going:
                ray.wait(going, num_returns=len(going), timeout=_KILLED if force else end - time.monotonic())

    def follow_up(self, work: Callable[[], None], environment: Mapping[str, str]) -> None:
        """The workers end with this process."""

    def close(self) -> None:
        import ray

        if self.began_it:
            ray.shutdown()
            self.began_it = False


def _in_task(work: Callable[[], None], environment: Mapping[str, str]) -> str:
    """What a worker of Ray runs: the work; returns how it ended. Ray cancels with Ctrl-C, which shall be a SIGTERM."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        work()
    except EngineError as error:
        return f"{_CANNOT}{error}"
    except SystemExit as error:  # a real one takes the worker process with it, and Ray's word for that is a crash
        return "" if error.code in (None, 0) else f"exit code {error.code}"
    return ""


def _knock(address: str) -> None:
    """Raise an OSError where nobody listens, or a ValueError where that is no address: Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("no address such as head-node:6379 or ray://head-node:10001")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()


def _end_of(task: Any) -> str:
    """How a task ended, in a few words; empty where all was well."""
    import ray
    from ray import exceptions

    words = {
        exceptions.TaskCancelledError: "being cancelled",
        exceptions.OutOfMemoryError: "lack of memory",
        exceptions.NodeDiedError: "the loss of its node",
        exceptions.WorkerCrashedError: "the death of its worker (out of memory, or its node is lost?)",
        exceptions.RayTaskError: "",
    }
    try:
        return ray.get(task)
    except exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        found = next((text for kind, text in words.items() if isinstance(error, kind)), "")
        return found or str(cause or error).strip().splitlines()[-1]


def _lacking(needs: Mapping[str, Any], nodes: list[Mapping[str, float]]) -> str:
    """What no node of a cluster has enough of; empty where one can take a worker."""
    wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"], "memory": needs.get("memory", 0)} | needs["resources"]
    if any(all(node.get(key, 0) >= value for key, value in wanted.items()) for node in nodes):
        return ""
    most = {key: max((node.get(key, 0) for node in nodes), default=0) for key in wanted}
    few = [f"{most[key]:g} of {value:g} {key}" for key, value in wanted.items() if most[key] < value]
    return ", ".join(few) or "all that it needs on no single node"


def _counted(number: int) -> str:
    return f"{number} node{'s' if number != 1 else ''}"


def _quiet_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Inside, Ray may set handlers of signals; afterwards ours are there again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
