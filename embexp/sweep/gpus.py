"""Which GPU each worker gets, found without CUDA: whoever starts it in this process holds memory on every GPU."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from embexp.errors import ConfigError


def gpus_for(num_workers: int, given: Sequence[int | str] | None) -> list[str | None]:
    """A GPU for each worker, as CUDA_VISIBLE_DEVICES wants it; None for each where there is none.

    Args:
        given: `sweep.gpus`; None takes those that are seen. One that is named twice is shared by two workers.

    Raises:
        ConfigError: fewer GPUs than workers: two jobs would share one without anybody having asked for it.
    """
    gpus = seen_gpus() if given is None else [str(gpu) for gpu in given]
    if given is not None and not gpus:
        return [""] * num_workers
    if not gpus:
        return [None] * num_workers
    if len(gpus) < num_workers:
        shared = [gpus[worker % len(gpus)] for worker in range(num_workers)]
        raise ConfigError(
            f"sweep.workers={num_workers} with the GPUs {', '.join(gpus)}: two jobs would share one. Expected a "
            f"GPU for each worker: type sweep.workers={len(gpus)}, sweep.gpus=[{','.join(shared)}] to share them, or "
            "sweep.gpus=[] to train on the CPU."
        )
    return [*gpus[:num_workers]]


def seen_gpus() -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, else those that the driver lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True
    )
    return listed.stdout.split() if listed.returncode == 0 else []
