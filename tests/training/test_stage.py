"""One stage: its training arguments, what it leaves in its folder, and when it stops."""

import json

import pytest
import torch

from embexp.config.compose import compose, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import TrainingError
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.checkpoints import folders
from embexp.training.embedding_training import check_precision, training_arguments
from embexp.training.stage import train_stage
from embexp.training.stages import StagePlan

SECRETS = [f"confidential sentence number {number}" for number in range(16)]
PRIMARY = "dev/sts/spearman_cosine"
SHOWN = f"train/{PRIMARY}"  # as the journal writes it during training


def plan_of(folder, *overrides: str, loss: str = "mnrl") -> StagePlan:
    """Two steps over sixteen pairs, with an evaluation after each."""
    tiny = ["trainer.max_steps=2", "trainer.eval_steps=1"]
    config = resolve(compose([f"loss={loss}", "trainer=smoke", *tiny, *overrides]))
    pairs = {"anchor": SECRETS, "positive": [f"{text} again" for text in SECRETS]}
    dataset = dataset_of("toy", "positive_pair", {"train": pairs})
    return StagePlan("main", dataset, spec_of(loss, config["loss"]), config["trainer"], folder / "stage")


def run_stage(plan: StagePlan, evaluate=None, picks=True):
    torch.manual_seed(1)
    texts = [*plan.dataset.texts("train")]
    model = ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=16).load(lambda: texts, plan.folder.parent)
    with Journal(plan.folder.parent, NullTracker()).open("a run", None) as journal:
        return model, train_stage(plan, model, evaluate, PRIMARY, journal, seed=1, picks=picks)


WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU does")


@WITHOUT_GPU
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_is_refused_without_a_gpu_and_bf16_without_a_cpu_that_multiplies_it(precision, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False})
    with pytest.raises(TrainingError, match=rf"(?s)trainer\.{precision}=true .*hint: type trainer\.{precision}=false"):
        check_precision({"fp16": False, "bf16": False, precision: True})


@WITHOUT_GPU
@pytest.mark.parametrize("instructions", ["amx_bf16", "avx512_bf16", "bf16"])
def test_bf16_trains_on_a_cpu_that_multiplies_it(instructions, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True})
    check_precision({"bf16": True})
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(TrainingError, match=r"trainer\.bf16"):
        check_precision({"bf16": True})
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    with pytest.raises(TrainingError, match=r"trainer\.bf16"):
        check_precision({"bf16": True})


@WITHOUT_GPU
def test_a_model_that_trains_in_bf16_is_scored_in_float32_before_while_and_after_it(tmp_path):
    """With a learning rate of 0 all scores must be those of the untouched model."""
    scored = []

    def evaluate(model, step):
        scored.append(model.encode(SECRETS, batch_size=16))
        return {PRIMARY: float(step)}

    overrides = ["trainer.bf16=true", "trainer.learning_rate=0.0"]
    plan = plan_of(tmp_path, *overrides)
    model, _ = run_stage(plan, lambda model, step: evaluate(model, step) if step else {})
    in_bf16 = training_arguments(plan, True, PRIMARY, 1).bf16
    after = model.encode(SECRETS, batch_size=16)
    trained_in_single_precision, _ = run_stage(plan_of(tmp_path / "other", *overrides[1:]))
    assert in_bf16
    assert len(scored) == 2
    for found in (*scored, trained_in_single_precision.encode(SECRETS, batch_size=16)):
        assert (found == after).all()


def test_single_precision_fits_everywhere():
    check_precision({"fp16": False, "bf16": False})


@pytest.mark.parametrize(("loss", "sampler"), [("mnrl", "no_duplicates"), ("cosent", "batch_sampler")])
def test_the_loss_says_how_batches_are_drawn(tmp_path, loss, sampler):
    assert training_arguments(plan_of(tmp_path, loss=loss), True, PRIMARY, 1).batch_sampler == sampler


def test_the_best_checkpoint_is_chosen_by_the_primary_metric(tmp_path):
    arguments = training_arguments(plan_of(tmp_path, "trainer.eval_steps=3"), True, PRIMARY, seed=7)
    assert (arguments.eval_strategy, arguments.eval_steps, arguments.seed) == ("steps", 3, 7)
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == (PRIMARY, True)
    assert arguments.save_total_limit is None  # old ones go once the new one is whole


@pytest.mark.parametrize(("evaluates", "overrides"), [(False, []), (True, ["trainer.eval_strategy=no"])])
def test_without_dev_data_or_on_request_nothing_is_evaluated(tmp_path, evaluates, overrides):
    arguments = training_arguments(plan_of(tmp_path, *overrides), evaluates, PRIMARY, 1)
    assert (arguments.eval_strategy, arguments.save_strategy) == ("no", "steps")


def test_what_the_yaml_says_goes_before_what_the_run_says(tmp_path):
    plan = plan_of(tmp_path, "+trainer.batch_sampler=batch_sampler", "trainer.save_steps=7")
    arguments = training_arguments(plan, True, PRIMARY, 1)
    assert (arguments.batch_sampler, arguments.save_steps) == ("batch_sampler", 7)


