"""A GPU that is full: what torch says becomes something to type."""

import pytest

from embexp.errors import TrainingError
from embexp.training.stage import _suggest_smaller_batches


def test_a_full_gpu_is_reported_with_a_batch_that_is_half_as_large():
    import torch

    said = "CUDA out of memory. Tried to allocate 48.00 MiB. GPU 0 has 79 GiB."
    with (
        pytest.raises(
            TrainingError, match=r"batches of 64 rows \(CUDA out of memory\)\..*\nhint: type .*batch_size=32\n"
        ) as told,
        _suggest_smaller_batches({"per_device_train_batch_size": 64}),
    ):
        raise torch.OutOfMemoryError(said)
    assert str(told.value.__cause__) == said


def test_other_errors_pass():
    with (
        pytest.raises(ValueError, match="of another kind"),
        _suggest_smaller_batches({"per_device_train_batch_size": 64}),
    ):
        raise ValueError("of another kind")
