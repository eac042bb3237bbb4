"""What can be shown: from runs, a sweep, the store, an evaluation; the table, the picture, trust in test data."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from recorded_runs import KEY, write_whole_run

import embexp
from embexp.config.compose import compose
from embexp.errors import ConfigError
from embexp.evaluation.scores import read_examples, write_examples
from embexp.experiment.compare import with_runs
from embexp.experiment.ledger import Ledger, sketch_of
from embexp.experiment.power import power
from embexp.reports.power_page import Comparison, PowerPage, draw_power_curve, power_page


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of a good loss, two of a bad one, and one run on other test data."""
    folder = tmp_path_factory.mktemp("power") / "runs"
    for loss, noise, seeds in (("good", 0.4, (1, 2, 3)), ("bad", 0.9, (1, 2))):
        for seed in seeds:
            write_whole_run(folder / f"{loss}{seed}", noise, loss=loss, seed=seed)
    write_whole_run(folder / "another", 0.5, texts="another", dataset="another")
    return folder


def planned(*words, **settings):
    options = [f"{key}={value}" for key, value in ({"resamples": 200, "ledger": "null"} | settings).items()]
    return power(compose(with_runs([*map(str, words), *options]), "power"))


def test_each_configuration_against_the_untouched_model_and_the_best_one_against_the_others(runs):
    found, page = planned(*(runs / name for name in ("good1", "good2", "good3", "bad1", "bad2")), difference=0.02)
    names = {each["name"]: each for each in found["comparisons"]}
    assert {*names} == {
        "good/minilm (3 seeds) - untouched",
        "bad/minilm (2 seeds) - untouched",
        "good/minilm (3 seeds) - bad/minilm (2 seeds)",
    }
    best = names["good/minilm (3 seeds) - bad/minilm (2 seeds)"]
    assert best["difference"] > best["smallest"] > best["half_width"] > 0
    assert best["examples_to_show"] > 300
    assert not best["lacks_seeds"]
    assert (found["metric"], found["wanted"], found["margin"]) == (KEY, 0.02, 0.005)
    assert (found["runs"], found["configurations"], found["seconds"]) == (5, 2, pytest.approx(23.6))
    assert (found["has_examples"], found["has_seeds"]) == (True, True)
    grid = found["grid"]
    assert [*grid] == [75, 150, 300, 600, 1200, 3000]
    assert grid[75][2] > grid[300][2] > grid[3000][2]
    assert grid[300][1] > grid[300][2] > grid[300][4]
    assert "| 300 |" in page
    assert "| time | 47 s | 94 s | 2 min |" in page
    assert "measured in 5 runs of 2 configurations" in page
    assert "ASSUMED" not in page


def test_one_run_says_that_nothing_is_known_of_seeds(runs):
    found, page = planned(runs / "good1", seeds="[1,4]", examples="[500]")
    (only,) = found["comparisons"]
    assert (only["name"], only["lacks_seeds"], found["has_seeds"]) == ("good1 - untouched", True, False)
    assert (only["seed_std"], [*found["grid"]]) == (0.007, [500])
    assert "Variance between seeds: ASSUMED" in page
    assert "1 seed: the interval holds the examples only" in page
    assert "measured in 1 run of 1 configuration." in page


def test_a_sweep_and_the_store_are_read_whole(runs, workplace):
    sweep = workplace / "sweeps" / "day" / "time"
    for number, name in enumerate(("good1", "good2", "bad1", "bad2")):
        shutil.copytree(runs / name, sweep / str(number))
    (sweep / "sweep.json").write_text(json.dumps({"id": "abc", "key": "", "overrides": [], "ended": True}))
    of_sweep, _ = planned(sweep)
    assert (of_sweep["runs"], of_sweep["configurations"]) == (4, 2)
    shutil.copytree(runs / "another", workplace / "runs" / "day" / "earlier")
    (sweep / "3" / "result.json").touch()
    of_store, _ = planned()
    assert (of_store["runs"], of_store["configurations"]) == (4, 2)  # the newest run, and those on the same test data
    (workplace / "runs" / "day" / "earlier" / "result.json").touch()
    assert planned()[0]["runs"] == 1


def test_before_any_training_from_an_evaluation(workplace):
    score = {"value": 0.6, "low": 0.57, "high": 0.63, "examples": 900, "rows": 900}
    rows = [{"model": name, "scores": {KEY: score}} for name in ("minilm", "static")]
    (workplace / "models.json").write_text(json.dumps(rows))
    (workplace / "result.json").write_text(json.dumps({"primary": "sts/spearman_cosine"}))
    found, page = planned(".")
    assert [each["name"] for each in found["comparisons"]] == [
        "a training of minilm - untouched",
        "a training of static - untouched",
    ]
    assert found["comparisons"][0]["half_width"] == pytest.approx(0.03 * (2 * 0.2) ** 0.5, rel=0.01)
    assert page.count("ASSUMED") == 2
    assert "time" not in page
    with pytest.raises(ConfigError, match="metric=sts/ap is no metric of this evaluation"):
        planned(".", metric="sts/ap")


@pytest.mark.parametrize("content", ["nothing", "{}", "[]", "[1]"])
def test_a_damaged_evaluation_is_named(workplace, content):
    (workplace / "models.json").write_text(content)
    with pytest.raises(ConfigError, match=r"models\.json"):
        planned(".")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "There is no finished run in runs, sweeps, tunings, races"),
        ({"difference": 0}, "difference=0"),
        ({"seeds": "[0]"}, "seeds="),
        ({"examples": "[]"}, "examples="),
    ],
)
@pytest.mark.usefixtures("workplace")
def test_mistakes(settings, message):
    with pytest.raises(ConfigError, match=message):
        planned(**settings)


