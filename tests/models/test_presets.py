"""The presets of conf/model: what their YAMLs say, how their licences are told, and what is said without a network."""

import pytest

from embexp.config.compose import compose, instantiate, option_of, resolve
from embexp.config.session import conf_dir
from embexp.errors import ModelError
from embexp.experiment.presets import preset_warnings
from embexp.models.weights import refuse_unreachable

PRESETS = ["bge_m3", "e5_mistral_7b", "e5_small", "embeddinggemma_300m", "gte_modernbert_base", "gte_multilingual_base"]
PRESETS += ["multilingual_e5_base", "multilingual_e5_small", "paraphrase_multilingual_minilm", "qwen3_embedding_0_6b"]
HUB = {"id": "org/name", "source": "hub", "location": "org/name", "revision": "main", "sha256": "", "files": ""}


def warnings_of(name, *typed, place=HUB):
    config = resolve(compose([f"model={name}", *typed]))
    return [*map(str, preset_warnings(config, name, place))]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_where_it_comes_from_and_what_suits_it(name):
    node = option_of("model", name)
    assert node["_source_"] == f"https://huggingface.co/{node['id']}"
    assert node["_licence_"] in ("mit", "apache-2.0", "gemma")
    assert min(node["_width_"], 3 * node["_length_"]) >= 384
    assert (conf_dir() / "loss" / f"{node['_loss_']}.yaml").is_file()
    assert 1e-6 < node["_learning_rate_"] < 1e-4
    assert node["trust_remote_code"] is False
    model = instantiate(node)
    for kind in ("search", "similarity", "classification", "clustering"):
        prompts = model.prompts_for(kind)
        assert (prompts is None) == (node["prompts"] is None)


def test_all_presets_are_in_the_test():
    told = {path.stem for path in (conf_dir() / "model").glob("*.yaml") if "_loss_:" in path.read_text()}
    assert told == {*PRESETS} - {"e5_small"}  # whose YAML is that of multilingual_e5_small


def test_a_preset_learns_with_the_rate_that_suits_it():
    assert compose(["model=qwen3_embedding_0_6b"]).trainer.learning_rate == 6e-6
    assert compose(["model=qwen3_embedding_0_6b", "model/adapter=lora"]).trainer.learning_rate == 2e-4


def test_licences_that_allow_all_are_in_the_log_only_and_only_before_a_download(caplog):
    caplog.set_level("INFO")
    assert warnings_of("bge_m3") == []
    assert "model=bge_m3 is fetched from the Hub once (licence mit): https://huggingface.co/BAAI/bge-m3" in caplog.text
    caplog.clear()
    assert warnings_of("bge_m3", place=HUB | {"source": "cache"}) == []
    assert warnings_of("tiny") == []
    assert caplog.text == ""


def test_gated_weights_and_terms_are_told_before_the_download():
    terms, gate = warnings_of("embeddinggemma_300m")
    assert terms.startswith("model=embeddinggemma_300m has the licence gemma, with terms of its own: https://hugging")
    assert "is given only to those who have accepted its licence" in gate
    assert gate.endswith("hint: type hf auth login\nhint: type model.path=<folder>")
    assert len(warnings_of("embeddinggemma_300m", place=HUB | {"source": "cache"})) == 1
    assert warnings_of("embeddinggemma_300m", "model.path=org/mine") == []  # other weights


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0"])
def test_a_licence_against_commercial_use_is_told(licence):
    config = resolve(compose(["model=minilm"]))
    config["model"] |= {"_licence_": licence, "_source_": "https://huggingface.co/org/name"}
    (told,) = map(str, preset_warnings(config, "mine", HUB))
    assert f"model=mine has the licence {licence}, which forbids commercial use" in told


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["model=minilm", "trainer.learning_rate=1e-2"], "is far above 5e-05, which suits the model minilm"),
        (["model=static", "trainer.learning_rate=2e-5"], "is far below 0.01, which suits the model static"),
        (
            ["model=minilm", "model/adapter=lora", "trainer.learning_rate=1e-5"],
            "is far below 0.0002, which suits the adapter of the model minilm",
        ),
    ],
)
def test_a_learning_rate_far_from_what_suits_the_model_is_a_warning(typed, said):
    name = typed[0].removeprefix("model=")
    (warning,) = map(str, preset_warnings(resolve(compose(typed)), name, {}))
    assert said in warning
    (fix,) = [line.removeprefix("hint: type ") for line in warning.splitlines() if line.startswith("hint")]
    assert not [*preset_warnings(resolve(compose([*typed[:-1], fix])), name, {})]


@pytest.mark.parametrize("rate", ["2e-5", "5e-5", "4e-4"])
def test_rates_that_people_use_are_no_warning(rate):
    config = resolve(compose(["model=minilm", f"trainer.learning_rate={rate}"]))
    assert not [*preset_warnings(config, "minilm", {})]


def test_without_the_hub_one_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr("embexp.models.weights.hub_is_reachable", lambda: False)
    with pytest.raises(ModelError) as error:
        refuse_unreachable(HUB)
    assert str(error.value).splitlines() == [
        "The weights of org/name are not on this machine, and the Hugging Face Hub does not answer. Expected a "
        "connection, a mirror (HF_ENDPOINT=https://...), or a folder that they were copied to.",
        "hint: type model.path=<folder>",
        "hint: type model=minilm",
    ]
    refuse_unreachable(HUB | {"source": "cache"})
    monkeypatch.setattr("embexp.models.weights.hub_is_reachable", lambda: True)
    refuse_unreachable(HUB)
