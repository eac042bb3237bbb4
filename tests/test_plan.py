"""What a plan says before anything is loaded."""

import logging

from conftest import TINY

from embexp.config import compose
from embexp.plan import plan_run

CHOICES = {"dataset": "nli", "model": "tiny", "loss": "mnrl", "trainer": "smoke"}


def plan_of_nli(folder, data, *overrides):
    overrides = [*TINY[:2], "dataset=nli", "evaluator=stsb", f"paths.data={data}", *overrides]
    return plan_run(compose(overrides), CHOICES, folder)


def test_a_conversion_that_keeps_few_rows_is_told_with_what_may_keep_more(tmp_path, real_data, caplog):
    with caplog.at_level(logging.WARNING):
        plan = plan_of_nli(tmp_path, real_data)
    assert plan.stages[0].dataset.splits["train"].num_rows == 776
    assert (
        "Only 6,658 of 65,030 rows of nli make a triplet. Another shape may keep more: shape=positive_pair."
        in caplog.text
    )


def test_the_shape_that_is_asked_for_is_trained_on(tmp_path, real_data, caplog):
    with caplog.at_level(logging.WARNING):
        (stage,) = plan_of_nli(tmp_path, real_data, "shape=positive_pair").stages
    labels = plan_of_nli(tmp_path, real_data, "loss=softmax").stages[0].dataset.splits["train"]["label"][:]
    assert stage.dataset.shape.name == "positive_pair"
    assert stage.dataset.splits["train"].num_rows == labels.count(0)
    assert "Another shape" not in caplog.text
