"""DiffCSE: what is masked, what the discriminator sees and is asked, by hand; and the models that it refuses."""

import copy
import logging
from types import SimpleNamespace

import numpy
import pytest
from shaped_rows import OTHERS, TEXTS, right_dataset

from embexp.config.compose import option_of
from embexp.errors import ConfigError
from embexp.losses.spec import spec_of
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel

WORDS = [*TEXTS, *OTHERS]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    scratch = ScratchModel(num_layers=1, hidden_size=16, num_heads=2, vocabulary_size=100, max_seq_length=16)
    return scratch.load(lambda: WORDS, tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def loss(tiny):
    from embexp.losses.diffcse import DiffCSE

    return DiffCSE(copy.deepcopy(tiny))


def always(token: int, vocabulary_size: int):
    """A generator that finds one token likeliest everywhere."""
    import torch

    def generator(tokens, **_):
        return SimpleNamespace(logits=torch.nn.functional.one_hot(torch.full_like(tokens, token), vocabulary_size))

    return generator


def with_parts(loss, **parts):
    """The loss with plain functions in place of some of its networks."""
    for name, part in parts.items():
        del loss._modules[name]
        setattr(loss, name, part)
    return loss


def test_masked_tokens_are_filled_in_and_special_ones_and_padding_stay(loss, tiny):
    import torch

    batch = tiny.preprocess(["a cat sits", "a dog sits on the wall"])
    tokens, attention = batch["input_ids"], batch["attention_mask"]
    loss.masking_ratio = 1.0
    with_parts(loss, generator=always(42, len(tiny.tokenizer)))
    special = torch.isin(tokens, torch.tensor(tiny.tokenizer.all_special_ids))
    assert torch.equal(loss.damaged(tokens, attention), torch.where(special, tokens, 42))
    loss.masking_ratio = 0.0
    assert torch.equal(loss.damaged(tokens, attention), tokens)


def test_a_share_of_the_tokens_is_masked(loss):
    import torch

    torch.manual_seed(0)
    tokens = torch.full((100, 100), 50)
    with_parts(loss, generator=always(51, 100))
    share = (loss.damaged(tokens, torch.ones_like(tokens)) == 51).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.02)


def test_the_discriminator_sees_the_sentence_embedding_first_and_is_asked_of_every_token(loss):
    import torch

    table = numpy.random.default_rng(0).normal(size=(100, 16))
    vectors = torch.nn.Embedding.from_pretrained(torch.tensor(table, dtype=torch.float32))
    seen = {}

    def discriminator(inputs_embeds, **_):
        seen["first"] = inputs_embeds[:, 0]
        return SimpleNamespace(last_hidden_state=inputs_embeds)

    discriminator.get_input_embeddings = lambda: vectors
    tokens, attention = torch.tensor([[2, 50, 51, 3], [2, 52, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    damaged = torch.tensor([[2, 60, 51, 3], [2, 52, 3, 0]])
    with_parts(loss, discriminator=discriminator)
    loss.damaged = lambda *_: damaged
    embedding = torch.ones(2, 16)
    value = loss.detection_loss(tokens, attention, embedding)
    weight, bias = loss.head.weight.detach().numpy()[0], loss.head.bias.item()
    asked = [(60, 1), (51, 0), (3, 0), (52, 0), (3, 0)]  # token and whether it was replaced; neither first nor padding
    chances = [1 / (1 + numpy.exp(-(table[token] @ weight + bias))) for token, _ in asked]
    expected = -numpy.mean([numpy.log(p if answer else 1 - p) for p, (_, answer) in zip(chances, asked, strict=True)])
    assert value.item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(seen["first"], embedding)


def test_the_total_is_simcse_and_the_weighted_detection_of_both_copies(tiny):
    import torch

    from embexp.losses.diffcse import DiffCSE

    model = copy.deepcopy(tiny).eval()
    loss = DiffCSE(model, rtd_weight=0.5)
    columns = [model.preprocess(TEXTS), model.preprocess(TEXTS)]
    loss.detection_loss = lambda tokens, attention, embedding: torch.tensor(float(len(tokens)))
    total = loss(columns)
    assert total["replaced_tokens"].item() == 0.5 * len(TEXTS)
    assert total["contrastive"].item() == pytest.approx(loss.contrastive(columns, None).item())


def test_detection_teaches_the_sentence_embedding_and_not_the_generator(tiny):
    from embexp.losses.diffcse import DiffCSE

    model = copy.deepcopy(tiny).train()
    loss = DiffCSE(model)
    total = loss([model.preprocess(TEXTS), model.preprocess(TEXTS)])
    total["replaced_tokens"].backward()
    assert model[0].auto_model.get_input_embeddings().weight.grad.any()
    assert loss.head.weight.grad.any()
    assert all(weight.grad is None and not weight.requires_grad for weight in loss.generator.parameters())
    assert not loss.generator.training


def test_a_generator_without_its_last_layers_is_reported(tiny, caplog):
    from embexp.losses.diffcse import DiffCSE

    with caplog.at_level(logging.WARNING):
        DiffCSE(copy.deepcopy(tiny))
    assert "has no trained layer that fills in masked tokens" in caplog.text
    assert "Type loss.generator=<masked-language model>" in caplog.text


def test_a_whole_masked_language_model_is_taken_in_silence(tiny, tmp_path, caplog):
    from transformers import AutoModelForMaskedLM

    from embexp.losses.diffcse import DiffCSE

    AutoModelForMaskedLM.from_config(tiny[0].auto_model.config).save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        loss = DiffCSE(copy.deepcopy(tiny), generator=PretrainedModel(path=str(tmp_path)))
    assert not caplog.text
    assert loss.get_config_dict()["generator"] == str(tmp_path)


def test_a_generator_with_another_vocabulary_is_refused(tiny, tmp_path):
    scratch = ScratchModel(num_layers=1, hidden_size=16, num_heads=2, vocabulary_size=50, max_seq_length=16)
    scratch.load(lambda: ["other words"], tmp_path)
    spec = spec_of("diffcse", option_of("loss", "diffcse") | {"generator": str(tmp_path / "scratch")})
    with pytest.raises(ConfigError, match=r"loss=diffcse does not fit: the generator .* has another vocabulary"):
        spec.build(copy.deepcopy(tiny), right_dataset("twin_text"))


def test_a_layer_after_the_pooling_is_refused(tiny):
    from sentence_transformers.sentence_transformer.modules import Dense

    from embexp.losses.diffcse import DiffCSE

    model = copy.deepcopy(tiny)
    model.append(Dense(16, 8))
    with pytest.raises(ValueError, match="the sentence embedding has 8 numbers, a token 16: they must agree"):
        DiffCSE(model)
