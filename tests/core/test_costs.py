"""What a run costs: memory of this run alone, and the speed of its encoding."""

from pathlib import Path

import pytest
from test_run import plan_of

from embexp.core import run_context as costs
from embexp.core.run_context import Costs
from embexp.experiment.execute import execute

MB = 2**20
PER_TEST = 300  # MB, more than a test process takes and gives back by itself


class Model:
    """One with 12 parameters, whose embeddings have 4 dimensions."""

    def parameters(self):
        import torch

        return iter([torch.zeros(3, 4)])

    def get_embedding_dimension(self):
        return 4


@pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="only Linux forgets a peak")
def test_the_peak_of_memory_is_that_of_this_run_and_not_of_the_one_before():
    counted = Costs()
    counted.begin()
    before = counted.metrics()["cost/peak_memory_mb"]
    block = bytearray(b"1") * (PER_TEST * MB)
    high = counted.metrics()["cost/peak_memory_mb"]
    del block
    assert before + PER_TEST * 0.9 < high < before + PER_TEST * 1.5
    counted.begin()
    assert counted.metrics()["cost/peak_memory_mb"] < high - PER_TEST * 0.5


def test_where_the_system_does_not_forget_a_peak_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(costs, "_CLEAR", tmp_path / "not" / "there")
    counted = Costs()
    counted.begin()
    assert counted.metrics() == {}


def test_all_scorings_count(monkeypatch, tmp_path):
    monkeypatch.setattr(costs, "_CLEAR", tmp_path / "not" / "there")
    counted = Costs()
    counted.begin()
    counted.add_scoring(Model(), 0, 0.0)
    size = {"cost/parameters": 12.0, "cost/dimensions": 4.0}
    assert counted.metrics() == size
    counted.add_scoring(Model(), 100, 1.5)
    counted.add_scoring(Model(), 50, 0.5)
    assert counted.metrics() == size | {"cost/encode_texts_per_second": 75.0}


def test_a_run_logs_what_a_leaderboard_asks_of_it(tmp_path):
    result = execute(plan_of(tmp_path / "run", "tracking=none", "paths.cache=null")).content
    metrics, key = result["metrics"], result["primary"]["key"]
    assert 10 < metrics["cost/peak_memory_mb"] < 100_000
    assert metrics["cost/parameters"] > 1000
    assert metrics["cost/encode_texts_per_second"] > 1
    assert result["tags"]["primary"] == key == "test/sts/spearman_cosine"
    assert result["tags"]["evaluated.sts/test"]
    assert (result["params"]["loss"], result["params"]["seed"]) == ("mnrl", 42)
    assert metrics[f"{key}_low"] < metrics[key] < metrics[f"{key}_high"]
    assert metrics["base/sts/spearman_cosine_low"] < metrics["base/sts/spearman_cosine"]
