"""Masked language modelling in place: shared weights, hiding that can be repeated, batches of one mean."""

import pytest

from embexp.config.compose import compose, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ModelError, TrainingError
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.masked_language import _masked_language_model, _RepeatableHiding
from embexp.training.stage import train_stage
from embexp.training.stages import StagePlan, finished_stage

TEXTS = [f"word {number} is here with some others" for number in range(16)]
FRESH = "no trained layer that fills in masked tokens"
ROWS = [{"text": text} for text in TEXTS]


@pytest.fixture
def model(tmp_path):
    return fresh_model(tmp_path)


def fresh_model(tmp_path):
    import torch

    torch.manual_seed(1)
    return ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=12).load(lambda: TEXTS, tmp_path)


def plan_of(folder, *overrides: str) -> StagePlan:
    stage = resolve(compose(["adapt=mlm", "trainer=smoke", *overrides]))["adapt"]["mlm"]
    dataset = dataset_of("toy", "text", {"train": {"text": TEXTS}})
    return StagePlan("mlm", dataset, spec_of("mlm", stage["loss"]), stage["trainer"], folder / "stages/mlm")


def train(plan, model, evaluate=None):
    with Journal(plan.folder.parents[1], NullTracker()).open("a run", None) as journal:
        return train_stage(plan, model, evaluate, "dev/sts/spearman_cosine", journal, seed=1)


def test_the_models_own_transformer_is_trained_and_its_words_are_the_layers(model):
    filling = _masked_language_model(model)
    network = model.transformers_model
    assert filling.bert is network
    assert filling.get_output_embeddings().weight is network.get_input_embeddings().weight


def test_a_base_with_a_layer_that_fills_in_brings_it_and_one_without_is_reported(model, tmp_path, caplog):
    import torch

    caplog.set_level("INFO", "embexp")
    filling = _masked_language_model(model)
    assert FRESH in caplog.text
    caplog.clear()
    filling.save_pretrained(tmp_path / "filling")
    model.transformers_model.config.name_or_path = str(tmp_path / "filling")
    again = _masked_language_model(model)
    assert FRESH not in caplog.text
    assert torch.equal(again.cls.predictions.transform.dense.weight, filling.cls.predictions.transform.dense.weight)


def test_the_layer_comes_from_the_revision_that_the_model_is_of_and_with_its_code(model, monkeypatch):
    asked = []

    def none_there(pretrained_model_name_or_path, trust_remote_code, revision=None, **_):
        asked.append((pretrained_model_name_or_path, revision, trust_remote_code))
        raise OSError("no such file")

    monkeypatch.setattr("transformers.AutoModelForMaskedLM.from_pretrained", none_there)
    model.transformers_model.config.name_or_path = "org/base"
    for base, revision, trusted in (("org/other", "abc", False), ("org/base", "abc", True)):
        model.model_card_data.base_model, model.model_card_data.base_model_revision = base, revision
        model.trust_remote_code = trusted
        with pytest.raises(ModelError, match="no such file"):
            _masked_language_model(model)
    assert asked == [("org/base", None, False), ("org/base", "abc", True)]


def test_the_same_batch_is_hidden_the_same_way_and_leaves_the_seed_alone(model):
    import torch
    from transformers import DataCollatorForLanguageModeling

    hide = _RepeatableHiding(DataCollatorForLanguageModeling(model.tokenizer), 12, seed=1)
    before = torch.get_rng_state()
    first, other, again = hide(ROWS[:4]), hide(ROWS[3::-1]), hide(ROWS[:4])
    assert torch.equal(first["labels"], again["labels"])
    assert not torch.equal(first["labels"], other["labels"].flip(0))
    assert torch.equal(torch.get_rng_state(), before)
    hidden = first["labels"] != -100
    special = torch.isin(
        first["input_ids"].where(~hidden, first["labels"]), torch.tensor(model.tokenizer.all_special_ids)
    )
    assert hidden.any()
    assert not (hidden & special).any()


def test_in_another_epoch_other_tokens_of_a_text_are_hidden(model):
    import torch
    from transformers import DataCollatorForLanguageModeling

    hide = _RepeatableHiding(DataCollatorForLanguageModeling(model.tokenizer, mlm_probability=0.5), 12, seed=1)
    first = hide(ROWS[:1])["labels"]
    hide.epoch = 1
    assert not torch.equal(hide(ROWS[:1])["labels"], first)


