"""The processes of one run: that of rank 0 runs the command, the others compute with it while it trains.

They are started by a launcher, or by rank 0 itself (`trainer.processes`): the same command, with the same variables.
"""

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from embexp.core.launch import LONGEST, VARIABLES, Launch, check_size, launched
from embexp.errors import TrainingError

logger = logging.getLogger(__name__)
if TYPE_CHECKING:
    from torch import Tensor

_POLL = 0.1


class LostProcessError(TrainingError):
    """Another process of the run has ended."""


class Group:
    """The processes while they train together; each calls the same methods in the same order.

    Raises:
        LostProcessError: another process has ended; with what it left as its reason.
    """

    def __init__(self, store: Any, rank: int, size: int, device: str, children: Sequence[subprocess.Popen] = ()):
        from torch.distributed import PrefixStore, ProcessGroupGloo

        self.store, self.rank, self.size, self.device, self.children = store, rank, size, device, children
        self._failure = ""
        self._meet()
        with self._reported():
            self._words = ProcessGroupGloo(PrefixStore("words", store), rank, size, LONGEST)
            self._numbers = self._words if device == "cpu" else _nccl(PrefixStore("numbers", store), rank, size)
        if device != "cpu" and rank == 0:
            threading.Thread(target=self._watch, args=(store.clone(),), daemon=True).start()

    def _meet(self) -> None:
        """Wait until all are there; on the same kind of device."""
        self.store.set(f"there/{self.rank}", self.device)
        for other in range(self.size) if self.rank == 0 else ():
            while not self.store.check([f"there/{other}"]):
                self._look_for_failures()
                time.sleep(_POLL)
            if (device := self.store.get(f"there/{other}").decode()) != self.device:
                text = f"Process {other} of {self.size} trains on {device}, process 0 on {self.device}"
                raise TrainingError(text, expected="a GPU for each process, or none at all")

    def _look_for_failures(self) -> None:
        if self._failure or (failure := self._failure_of(self.store)):
            raise LostProcessError(self._failure or failure)

    def _failure_of(self, store: Any) -> str:
        """Why a process has ended; empty while all live."""
        if store.check(["failure"]):
            return store.get("failure").decode()
        for rank, child in enumerate(self.children, 1):
            if (code := child.poll()) not in (None, 0):
                reason = f"signal {-code}" if code < 0 else f"exit code {code}"
                hint = " (out of memory?)" if code == -9 else ""
                return f"Process {rank} of {self.size} was ended by {reason}{hint}."
        return ""

    def _watch(self, store: Any) -> None:
        """A GPU waits for a process that has died until its time is out: end its waiting."""
        with contextlib.suppress(RuntimeError):  # the training has ended, and the store with it
            while not (failure := self._failure_of(store)):
                time.sleep(5 * _POLL)
            self._failure = failure
            self._numbers.abort()

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise what ended the other process in place of the connection's error."""
        try:
            yield
        except RuntimeError as error:
            end = time.monotonic() + 20 * _POLL
            while self.rank == 0 and time.monotonic() < end:
                self._look_for_failures()
                time.sleep(_POLL)
            text = f"One of the {self.size} processes that train together has ended"
            if self.rank == 0:  # a launcher's SIGTERM may take the error's place
                logger.warning("%s: the launcher says which one.", text)
            raise LostProcessError(text, note="The launcher says which one, and above it what it said") from error

    def word(self, value: int = 0) -> int:
        """The number that rank 0 says, in every process."""
        import torch

        said = torch.tensor([value])
        with self._reported():
            self._words.broadcast(said, 0).wait()
        return int(said.item())

    def hand_out(self, content: bytes = b"") -> bytes:
        """What rank 0 gives, in every process."""
        import torch

        size = self.word(len(content))
        given = torch.frombuffer(bytearray(content or bytes(size)), dtype=torch.uint8)
        with self._reported():
            self._words.broadcast(given, 0).wait()
        return given.numpy().tobytes()

    def gathered(self, tensor: "Tensor") -> "Tensor":
        """The tensors of all processes, which have the same shape, one after the other."""
        import torch

        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._reported():
            self._numbers.allgather([parts], [tensor.detach().contiguous()]).wait()
        return torch.cat(parts)

    def average(self, tensors: "Sequence[Tensor]") -> None:
        """Put the mean over all processes into each tensor."""
        from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

        for some in _of_a_kind(tensors):
            flat = _flatten_dense_tensors(some)
            with self._reported():
                self._numbers.allreduce([flat]).wait()
            flat /= self.size
            for tensor, mean in zip(some, _unflatten_dense_tensors(flat, some), strict=True):
                tensor.copy_(mean)

    def close(self) -> None:
        """Let go of the connections."""
        for group in {self._words, self._numbers}:
            with contextlib.suppress(RuntimeError):
                group.abort()


