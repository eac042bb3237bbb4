"""Mined negatives as a person types them: in prepare, in a tiny run, in a sweep's cells."""

import json

import pytest
from conftest import TINY

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose
from embexp.data.readers import read_files
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.experiment.stages import _parameters
from embexp.inspection.prepare_dataset import prepare


@pytest.fixture(autouse=True)
def _in_an_empty_folder(workplace):
    """Commands write below the working directory."""


@pytest.fixture
def pairs(workplace):
    rows = "".join(
        f"what thing is word{number}?\tword{number} is a thing of kind{number % 7}\n" for number in range(70)
    )
    (workplace / "pairs.tsv").write_text("anchor\tpositive\n" + rows)
    return "dataset=pairs.tsv"


def prepared(*overrides):
    typed = quote_texts(expand_paths(overrides))
    given = dict(text.split("=", 1) for text in typed if "." not in text.partition("=")[0])
    return prepare(compose(typed, "prepare"), {"dataset": "finance", **given}, overrides)


def planned(workplace, *overrides):
    typed = [*TINY[:3], "tracking=none", *expand_paths(overrides)]
    choices = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
    choices |= dict(override.split("=", 1) for override in typed if override.startswith(("dataset=", "negatives=")))
    return plan_run(compose(typed), choices, workplace)


def test_a_prepared_set_has_negatives_in_train_and_a_report_in_its_manifest(pairs, capsys):
    folder = prepared(pairs, "negatives=bm25")
    dataset = read_files(folder, "again")
    assert dataset.shape.name == "ranked"
    assert all(len(negatives) == 1 for negatives in dataset.splits["train"]["negatives"][:])
    assert not any(dataset.splits["dev"]["negatives"][:])
    step = json.loads((folder / "manifest.json").read_text())["steps"][-1]
    assert (step["step"], step["rows_in"]) == ("mine negatives", 70)
    assert step["examples"][0].startswith("positive - negative")
    assert "python -m embexp dataset=prepared/pairs/ loss=auto" in capsys.readouterr().out


def test_mined_negatives_come_from_the_cache_until_an_argument_changes(pairs, caplog):
    caplog.set_level("INFO")
    first = read_files(prepared(pairs, "negatives=random"), "x")
    again = read_files(prepared(pairs, "negatives=random", "overwrite=true"), "x")
    assert caplog.text.count("taken from the cache") == 2
    assert again.fingerprints() == first.fingerprints()
    assert again.history[-1] == first.history[-1]
    other = read_files(prepared(pairs, "negatives=random", "overwrite=true", "dataset.steps.negatives.seed=7"), "x")
    assert other.fingerprints()["train"] != first.fingerprints()["train"]


def test_a_run_trains_on_mined_negatives_and_is_evaluated_on_what_it_is_evaluated_on_without(workplace):
    with_them, without = (planned(workplace, f"negatives={option}") for option in ("bm25", "none"))
    main = with_them.stages[-1].dataset
    assert main.shape.name == "triplet"
    assert [report.step for report in main.history] == ["mine negatives", "convert ranked -> triplet"]
    assert without.stages[-1].dataset.fingerprints()["train"] != main.fingerprints()["train"]
    assert [_parameters(plan)["negatives"] for plan in (with_them, without)] == ["bm25", "none"]
    (judge,), (same,) = with_them.evaluators, without.evaluators
    assert judge.dataset.fingerprints() == same.dataset.fingerprints()


def test_pairs_become_triplets_for_losses_that_need_negatives(workplace, pairs):
    own = ("evaluator=[retrieval]", "loss=triplet", pairs)
    assert planned(workplace, *own, "negatives=bm25").stages[-1].dataset.shape.name == "triplet"
    with pytest.raises(EmbexpError, match=r"accepts triplet .*no conversion leads there"):
        planned(workplace, *own)


def test_a_loss_that_ranked_rows_do_not_come_to_is_refused_before_anything_is_mined(workplace, caplog):
    caplog.set_level("INFO")
    with pytest.raises(EmbexpError, match=r"data set finance is ranked \(query, positives, negatives\)"):
        planned(workplace, "negatives=bm25", "loss=batch_all")
    assert "negatives of" not in caplog.text
