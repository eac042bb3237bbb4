"""Two finished runs on one page."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest
from recorded_runs import write_whole_run
from test_run import plan_of

import embexp
from embexp.config.compose import compose
from embexp.errors import ConfigError, DataError
from embexp.evaluation.stats.power import Design, Prospect, Variances
from embexp.evaluation.stats.seeds import Interval
from embexp.experiment import compare as comparing
from embexp.experiment.compare import compare, differences_between, with_runs
from embexp.experiment.execute import execute


@pytest.fixture(scope="module")
def two_runs(finished, tmp_path_factory):
    """The same run with two losses."""
    folder = tmp_path_factory.mktemp("runs")
    for loss in ("mnrl", "cosent"):
        shutil.copytree(finished(loss), folder / loss)
    return folder


def compared(*runs, **settings):
    options = [f"{key}={value}" for key, value in ({"resamples": 200} | settings).items()]
    return compare(compose([*with_runs([str(run) for run in runs]), *options], "compare"))


def test_metrics_of_both_are_compared_with_interval_and_verdict(two_runs, capsys):
    found = compared(two_runs / "mnrl", two_runs / "cosent")
    results = [json.loads((two_runs / loss / "result.json").read_text()) for loss in ("mnrl", "cosent")]
    row = next(row for row in found["metrics"] if row["metric"] == "test/sts/spearman_cosine")
    assert (row["first"], row["second"]) == pytest.approx(
        [result["metrics"]["test/sts/spearman_cosine"] for result in results]
    )
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["p"] <= row["p_holm"] <= 1
    other = {(row["metric"], row["test"]): row["p"] for row in found["other_tests"]}
    assert set(other) == {
        (f"{split}/sts/{metric}", test)
        for split in ("dev", "test")
        for metric, test in (
            ("spearman_cosine", "permutation"),
            ("pearson_cosine", "williams t"),
            ("pearson_cosine", "steiger z"),
        )
    }
    assert all(0 < p <= 1 for p in other.values())
    page = capsys.readouterr().out
    assert "# mnrl · tiny · 42 and cosent · tiny · 42" in page
    assert r"| loss.\_target\_ | sentence_transformers" in page
    assert "_accepts_" not in page
    assert "## Examples that changed most: sts_test" in page


def test_a_run_does_not_differ_from_itself(two_runs):
    found = compared(two_runs / "mnrl", two_runs / "mnrl")
    assert {row["verdict"] for row in found["metrics"]} == {"identical"}
    assert found["configuration"] == found["data"] == []
    assert not any(found["changed"].values())


def test_every_pair_of_several_sides_is_compared_and_corrected_for_the_number(two_runs):
    sides = {"mnrl": [two_runs / "mnrl"], "cosent": [two_runs / "cosent"], "again": [two_runs / "mnrl"]}
    found = {row["sides"]: row for row in differences_between("test/sts/spearman_cosine", sides, 200)}
    assert [*found] == [("mnrl", "cosent"), ("mnrl", "again"), ("cosent", "again")]
    assert found["mnrl", "again"]["verdict"] == "identical"
    there, back = found["mnrl", "cosent"], found["cosent", "again"]
    assert there["difference"] == pytest.approx(-back["difference"])
    for row in (there, back):
        assert row["corrected_for"] == 2
        assert row["low"] < row["alone_low"] < row["alone_high"] < row["high"]
    assert differences_between("test/sts/ndcg_at_10", sides, 200) == []


def test_other_examples_are_not_compared(two_runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(two_runs / "cosent", other)
    file = other / "examples" / "sts_test.parquet"
    table = pyarrow.parquet.read_table(file)
    others = pyarrow.array([f"other {text}" for text in table["sentence1"].to_pylist()])
    place = table.column_names.index("sentence1")
    pyarrow.parquet.write_table(table.set_column(place, "sentence1", others), file)
    found = compared(two_runs / "mnrl", other)
    number = f"{2 * len(table):,}"
    assert found["left_out"] == [f"sts_test: {number} of {number} examples ({number} not in all of them)"]
    assert {row["metric"].partition("/")[0] for row in found["metrics"]} == {"dev"}
    (other / "examples" / "sts_dev.parquet").unlink()
    with pytest.raises(ConfigError, match=r"were evaluated on no examples that are the same"):
        compared(two_runs / "mnrl", other)


def test_seeds_of_one_side_began_with_the_same_model_files(two_runs, tmp_path):
    for folder, seed in (("one", 1), ("two", 2)):
        shutil.copytree(two_runs / "mnrl", tmp_path / folder)
        for name in ("result.json", "run.json"):
            content = json.loads((tmp_path / folder / name).read_text())
            content |= {"seed": seed} if name == "result.json" else {"weights": {"base model": f"files {seed}"}}
            (tmp_path / folder / name).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"differ in files of base model: files 1 and files 2"):
        compared(f"{tmp_path / 'one'},{tmp_path / 'two'}", two_runs / "cosent")


def changed_gold(two_runs, folder, change):
    """A copy of a run whose test examples were changed; returns both runs."""
    shutil.copytree(two_runs / "mnrl", folder / "other")
    file = folder / "other" / "examples" / "sts_test.parquet"
    pyarrow.parquet.write_table(change(pyarrow.parquet.read_table(file)), file)
    return two_runs / "mnrl", folder / "other"


def row_of(found):
    return next(row for row in found["metrics"] if row["metric"] == "test/sts/spearman_cosine")


def test_a_run_is_never_evaluated_by_the_true_values_of_another(two_runs, tmp_path, capsys):
    def corrected(table):
        gold = table["gold"].to_numpy().copy()
        gold[:7] = 1 - gold[:7] + 0.001
        return table.set_column(table.column_names.index("gold"), "gold", pyarrow.array(gold))

    runs = changed_gold(two_runs, tmp_path, corrected)
    number = len(pyarrow.parquet.read_table(runs[0] / "examples" / "sts_test.parquet"))
    found = compared(*runs)
    assert found["left_out"] == [f"sts_test: 7 of {number:,} examples (7 with other true values)"]
    assert f"Not compared: sts_test: 7 of {number:,} examples (7 with other true values)." in capsys.readouterr().out
    assert row_of(found)["verdict"] == "identical"
    assert row_of(found)["difference"] == 0


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        (lambda table: table.take(numpy.arange(len(table))[::-1]), ""),
        (lambda table: table.slice(10), "10 of {number} examples (10 not in all of them)"),
        (lambda table: table.slice(0, 1), "{others} of {number} examples ({others} not in all of them)"),
    ],
    ids=["another order", "fewer rows", "one row"],
)
def test_common_examples_are_compared_wherever_they_stand(two_runs, tmp_path, change, left_out):
    runs = changed_gold(two_runs, tmp_path, change)
    number = len(pyarrow.parquet.read_table(runs[0] / "examples" / "sts_test.parquet"))
    found = compared(*runs)
    shown = left_out.format(number=f"{number:,}", others=f"{number - 1:,}")
    assert found["left_out"] == ([f"sts_test: {shown}"] if shown else [])
    rows = [row for row in found["metrics"] if row["metric"] == "test/sts/spearman_cosine"]
    assert [row["verdict"] for row in rows] == ([] if "{others}" in left_out else ["identical"])


def test_where_values_of_an_example_depend_on_other_rows_these_must_be_the_same(two_runs, tmp_path):
    def as_retrieval(table):
        names = {"sentence1": "query", "sentence2": "relevant_document"}
        renamed = table.rename_columns([names.get(name, name) for name in table.column_names])
        return renamed.replace_schema_metadata(table.schema.metadata)

    runs = changed_gold(two_runs, tmp_path, as_retrieval)
    shutil.copytree(runs[1], tmp_path / "third")
    assert not compared(runs[1], tmp_path / "third")["left_out"]
    result = json.loads((tmp_path / "third" / "result.json").read_text())
    result["tags"]["evaluated.sts/test"] = "more documents"
    (tmp_path / "third" / "result.json").write_text(json.dumps(result))
    found = compared(runs[1], tmp_path / "third")
    assert found["left_out"] == ["sts_test: its rows differ, on which its values of every example depend"]


@pytest.mark.slow
def test_seeds_of_a_configuration_stand_on_one_side(two_runs, tmp_path, capsys):
    for seed in (1, 2):
        execute(plan_of(tmp_path / str(seed), "tracking=none", f"seed={seed}", "paths.cache=null"))
    sides = f"{tmp_path / '1'},{tmp_path / '2'}", two_runs / "mnrl"
    other_loss = two_runs / "cosent"
    found = compared(*sides)
    row = next(row for row in found["metrics"] if row["metric"] == "test/sts/spearman_cosine")
    values = [json.loads((tmp_path / name / "result.json").read_text())["primary"]["trained"] for name in ("1", "2")]
    assert row["first"] == pytest.approx(numpy.mean(values))
    assert row["stds"][0] == pytest.approx(numpy.std(values, ddof=1))
    assert not row["lacks_seeds"]
    assert "how seeds do (variance" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"stand on one side and differ in loss\._target_"):
        compared(f"{tmp_path / '1'},{other_loss}", two_runs / "mnrl")
    with pytest.raises(ConfigError, match=r"^One side has several runs with seed 42\."):
        compared(f"{two_runs / 'mnrl'},{two_runs / 'mnrl'}", two_runs / "cosent")


def test_the_page_can_be_kept(two_runs, tmp_path, capsys):
    compared(two_runs / "mnrl", two_runs / "cosent", output=tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text().strip() == capsys.readouterr().out.strip()


@pytest.mark.parametrize("runs", [["mnrl"], ["mnrl", "cosent", "mnrl"]])
def test_other_numbers_of_runs_are_refused(two_runs, runs):
    with pytest.raises(ConfigError, match=rf"^{len(runs)} runs were named\. Expected two"):
        compared(*(two_runs / run for run in runs))


def test_a_run_that_failed_is_refused(two_runs, tmp_path):
    shutil.copytree(two_runs / "mnrl", tmp_path / "failed")
    result = json.loads((tmp_path / "failed" / "result.json").read_text())
    result["run"]["status"] = "FAILED"
    (tmp_path / "failed" / "result.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match=r"is FAILED\. Expected one that has finished"):
        compared(two_runs / "mnrl", tmp_path / "failed")


def test_a_run_that_never_ended_and_a_side_without_a_run_are_refused(two_runs, tmp_path):
    shutil.copytree(two_runs / "mnrl", tmp_path / "torn")
    (tmp_path / "torn" / "result.json").unlink()
    for runs in ((tmp_path / "torn", two_runs / "mnrl"), (two_runs / "mnrl", tmp_path / "torn")):
        with pytest.raises(ConfigError, match=r"is RUNNING\. Expected one that has finished"):
            compared(*runs)
    with pytest.raises(ConfigError, match=r"^2 runs were named\. Expected two"):
        compared(two_runs / "mnrl", ",")
    with pytest.raises(ConfigError, match=r"^nowhere is neither a folder nor the id of a run in runs or sweeps or"):
        compared(two_runs / "mnrl", "nowhere")


def test_examples_of_an_earlier_version_are_distinguished(two_runs, tmp_path):
    shutil.copytree(two_runs / "cosent", tmp_path / "old")
    file = tmp_path / "old" / "examples" / "sts_test.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(file).replace_schema_metadata({}), file)
    with pytest.raises(DataError, match=r"no measures in the metadata: an earlier version"):
        compared(two_runs / "mnrl", tmp_path / "old")


@pytest.mark.parametrize(
    ("metric", "half", "verdict"),
    [
        ("spearman_dot", 0.09, "undecided"),
        ("spearman_dot", 0.01, "better"),
        ("spearman_cosine", 0.09, "better"),  # the primary one is no choice among several
    ],
)
def test_of_several_metrics_only_the_primary_one_has_the_verdict_of_its_own_interval(
    two_runs, monkeypatch, capsys, metric, half, verdict
):
    def with_interval(*arguments):
        for row, _, prospect in rows(*arguments):
            is_it = row["metric"] == f"test/sts/{metric}"
            value, reach = (0.1, half) if is_it else (0.0, 0.2)
            found = Interval(value, value - reach, value + reach)
            verdict_alone = "better" if is_it else "undecided"
            yield row | {"low": found.low, "high": found.high, "verdict": verdict_alone}, found, prospect

    rows = comparing._rows
    monkeypatch.setattr(comparing, "_rows", with_interval)
    found = compared(two_runs / "mnrl", two_runs / "cosent", **{"verdict.margin": 0})
    (row,) = (row for row in found["metrics"] if row["metric"] == f"test/sts/{metric}")
    assert row["verdict"] == verdict
    assert (row["low"] > 0) == (verdict == "better")  # the interval that is shown is that of the verdict
    others = sum(not each["primary"] for each in found["metrics"])
    page = capsys.readouterr().out
    assert f"corrected for their number, {others} (Holm)" in page
    assert "| test/sts/spearman_cosine\\* |" in page


def test_an_undecided_side_says_what_would_decide(two_runs, monkeypatch, capsys):
    def undecided(*arguments):
        for row, _, _ in rows(*arguments):
            found = Interval(0.0, -0.01, 0.01)
            prospect = Prospect(Variances(0.05, 0.00005, 0.02), Design(9000, (3, 3), 4), 0.02)
            yield row | {"low": -0.01, "high": 0.01, "verdict": "undecided", "finding": ""}, found, prospect

    rows = comparing._rows
    monkeypatch.setattr(comparing, "_rows", undecided)
    found = compared(two_runs / "mnrl", two_runs / "cosent")
    needed = [row["needed"] for row in found["metrics"]]
    assert all(each["seeds"] > 0 and each["sides"] == 2 for each in needed)
    assert re.search(r"- test/sts/spearman_cosine is undecided: \d+ more seeds? on each side", capsys.readouterr().out)


def vary_run(folder, vary, seed, loss="good", rows=None, noise=0.5):
    """A run whose seed also drives the steps that are named; its test rows have a hash of their own."""
    write_whole_run(folder, noise, loss=loss, seed=seed, texts=f"split {rows}")
    steps = {"split": "split", "negatives": "negatives", "rows": "draw_rows"}
    driven = ", ".join(f"{steps[name]}: {{seed: {seed}}}" for name in vary)
    with (folder / "config.yaml").open("a", encoding="utf-8") as file:
        file.write(f"dataset: {{steps: {{{driven}}}}}\nvary: [{', '.join(vary)}]\n")
    result = json.loads((folder / "result.json").read_text())
    result["tags"]["evaluated.sts/test"] = f"rows {rows}"
    result["params"] |= {f"dataset.steps.{steps[name]}.seed": seed for name in vary} | {"vary": [*vary]}
    (folder / "result.json").write_text(json.dumps(result))
    return str(folder)


@pytest.mark.parametrize("vary", [["negatives"], ["rows"], ["negatives", "rows"], ["split"]])
def test_seeds_that_also_drive_a_draw_of_the_data_are_seeds_of_one_configuration(tmp_path, vary):
    """Where the test rows stay the same; also with vary=[split], where the evaluator has data of its own."""
    sides = [
        ",".join(vary_run(tmp_path / f"{loss}{seed}", vary, seed, loss) for seed in (1, 2)) for loss in ("good", "bad")
    ]
    (row,) = compared(*sides)["metrics"]
    assert (row["examples"], row["lacks_seeds"]) == (300, False)
    found = embexp.power(*(Path(each) for side in sides for each in side.split(",")), "ledger=null", "resamples=200")
    assert found.content["configurations"] == 2


@pytest.mark.parametrize("command", ["compare", "gate", "power"])
def test_seeds_with_test_rows_of_their_own_are_not_paired_and_what_to_type_compares_one_seed(tmp_path, command):
    folders = [
        [vary_run(tmp_path / f"{loss} {seed}", ["split"], seed, loss, rows=seed) for seed in seeds]
        for loss, seeds in (("good", (1, 2)), ("bad", (3, 2)))
    ]
    ask = {
        "compare": lambda first, second: embexp.compare(first, second, "resamples=200"),
        "gate": lambda first, second: embexp.gate(first, "ledger=null", "resamples=200", against=second),
        "power": lambda first, second: embexp.power(*map(Path, [*first, *second]), "ledger=null", "resamples=200"),
    }[command]
    with pytest.raises(ConfigError, match=r"its rows differ by seed \(vary=\[split\]\)") as caught:
        ask(*folders)
    (fix,) = caught.value.problems[0].fix
    first, second = (word.removeprefix("against=") for word in shlex.split(fix)[3:])
    assert {first, second} == {folders[0][1], folders[1][1]}  # seed 2, which both sides have
    assert ask([first], [second]).content
