"""What goes against the training of weights is refused before they are loaded, with a fix; the rest is let through."""

import json
import shlex

import numpy
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from small_networks import DECODERS, ENCODERS, TEXTS, edit_json, embedder_in, network_in

from embexp.config.compose import compose, instantiate, option_of
from embexp.errors import ConfigError, ModelError
from embexp.models.adapters import LoraAdapter
from embexp.models.pretrained import PretrainedModel
from embexp.models.servings import SECOND_END, _added
from embexp.models.trained_as import trained_with

PARSER = OverridesParser.create()
FEW = ("qwen3", *(pytest.param(name, marks=pytest.mark.matrix) for name in DECODERS if name != "qwen3"))


def refusal(path, *typed):
    """The message of `model=pretrained model.path=<path>` with more typed, empty where nothing is refused."""
    parsed = [PARSER.parse_override(override.removeprefix("model.")) for override in typed]  # composing takes a second
    return refusal_of(path, **{override.key_or_group: override.value() for override in parsed})


def refusal_of(path, **values):
    try:
        PretrainedModel(path=str(path), **values).check()
    except ModelError as error:
        return str(error)
    return ""


def fixes(message):
    return [shlex.split(line.removeprefix("hint: type ")) for line in message.splitlines() if line.startswith("hint: ")]


def each_fix_leads_on(path, message, *typed):
    found = fixes(message)
    assert found
    return [refusal(path, *typed, *fix) for fix in found]


@pytest.mark.parametrize("architecture", FEW)
def test_a_decoder_with_its_end_token_and_last_token_pooling_is_right(architecture, tmp_path):
    path = network_in(tmp_path / "a", architecture)
    assert [refusal(path, *more) for more in ([], ["model.padding_side=left"], ["model.padding_side=right"])] == [
        ""
    ] * 3
    assert refusal(path, "model.pooling=weightedmean") == ""
    assert refusal(path, "model.pooling=mean", "model.mask=bidirectional") == ""


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoder_is_let_through(architecture, tmp_path):
    path = network_in(tmp_path / "a", architecture)
    assert [refusal(path, f"model.pooling={mode}") for mode in ("cls", "mean", "lasttoken")] == ["", "", ""]


@pytest.mark.parametrize("architecture", FEW)
def test_no_end_of_sequence_token(architecture, tmp_path):
    path = network_in(tmp_path / "a", architecture, eos=False)
    message = refusal(path)
    assert message.startswith("model.eos=null leaves texts without a token at their end: last-token pooling reads")
    assert each_fix_leads_on(path, message) == ["", ""]
    saved = embedder_in(tmp_path / "b", architecture, "lasttoken", eos=False)
    typed = 'model.eos="<|endoftext|>"' if architecture == "qwen3" else "model.eos=true"
    assert fixes(refusal(saved))[0] == [typed]
    assert refusal(saved, "model.trained_with={eos: false}") == ""


def test_a_token_without_a_role_is_named_for_the_end(tmp_path):
    path = network_in(tmp_path / "a", "qwen2", eos=False, tokenizer={"eos_token": None, "mask_token": "[MASK]"})
    message = refusal(path)
    assert each_fix_leads_on(path, message) == ["", ""]
    model = PretrainedModel(path=str(path), eos="<|im_end|>").load(list, tmp_path)
    assert model.tokenizer("a")["input_ids"][-1] == model.tokenizer.convert_tokens_to_ids("<|im_end|>")
    with pytest.raises(ModelError, match=r"model\.eos=nowhere is not in the vocabulary"):
        PretrainedModel(path=str(path), eos="nowhere").load(list, tmp_path)


