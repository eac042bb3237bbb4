"""The margins of verdicts: their values, their names, their mistakes, and what would decide."""

import math

import pytest

from embexp.config.compose import compose, resolve
from embexp.evaluation.stats.verdicts import default_margins, examples_needed, margin_of, margin_problems, margins_in
from embexp.experiment.fingerprint import CHANGE_NOTHING
from embexp.reports.verdict_words import in_words, kind_of, margin_line, undecided_lines

ALL_METRICS = ["spearman_cosine", "pearson_dot", "ap_cosine_no_leaks", "roc_auc_dot", "f1_cosine", "ndcg_at_10"]
ALL_METRICS += ["mrr_at_10", "map_at_100", "recall_at_5", "precision_at_1", "accuracy", "macro_f1", "v_measure"]
ALL_METRICS += ["margin_cosine"]


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_every_metric_has_a_margin_that_one_number_replaces(metric):
    usual = 0.01 if metric in ("macro_f1", "v_measure", "margin_cosine") else 0.005
    assert margin_of(metric, default_margins()) == margin_of(f"test/sts/{metric}", default_margins()) == usual
    assert margin_of(metric, 0.02) == 0.02


@pytest.mark.parametrize(
    ("typed", "metric", "margin"),
    [
        ("verdict.margin=0.02", "ndcg_at_10", 0.02),
        ("verdict.margin.ndcg=0.03", "ndcg_at_10", 0.03),
        ("verdict.margin.ndcg=0.03", "mrr_at_10", 0.005),
        ("+verdict.margin.ndcg_at_3=0.04", "ndcg_at_3", 0.04),
        ("+verdict.margin.ndcg_at_3=0.04", "ndcg_at_30", 0.005),
        ("verdict.margin.default=0.1", "OwnTask", 0.1),
        ("verdict.margin=0", "OwnTask", 0),
    ],
)
@pytest.mark.parametrize("command", ["config", "leaderboard"])
def test_margins_are_typed_as_a_number_or_by_name(typed, metric, margin, command):
    config = resolve(compose([typed], command))
    assert [*margin_problems(config)] == []
    assert margin_of(metric, margins_in(config)) == margin


@pytest.mark.parametrize("typed", ["verdict.margin=-0.1", "verdict.margin=wide", "verdict.margin.ap=null"])
def test_a_margin_that_is_no_number_from_0_on_is_refused_with_what_to_type(typed):
    (problem,) = margin_problems(resolve(compose([typed])))
    key = typed.partition("=")[0]
    assert (problem.key, problem.fix) == (key, (f"{key}=0.005",))
    assert [*margin_problems(resolve(compose([*problem.fix])))] == []


def test_a_margin_changes_no_run_and_a_run_of_an_earlier_version_has_the_usual_one():
    assert "verdict" in CHANGE_NOTHING
    assert margins_in({}) == default_margins()


def test_the_examples_that_would_decide_go_with_the_square_of_the_width():
    assert examples_needed(-0.02, 0.02, 0.005, 1000) == pytest.approx(
        4 * examples_needed(-0.01, 0.01, 0.005, 1000), rel=1e-3
    )
    for unknown in ((math.nan, math.nan, 0.005), (0.1, 0.1, 0.005), (-0.1, 0.1, 0)):
        assert examples_needed(*unknown, 1000) is None


def test_words_for_every_verdict():
    for verdict in (
        "better",
        "worse",
        "worse: collapsed",
        "undecided",
        "identical",
        "no interval",
        "equal within 0.01",
    ):
        assert in_words(verdict)
        assert kind_of(verdict) in ("better", "worse", "undecided", "identical", "no interval", "equal")
    rows = [
        {"metric": "a", "margin": 0.01, "verdict": "better"},
        {"metric": "b", "margin": 0.01, "verdict": "undecided"},
    ]
    assert margin_line(rows).endswith(": 0.01")
    assert [*undecided_lines(rows)] == []  # nothing is known of what would decide
    assert margin_line([{"metric": "a"}]) == ""  # of a run of an earlier version
