"""A GPU for each worker, and never two workers on one that nobody wanted there."""

import os
import stat

import pytest

from embexp.engines.local import _seen_gpus, gpu_of_each
from embexp.errors import ConfigError


@pytest.mark.parametrize(
    ("workers", "given", "expected"),
    [
        (2, [0, 1], ["0", "1"]),
        (1, [3], ["3"]),
        (2, [], ["", ""]),
        (1, ["GPU-1", "GPU-2"], ["GPU-1"]),
        (2, [1, 1], ["1", "1"]),
    ],
)
def test_each_worker_gets_the_gpu_that_was_named_for_it(workers, given, expected):
    assert gpu_of_each(workers, given) == expected


def test_more_workers_than_gpus_are_refused():
    with pytest.raises(
        ConfigError, match=r"(?s)type sweep.workers=2\n.*type sweep.gpus=\[0,1,0\]\n.*type sweep.gpus=\[\]"
    ):
        gpu_of_each(3, [0, 1])


def test_those_that_the_environment_names_are_seen(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert _seen_gpus() == ["2", "5"]
    assert gpu_of_each(2, None) == ["2", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu_of_each(2, None) == [None, None]


def test_those_that_the_driver_lists_are_seen(tmp_path, monkeypatch):
    lists = tmp_path / "nvidia-smi"
    lists.write_text("#!/bin/sh\necho 0\necho 1\n")
    lists.chmod(lists.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert _seen_gpus() == ["0", "1"]
    lists.write_text("#!/bin/sh\nexit 9\n")
    assert _seen_gpus() == []
