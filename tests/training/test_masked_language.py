"""Masked language modelling in place: shared weights, hiding that can be repeated, batches of one mean."""

import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from embexp.config import compose, resolve
from embexp.data.checks import dataset_of
from embexp.errors import ModelError, TrainingError
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.tracking.journal import Journal
from embexp.tracking.null_tracker import NullTracker
from embexp.training.masked_language import RepeatableHiding, masked_language_model
from embexp.training.stage import train_stage
from embexp.training.stages import StagePlan, finished_stage

TEXTS = [f"word {number} is here with some others" for number in range(16)]
FRESH = "no trained layer that fills in masked tokens"
ROWS = [{"text": text} for text in TEXTS]


@pytest.fixture
def model(tmp_path):
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
    filling = masked_language_model(model)
    network = model.transformers_model
    assert filling.bert is network
    assert filling.get_output_embeddings().weight is network.get_input_embeddings().weight


def test_a_base_with_a_layer_that_fills_in_brings_it_and_one_without_is_told(model, tmp_path, caplog):
    caplog.set_level("INFO", "embexp")
    filling = masked_language_model(model)
    assert FRESH in caplog.text
    caplog.clear()
    filling.save_pretrained(tmp_path / "filling")
    model.transformers_model.config.name_or_path = str(tmp_path / "filling")
    again = masked_language_model(model)
    assert FRESH not in caplog.text
    assert torch.equal(again.cls.predictions.transform.dense.weight, filling.cls.predictions.transform.dense.weight)


def test_the_same_batch_is_hidden_the_same_way_and_leaves_the_seed_alone(model):
    hide = RepeatableHiding(DataCollatorForLanguageModeling(model.tokenizer), 12, seed=1)
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


def test_whole_words_are_hidden_together(model):
    assert model.tokenizer.tokenize("hereword is") == ["here", "##w", "##o", "##r", "##d", "is"]
    collator = DataCollatorForLanguageModeling(
        model.tokenizer, whole_word_mask=True, mask_replace_prob=1.0, random_replace_prob=0.0, mlm_probability=0.5
    )
    hidden = RepeatableHiding(collator, 12, seed=1)([{"text": "hereword is"}] * 20)["labels"] != -100
    pieces = hidden[:, 1:6]
    assert (pieces.all(dim=1) | ~pieces.any(dim=1)).all()
    assert 0 < pieces.all(dim=1).sum() < 20


def test_the_last_state_is_kept_whatever_dev_says(model, tmp_path):
    seen = []

    def falling(current, step):
        assert current is model
        seen.append(step)
        return {"dev/sts/spearman_cosine": 1.0 / step}

    before = model.transformers_model.get_input_embeddings().weight.clone()
    result = train(plan_of(tmp_path), model, falling)
    assert (seen, result.best_step, finished_stage(result.folder)) == ([2, 4], 4, result)
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
    with torch.no_grad():
        model.transformers_model.get_input_embeddings().weight[5:] = float("nan")
    with pytest.raises(TrainingError, match=r"The loss is nan at step 1\. [\s\S]*no longer finite"):
        train(plan_of(tmp_path), model)


def test_a_tokenizer_without_a_mask_is_refused_with_what_to_type(model):
    model.tokenizer.mask_token = None
    with pytest.raises(ModelError, match=r"its tokenizer has no mask token\. Expected .* type adapt=tsdae"):
        masked_language_model(model)