@pytest.mark.usefixtures("real_pictures")
def test_trust_that_is_used_up_and_files(runs, tmp_path):
    ledger = Ledger(tmp_path / "looks.db")
    sketch = sketch_of(read_examples(runs / "good1" / "examples" / "sts_test.parquet").trained)
    for number in range(3):
        ledger.decide(ledger.look(sketch, str(number)), "ship" if number == 1 else "undecided")
    found, page = planned(runs / "good1", ledger=ledger.path, output=tmp_path / "out")
    assert (found["trust"]["looks"], found["trust"]["shipped"]) == (3, 1)
    assert found["trust"]["times_the_first"] > 1.2
    assert "looked 3 times and shipped 1: 83 % of the error of 5 % is spent" in page
    assert (tmp_path / "out" / "power.md").read_text() == page
    assert json.loads((tmp_path / "out" / "power.json").read_text())["metric"] == KEY
    assert (tmp_path / "out" / "power.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_curve_for_each_number_of_seeds(drawn):
    curves = {1: [(100, 0.05), (1000, 0.02)], 3: [(100, 0.03), (1000, 0.01)]}
    figure = drawn(draw_power_curve, KEY, "mnrl - cosent", curves, 0.005, (100, 3))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["1 seed", "3 seeds", "now", "wanted: 0.005"]


def test_what_no_number_reaches_is_a_dash():
    one = Comparison("a - b", 0.1, 300, 300, 2, 0.01, 0.02, 0.003, None, 7, None, None, False)
    page = PowerPage(KEY, 0.0, 0.01, 2, 1, float("nan"), True, True, [one], "a - b", [2], {300: [0.02]}, None)
    assert "| a - b | +0.1000 | 300 | 2 | 0.0030 | 0.0100 | 0.0200 | - | 7 | - | - |" in power_page(page)
    assert "time" not in power_page(replace(page, margin=0.005))


def grouped_run(folder, noise, size=5, **params):
    """A run whose examples are drawn in groups of so many, by a column that was named."""
    kept = read_examples(write_whole_run(folder, noise, **params) / "examples" / "sts_test.parquet")
    numbers = numpy.arange(300) // size
    both = [
        replace(
            each,
            examples={**each.examples, "group": numbers},
            measures=tuple(replace(measure, unit="user") for measure in each.measures),
        )
        for each in (kept.base, kept.trained)
    ]
    write_examples(folder / "examples" / "sts_test.parquet", dict(zip(("base", "trained"), both, strict=True)))
    return folder


@pytest.mark.parametrize("kind", [str, Path, embexp.load])
def test_from_python(runs, kind):
    named = [kind(runs / "good1"), kind(runs / "bad1")]
    found = embexp.power(*named, "ledger=null", "resamples=200", "difference=0.02", "seeds=[1,3]", "examples=[600]")
    typed, page = planned(runs / "good1", runs / "bad1", difference=0.02, seeds="[1,3]", examples="[600]")
    assert (found.content["comparisons"], repr(found)) == (typed["comparisons"], page)
    assert [*found.table["name"]][-1] == "good1 - bad1"
    assert found.tables["grid"].to_dict("records") == [
        {"examples": 600, 1: typed["grid"][600][0], 3: typed["grid"][600][1]}
    ]


@pytest.mark.usefixtures("workplace")
def test_mistakes_from_python():
    with pytest.raises(embexp.EmbexpError, match="There is no finished run"):
        embexp.power("ledger=null")
    with pytest.raises(embexp.EmbexpError, match=r"embexp\.power takes no flag such as --json"):
        embexp.power("--json")
    with pytest.raises(embexp.EmbexpError, match="nowhere is neither a folder"):
        embexp.power(Path("nowhere"))


@pytest.mark.parametrize("size", [5, 3])
def test_where_groups_are_drawn_what_is_needed_is_said_in_examples_and_in_groups(tmp_path, size):
    runs = [grouped_run(tmp_path / f"{loss}1", noise, size, loss=loss) for loss, noise in (("good", 0.4), ("bad", 0.5))]
    found, page = planned(*runs, difference=0.01, seeds="[1]", examples="[3000]")
    only = next(each for each in found["comparisons"] if each["name"] == "good1 - bad1")
    assert (only["examples"], only["units"]) == (300, 300 // size)
    assert only["examples_to_show"] > 600
    assert only["examples_to_show"] % size == 0
    more = only["examples_to_show"] - 300
    assert f"300 ({300 // size} groups): examples that belong together are drawn together" in page
    assert f"; {more:,} more examples ({more // size:,} more groups) would show 0.01." in page
    assert f"| {only['examples_to_show']:,} ({only['examples_to_show'] // size:,} groups) |" in page
    assert f"| 3,000 ({3000 // size:,} groups) |" in page
    assert found["grid"][3000][0] == pytest.approx(only["smallest"] / 10**0.5, rel=0.05)
    decided = embexp.gate(runs[1], "ledger=null", "resamples=200", "verdict.margin=0.0001", against=runs[0]).content
    assert (decided["primary"]["examples"], decided["primary"]["units"]) == (300, 300 // size)
    (row,) = embexp.compare(runs[0], runs[1], "resamples=200").content["metrics"]
    assert (row["examples"], row["units"], row["unit"]) == (300, 300 // size, "user")
