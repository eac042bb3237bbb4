"""Silver pairs as a person types them: in a tiny run with its child in MLflow, in a sweep, in prepare."""

import json
from collections import Counter
from pathlib import Path

import pytest
from conftest import TINY
from killed_runs import run
from typed_commands import run_typed

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose
from embexp.core.run_folder import status_of
from embexp.data.readers import read_files
from embexp.errors import ConfigError, EmbexpError
from embexp.experiment.plan import plan_run
from embexp.inspection.prepare_dataset import prepare
from embexp.tracking.mlflow_runs import MlflowRuns
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.training import cross_encoders

STEP = "dataset.steps.silver"
TEACHER = (
    f"++{STEP}.teacher.model=tiny",
    f"++{STEP}.teacher.trainer.max_steps=2",
    f"++{STEP}.gold_share=0.1",
    f"++{STEP}.sampler.pairs_per_text=1",
)
# An option of one's own: BM25 with a tiny teacher.
OWN = """# @package dataset.steps.silver
defaults:
  - labelling@_here_: default
  - sampler: retrieved
  - /negatives/retriever@sampler.retrievers.bm25: bm25
  - _self_
teacher: {model: tiny, trainer: {max_steps: 1}}
"""
CHOICES = {"dataset": "finance", "model": "tiny", "loss": "cosine", "modifier": "none", "trainer": "smoke"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(workplace):
    """Commands write below the working directory."""


@pytest.fixture
def trained(monkeypatch):
    """The seeds of the cross-encoders that were trained."""
    seeds, train = [], cross_encoders._train

    def counted(task, journal):
        seeds.append(task.seed)
        train(task, journal)

    monkeypatch.setattr(cross_encoders, "_train", counted)
    return seeds


def planned(folder, silver, *overrides):
    typed = [*TINY, "tracking=none", "loss=cosine", f"silver={silver}", *overrides]
    return plan_run(compose(expand_paths(typed)), CHOICES | {"silver": silver}, folder)


def runs_of(store):
    import mlflow

    client = mlflow.MlflowClient(store)
    found = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    return client, {each.info.run_name: each for each in found}


@pytest.mark.slow
def test_a_run_shows_the_training_of_its_cross_encoder_as_a_child_and_the_next_one_trains_none(
    workplace, store, trained
):
    result = run(workplace / "first", *TINY, "loss=cosine", "silver=bm25", *TEACHER)
    assert "silver: 5,097 -> " in " ".join(result["data"])
    client, runs = runs_of(store)
    child = runs.pop("cosine · tiny · 42/cross-encoder/tiny/42")
    (main,) = runs.values()
    assert child.data.tags["mlflow.parentRunId"] == main.info.run_id
    assert child.info.status == "FINISHED"
    assert (child.data.params["train_rows"], child.data.params["trainer.max_steps"]) == ("219", "2")
    assert {"train/loss", "train/dev/cross_encoder/spearman", "base/cross_encoder/spearman"} < {*child.data.metrics}
    steps = [point.step for point in client.get_metric_history(child.info.run_id, "train/loss")]
    assert steps == [1, 2]
    ranked = MlflowRuns(MlflowTracker(store, "embexp", False, "none", False), workplace).matching("")
    assert [each.name for each in ranked] == ["cosine · tiny · 42"]
    assert trained == [42]

    (other,) = planned(workplace, "random", *TEACHER, "trainer.max_steps=1").stages
    assert trained == [42]
    assert child.data.tags["training.folder"] == other.dataset.history[-1].trainings[0]


@pytest.mark.slow
def test_gold_alone_is_the_control_and_all_are_evaluated_on_the_same_rows(workplace, trained):
    gold, silver = (planned(workplace, option, *some) for option, some in (("gold", TEACHER[2:3]), ("bm25", TEACHER)))
    rows = [plan.stages[-1].dataset.splits["train"] for plan in (gold, silver)]
    assert rows[0].num_rows == 219
    assert rows[1]["sentence1"][:219] == rows[0]["sentence1"][:]
    assert {*rows[1]["made_by"][219:]} == {"silver"}
    assert gold.evaluators[0].dataset.fingerprints() == silver.evaluators[0].dataset.fingerprints()
    assert silver.choices["silver"] == "bm25"
    assert trained == [42]


@pytest.mark.parametrize(
    "mistake",
    ["+trainer.learning_rat=1", "+loss.scal=1", "+evaluator.sts.resample=1", "trainer.fp16=true", "primary_metric=x/y"],
)
def test_nothing_is_trained_while_a_mistake_can_be_found(workplace, trained, mistake):
    with pytest.raises(EmbexpError, match=r"learning_rat|scal|resample|fp16|x/y"):
        planned(workplace, "bm25", *TEACHER, mistake)
    assert trained == []


def test_data_that_have_no_labelled_pairs_are_refused_before_anything_is_trained(workplace, trained):
    with pytest.raises(
        EmbexpError, match=r"finance, which is ranked\. Expected pairs with labels: (.|\n)*dataset\.shapes="
    ):
        planned(workplace, "bm25", *TEACHER, "loss=mnrl")
    assert trained == []


@pytest.mark.matrix
def test_a_sweep_over_silver_pairs_and_none_gives_a_run_each(workplace):
    quick = (*TINY, "trainer.max_steps=1", "tracking=none", "loss=cosine")
    (workplace / "pairs.csv").write_text(
        "sentence1,sentence2,score\n" + "".join(f"text {n},another text {n},{n * 7 % 10 / 10}\n" for n in range(48))
    )
    (workplace / "conf" / "silver").mkdir(parents=True)
    (workplace / "conf" / "silver" / "tiny.yaml").write_text(OWN)
    code, output = run_typed(workplace, "-m", "--config-dir=conf", *quick, "silver=none,tiny", "dataset=pairs.csv")
    assert code == 0, output
    folders = sorted((workplace / "sweeps").glob("*/*/[01]"))
    params = [json.loads((folder / "result.json").read_text())["params"] for folder in folders]
    assert [each["silver"] for each in params] == ["none", "tiny"]
    assert params[1]["dataset.train_rows"] > params[0]["dataset.train_rows"]


@pytest.mark.slow
def test_a_prepared_set_counts_its_silver_rows_and_names_the_training():
    typed = quote_texts(expand_paths(["shape=scored_pair", "silver=kde", *TEACHER, f"{STEP}.num_pairs=300"]))
    folder = prepare(compose(typed, "prepare"), {"dataset": "finance"}, typed)
    step = json.loads((folder / "manifest.json").read_text())["steps"][-1]
    again = read_files(folder, "again")
    made = Counter(again.splits["train"]["made_by"])
    assert made[None] == 219
    assert f"{made['silver']:,} of 300 labelled pairs are kept" in step["reason"]
    assert step["examples"][0].startswith("gold: 0.00 |")
    assert (training := again.history[-1].trainings) == tuple(step["trainings"])
    assert status_of(Path(training[0])) == "FINISHED"


def test_a_value_for_a_step_that_one_option_of_a_sweep_does_not_give_says_what_to_type(workplace):
    code, output = run_typed(workplace, "-m", "silver=none,bm25", f"{STEP}.gold_share=0.2")
    assert code == 1
    assert f"{STEP}.gold_share=0.2 is for some jobs of the sweep only: silver=none has no such key." in output
    with pytest.raises(ConfigError, match="names several"):
        expand_paths(["silver=[gold,bm25]"])
