"""A run whose model did not move, or collapsed, says so; so do cells of a leaderboard that are one result."""

from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from recorded_runs import recorded

from embexp.config.compose import compose, instantiate, resolve
from embexp.evaluation.geometry import geometry_of
from embexp.evaluation.scores import Scores
from embexp.experiment.results import _finding, _movement_line, _predictions_tag, _undefined_lines
from embexp.leaderboards.make import make_leaderboard

NOISE = numpy.random.default_rng(0).normal(size=(40, 8)).astype("float32")
PRIMARY = {"evaluator": "sts", "split": "test", "metric": "m", "low": -0.1, "high": 0.2, "verdict": "undecided"}
DONE = SimpleNamespace(num_steps=100, best_step=100, rows_per_second=10.0, model_path=Path("nowhere"))

NOT_BEGUN = SimpleNamespace(num_steps=0, best_step=0, rows_per_second=0.0)
EARLY = SimpleNamespace(num_steps=9, best_step=2, rows_per_second=1.0)


def lying(vectors, split="test"):
    return {("geometry", split): Scores(split, {}, {"vectors": vectors}, geometry_of(vectors))}


def plan_with(*overrides, location="nowhere"):
    config = resolve(compose([*overrides]))
    place = {"source": "path", "location": str(location)}
    return SimpleNamespace(config=config, model=instantiate(config["model"]), model_place=place)


def line_of(plan, after, stage=DONE, **primary):
    return _movement_line(plan, PRIMARY | primary, lying(NOISE), lying(after), stage)


@pytest.mark.parametrize(
    ("after", "finding"),
    [
        (NOISE, "identical"),
        (NOISE * (1 + 1e-6), "identical"),  # rounding
        (NOISE * 1.01, ""),
        (numpy.ones_like(NOISE), "worse: collapsed"),
        (numpy.zeros_like(NOISE), "worse: collapsed"),
        (NOISE[:, :4], ""),
    ],
)
def test_what_the_embeddings_show(after, finding):
    assert _finding("test", lying(NOISE), lying(after)) == finding
    assert _finding("dev", lying(NOISE), lying(after)) == ""
    assert _finding("test", lying(numpy.ones_like(NOISE)), lying(2 * numpy.ones_like(NOISE))) == ""


@pytest.mark.parametrize(
    ("overrides", "stage", "cause"),
    [
        ("model=static trainer.learning_rate=5e-5", DONE, "5e-05, where 0.01 suits such a model). Type trainer."),
        ("model=static_scratch trainer.learning_rate=1e-3", DONE, "=0.001, where 0.1 suits such a model)."),
        ("model=minilm trainer.learning_rate=0.0", DONE, "trainer.learning_rate=0, where 5e-05 suits"),
        ("model=minilm model/adapter=lora trainer.learning_rate=1e-5", DONE, "=1e-05, where 0.0002 suits"),
        ("model=minilm model/adapter=lora", DONE, "the adapter is trained alone, at trainer.learning_rate=0.0002"),
        ("model=minilm", NOT_BEGUN, "0 steps on 0 rows a second"),
        ("model=minilm", EARLY, "step 2 of 9). Type trainer.learning_rate=5e-06"),
        ("model=word_cnn model.modules.words.update_embeddings=false", DONE, "update_embeddings=false freezes"),
        ("model=minilm", DONE, "100 steps at trainer.learning_rate=5e-05). Type trainer.learning_rate=0.0005."),
    ],
)  # fmt: skip
def test_the_likely_cause_is_named(overrides, stage, cause):
    plan = plan_with(*overrides.split())
    line = line_of(plan, NOISE, stage)
    assert line.startswith("identical: training changed no embedding (likely cause: ")
    assert cause in line
    assert line_of(plan, NOISE * (1 + 1e-4), stage).startswith("hardly moved: training changed the embeddings by a ")
    assert line_of(plan, NOISE * 1.1, stage) == ""