def test_qwen3_ends_with_the_token_that_it_was_trained_with_and_not_with_that_of_a_chat(tmp_path):
    whole = PretrainedModel(path=str(embedder_in(tmp_path / "a", "qwen3", "lasttoken"))).load(list, tmp_path)
    lost = embedder_in(tmp_path / "b", "qwen3", "lasttoken", eos=False)
    assert whole.tokenizer.eos_token == "<|im_end|>"
    for eos in (True, option_of("model", "qwen3_embedding_0_6b")["eos"]):
        model = PretrainedModel(path=str(lost), eos=eos).load(list, tmp_path)
        assert model.tokenizer("a")["input_ids"] == whole.tokenizer("a")["input_ids"]
        assert numpy.abs(model.encode([*TEXTS]) - whole.encode([*TEXTS])).max() < 1e-5
    assert _added(whole, SECOND_END) == whole.tokenizer("a")["input_ids"][-1]


def test_what_is_said_of_reading_is_not_of_the_weights_that_stand_in(tmp_path, monkeypatch):
    path = network_in(tmp_path / "a", "bert")
    found = {"id": "other", "source": "path", "location": str(path)}
    monkeypatch.setattr(PretrainedModel, "locate", lambda _: found)
    arguments = {"id": "org/name", "eos": "<|endoftext|>", "padding_side": "left"}
    model = PretrainedModel(stand_in="minilm", **arguments).load(list, tmp_path)
    assert model.tokenizer.padding_side == "right"
    assert model.tokenizer("a")["input_ids"][-1] == model.tokenizer.sep_token_id


def test_a_mean_model_that_has_lost_its_end_token_is_refused_where_it_is_known(tmp_path):
    path = embedder_in(tmp_path / "a", "gemma3_text", "mean", eos=False, use_bidirectional_attention=True)
    assert refusal(path) == ""
    assert "model.eos=true" in refusal(path, "model.trained_with={eos: true}")


def test_padding_that_the_last_token_would_be_read_from(tmp_path):
    path = network_in(tmp_path / "a", "qwen3", tokenizer={"model_input_names": ["input_ids"]})
    message = refusal(path)
    assert "the last token of a shorter text is padding" in message
    assert each_fix_leads_on(path, message) == ["", ""]
    for side in ("left", "right"):
        model = PretrainedModel(path=str(path), padding_side=side).load(list, tmp_path)
        alone = numpy.concatenate([model.encode([text]) for text in TEXTS])
        assert numpy.abs(model.encode([*TEXTS]) - alone).max() < 1e-5


@pytest.mark.parametrize("architecture", ["bert", pytest.param("gpt2", marks=pytest.mark.matrix)])
def test_padding_left_of_learned_positions(architecture, tmp_path):
    path = network_in(tmp_path / "a", architecture)
    typed = ["model.padding_side=left", "model.pooling=weightedmean"]
    message = refusal(path, *typed)
    assert message.startswith("model.padding_side=left moves a text to other positions")
    assert each_fix_leads_on(path, message, *typed) == ["", ""]
    assert refusal(network_in(tmp_path / "b", "xlm-roberta"), *typed) == ""


@pytest.mark.parametrize("architecture", FEW)
def test_the_wrong_pooling_for_a_model(architecture, tmp_path):
    path = embedder_in(tmp_path / "a", architecture, "lasttoken")
    message = refusal(path, "model.pooling=mean")
    assert message.startswith(
        "model.pooling=mean is not what the model was trained with, lasttoken. Expected lasttoken"
    )
    assert each_fix_leads_on(path, message, "model.pooling=mean") == ["", ""]
    raw = network_in(tmp_path / "b", architecture)
    for mode in ("mean", "cls"):
        message = refusal(raw, f"model.pooling={mode}")
        assert f"model.pooling={mode} does not go with causal attention" in message
        assert {*each_fix_leads_on(raw, message, f"model.pooling={mode}")} == {""}


def test_last_token_pooling_on_a_mean_model(tmp_path):
    for number, architecture in enumerate(("xlm-roberta", "gemma3_text")):
        flag = {"use_bidirectional_attention": True} if architecture == "gemma3_text" else {}
        path = embedder_in(tmp_path / str(number), architecture, "mean", **flag)
        message = refusal(path, "model.pooling=lasttoken")
        assert "is not what the model was trained with, mean" in message
        assert each_fix_leads_on(path, message, "model.pooling=lasttoken") == ["", ""]
        assert refusal(path, "model.pooling=cls") == ""


