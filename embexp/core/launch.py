"""What has started this process as one of several: torchrun or `accelerate launch`, or embexp itself.

Their environment variables are read once and removed, so that no library begins a distributed training of its own.
"""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from embexp.errors import ConfigError

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# What accelerate would change about a training; embexp's own keys do that.
_OF_ACCELERATE = {
    "ACCELERATE_USE_FSDP": "",
    "ACCELERATE_USE_DEEPSPEED": "",
    "ACCELERATE_USE_MEGATRON_LM": "",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "",
    "ACCELERATE_MIXED_PRECISION": "trainer.bf16=true",
    "ACCELERATE_DYNAMO_BACKEND": "trainer.torch_compile=true",
}
_OFF = ("", "0", "no", "false")
LONGEST = timedelta(
    days=7
)  # that a process waits for another one that lives: rank 0 may score, mine or wait for an API


@dataclass
class Launch:
    """What torchrun says of this process."""

    rank: int
    size: int
    host: str
    port: int
    is_stored_elsewhere: bool = False  # whether another process than rank 0 keeps what they tell each other
    attempt: str = "0"
    sessions: int = 0
    _store: Any = None

    def store(self) -> Any:
        """Where the processes leave words for each other."""
        from torch.distributed import PrefixStore, TCPStore

        if self._store is None:
            keeps = self.rank == 0 and not self.is_stored_elsewhere
            store = TCPStore(self.host, self.port, None, keeps, LONGEST, wait_for_workers=False)
            self.port = store.port
            self._store = PrefixStore(f"embexp/{self.attempt}", store)
        return self._store


_LAUNCH: list[Launch] = []


def read_launch() -> Launch | None:
    """What started this process as one of several, None where it was started alone; the command reads it as it begins.

    Raises:
        ConfigError: accelerate's configuration asks for what embexp does not do, or does by a key of its own.
    """
    if all(os.environ.get(name, "").isdigit() for name in ("RANK", "WORLD_SIZE")):
        rank, size, local, host, port = (os.environ.pop(name, "") for name in VARIABLES)
        elsewhere = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        if int(size) > 1:
            _LAUNCH[:] = [Launch(int(rank), int(size), host or "127.0.0.1", int(port or 29500), elsewhere, attempt)]
            _see_one_gpu(local)
        _forget_accelerate(int(rank))
    return launched()


def launched() -> Launch | None:
    """What `read_launch` has found."""
    return _LAUNCH[0] if _LAUNCH else None


def refuse_launch(what: str, fix: str) -> None:
    """Raise ConfigError where a launcher has started this in several processes; only the first says so.

    Args:
        what: is done in one process.
        fix: what to type in its place.
    """
    launch, size = launched(), os.environ.get("WORLD_SIZE", "")
    if launch is None and not (size.isdigit() and int(size) > 1 and "RANK" in os.environ):
        return
    if launch is None and os.environ["RANK"] != "0":
        sys.exit(0)
    text = f"{what} runs in one process, and a launcher has started {launch.size if launch else size}"
    raise ConfigError(text, expected="the command without torchrun or accelerate", fix=fix)


def _see_one_gpu(local_rank: str) -> None:
    """Leave this process the GPU that is its own on its machine."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif local_rank:
        gpus = [local_rank] if seen is None else [each for each in seen.split(",") if each.strip()]
        mine = 0 if seen is None else int(local_rank)
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[mine] if mine < len(gpus) else ""


def _forget_accelerate(rank: int) -> None:
    asked = {name: os.environ.get(name, "") for name in _OF_ACCELERATE}
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_", "TORCHELASTIC_"))]:
        del os.environ[name]
    if asked := {name: value for name, value in asked.items() if value.lower() not in _OFF}:
        if rank:
            sys.exit(0)  # rank 0 says so
        name, value = next(iter(asked.items()))
        expected = (
            "plain data-parallel training: accelerate launch --multi_gpu --mixed_precision no --dynamo_backend no"
        )
        fix = tuple(filter(None, [_OF_ACCELERATE[name]]))
        raise ConfigError("was set by accelerate", key=name, given=value, expected=expected, fix=fix)


def check_size(launch: Launch | None, size: int) -> None:
    """Raise ConfigError where the launcher has started another number of processes than the training has."""
    if launch is not None and launch.size != size:
        text = f"does not fit the {launch.size} processes that the launcher has started"
        note = "Or type the command without torchrun or accelerate: it starts its processes by itself"
        expected = f"torchrun --nproc_per_node={size}" if size > 1 else "the command without a launcher"
        raise ConfigError(text, key="trainer.processes", given=size, expected=expected, note=note)