def test_an_adapter_without_gradients_is_the_cause(tmp_path):
    from safetensors.numpy import save_file

    part = "base_model.model.pooler.dense.lora_"
    save_file({f"{part}A.weight": NOISE, f"{part}B.weight": NOISE * 0}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    stage = SimpleNamespace(**{**vars(DONE), "model_path": tmp_path})
    line = line_of(
        plan_with("model=minilm", "model/adapter=lora", "model.adapter.target_modules=[dense]"), NOISE, stage
    )
    assert "likely cause: none of the adapter's 1 matrices B (dense) was updated: they are zero" in line
    assert line.endswith("Type model.adapter.target_modules=all-linear.")


def test_a_difference_that_is_shown_as_zero_is_hardly_a_move():
    assert line_of(plan_with(), NOISE * 1.1, low=-4e-5, high=4e-5).startswith("hardly moved")
    assert line_of(plan_with(), NOISE * 1.1, low=float("nan"), high=float("nan")) == ""


def test_static_vectors_in_a_folder_are_known_by_its_modules(tmp_path):
    kind = "sentence_transformers.sentence_transformer.modules.StaticEmbedding"
    (tmp_path / "modules.json").write_text(f'[{{"idx": 0, "name": "0", "path": "", "type": "{kind}"}}]')
    assert "where 0.01 suits such a model" in line_of(plan_with(location=tmp_path), NOISE)


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        ("model=minilm", 5e-5),
        ("model=static", 0.01),
        ("model=static_scratch trainer=gpu", 0.1),
        ("model=small_bert trainer=smoke", 5e-4),
        ("model=bow", 1e-3),
        ("model=minilm_dense model/adapter=lora", 2e-4),
        ("model=static trainer.learning_rate=1e-3", 1e-3),
        ("model=static experiment=sbert_mnrl", 0.01),
    ],
)
def test_the_learning_rate_is_the_models_unless_one_is_typed(overrides, rate):
    assert resolve(compose(overrides.split()))["trainer"]["learning_rate"] == rate


def test_undefined_metrics_say_why():
    scores = Scores("dev", {}, {}, {"task": float("nan"), "other": 1.0})
    assert [*_undefined_lines({"trained": {("mteb", "dev"): scores}})] == [
        "dev/mteb/task of the trained model is undefined: the task gave no number."
    ]


def tagged(number, predictions, **params):
    run = recorded(number, 0.1, **params)
    run.tags["predictions"] = predictions
    return run


def test_cells_with_the_same_predictions_are_said_to_be_one_result():
    runs = [tagged(1, "a"), tagged(2, "a", loss="info_nce"), tagged(3, "b", loss="cosent")]
    assert "mnrl and info_nce gave identical predictions: they are one result, not 2." in make_leaderboard(runs).notes
    runs = [tagged(1, "a"), tagged(2, "b", seed="2"), tagged(3, "b", loss="x", seed="2"), tagged(4, "a", loss="x")]
    assert any("mnrl and x gave identical" in note for note in make_leaderboard(runs).notes)
    runs = [tagged(1, "a", seed="1"), tagged(2, "a", loss="x", seed="2"), recorded(3, 0.1, loss="y")]
    assert not any("identical" in note for note in make_leaderboard(runs).notes)
    runs = [tagged(1, "a"), tagged(2, "a", model="static"), tagged(3, "a", loss="x")]
    assert any("mnrl · minilm, mnrl · static and x · minilm gave" in note for note in make_leaderboard(runs).notes)


@pytest.mark.parametrize("verdict", ["identical", "worse: collapsed"])
def test_what_runs_found_besides_their_interval_is_the_cells_verdict(verdict):
    runs = [recorded(1, 0.1), recorded(2, 0.1, loss="x"), recorded(3, 0.1, loss="x", seed="2")]
    for run in runs[1:]:
        run.tags["verdict"] = verdict
    verdicts = {cell.row: cell.verdict for cell in make_leaderboard(runs).trained}
    assert verdicts == {("mnrl",): "better", ("x",): verdict}
    runs[1].tags["verdict"] = "better"
    assert {cell.verdict for cell in make_leaderboard(runs).trained} == {"better"}


def test_predictions_are_known_by_all_their_values():
    def tag_of(**predicted):
        return _predictions_tag(PRIMARY, {("sts", "test"): Scores("test", {}, predicted, {})})

    texts = numpy.array(["a", None], dtype=object)
    first = tag_of(ndcg=NOISE[0], top=texts)
    assert first == tag_of(top=numpy.array(["a", None], dtype=object), ndcg=NOISE[0].copy())
    assert first != tag_of(ndcg=NOISE[0], top=texts[::-1])
    assert first != tag_of(ndcg=NOISE[1], top=texts)
    assert tag_of() == {}
