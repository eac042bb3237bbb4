"""What to type when a training does not fit into the memory of its GPU."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from embexp.errors import TrainingError


@contextmanager
def telling_what_fits(trainer: Mapping[str, Any]) -> Iterator[None]:
    """Raise TrainingError where torch runs out of memory: it says so in numbers that nobody can type.

    Args:
        trainer: the trainer YAML, with the batch that was too large.
    """
    from torch import OutOfMemoryError

    try:
        yield
    except OutOfMemoryError as error:
        rows = trainer["per_device_train_batch_size"]
        raise TrainingError(
            f"The GPU's memory is full with batches of {rows} rows ({str(error).partition('. ')[0]}). Expected batches "
            f"that fit: type trainer.per_device_train_batch_size={max(1, rows // 2)}, model.max_seq_length=128 for "
            "shorter texts, or loss=cached_mnrl, whose memory does not grow with the batch. Workers that share a GPU "
            "(sweep.gpus) share its memory, too."
        ) from error
