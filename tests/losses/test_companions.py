"""Companions: how a guide is named, that it is found before anything is loaded, and what is refused."""

import pytest
from conftest import TINY

from embexp.config.compose import compose, option_of
from embexp.errors import ConfigError, EmbexpError, ModelError
from embexp.experiment.plan import plan_run
from embexp.losses.guided import _frozen
from embexp.losses.spec import spec_of
from embexp.models.pretrained import PretrainedModel

GIST = option_of("loss", "gist")


def places_of(node):
    return spec_of("gist", node).locate()


def companions_of(node):
    return spec_of("gist", node).companions()


def test_a_guide_is_named_as_a_base_model_is():
    assert places_of(GIST)["guide"]["source"] == "package"
    by_yaml = GIST | {"guide": option_of("model", "minilm")}
    assert companions_of(by_yaml) == companions_of(GIST)
    by_id = companions_of(GIST | {"guide": "org/some-name"})["guide"]
    assert by_id.path == "org/some-name"


def test_what_is_not_named_is_no_companion():
    assert companions_of(option_of("loss", "diffcse")) == {}
    assert spec_of("mnrl", option_of("loss", "mnrl")).locate() == {}


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"loss\.guide=minilmm is not known\. .* org/name, or one of: .*'minilm'"):
        companions_of(GIST | {"guide": "minilmm"})


def test_a_folder_that_is_not_there_is_refused_with_the_argument():
    with pytest.raises(ModelError, match=r"loss\.guide=\./nowhere: There is no folder \./nowhere\. Expected a saved"):
        places_of(GIST | {"guide": "./nowhere"})


def test_random_weights_guide_nobody():
    with pytest.raises(
        ConfigError,
        match=r"loss\.guide=tiny is a model with random weights\. .*\nhint: type loss\.guide=minilm",
    ):
        places_of(GIST | {"guide": "tiny"})


def test_a_generator_is_no_guide_and_gets_its_own_advice():
    diffcse = option_of("loss", "diffcse") | {"generator": "tiny"}
    with pytest.raises(
        ConfigError,
        match=r"generator=tiny is a model with random .*\n.* loss\.generator=google-bert/bert",
    ):
        places_of(diffcse)


def test_a_table_of_token_vectors_guides_nobody():
    with pytest.raises(ConfigError, match=r"loss\.guide=static has no transformer\. .*\nhint: type loss\.guide=minilm"):
        places_of(GIST | {"guide": "static"})


@pytest.mark.parametrize("answers", [False, True])
def test_a_hub_that_does_not_answer_is_reported_before_anything_is_loaded(answers, monkeypatch):
    monkeypatch.setattr("embexp.losses.spec.hub_is_reachable", lambda: answers)
    guide = GIST | {"guide": "org/some-name"}
    if answers:
        assert places_of(guide)["guide"]["source"] == "hub"
        return
    with pytest.raises(
        ModelError, match=r"loss\.guide=org/some-name is on the Hugging Face Hub \(org/some-name\), which does not"
    ):
        places_of(guide)


def test_a_model_that_cannot_be_loaded_is_reported_with_the_argument(tmp_path):
    from embexp.losses.diffcse import _load_generator

    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    guide = PretrainedModel(path=str(tmp_path))
    with pytest.raises(ModelError, match=r"^loss\.guide=.* cannot be loaded: (.|\n)* type loss\.guide=<folder or Hub"):
        _frozen(guide)
    with pytest.raises(ModelError) as told:
        _frozen(guide)
    assert "model.path" not in str(told.value)
    with pytest.raises(ModelError, match=r"^loss\.generator=.* cannot be loaded: (.|\n)* type loss\.generator=<folder"):
        _load_generator(guide, network=None, tokenizer=None)


def test_a_wrong_guide_stops_the_plan_next_to_other_mistakes(tmp_path):
    choices = {"dataset": "finance", "model": "tiny", "loss": "gist", "trainer": "smoke"}
    wrong = ["loss=gist", "loss.guide=./nowhere", "primary_metric=sts/spearman"]
    with pytest.raises(EmbexpError) as error:
        plan_run(compose([*TINY, "tracking=none", *wrong]), choices, tmp_path)
    heading, guide, metric = str(error.value).split("\n\n")
    assert heading == "2 things do not fit:"
    assert guide.startswith("1. loss.guide=./nowhere: There is no folder ./nowhere.")
    assert metric.startswith("2. primary_metric=sts/spearman is not measured.")