def test_a_network_saved_by_its_bare_class_would_be_pooled_by_mean(tmp_path):
    path = network_in(tmp_path / "a", "qwen3", causal_lm=False)
    message = refusal(path)
    assert message.startswith("model.pooling=null does not go with causal attention (here mean)")
    assert {*each_fix_leads_on(path, message)} == {""}


def test_a_pooling_of_older_releases_is_read(tmp_path):
    path = embedder_in(tmp_path / "a", "qwen3", "lasttoken")
    (path / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True})
    )
    assert trained_with(path, None).pooling == ("lasttoken",)
    assert "trained with, lasttoken" in refusal(path, "model.pooling=mean")


LOST = {
    "Gemma 3 without its flag": ("gemma3_text", {}),
    "a flag that Qwen3 does not read": ("qwen3", {"use_bidirectional_attention": True}),
    "a class of LLM2Vec": ("llama", {"architectures": ["LlamaEncoderModel"]}),
    "a class that came as code": ("mistral", {"auto_map": {"AutoModel": "modeling_bi.MistralBiModel"}}),
    "NVIDIA's name": ("llama", {"architectures": ["LlamaBidirectionalModel"]}),
}


@pytest.mark.parametrize("name", LOST)
def test_a_causal_mask_where_the_model_was_bidirectional(name, tmp_path):
    architecture, config = LOST[name]
    path = embedder_in(tmp_path / "a", architecture, "mean")
    edit_json(path / "config.json", **config)
    message = refusal(path)
    assert message.startswith("model.mask=null leaves the attention causal; the model was trained with a bidirectional")
    assert each_fix_leads_on(path, message) == ["", ""]


@pytest.mark.parametrize("name", ["a class that came as code", "NVIDIA's name"])
def test_code_of_its_own_brings_the_mask_where_it_is_trusted(name, tmp_path):
    architecture, config = LOST[name]
    path = embedder_in(tmp_path / "a", architecture, "mean")
    edit_json(path / "config.json", **config | {"auto_map": {"AutoModel": "modeling_bi.BiModel"}})
    assert refusal_of(path) != ""
    assert refusal_of(path, trust_remote_code=True) == ""
    assert "trained with a bidirectional" in refusal_of(path, trust_remote_code=True, mask="causal")
    edit_json(path / "config.json", auto_map={"AutoModelForCausalLM": "modeling_bi.BiModel"})
    assert "leaves the attention causal" in refusal_of(path, trust_remote_code=True)  # which is not what embeds


@pytest.mark.parametrize("architecture", FEW)
def test_a_mask_is_taken_saved_and_loaded_by_sentence_transformers_alone(architecture, tmp_path):
    from sentence_transformers import SentenceTransformer

    path = network_in(tmp_path / "a", architecture)
    vectors = {}
    for mask in ("causal", "bidirectional"):
        model = PretrainedModel(path=str(path), pooling="lasttoken", mask=mask).load(list, tmp_path)
        model.save_pretrained(str(tmp_path / mask))
        vectors[mask] = model.encode([*TEXTS])
        again = SentenceTransformer(str(tmp_path / mask), device="cpu")
        assert numpy.abs(again.encode([*TEXTS]) - vectors[mask]).max() < 1e-5
    assert numpy.abs(vectors["causal"] - vectors["bidirectional"]).max() > 1e-2
    assert refusal(tmp_path / "bidirectional") == ""


def test_the_other_mask_of_a_last_token_model_is_refused(tmp_path):
    path = embedder_in(tmp_path / "a", "qwen3", "lasttoken")
    message = refusal(path, "model.mask=bidirectional")
    assert "makes the attention bidirectional; the model was trained with a causal one" in message
    assert each_fix_leads_on(path, message, "model.mask=bidirectional") == ["", ""]
    assert refusal(network_in(tmp_path / "b", "bert"), "model.mask=causal").endswith("hint: type model.mask=null")


