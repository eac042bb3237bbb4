"""What is read from the folders of a recipe's runs."""

import pytest

from embexp.core.run_folder import write_json
from results.findings import _rows_before


@pytest.fixture
def runs(tmp_path):
    """Two runs with a stage before the main one, each with the rows that it was shown."""
    for seed, seconds in enumerate((4.0, 6.0)):
        stage = tmp_path / str(seed) / "stages/tsdae"
        stage.mkdir(parents=True)
        write_json(stage / "result.json", {"metrics": {"cost/train_seconds": seconds, "cost/rows_per_second": 100.0}})
        write_json(tmp_path / str(seed) / "result.json", {"stages": [{"name": "tsdae"}]})
    return [tmp_path / "0", tmp_path / "1"]


def test_the_rows_of_the_stages_before_the_main_one_are_a_mean_over_the_runs(runs):
    assert _rows_before(runs) == {"tsdae": 500}


def test_a_stage_of_which_nothing_is_left_has_unknown_rows(runs):
    for run in runs:
        (run / "stages/tsdae/result.json").unlink()
    assert _rows_before(runs) == {"tsdae": None}


def test_a_run_of_one_stage_has_none_before(runs):
    write_json(runs[0] / "result.json", {"run": {"status": "FINISHED"}})
    assert _rows_before(runs[:1]) == {}