def _nccl(store: Any, rank: int, size: int) -> Any:
    from torch.distributed import ProcessGroupNCCL

    options = ProcessGroupNCCL.Options()
    options._timeout = LONGEST
    return ProcessGroupNCCL(store, rank, size, options)


_MOST_AT_ONCE = 2**25  # numbers that are averaged together, so that their copy is small


def _of_a_kind(tensors: "Sequence[Tensor]") -> "Iterator[list[Tensor]]":
    """The tensors in lists of one type, each list with so many numbers that a copy of it is small."""
    for _, same in itertools.groupby(sorted(tensors, key=lambda each: str(each.dtype)), lambda each: each.dtype):
        some: list[Tensor] = []
        for tensor in same:
            if some and sum(each.numel() for each in some) + tensor.numel() > _MOST_AT_ONCE:
                yield some
                some = []
            some.append(tensor)
        yield some


@contextlib.contextmanager
def several(size: int, device: str) -> Iterator[Group]:
    """In rank 0: the group of so many processes; those of the launcher, else ones that are started for it.

    Raises:
        ConfigError: the launcher has started another number.
        LostProcessError: one of them has ended.
    """
    launch, children = launched(), []
    check_size(launch, size)
    if launch is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        launch = Launch(0, size, "127.0.0.1", port)
        launch.store()
        children = [_started(rank, launch) for rank in range(1, size)]
    group = None
    try:
        group = _session(launch, device, children)
        yield group
    finally:
        if group:
            group.close()
        for child in children:
            child.kill()
            child.wait()


def _session(launch: Launch, device: str, children: Sequence[subprocess.Popen] = ()) -> Group:
    """The group of the next training; in the other processes once rank 0 begins it."""
    from torch.distributed import PrefixStore

    number, store = launch.sessions, launch.store()
    launch.sessions += 1
    if launch.rank == 0:
        store.set(f"session/{number}", "train")
    return Group(PrefixStore(f"group/{number}", store), launch.rank, launch.size, device, children)


def _started(rank: int, launch: Launch) -> subprocess.Popen:
    """A process of that rank: it runs `embexp` as torchrun's do."""
    own = dict(zip(VARIABLES, (rank, launch.size, rank, launch.host, launch.port), strict=True))
    environment = os.environ | {name: str(value) for name, value in own.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # packages of losses of one's own
    return subprocess.Popen(
        [sys.executable, "-m", "embexp"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def sessions_of(launch: Launch, device: str) -> Iterator[Group]:
    """In the other processes: the group of each training, until rank 0 says that there are no more."""
    while _is_begun(launch.store(), f"session/{launch.sessions}"):
        yield _session(launch, device)


def _is_begun(store: Any, key: str) -> bool:
    """Wait for the next training; False where rank 0 has ended."""
    with contextlib.suppress(RuntimeError):  # the connection to rank 0
        while not store.check([key]):
            time.sleep(_POLL)
        return store.get(key) != b"end"
    return False


@contextlib.contextmanager
def leading(launch: Launch | None) -> Iterator[None]:
    """In rank 0: what the command does; the other processes end with it, also when none of it was a training."""
    try:
        yield
    finally:
        if launch is not None:
            with contextlib.suppress(RuntimeError):
                launch.store().set(f"session/{launch.sessions}", "end")
