"""What a sweep says of the jobs that failed, and of one that ended."""

import pytest

from embexp.core.run_folder import RESULT, write_json
from embexp.sweep.progress import found_in
from embexp.sweep.train import _failures


def failed(folder, error, *overrides):
    folder.mkdir()
    write_json(folder / RESULT, {"run": {"status": "FAILED"}, "error": error, "overrides": [*overrides]})
    return folder


def test_jobs_of_one_cause_are_together_with_the_whole_error_and_what_runs_each(tmp_path):
    long = f"ShapeError: {'the loss wants other data ' * 20}\nhint: type loss=mnrl"
    folders = [
        failed(tmp_path / "0", long, "loss=mega_batch", "model=static", "sweep.workers=2"),
        failed(tmp_path / "1", "TrainingError: nan", "loss=mnrl"),
        failed(tmp_path / "2", long, "loss=mega_batch", "model=tiny"),
    ]
    first, second = _failures(folders)
    assert first.count(long) == 1
    assert "2 jobs failed for one cause:" in first
    for again in ("loss=mega_batch model=static", "loss=mega_batch model=tiny"):
        assert f"again: python -m embexp {again}\n" in first
    assert second.endswith("TrainingError: nan")
    assert "for one cause" not in second


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (
            {"primary": {"split": "test", "trained": 0.40158, "difference": 0.0381, "verdict": "better"}},
            "test 0.4016, +0.0381 better",
        ),
        ({"run": {}}, ""),
        (None, ""),
    ],
)
def test_a_job_that_ended_is_said_with_score_difference_and_verdict(tmp_path, result, found):
    if result is not None:
        write_json(tmp_path / RESULT, result)
    assert found_in(tmp_path) == found
