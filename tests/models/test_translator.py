"""Translation models: what generate gives, in the order of the texts; languages, chance and what is missing."""

import pytest

from embexp.errors import ModelError
from embexp.models.translator import Seq2SeqTranslator

WORDS = ["a", "bond", "is", "gold", "rises", "__xx__", "__yy__"]
TEXTS = ["a bond rises", "gold", "a bond is gold", "gold"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A tiny BART with random weights and a tokenizer of a few words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("translation")
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = WhitespaceSplit()
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 32}
    sizes |= {f"{part}_attention_heads": 2 for part in ("encoder", "decoder")}
    sizes |= {f"{part}_ffn_dim": 16 for part in ("encoder", "decoder")}
    torch.manual_seed(0)
    BartForConditionalGeneration(
        BartConfig(vocab_size=len(vocabulary), forced_eos_token_id=None, init_std=1.0, **sizes)
    ).save_pretrained(folder)
    return folder


def translator(folder, **changes):
    defaults = {"source_language": None, "target_language": None, "prefix": "", "batch_size": 2, "max_tokens": 8}
    return Seq2SeqTranslator(str(folder), **defaults | {"num_beams": 1, "temperature": None} | changes)


def test_each_text_gets_what_the_model_generates_for_it_alone(model_folder):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(model_folder).eval()
    expected = []
    for text in TEXTS:
        tokens = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=8, num_beams=1, do_sample=False)
        expected.append(tokenizer.decode(tokens[0], skip_special_tokens=True).strip())
    assert translator(model_folder).translate(TEXTS, seed=1) == expected
    assert len(set(expected)) > 1
    assert expected[1] == expected[3]


def test_drawing_is_the_seeds_doing_and_leaves_other_chance_alone(model_folder):
    import torch

    drawing = translator(model_folder, temperature=2.0)
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (drawing.translate(TEXTS, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), before)
    assert first == again != other


def test_a_language_is_the_first_token_of_the_translation_where_a_model_has_many(model_folder):
    translated = translator(model_folder, target_language="__xx__", source_language="__yy__").translate(TEXTS, seed=1)
    assert all(text.startswith("__xx__") for text in translated)


def test_a_language_that_the_model_does_not_know_is_reported_before_anything_is_translated(model_folder):
    with pytest.raises(
        ModelError,
        match=r"does not know the language klingon\. Expected a code.*\nhint: type translator\.source_language",
    ):
        translator(model_folder, source_language="klingon").load()


def test_a_folder_that_is_not_there_and_one_that_translates_nothing_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"There is no folder /none"):
        translator("/none")
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match=r"cannot be loaded: .*\nhint: type translator\.path=<folder or id>"):
        translator(tmp_path).load()


def test_a_model_that_is_neither_here_nor_on_the_hub_is_reported_when_it_is_loaded():
    with pytest.raises(ModelError, match=r"opus-mt-en-zh \(hub\) cannot be loaded"):
        translator("Helsinki-NLP/opus-mt-en-zh").load()