def test_checkpoints_are_saved_at_evaluations_and_as_often_as_requested_and_the_oldest_go(tmp_path):
    steps = ["trainer.max_steps=9", "trainer.eval_steps=3", "trainer.save_steps=4"]
    seen, dev_scores = [], iter([0.75, 0.5, 0.25])
    plan = plan_of(tmp_path, *steps, "trainer.save_total_limit=2")

    def evaluate(_model, _step):
        seen.append([path.name for path in folders(plan.checkpoints)])
        return {PRIMARY: next(dev_scores)}

    run_stage(plan, evaluate)
    assert seen == [[], ["checkpoint-3", "checkpoint-4"], ["checkpoint-3", "checkpoint-8"]]
    assert [path.name for path in folders(plan.checkpoints)] == ["checkpoint-3", "checkpoint-9"]


def test_a_stage_keeps_the_best_checkpoint_and_leaves_model_log_and_mark(tmp_path):
    from sentence_transformers import SentenceTransformer

    plan, dev_scores = plan_of(tmp_path), iter([0.75, 0.25])
    model, result = run_stage(plan, lambda current, step: {PRIMARY: next(dev_scores)})
    assert (result.num_steps, result.best_step) == (2, 1)
    assert result.checkpoint == plan.folder / "checkpoints" / "checkpoint-1"
    best, saved = (SentenceTransformer(str(path)).encode(SECRETS) for path in (result.checkpoint, result.model_path))
    assert (best == saved).all()
    assert (model.encode(SECRETS) == saved).all()
    assert json.loads((plan.folder / "done").read_text())["best_step"] == 1
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    on_dev = {line["step"]: line["metrics"][SHOWN] for line in lines if SHOWN in line["metrics"]}
    assert on_dev == {1: 0.75, 2: 0.25}
    assert [line["step"] for line in lines if "train/loss" in line["metrics"]] == [1, 2]


def test_dev_that_shall_judge_is_evaluated_and_picks_no_checkpoint(tmp_path):
    from sentence_transformers import SentenceTransformer

    plan, dev_scores = plan_of(tmp_path), iter([0.75, 0.25])
    model, result = run_stage(plan, lambda current, step: {PRIMARY: next(dev_scores)}, picks=False)
    assert (result.best_step, result.was_chosen, next(dev_scores, None)) == (2, False, None)
    assert result.summary.endswith("the last state kept")
    assert (model.encode(SECRETS) == SentenceTransformer(str(result.checkpoint)).encode(SECRETS)).all()


def test_no_training_text_stands_in_what_is_stored(tmp_path):
    _, result = run_stage(plan_of(tmp_path), lambda current, step: {PRIMARY: 0.5})
    cards = [folder / "README.md" for folder in (result.model_path, result.checkpoint)]
    assert [card for card in cards if "confidential sentence" in card.read_text(encoding="utf-8")] == []
    assert all("The model's card is written when its run ends." in card.read_text(encoding="utf-8") for card in cards)


def test_without_dev_data_the_last_state_is_kept(tmp_path):
    from sentence_transformers import SentenceTransformer

    plan = plan_of(tmp_path)
    model, result = run_stage(plan)
    assert (result.num_steps, result.best_step, result.checkpoint) == (2, 2, plan.checkpoints / "checkpoint-2")
    assert (model.encode(SECRETS) == SentenceTransformer(str(result.model_path)).encode(SECRETS)).all()


def test_a_loss_that_is_not_a_number_ends_the_training(tmp_path):
    plan = plan_of(tmp_path, "trainer.max_steps=8", "trainer.learning_rate=1e30")
    with pytest.raises(TrainingError, match=r"The loss is nan at step \d\. "):
        run_stage(plan)
    assert not (plan.folder / "done").exists()
    assert json.loads((tmp_path / "result.json").read_text())["run"]["status"] == "FAILED"


def test_as_many_steps_as_read_the_examples_of_the_budget_and_the_schedule_ends_with_them(tmp_path):
    plan = plan_of(tmp_path, "trainer.max_steps=-1", "trainer.max_examples=40")  # 16 rows in batches of 8
    _, result = run_stage(plan, None)
    assert result.num_steps == 5
    assert training_arguments(plan, True, PRIMARY, 1).max_steps == 5


def test_a_training_ends_with_the_step_that_reaches_its_seconds_evaluated_and_saved_and_is_not_resumed(tmp_path):
    evaluated = []
    plan = plan_of(tmp_path, "trainer.max_steps=50", "trainer.eval_steps=50", "trainer.max_seconds=0.000001")

    def evaluate(_model, step):
        evaluated.append(step)
        return {PRIMARY: 0.5}

    _, result = run_stage(plan, evaluate)
    assert (result.num_steps, evaluated) == (1, [1])
    assert [path.name for path in folders(plan.checkpoints)] == ["checkpoint-1"]
    (plan.folder / "done").unlink()  # as after a kill between the last step and the saved model
    _, again = run_stage(plan, evaluate)
    assert (again.num_steps, evaluated) == (1, [1])