def test_the_command_line_types_all_of_it(tmp_path):
    path = network_in(tmp_path / "a", "qwen3", eos=False)
    facts = "model.trained_with={pooling: lasttoken, prompts: {query: 'Q: '}}"
    typed = [facts, "model.eos=true", "model.padding_side=left", "model.mask=causal", "model.unlike_training=warn"]
    model = instantiate(compose(["model=pretrained", f"model.path={path}", *typed]).model)
    model.check()
    assert (model.eos, model.padding_side, model.mask, model.unlike_training) == (True, "left", "causal", "warn")
    assert model.trained_with == {"pooling": "lasttoken", "prompts": {"query": "Q: "}}


def test_what_the_yaml_says_of_a_model_on_the_hub_is_compared_without_its_files(monkeypatch):
    monkeypatch.setattr("embexp.models.weights.hub_is_reachable", lambda: True)
    facts = "model.trained_with={pooling: lasttoken, mask: causal, eos: true}"
    assert refusal("org/model", facts) == ""
    message = refusal("org/model", facts, "model.pooling=mean", "model.mask=bidirectional")
    assert len(fixes(message)) == 4
    assert "model.pooling=mean is not what the model was trained with, lasttoken" in message
    assert "the model was trained with a causal one (model.trained_with.mask)" in message


def test_it_may_be_meant_and_is_then_a_warning(tmp_path, caplog):
    path = embedder_in(tmp_path / "a", "qwen3", "lasttoken", eos=False)
    assert refusal(path, "model.unlike_training=warn") == ""
    assert "model.eos=null leaves texts without a token at their end" in caplog.text
    assert "unlike_training" not in caplog.text
    model = PretrainedModel(path=str(path), unlike_training="warn").load(list, tmp_path)
    model.save_pretrained(str(tmp_path / "trained"))
    assert refusal(tmp_path / "trained") == ""  # it is known of the saved one


def test_an_adapter_is_checked_by_its_base(tmp_path):
    pytest.importorskip("peft")
    adapter = LoraAdapter(4, 8, 0.0, "all-linear", None, "none", False, False, False)
    base = network_in(tmp_path / "base", "qwen3")
    model = PretrainedModel(path=str(base), adapter=adapter).load(list, tmp_path)
    model.save_pretrained(str(tmp_path / "adapter"))
    assert refusal(tmp_path / "adapter") == ""
    assert "trained with, lasttoken" in refusal(tmp_path / "adapter", "model.pooling=mean")


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path):
    path = network_in(tmp_path / "a", "llama", tokenizer={"pad_token": None})
    edit_json(path / "tokenizer_config.json", pad_token=None)
    model = PretrainedModel(path=str(path)).load(list, tmp_path)
    assert model.encode([*TEXTS]).shape == (5, 32)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("trained_with={pool: mean}", "model.trained_with.pool=mean is not known. Expected some of: pooling, eos, "),
        ("trained_with=5", "model.trained_with=5 was given. Expected some of"),
        ("trained_with={mask: left}", "model.trained_with.mask=left was given. Expected one of: causal, bidirectional"),
        ("eos=5", "model.eos=5 was given. Expected true, the token, or null"),
        ("mask=both", "model.mask=both was given. Expected one of: causal, bidirectional, or null"),
        ("padding_side=middle", "model.padding_side=middle was given. Expected one of: left, right, or null"),
        ("unlike_training=false", "model.unlike_training=false was given. Expected one of: refuse, warn"),
    ],
)
def test_values_that_are_none_are_refused(typed, expected):
    override = PARSER.parse_override(typed)
    with pytest.raises(ConfigError) as error:
        PretrainedModel(**{override.key_or_group: override.value()})
    assert str(error.value).startswith(expected)
