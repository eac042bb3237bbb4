"""Batches made of tokens are those of sentence-transformers' collator, and widened ones compute the same."""

import logging
from dataclasses import replace

import pytest
import torch
from conftest import thinned
from shaped_rows import right_dataset
from test_mixture_training import model_of, steps_of
from test_mixture_training import plan_of as mixture_of
from test_stage import PRIMARY, SECRETS, plan_of

from embexp.config.compose import compose, resolve
from embexp.data.dataset import Prompts
from embexp.data.row_checks import dataset_of
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.training.embedding_training import EmbeddingTraining
from embexp.training.mixture_training import MixtureTraining
from embexp.training.stages import StagePlan
from embexp.training.token_batches import TokenPreprocess, _ids

TEXTS = ["one", "a text of more words than any of the others has in it", "", "two words", "one two three " * 9]


def with_keys(plan: StagePlan, **keys) -> StagePlan:
    return replace(plan, trainer={**plan.trainer, **keys})


def plan_for(loss: str, folder) -> StagePlan:
    config = resolve(compose([f"loss={loss}", "trainer=smoke", "trainer.per_device_train_batch_size=4"]))
    spec = spec_of(loss, config["loss"])
    return StagePlan("main", right_dataset(spec.accepts[0]), spec, config["trainer"], folder / "stage")


def trainer_of(plan: StagePlan, folder, make=EmbeddingTraining, model=model_of):
    made = model(folder)
    torch.manual_seed(0)  # a loss may draw weights
    return make(plan, made).trainer(None, PRIMARY, 1, [])


def epoch_of(trainer) -> list[dict]:
    return [{**batch} for batch in trainer.get_train_dataloader()]


def assert_same(one: dict, other: dict):
    assert {*one} == {*other}
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, other[key], rtol=0, atol=0)  # and the same type
        else:
            assert value == other[key]


LOSSES = ["mnrl", "softmax", "margin_mse", "cosent", "triplet", "tsdae", "batch_all", "mse"]


@pytest.mark.parametrize("loss", thinned(LOSSES, 3))
def test_batches_of_tokens_are_those_of_texts(tmp_path, loss):
    plan = plan_for(loss, tmp_path)
    plan = replace(plan, dataset=replace(plan.dataset, prompts=Prompts({"all": "find this: "}, "all")))
    trainer = trainer_of(with_keys(plan, tokens_once=True), tmp_path)
    assert isinstance(trainer.data_collator.preprocess_fn, TokenPreprocess)
    texts, tokens = epoch_of(trainer_of(plan, tmp_path)), epoch_of(trainer)
    assert len(texts) > 1
    for one, other in zip(texts, tokens, strict=True):
        assert_same(one, other)
    assert any(key.endswith("prompt_length") for key in tokens[0])


def test_a_mixture_of_tokens_has_the_same_steps(tmp_path):
    steps = [
        steps_of(trainer_of(mixture_of(tmp_path, f"trainer.tokens_once={once}", nli=0.5), tmp_path, MixtureTraining))
        for once in ("false", "true")
    ]
    assert len(steps[0]) == 9
    for (name, ids, loss, gradients), other in zip(*steps, strict=True):
        assert (name, ids, loss) == other[:3]
        assert all(torch.equal(*pair) for pair in zip(gradients, other[3], strict=True))


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_of_any_length_are_padded_as_the_tokenizer_does(tmp_path, side):
    model = model_of(tmp_path)
    model.tokenizer.padding_side = side
    for prompt in (None, "one two: "):
        made = TokenPreprocess(model)(_ids(model.preprocess, TEXTS, prompt), prompt=prompt)
        assert_same(model.preprocess(TEXTS, prompt=prompt), made)


def test_rows_are_flattened_as_flash_attention_reads_them(tmp_path):
    from transformers import DataCollatorWithFlattening

    model = model_of(tmp_path)
    options = {"return_seq_idx": True, "return_flash_attn_kwargs": True, "return_position_ids": True}
    model[0].can_flatten_inputs = True
    model[0].data_collator = DataCollatorWithFlattening(**options)
    model[0]._flatten_position_offset = 2
    stock = model.preprocess(TEXTS, prompt="one: ")
    assert "cu_seq_lens_q" in stock
    assert_same(stock, TokenPreprocess(model)(_ids(model.preprocess, TEXTS, "one: "), prompt="one: "))


def test_tokens_are_kept_for_the_same_rows_tokenizer_and_prompts(tmp_path):
    plan = replace(with_keys(plan_of(tmp_path), tokens_once=True), cache=tmp_path / "cache")
    first = trainer_of(plan, tmp_path)
    (file,) = (tmp_path / "cache/tokens").iterdir()
    assert first.train_dataset.cache_files == [{"filename": str(file)}]  # mapped, not in memory
    made = file.stat().st_mtime_ns
    again = trainer_of(plan, tmp_path)
    assert file.stat().st_mtime_ns == made
    assert_same(*(epoch_of(trainer)[0] for trainer in (first, again)))
    others = [
        replace(plan, dataset=replace(plan.dataset, prompts=Prompts({"all": "find: "}, "all"))),
        replace(plan, dataset=right_dataset("positive_pair")),
    ]
    for number, other in enumerate(others, 2):
        trainer_of(other, tmp_path)
        assert len([*file.parent.iterdir()]) == number

    def shorter(folder):
        model = model_of(folder)
        model.max_seq_length = 5
        return model

    trainer_of(plan, tmp_path, model=shorter)
    assert len([*file.parent.iterdir()]) == 4


