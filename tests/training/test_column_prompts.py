"""Prompts in training, evaluation and the saved model: the same string everywhere."""

import logging

import numpy
import pytest

from embexp.config.compose import compose, resolve
from embexp.data.row_checks import dataset_of
from embexp.experiment.execute import _load_base_model, execute
from embexp.experiment.plan import plan_run
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.steps.prompting import set_prompts
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.embedding_training import column_prompts
from embexp.training.stage import train_stage
from embexp.training.stages import StagePlan

NAMED = {"query": "question ", "document": "answer "}
SIDES = {"anchor": "query", "positive": "document"}
WORDS = ["bank", "market", "rate", "stock", "question", "answer", "own", "default"]


def pairs(**columns):
    anchors, positives = [f"bank {n}" for n in range(8)], [f"rate {n}" for n in range(8)]
    return dataset_of("toy", "positive_pair", {"train": {"anchor": anchors, "positive": positives} | columns})


def tiny_model(folder):
    import torch

    torch.manual_seed(1)
    texts = [*WORDS, *(str(number) for number in range(10))]
    return ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=16).load(lambda: texts, folder)


def trained_texts(dataset, model, folder, monkeypatch):
    """What the trainer tokenised in one step, column by column, as text."""
    from sentence_transformers import SentenceTransformerTrainer

    batches = []
    compute = SentenceTransformerTrainer.compute_loss

    def spy(self, model, inputs, *args, **kwargs):
        batches.append(inputs)
        return compute(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(SentenceTransformerTrainer, "compute_loss", spy)
    config = resolve(compose(["trainer=smoke", "trainer.max_steps=1"]))
    plan = StagePlan("main", dataset, spec_of("mnrl", config["loss"]), config["trainer"], folder / "stage")
    with Journal(folder, NullTracker()).open("a run", None) as journal:
        train_stage(plan, model, None, "dev/sts/spearman_cosine", journal, seed=1)
    (batch,) = batches
    decode = model.tokenizer.batch_decode
    return {
        column: sorted(decode(batch[f"{column}_input_ids"], skip_special_tokens=True))
        for column in ("anchor", "positive")
    }


def test_the_trainer_tokenises_each_column_after_its_prompt(tmp_path, monkeypatch):
    dataset = set_prompts(pairs(), NAMED, columns=SIDES)
    texts = trained_texts(dataset, tiny_model(tmp_path), tmp_path, monkeypatch)
    assert texts["anchor"] == [f"question bank {n}" for n in range(8)]
    assert texts["positive"] == [f"answer rate {n}" for n in range(8)]


def test_prompts_of_rows_are_trained_on(tmp_path, monkeypatch):
    dataset = set_prompts(pairs(prompt=["own "] * 4 + [None] * 4), NAMED, columns=SIDES)
    texts = trained_texts(dataset, tiny_model(tmp_path), tmp_path, monkeypatch)
    assert texts["anchor"] == [*(f"own bank {n}" for n in range(4)), *(f"question bank {n}" for n in range(4, 8))]
    assert texts["positive"] == [f"answer rate {n}" for n in range(8)]


def test_the_model_s_default_prompt_is_trained_with_where_the_data_name_none(tmp_path, monkeypatch, caplog):
    model = tiny_model(tmp_path)
    model.prompts, model.default_prompt_name = {"default": "default "}, "default"
    with caplog.at_level(logging.INFO):
        texts = trained_texts(pairs(), model, tmp_path, monkeypatch)
    assert texts["anchor"] == [f"default bank {n}" for n in range(8)]
    assert texts["positive"] == [f"default rate {n}" for n in range(8)]
    assert "training puts the model's own 'default ' before every text" in caplog.text


def test_the_label_takes_no_prompt_and_columns_without_one_are_not_listed(tmp_path):
    model = tiny_model(tmp_path)
    columns = {"sentence1": ["a"], "sentence2": ["b"], "score": [0.5]}
    scored = dataset_of("toy", "scored_pair", {"train": columns})
    assert column_prompts(set_prompts(scored, NAMED, default="query"), model) == {
        "sentence1": "question ",
        "sentence2": "question ",
    }
    assert column_prompts(set_prompts(scored, NAMED, columns={"sentence1": "query"}), model) == {
        "sentence1": "question "
    }
    assert column_prompts(scored, model) == {}


RUN = ("model=tiny", "trainer=smoke", "trainer.max_steps=1", "threads=1", "evaluator.sts.resamples=40", "tracking=none")
STEP = (
    "+dataset.steps.prompts={_target_:embexp.steps.prompting.set_prompts,"
    "named:{query:'question ',document:'answer '},default:document,columns:{query:query,sentence1:query}}"
)


def plan_with_prompts(folder, *overrides):
    choices = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "trainer": "smoke"}
    folder.mkdir(parents=True, exist_ok=True)
    return plan_run(compose([*RUN, *overrides]), choices, folder)


def test_the_saved_model_carries_the_prompts_and_puts_the_default_one_before_texts(workplace):
    from sentence_transformers import SentenceTransformer

    plan = plan_with_prompts(workplace / "run", STEP)
    execute(plan)
    saved = SentenceTransformer(str(workplace / "run/stages/main/model"))
    assert {name: saved.prompts[name] for name in NAMED} == NAMED
    assert saved.default_prompt_name == "document"
    bare = SentenceTransformer(str(workplace / "run/stages/main/model"))
    bare.default_prompt_name = None
    assert numpy.allclose(saved.encode("a market"), bare.encode("answer a market"), atol=1e-6)
    assert not numpy.allclose(saved.encode("a market"), bare.encode("a market"), atol=1e-3)


def test_evaluation_encodes_what_training_tokenises(workplace, monkeypatch):
    from sentence_transformers import SentenceTransformer

    plan = plan_with_prompts(workplace / "run", STEP)
    model = _load_base_model(plan)
    assert (model.prompts["query"], model.default_prompt_name) == ("question ", "document")
    assert column_prompts(plan.stages[-1].dataset, model) == {
        "anchor": "question ",
        "positive": "answer ",
        "negative_1": "answer ",
    }
    asked = set()
    encode = SentenceTransformer.encode

    def spy(self, texts, prompt=None, **options):
        if "batch_size" in options:  # the model card of sentence-transformers encodes examples without
            asked.add(prompt)
        return encode(self, texts, prompt=prompt, **options)

    monkeypatch.setattr(SentenceTransformer, "encode", spy)
    execute(plan)
    assert asked == {"question ", "answer "}


@pytest.mark.parametrize("own", [None, "default"])
def test_without_prompts_the_base_model_keeps_its_own(workplace, monkeypatch, own):
    plan = plan_with_prompts(workplace / "run")
    loaded = tiny_model(workplace)
    loaded.default_prompt_name = own
    monkeypatch.setattr(type(plan.model), "load", lambda *args: loaded)
    assert _load_base_model(plan).default_prompt_name == own
