"""A Slurm of one node on loopback, with all that it writes in one folder: for tests marked `cluster`."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_COMMANDS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
# A partition whose jobs make those of the other one be requeued, and times that suit a test.
_CONF = """ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,default_queue_depth=1000
SchedulerType=sched/builtin
KillWait=20
MinJobAge=10
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=off
"""


def lacks() -> str:
    """What a Slurm of our own needs and is not here; empty where all is."""
    if os.getuid() != 0:
        return "Slurm's daemons need root"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [each for each in _COMMANDS if shutil.which(each, path=path) is None]
    return f"no {absent[0]}: apt-get install slurmctld slurmd slurm-client munge" if absent else ""


@dataclass(frozen=True)
class Cluster:
    """A Slurm that runs.

    Attributes:
        environment: with which its commands find it.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self, *states: str) -> dict[str, str]:
        """The names of the jobs by their numbers: those in these states, or all that Slurm has not forgotten."""
        lines = self.run("squeue", "-h", "-r", "-t", ",".join(states) or "all", "-o", "%i %j").splitlines()
        return dict(line.split() for line in lines)


@contextmanager
def running(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """A cluster of so many CPUs (which need not be there) until the end of the context."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in ("state", "spool"):
        (folder / each).mkdir()
    host = platform.node().partition(".")[0]
    controller, daemon = _free_ports(2)
    text = _CONF.format(
        name=f"test{os.getpid()}", host=host, folder=folder, cpus=cpus, controller=controller, daemon=daemon
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": path}
    try:
        _start_munge(folder, environment)
        subprocess.run(["slurmctld"], env=environment, check=True, capture_output=True, timeout=30)
        subprocess.run(["slurmd", "-N", host], env=environment, check=True, capture_output=True, timeout=30)
        cluster = Cluster(folder, environment)
        _wait_until_idle(cluster)
        yield cluster
        subprocess.run(["scancel", "-u", "root"], env=environment, check=False, timeout=30)
    finally:
        for name in ("slurmd", "slurmctld", "munge"):
            _stop(folder / f"{name}.pid")


def _start_munge(folder: Path, environment: dict[str, str]) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log", "seed-file": "munge.seed"}
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    command = ["munged", "--force", f"--key-file={key}", *options]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30)


def _free_ports(number: int) -> Sequence[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_idle(cluster: Cluster) -> None:
    end, seen = time.monotonic() + 60, ""
    while time.monotonic() < end:
        with suppress(AssertionError):
            seen = cluster.run("sinfo", "-h", "-p", "low", "-o", "%T").strip()
            if seen == "idle":
                return
        time.sleep(0.2)
    logs = [path.read_text() for path in cluster.folder.glob("slurm*.log")]
    raise AssertionError("\n".join([f"the node is {seen}", *logs]))


def _stop(pid_file: Path) -> None:
    """End the process that wrote the file, and wait until it has."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
