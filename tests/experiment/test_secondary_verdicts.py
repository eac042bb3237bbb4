"""The verdicts of a run: the primary one is that of its own interval, all others are corrected for their number."""

from types import SimpleNamespace

import numpy
import pytest

from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Scores, compare
from embexp.evaluation.stats.verdicts import verdict
from embexp.experiment.results import comparisons, verdict_metrics

ROWS = 200


def scored(split, columns):
    """Means of columns of values; a column is a metric."""
    measures = tuple(Measure(name, "mean", name) for name in columns)
    metrics = {each.name: value_of(each, {**columns}) for each in measures}
    return Scores(
        split, {"id": [f"{split}-{place}" for place in range(len(columns["first"]))]}, columns, metrics, measures
    )


def run_with(random, gains, evaluators):
    """A run's rows: metrics with these true gains, of a standard error of 0.1 each; the evaluator `one` has one row."""
    base, trained = {}, {}
    for name, splits in evaluators:
        for split in splits:
            number = 1 if name == "one" else ROWS
            before = {metric: random.normal(size=number) for metric in gains}
            moved = {metric: gain + random.normal(size=number) * 2**0.5 for metric, gain in gains.items()}
            after = {metric: before[metric] + moved[metric] for metric in gains}
            base[name, split], trained[name, split] = scored(split, before), scored(split, after)
    made = [SimpleNamespace(name=n, splits=s, resamples=200, headline_metrics=("first",)) for n, s in evaluators]
    names = {"primary_evaluator": evaluators[0][0], "primary_metric": "first"}
    plan = SimpleNamespace(evaluators=made, config={"verdict": {"margin": 0.0}}, **names)
    return comparisons(plan, base, trained), base, trained


@pytest.mark.parametrize(
    ("evaluators", "num_secondary"),
    [
        ((("sts", ("dev", "test")),), 3),
        ((("sts", ("test",)), ("检索", ("dev", "test"))), 7),
        ((("sts", ("dev",)), ("other", ("dev",))), 7),  # without a test split dev has the verdict
    ],
)
def test_all_but_the_primary_verdict_are_corrected_for_their_number(evaluators, num_secondary):
    gains = {"first": 0.25, "second": 0.25, "third": 0.0, "fourth": 1.0}
    rows, base, trained = run_with(numpy.random.default_rng(5), gains, evaluators)
    judged = [row for row in rows if row["verdict"]]
    secondary = [row for row in judged if not row["primary"]]
    assert len(secondary) == num_secondary
    alone = {
        (key[0], key[1], each.metric): each
        for key in base
        for each in compare(base[key], trained[key], 200, {"default": 0.0})
    }
    for row in rows:
        own = alone[row["evaluator"], row["split"], row["metric"]]
        assert (row["alone_low"], row["alone_high"], row["p"]) == (own.low, own.high, own.p)
        delta = verdict_metrics({row["evaluator"]: row["split"]}, row)  # what a leaderboard corrects in its own table
        assert delta[f"delta/{row['evaluator']}/{row['metric']}_low"] == own.low
        if row in secondary:
            assert (row["p_holm"] < 0.05) == (row["verdict"] in ("better", "worse"))
            assert row["low"] <= own.low < own.high <= row["high"]
            assert row["verdict"] == verdict(row["low"], row["high"], 0.0)
        else:
            assert (row["low"], row["high"], row["p_holm"]) == (own.low, own.high, own.p)
            assert row["verdict"] in ("", own.verdict)
    widest = max((row["high"] - row["low"]) / (row["alone_high"] - row["alone_low"]) for row in secondary)
    assert widest > 1.2


def test_what_was_found_besides_the_interval_stays_and_does_not_count():
    gains = {"first": 0.25, "second": 0.25, "third": 0.0}
    alone, *_ = run_with(numpy.random.default_rng(5), gains, (("sts", ("test",)),))
    rows, *_ = run_with(numpy.random.default_rng(5), gains, (("sts", ("test",)), ("one", ("test",))))
    assert [row["verdict"] for row in rows if row["evaluator"] == "one"] == ["too few to judge"] * 3
    assert [(row["low"], row["p_holm"], row["verdict"]) for row in rows[:3]] == [
        (row["low"], row["p_holm"], row["verdict"]) for row in alone
    ]


@pytest.mark.parametrize(("metrics", "runs"), [(10, 40), pytest.param(10, 300, marks=pytest.mark.slow)])
def test_a_run_of_equal_models_seldom_has_any_wrong_secondary_verdict(metrics, runs):
    random = numpy.random.default_rng(7)
    gains = dict.fromkeys(["first", *(f"metric {number}" for number in range(metrics))], 0.0)
    wrong, plain = [], []
    for _ in range(runs):
        rows, *_ = run_with(random, gains, (("sts", ("test",)),))
        secondary = [row for row in rows if not row["primary"]]
        wrong.append(any(row["verdict"] in ("better", "worse") for row in secondary))
        plain.append(any(row["alone_low"] > 0 or row["alone_high"] < 0 for row in secondary))
    assert numpy.mean(wrong) <= 0.06 + 3 * (0.06 * 0.94 / runs) ** 0.5
    assert numpy.mean(plain) > 0.25  # each by its own interval
