"""The files behind claims: one owner's each, created once, rewritten as a sign of life; and which owners still run."""

import contextlib
import errno
import functools
import json
import os
import platform
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.errors import ClaimLostError

ENGINE_JOB = "EMBEXP_ENGINE_JOB"  # in the environment of a process that an engine started: the engine's id of it
_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


@dataclass(frozen=True)
class Owner:
    """Who holds a folder, as its claim says.

    Attributes:
        job: the id that an engine (Slurm, Ray) gave the process; empty for one that was typed.
        machine: the kernel and its space of process ids in which `pid` means something.
        is_certain: whether it lives for sure; else nobody knows yet.
    """

    host: str = ""
    pid: int = 0
    started: str = ""
    machine: str = ""
    job: str = ""
    token: str = ""
    since: str = ""
    is_certain: bool = False

    def __str__(self) -> str:
        where = f"process {self.pid} on {self.host}" if self.host else "an unknown process"
        return f"{where}, job {self.job}" if self.job else where


class Claim:
    """A folder that this process holds, until `release`; a thread renews the claim."""

    def __init__(self, place: Path, number: int, lease: float) -> None:
        self.place, self.number, self.lease = place, number, lease
        self.process = os.getpid()
        self.owner = {
            "host": platform.node(),
            "pid": self.process,
            "started": started_at(self.process) or "",
            "machine": machine(),
            "job": os.environ.get(ENGINE_JOB, ""),
            "token": uuid.uuid4().hex,
            "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self.state = "held"
        self.beats = 0
        self.renewed = clock()
        self.lock = threading.RLock()

    @property
    def file(self) -> Path:
        """The file of this claim."""
        return self.place / str(self.number)

    def create(self) -> bool:
        """Whether the file was created by this call: False where somebody else has that number."""
        making = self._write_beside()
        try:
            try:
                os.link(making, self.file)
            except FileExistsError:
                raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                os.close(os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                os.replace(making, self.file)
        except FileExistsError:  # ours all the same where a network file system repeated a request that had arrived
            return read_claim(self.file)[1].token == self.owner["token"]
        finally:
            making.unlink(missing_ok=True)
        return True

    def _write_beside(self) -> Path:
        making = self.place / f".{self.owner['token']}"
        making.write_text(json.dumps({"state": self.state, "beats": self.beats} | self.owner), encoding="utf-8")
        return making

    def renew(self) -> None:
        """Give a sign of life, and see whether another process has taken over.

        The file is replaced: a change of the folder, after which no client of a network file system trusts what it
        remembers of it.
        """
        with self.lock:
            if self.state != "held" or os.getpid() != self.process:
                return
            now, self.beats = clock(), self.beats + 1
            try:
                os.replace(self._write_beside(), self.file)
            except FileNotFoundError:  # somebody removed the folder
                self.state = "lost"
                return
            if highest(self.place) > self.number:
                self.state = "lost"
            else:
                self.renewed = now

    def check(self, strict: bool = False) -> None:
        """Raise ClaimLostError unless the folder is still this process's.

        Args:
            strict: look at the file system in any case; else only where somebody may have taken over meanwhile.
        """
        if os.getpid() != self.process:
            return
        if strict or clock() - self.renewed > self.lease / 2:
            with contextlib.suppress(OSError):  # nothing can be written there now; looked at again when it can
                self.renew()
        if self.state == "lost":
            other = read_claim(self.place / str(highest(self.place)))[1]
            what, folder = self.place.stem, self.place.parent
            raise ClaimLostError(
                f"The {what} in {folder} was taken over by {other}, since this process gave no sign of life for "
                f"{clock() - self.renewed:.0f} s (it was suspended, or its file system did not answer). It ends here "
                "and writes nothing more."
            )

    def release(self) -> None:
        """Let another process have the folder."""
        with self.lock:
            if os.getpid() != self.process or self.state != "held":
                return
            self.state = "released"
            with contextlib.suppress(OSError):  # the folder was removed, or is full: free once this process has ended
                os.replace(self._write_beside(), self.file)


def numbers(place: Path) -> list[int]:
    return [int(each) for each in os.listdir(place) if each.isdigit()]


def highest(place: Path) -> int:
    try:
        return max(numbers(place), default=0)
    except FileNotFoundError:
        return 0


def read_claim(file: Path) -> tuple[str, Owner, str]:
    """State, owner and text of a claim; of one that is not written whole the owner is unknown."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "missing", Owner(), ""
    try:
        content: dict[str, Any] = json.loads(text)
        known = {key: content[key] for key in Owner.__dataclass_fields__ if key in content}
        return str(content["state"]), Owner(**known), text
    except (ValueError, KeyError, TypeError):
        return "held", Owner(), text


def is_alive(pid: int, started: str) -> bool:
    """Whether the process of this machine that began then still runs; a later one may have its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    now = started_at(pid)
    return now is None or (now != "" and (not started or now == started))


def started_at(pid: int) -> str | None:
    """When a process began, in the kernel's units; empty once it has ended; None where nobody can see it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists() or os.name != "posix":
            return None
        listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
        state, _, began = listed.stdout.strip().partition(" ")
        return "" if state[:1] in ("", "Z") else began.strip()  # macOS, BSD
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


@functools.cache
def machine() -> str:
    """The kernel since its start, with the space of process ids in which this process is; containers have their own.

    On Windows nothing can be seen of other processes, which are then known by their signs of life alone.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()} {uuid.getnode() if os.name == 'posix' else uuid.uuid4().hex}"


def clock() -> float:
    """Seconds that also pass while the machine sleeps, where the system counts them."""
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if kind is None else time.clock_gettime(kind)