def test_a_model_without_a_transformer_is_given_texts_and_it_is_said(tmp_path, caplog):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = model_of(tmp_path).tokenizer.backend_tokenizer
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    plan = with_keys(plan_of(tmp_path), tokens_once=True, pad_to=[8])
    with caplog.at_level(logging.INFO, "embexp.training.token_batches"):
        trainer = EmbeddingTraining(plan, model).trainer(None, PRIMARY, 1, [])
    assert trainer.data_collator.preprocess_fn == model.preprocess
    said = [f"trainer.{key} has no effect: the model has no transformer." for key in ("tokens_once", "pad_to")]
    assert caplog.messages == said


def test_a_tokenizer_without_a_mask_is_given_texts(tmp_path, caplog):
    def without_mask(folder):
        model = model_of(folder)
        model.tokenizer.model_input_names = ["input_ids"]
        return model

    plan = with_keys(plan_of(tmp_path), tokens_once=True)
    with caplog.at_level(logging.INFO, "embexp.training.token_batches"):
        trainer_of(plan, tmp_path, model=without_mask)
    assert caplog.messages == ["trainer.tokens_once has no effect: its tokenizer does not say what is padding."]


def broken_tokens(monkeypatch):
    monkeypatch.setattr(
        "embexp.training.token_batches._ids", lambda preprocess, texts, prompt: [b"\0" * 8 for _ in texts]
    )


@pytest.mark.parametrize(
    ("keys", "break_it", "why"),
    [
        ({"max_steps": 1}, None, "the training reads some of the rows only"),
        ({}, broken_tokens, "batches made of tokens would not be those of sentence-transformers"),
    ],
)
def test_texts_are_read_where_tokens_would_not_do(tmp_path, monkeypatch, caplog, keys, break_it, why):
    if break_it:
        break_it(monkeypatch)
    with caplog.at_level(logging.INFO, "embexp.training.token_batches"):
        trainer = trainer_of(with_keys(plan_of(tmp_path), tokens_once=True, **keys), tmp_path)
    assert caplog.messages == [f"trainer.tokens_once has no effect: {why}."]
    assert trainer.train_dataset["anchor"][0] == SECRETS[0]


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    plan = replace(with_keys(plan_of(tmp_path), tokens_once=True), cache=tmp_path / "cache")
    with caplog.at_level(logging.WARNING, "embexp.training.token_batches"):
        trainer = trainer_of(plan, tmp_path)
    assert caplog.messages[0].startswith(f"The tokens were not kept in {tmp_path / 'cache/tokens'}: ")
    assert isinstance(trainer.data_collator.preprocess_fn, TokenPreprocess)


LADDER = [6, 12, 64]  # the model reads 16 tokens at most


def plan_of_lengths(folder, **keys) -> StagePlan:
    """Eight steps of two rows, from few words to many."""
    anchors = ["o " * number for number in range(1, 17)]
    rows = {"anchor": anchors, "positive": [f"{text} e" for text in anchors]}
    plan = plan_of(folder, "trainer.per_device_train_batch_size=2", "trainer.max_steps=8", loss="own_negatives")
    return with_keys(replace(plan, dataset=dataset_of("toy", "positive_pair", {"train": rows})), **keys)


def plain_model(folder):
    """A model that computes on padding, without dropout."""
    torch.manual_seed(1)
    texts = [*right_dataset("positive_pair").texts("train")]
    network = ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=16, forward="plain")
    model = network.load(lambda: texts, folder)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def seen_by(trainer) -> list[tuple[int, float, list[torch.Tensor]]]:
    """Width of the first column, loss and gradients, step by step."""
    seen, compute = [], trainer.compute_loss

    def compute_loss(model, inputs, **named):
        loss = compute(model, inputs, **named)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        width = inputs["anchor_input_ids"].shape[1]
        seen.append((width, loss.item(), [each for each in gradients if each is not None]))
        return loss

    trainer.compute_loss = compute_loss
    trainer.train()
    return seen


def test_widened_batches_have_few_shapes_and_the_same_loss_and_gradients(tmp_path):
    wanted = ({}, {"pad_to": LADDER}, {"pad_to": LADDER, "tokens_once": True})
    plain, *wider = (
        seen_by(trainer_of(plan_of_lengths(tmp_path, **keys), tmp_path, model=plain_model)) for keys in wanted
    )
    assert len({width for width, _, _ in plain}) > 3
    for steps in wider:
        assert {width for width, _, _ in steps} == {6, 12, 16}
        for one, other in zip(plain, steps, strict=True):
            assert one[1] == pytest.approx(other[1], abs=1e-6)
            for gradient, wide in zip(one[2], other[2], strict=True):
                torch.testing.assert_close(gradient, wide, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_compiled_model_is_compiled_once_for_each_width(tmp_path):
    keys = {"pad_to": LADDER, "torch_compile": True, "torch_compile_backend": "eager"}  # inductor takes minutes
    plain = seen_by(trainer_of(plan_of_lengths(tmp_path), tmp_path, model=plain_model))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = seen_by(trainer_of(plan_of_lengths(tmp_path, **keys), tmp_path, model=plain_model))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(LADDER)
    assert [loss for _, loss, _ in compiled] == pytest.approx([loss for _, loss, _ in plain], abs=1e-5)