@pytest.mark.parametrize(
    ("every", "stop"), [(3, 9), pytest.param(4, 8, marks=pytest.mark.matrix)]
)  # from steps 6 and 4; an epoch has 4
def test_a_stage_stopped_in_a_later_epoch_hides_the_same_when_it_is_resumed(every, stop, tmp_path, monkeypatch):
    import torch

    def epochs_and_weights(folder, *stops):
        made, hide = [], _RepeatableHiding.__call__
        monkeypatch.setattr(_RepeatableHiding, "__call__", lambda own, rows: made.append(own.epoch) or hide(own, rows))

        def evaluate(_, step):
            if step in stops:
                raise KeyboardInterrupt
            return {"dev/sts/spearman_cosine": 0.0}

        sizes = "per_device_train_batch_size=4", "max_steps=11", f"eval_steps={every}", f"save_steps={every}"
        model = fresh_model(tmp_path)
        try:
            train(plan_of(folder, *(f"adapt.mlm.trainer.{size}" for size in sizes)), model, evaluate)
        finally:
            monkeypatch.setattr(_RepeatableHiding, "__call__", hide)
        return made, model.transformers_model.get_input_embeddings().weight

    made, whole = epochs_and_weights(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        epochs_and_weights(tmp_path / "stopped", stop)
    made_after, gone_on = epochs_and_weights(tmp_path / "stopped")
    assert made == [0] * 4 + [1] * 4 + [2] * len(made[8:])
    assert made_after == made[-len(made_after) :]
    assert len(made_after) < len(made)
    assert torch.equal(gone_on, whole)


def test_whole_words_are_hidden_together(model):
    from transformers import DataCollatorForLanguageModeling

    assert model.tokenizer.tokenize("hereword is") == ["here", "##w", "##o", "##r", "##d", "is"]
    collator = DataCollatorForLanguageModeling(
        model.tokenizer, whole_word_mask=True, mask_replace_prob=1.0, random_replace_prob=0.0, mlm_probability=0.5
    )
    hidden = _RepeatableHiding(collator, 12, seed=1)([{"text": "hereword is"}] * 20)["labels"] != -100
    pieces = hidden[:, 1:6]
    assert (pieces.all(dim=1) | ~pieces.any(dim=1)).all()
    assert 0 < pieces.all(dim=1).sum() < 20


def test_the_last_state_is_kept_whatever_dev_says(model, tmp_path):
    import torch

    seen = []

    def falling(current, step):
        assert current is model
        seen.append(step)
        return {"dev/sts/spearman_cosine": 1.0 / step}

    before = model.transformers_model.get_input_embeddings().weight.clone()
    result = train(plan_of(tmp_path), model, falling)
    assert (seen, result.best_step, finished_stage(result.folder)) == ([2, 4], 4, result)
    assert result.summary.endswith("rows/s), the last state kept")
    assert not torch.equal(model.transformers_model.get_input_embeddings().weight, before)


def test_accumulated_batches_are_a_mean_as_one_batch_is(model, tmp_path):
    rates = "adapt.mlm.trainer.learning_rate=0.0", "adapt.mlm.trainer.max_steps=1"
    norms = []
    for number, steps in enumerate((1, 2)):
        train(plan_of(tmp_path / str(number), *rates, f"adapt.mlm.trainer.gradient_accumulation_steps={steps}"), model)
        lines = (tmp_path / str(number) / "metrics.jsonl").read_text().split('"train/loss": ')
        norms.append(float(lines[1].partition(",")[0]))
    assert norms[1] == pytest.approx(norms[0], rel=0.2)  # twice as large where they are added


def test_a_loss_that_is_no_number_stops_the_stage(model, tmp_path):
    import torch

    with torch.no_grad():
        model.transformers_model.get_input_embeddings().weight[5:] = float("nan")
    with pytest.raises(TrainingError, match=r"The loss is nan at step 1\. [\s\S]*no longer finite"):
        train(plan_of(tmp_path), model)


def test_a_tokenizer_without_a_mask_is_refused_with_what_to_type(model):
    model.tokenizer.mask_token = None
    with pytest.raises(ModelError, match=r"its tokenizer has no mask token\. Expected .*\nhint: type adapt=tsdae"):
        _masked_language_model(model)
