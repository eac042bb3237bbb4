"""Evaluators and their data: rows that were seen in training, and which metric decides."""

import json

import pytest
from conftest import TINY

from embexp.config.compose import compose
from embexp.errors import ConfigError
from embexp.experiment.plan import plan_run

SEEN = {"sentence1": "a dog runs", "sentence2": "a dog is running", "score": 0.9}
OTHER = [{"sentence1": f"text {n}", "sentence2": f"other {n}", "score": n / 10} for n in range(8)]


def planned(folder, *overrides):
    options = ["dataset=file", "dataset.reader.path=data/", "loss=cosent", "tracking=none", "paths.cache=null"]
    choices = {"dataset": "file", "loss": "cosent", "model": "tiny", "trainer": "smoke"}
    return plan_run(compose([*TINY, *options, *overrides]), choices, folder)


@pytest.fixture
def data(workplace):
    """Train and test share one pair, the other way round and in other letters; rows of train have a prompt."""

    def write(**extra):
        swapped = {"sentence1": "A dog is running!", "sentence2": "a dog runs", "score": 0.9}
        folder = workplace / "data"
        folder.mkdir(exist_ok=True)
        for name, rows in (
            ("train", [SEEN | extra, *(row | extra for row in OTHER[:4])]),
            ("test", [swapped, *OTHER[4:]]),
        ):
            lines = [json.dumps(row) for row in rows]
            (folder / f"{name}.jsonl").write_text("\n".join(lines))

    return write


@pytest.mark.parametrize("extra", [{}, {"prompt": "Represent: "}], ids=["plain", "with_row_prompts"])
def test_rows_of_test_that_stand_in_train_are_reported_and_measured_apart(data, workplace, extra):
    data(**extra)
    plan = planned(workplace, "dataset.steps.split.ratios=[1,0,0]")
    (evaluator,) = plan.evaluators
    assert evaluator.leaked["test"].tolist() == [False, True, True, True, True]  # which were not seen
    assert "spearman_cosine_no_leaks" in evaluator.metric_names
    assert any(
        "1 of 5 rows (20.0 %) of test of the evaluator sts are also in the training data" in str(w)
        for w in plan.warnings
    )


def test_the_metric_without_leaks_can_decide(data, workplace):
    data()
    plan = planned(workplace, "dataset.steps.split.ratios=[1,0,0]", "primary_metric=sts/spearman_cosine_no_leaks")
    assert (plan.primary_evaluator, plan.primary_metric) == ("sts", "spearman_cosine_no_leaks")
    with pytest.raises(ConfigError, match=r"primary_metric=sts/spearmann is not measured.*Did you mean"):
        planned(workplace, "dataset.steps.split.ratios=[1,0,0]", "primary_metric=sts/spearmann")
