"""Models from scratch: the same texts and seed give the same model, in any language."""

import numpy
import pytest

from embexp.config.compose import compose, instantiate
from embexp.errors import ConfigError
from embexp.models.scratch import ScratchModel, wordpiece_tokenizer

TEXTS = ["the market rose", "the market fell", "股票上涨", "股票下跌", "central banks raise rates"]


def tiny(folder, seed: int):
    import torch

    torch.manual_seed(seed)
    return ScratchModel(2, 32, 2, vocabulary_size=200, max_seq_length=16).load(lambda: TEXTS, folder)


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[::-1], TEXTS + 5 * TEXTS[-1:]], ids=["again", "reversed", "repeated"])
def test_the_same_texts_give_the_same_tokenizer_in_any_order(texts):
    assert wordpiece_tokenizer(texts, 48, 16).get_vocab() == wordpiece_tokenizer(TEXTS, 48, 16).get_vocab()


def test_other_texts_give_another_tokenizer():
    assert wordpiece_tokenizer(TEXTS[:2], 60, 16).get_vocab() != wordpiece_tokenizer(TEXTS, 60, 16).get_vocab()


def test_a_small_vocabulary_keeps_the_most_frequent_words():
    whole, small = (wordpiece_tokenizer(TEXTS, size, 16) for size in (200, 49))
    assert len(small) == 49 < len(whole)
    assert small.tokenize("the market") == ["the", "market"]
    assert whole.tokenize("股票上涨 rates")[-1:] == ["rates"] != small.tokenize("rates")[-1:]


def test_chinese_is_split_by_characters_and_english_by_word_pieces_in_lower_case():
    tokenizer = wordpiece_tokenizer(TEXTS, 200, 16)
    assert tokenizer.tokenize("股票上涨") == ["股", "票", "上", "涨"]
    assert tokenizer.tokenize("The MARKET") == ["the", "market"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    import torch

    first, again, other = tiny(tmp_path / "a", 1), tiny(tmp_path / "b", 1), tiny(tmp_path / "c", 2)
    assert all(torch.equal(first.state_dict()[name], value) for name, value in again.state_dict().items())
    assert not numpy.allclose(first.encode(TEXTS), other.encode(TEXTS))


def test_the_model_has_the_requested_size(tmp_path):
    model = tiny(tmp_path, 1)
    config = model[0].auto_model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 32, 2)
    assert (model.max_seq_length, model.get_embedding_dimension()) == (16, 32)


def test_a_text_longer_than_the_limit_is_cut(tmp_path):
    model = tiny(tmp_path, 1)
    assert numpy.array_equal(model.encode("the " * 14), model.encode("the " * 50))
    assert not numpy.allclose(model.encode("the " * 13), model.encode("the " * 14), atol=1e-5)


def test_a_saved_model_embeds_the_same_after_loading(tmp_path):
    from sentence_transformers import SentenceTransformer

    model = tiny(tmp_path / "parts", 1)
    model.save_pretrained(str(tmp_path / "saved"))
    assert numpy.array_equal(SentenceTransformer(str(tmp_path / "saved")).encode(TEXTS), model.encode(TEXTS))


def test_the_untrained_parts_lie_in_the_folder_for_losses_that_load_them_again(tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = tiny(tmp_path, 1)
    again = AutoModel.from_pretrained(tmp_path / "scratch")
    assert torch.equal(again.get_input_embeddings().weight, model[0].auto_model.get_input_embeddings().weight.to("cpu"))
    assert AutoTokenizer.from_pretrained(tmp_path / "scratch").get_vocab() == model.tokenizer.get_vocab()


def test_there_is_nothing_to_locate():
    assert ScratchModel(2, 32, 2, 200, 16).locate()["source"] == "scratch"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["model.num_heads=3"],
            "model.hidden_size=32 is no multiple of the 3 heads.\nhint: type model.hidden_size=33\nhint: type ",
        ),
        (["model.hidden_size=2"], "model.hidden_size=2 was given. Expected a whole number of at least 4 "),
        (["model.max_seq_length=2"], "model.max_seq_length=2 was given. Expected a whole number of at least 3 "),
        (
            ["model.num_layers=0"],
            "model.num_layers=0 was given. Expected a whole number of at least 1 and of at most 1,000,000.",
        ),
        (
            ["model.vocabulary_size=0.5"],
            "vocabulary_size=0.5 was given. Expected a whole number.",
        ),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(changes, message):
    with pytest.raises(ConfigError) as error:
        instantiate(compose(["model=tiny", *changes]).model)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("model", ["tiny", "static", "static_scratch"])
def test_an_adapter_is_refused_with_the_models_that_take_one(model):
    pytest.importorskip("peft")
    with pytest.raises(
        ConfigError, match=r"LoRA needs a pretrained transformer, .*\nhint: type model=minilm\nhint: type model\.ad"
    ):
        instantiate(compose([f"model={model}", "model/adapter=lora"]).model)
