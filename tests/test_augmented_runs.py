"""Steps that make rows, as a person types them: in prepare, read again, and in a tiny run."""

import json
from pathlib import Path

import pytest
from conftest import TINY

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose
from embexp.data.readers import read_files
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run
from embexp.inspection.prepare_dataset import prepare

METHODS = "augment_typos,augment_deletion,augment_swap,augment_crop,augment_sentences"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(workplace):
    """Commands write below the working directory."""


@pytest.fixture
def pairs(workplace):
    """A file of pairs; every text has three sentences."""
    row = "Text number {0} stands here. It is short. 银行提高利率。\tOther number {0} follows. Nothing. 没有了。\t{1}\n"
    rows = "".join(row.format(number, number % 2) for number in range(60))
    (workplace / "pairs.tsv").write_text("sentence1\tsentence2\tlabel\n" + rows)
    return "dataset=pairs.tsv"


def prepared(*overrides):
    typed = quote_texts(expand_paths(overrides))
    given = dict(text.split("=", 1) for text in typed if "." not in text.partition("=")[0])
    return prepare(compose(typed, "prepare"), {"dataset": "finance", **given}, overrides)


def made_by(dataset, split):
    return {*dataset.splits[split]["made_by"][:]}


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
@pytest.mark.parametrize("steps", [f"split,{METHODS}", METHODS], ids=["split first", "split last"])
def test_prepare_writes_rows_with_their_source_and_method(pairs, format, steps):
    folder = prepared(pairs, f"step=[{steps}]", f"format={format}", "paths.cache=null")
    dataset = read_files(folder, "again")
    names = {"typos", "deletion", "swap", "crop", "sentences"}
    assert made_by(dataset, "train") == {None, *names}
    assert "made_by" not in dataset.splits["dev"].column_names or made_by(dataset, "dev") == {None}
    num_sources = dataset.splits["train"]["made_by"][:].count(None)
    assert num_sources + sum(dataset.splits[split].num_rows for split in ("dev", "test")) == 60
    assert len({*dataset.splits["train"]["made_from"][:]}) == num_sources
    reports = json.loads((folder / "manifest.json").read_text())["steps"]
    assert [len(report["examples"]) for report in reports if report["step"].startswith("augment")] == [3] * 5


def test_a_method_can_be_left_out_of_a_prepared_set(pairs):
    folder = prepared(pairs, "step=[split,augment_typos,augment_swap]")
    again = prepared(f"dataset={folder}/", "step=[leave_out]", "dataset.steps.leave_out.methods=[typos]", "output=less")
    assert made_by(read_files(again, "less"), "train") == {None, "swap"}


def test_results_come_from_the_cache_with_their_columns_and_examples(pairs, caplog):
    caplog.set_level("INFO")
    first = read_files(prepared(pairs, "step=[split,augment_typos]"), "pairs")
    assert "taken from the cache" not in caplog.text
    again = read_files(prepared(pairs, "step=[split,augment_typos]", "overwrite=true"), "pairs")
    assert "taken from the cache" in caplog.text
    assert again.fingerprints() == first.fingerprints()
    assert again.history == first.history
    assert len(again.history[-1].examples) == 3


def plan_with(*overrides):
    arguments = [*TINY, "tracking=none", *overrides]
    choices = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
    choices |= {key: value for key, _, value in (text.partition("=") for text in arguments) if key in choices}
    return plan_run(compose(arguments), choices, Path("run"))


@pytest.mark.slow
def test_a_run_trains_on_the_copies_too_and_is_evaluated_on_the_same_rows():
    plain, made = plan_with(), plan_with("step=[augment_typos,augment_swap]")
    rows = [plan.stages[0].dataset.splits["train"].num_rows for plan in (plain, made)]
    assert rows[1] > 2 * rows[0]
    judged = [plan.evaluators[0].dataset.fingerprints() for plan in (plain, made)]
    assert judged[0] == judged[1]
    assert execute(made).content["run"]["status"] == "FINISHED"


@pytest.mark.slow
def test_a_run_trains_on_damaged_texts_and_is_evaluated_on_whole_ones():
    plan = plan_with("step=[noise_swap]", "loss=tsdae")
    assert plan.stages[0].dataset.shape.name == "noised_text"
    assert execute(plan).content["run"]["status"] == "FINISHED"
