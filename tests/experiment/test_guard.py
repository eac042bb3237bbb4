"""The guard: other tasks, scored before and after, that pick nothing, change no number of the run and have a mean."""

import json
import math
from types import SimpleNamespace

import numpy
import pytest
from conftest import TINY
from test_run import plan_of

import embexp
from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.data.bundled import read_general
from embexp.errors import ConfigError, DataError
from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import Scores
from embexp.evaluation.stats.multiple_comparisons import mean_of_tasks
from embexp.experiment.execute import execute
from embexp.experiment.guard import guard_summary, guard_tasks, own_evaluators
from embexp.experiment.plan import plan_run
from embexp.experiment.results import comparisons
from embexp.reports.closing import closing_markdown

SHAPES = ("scored_pair", "ranked", "labelled_text")
OWN = """# @package guard.old_questions
defaults:
  - /evaluator@_here_: {evaluator}
  - /dataset@dataset: file
  - _self_
dataset:
  reader:
    path: {path}
"""


def planned(folder, *overrides):
    return plan_of(folder, "tracking=none", "paths.cache=null", *overrides)


# The bundled tasks


@pytest.mark.parametrize("corpus", ["general_en", "general_zh"])
def test_the_bundled_tasks_share_no_text_and_are_all_test(corpus):
    data = [read_general(f"{shape}", shape, corpus) for shape in SHAPES]
    assert [[*each.splits] for each in data] == [["test"]] * 3
    assert [each.splits["test"].num_rows for each in data] == [150, 48, 96]
    texts = [{*each.texts("test")} for each in data]
    assert [len(each) for each in texts] == [150, 144, 96]
    assert not texts[0] & texts[1] | texts[0] & texts[2] | texts[1] & texts[2]
    scores = data[0].splits["test"]["score"]
    assert min(scores) == 0
    assert max(scores) == 1
    assert len(data[2].label_names) == 8
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in text) == (corpus == "general_zh") for text in texts[0])


def test_a_corpus_that_is_not_bundled_is_named_with_its_nearest():
    with pytest.raises(DataError, match=r"general_english is not bundled.*general_en"):
        read_general("x", "ranked", "general_english")


# What is planned


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("general", ["sts_en", "retrieval_en", "topics_en", "sts_zh", "retrieval_zh", "topics_zh"]),
        ("[topics_en,sts_en]", ["topics_en", "sts_en"]),
        ("null", []),
    ],
)
def test_a_guard_is_chosen_like_every_group_and_has_test_alone(workplace, chosen, names):
    plan = planned(workplace, f"guard={chosen}")
    assert [each.name for each in guard_tasks(plan)] == names
    assert [each.name for each in own_evaluators(plan)] == ["sts"]
    assert all(each.splits == ("test",) for each in guard_tasks(plan))
    assert (plan.primary_evaluator, plan.primary_metric) == ("sts", "spearman_cosine")


@pytest.mark.parametrize(
    ("evaluator", "rows"),
    [
        ("retrieval", [{"query": f"what is {n}", "positive": f"it is {n}"} for n in range(12)]),
        pytest.param(
            "sts",
            [{"sentence1": f"a {n}", "sentence2": f"b {n}", "score": n / 12} for n in range(12)],
            marks=pytest.mark.matrix,
        ),
        pytest.param(
            "triplet",
            [{"anchor": f"a {n}", "positive": f"b {n}", "negative": f"c {n}"} for n in range(12)],
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_a_file_of_ones_own_is_a_guard_all_rows_of_it_test(workplace, evaluator, rows):
    (workplace / "old.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (workplace / "own" / "guard").mkdir(parents=True)
    text = OWN.format(evaluator=evaluator, path=workplace / "old.jsonl")
    (workplace / "own" / "guard" / "old_questions.yaml").write_text(text)
    with hydra_started(workplace / "own"):
        plan = plan_run(
            *composed([*TINY, "tracking=none", "paths.cache=null", "guard=[old_questions]"]), workplace / "run"
        )
    (task,) = guard_tasks(plan)
    assert (task.name, task.splits) == ("old_questions", ("test",))
    assert task.dataset.splits["test"].num_rows == 12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["guard=[sts_en]", "+guard.mine={_target_: a.b, _reads_: [ranked]}"], "guard.mine"),
        (["guard=[sts_en]", "+guard.sts=${evaluator.sts}"], "has the name of an evaluator"),
        (["guard=[sts_en]", "primary_metric=sts_en/spearman_cosine"], "primary_metric=sts_en/spearman_cosine is not"),
        (["guard=[sts_en]", "guard.sts_en.resamples=0"], "guard.sts_en.resamples"),
        (["guard=[sts_en]", "guard.sts_en.similarity=[cosin]"], "guard.sts_en.similarity"),
        (["guard=[sts_en]", "guard.sts_en.dataset.reader.corpus=general_fr"], "guard.sts_en.dataset.reader.corpus"),
    ],
)
def test_a_guard_that_does_not_fit_is_refused_by_its_key(workplace, overrides, message):
    with pytest.raises((ConfigError, DataError), match=f"(?s){message}"):
        planned(workplace, "dataset.reader.max_rows=20", *overrides)


@pytest.mark.usefixtures("workplace")
def test_an_unknown_guard_gets_its_nearest_names():
    with pytest.raises(ConfigError, match=r"(?s)genral.*Did you mean.*general"):
        embexp.run("guard=genral")


# Their verdicts and their mean


def test_the_mean_has_its_95_percent_interval_and_one_task_without_an_interval_leaves_none():
    random, inside = numpy.random.default_rng(3), 0
    for _ in range(600):
        rows = []
        for size, spread in ((40, 1.0), (150, 0.5), (90, 2.0)):
            values = random.normal(0.1, spread, size)
            half = 1.96 * values.std(ddof=1) / size**0.5
            mean = values.mean()
            rows.append({"base": 0, "trained": mean, "difference": mean, "verdict": ""})
            rows[-1] |= {"alone_low": mean - half, "alone_high": mean + half}
        found = mean_of_tasks(rows, 0.005)
        inside += found["low"] <= 0.1 <= found["high"]
    assert 0.925 < inside / 600 < 0.975
    found = mean_of_tasks([*rows, rows[0] | {"alone_low": math.nan, "alone_high": math.nan}], 0.005)
    assert math.isnan(found["low"])
    assert found["verdict"] == "no interval"


def scored(gain, random, rows=300):
    base = {name: random.normal(size=rows) for name in ("first", "second")}
    trained = {name: values + gain + random.normal(size=rows) for name, values in base.items()}
    measures = tuple(Measure(name, "mean", name) for name in base)
    return [
        Scores("test", {"id": [*range(rows)]}, each, {m.name: value_of(m, each) for m in measures}, measures)
        for each in (base, trained)
    ]


def test_the_guards_verdicts_are_corrected_among_themselves_and_leave_the_own_ones_as_they_are():
    random = numpy.random.default_rng(0)
    kept = {name: scored(gain, random) for name, gain in (("own", 0.2), ("one", -0.15), ("two", -0.15), ("three", 0))}

    def rows_of(*guards):
        names = ["own", *guards]
        made = [SimpleNamespace(name=n, splits=("test",), resamples=500, primary_metric="first") for n in names]
        for each in made:
            each.headline_metrics = ("first", "second")
        config = {"verdict": {"margin": 0.0}, "guard": {name: {} for name in guards}}
        plan = SimpleNamespace(evaluators=made, config=config, primary_evaluator="own", primary_metric="first")
        models = [{(name, "test"): kept[name][place] for name in names} for place in (0, 1)]
        return plan, comparisons(plan, *models)

    _, alone = rows_of()
    plan, rows = rows_of("one", "two", "three")
    assert rows[:2] == alone
    assert all(row["guard"] for row in rows[2:])
    judged = [row for row in rows[2:] if row["verdict"]]
    assert [(row["evaluator"], row["metric"]) for row in judged] == [(n, "first") for n in ("one", "two", "three")]
    assert all(
        row["high"] - row["low"] > row["alone_high"] - row["alone_low"] for row in judged if row["p_holm"] > 0.05
    )
    summary = guard_summary(plan, rows)
    assert summary["tasks"] == 3
    assert summary["difference"] == pytest.approx(sum(row["difference"] for row in judged) / 3)
    assert summary["verdict"] == "worse"


# Whole runs


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded") / "run"
    execute(plan_of(folder, "tracking=none", "loss=mnrl", "paths.cache=null", "guard=[sts_en,topics_en]"))
    return folder


@pytest.mark.slow
def test_a_run_is_the_same_to_the_bit_with_and_without_a_guard(guarded, finished):
    without = finished("mnrl")
    weights = "stages/main/model/model.safetensors"
    assert (guarded / weights).read_bytes() == (without / weights).read_bytes()
    with_guard, alone = (json.loads((each / "result.json").read_text()) for each in (guarded, without))
    timed = ("cost/", "data/")
    metrics = {key: value for key, value in alone["metrics"].items() if not key.startswith(timed)}
    assert {key: with_guard["metrics"][key] for key in metrics} == pytest.approx(metrics, abs=0, rel=0, nan_ok=True)
    assert [row for row in with_guard["comparisons"] if not row.get("guard")] == alone["comparisons"]
    more = {key for key in {*with_guard["metrics"]} - {*alone["metrics"]} if "sts_en" not in key}
    assert {key.split("/")[0] for key in more if "topics_en" not in key} == {"guard", "cost"}
    assert with_guard["guard"]["tasks"] == 2
    assert with_guard["metrics"]["cost/guard"] == with_guard["guard"]["difference"]


@pytest.mark.slow
def test_the_closing_table_shows_the_own_gain_beside_the_guard_and_the_gate_takes_a_task(guarded):
    result = json.loads((guarded / "result.json").read_text())
    text = closing_markdown(result)
    assert "Elsewhere, on the tasks of the guard:" in text
    assert "2 other tasks" in text
    assert text.count("| test/sts_en/") == 1
    found = embexp.gate(guarded, "no_worse_on=[sts_en]", "ledger=null", "resamples=200").content
    assert found["guards"][0]["metric"] == "test/sts_en/spearman_cosine"
    assert (guarded / "examples" / "topics_en_test.parquet").is_file()
    assert not [*(guarded / "plots").glob("sts_en*")]


def test_leaderboards_have_the_mean_as_a_cost_of_which_more_is_better():
    from embexp.leaderboards.cells import find_cost

    assert (find_cost("guard").heading, find_cost("guard").lower_is_better) == ("guard", False)
