"""Models that bring code of their own: refused before anything is loaded, unless the user trusts them."""

import json

import pytest

from embexp.errors import ModelError
from embexp.models.pretrained import PretrainedModel
from embexp.models.weights import remote_code

CUSTOM = {"model_type": "never_heard_of", "auto_map": {"AutoModel": "modeling_mine.MineModel"}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def write(path, content) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def test_an_architecture_of_its_own_is_refused_with_the_code_and_what_to_type(folder):
    write(folder / "config.json", CUSTOM)
    with pytest.raises(ModelError) as refusal:
        PretrainedModel(path=str(folder)).locate()
    assert "code of its own: modeling_mine.MineModel (config.json: AutoModel). Expected" in str(refusal.value)
    assert str(refusal.value).endswith("trust it only then.\nhint: type model.trust_remote_code=true")


def test_a_module_of_its_own_is_refused(folder):
    write(folder / "modules.json", [{"type": "custom_st.Transformer", "path": ""}])
    with pytest.raises(ModelError, match=r"custom_st\.Transformer \(modules\.json\)"):
        PretrainedModel(path=str(folder)).locate()


def test_the_network_of_the_first_module_is_looked_at(folder):
    write(folder / "modules.json", [{"type": "sentence_transformers.models.Transformer", "path": "0_T"}])
    write(folder / "0_T" / "config.json", CUSTOM)
    assert remote_code(folder) == ["modeling_mine.MineModel (config.json: AutoModel)"]


def test_code_that_transformers_does_not_need_is_left_alone(folder):
    write(folder / "config.json", CUSTOM | {"model_type": "bert"})
    write(folder / "modules.json", [{"type": "sentence_transformers.models.Transformer", "path": ""}])
    assert remote_code(folder) == []


def test_who_trusts_it_is_let_through(folder):
    write(folder / "config.json", CUSTOM)
    assert PretrainedModel(path=str(folder), trust_remote_code=True).locate()["location"] == str(folder)


def test_nothing_is_run_without_trust_and_with_it_a_line_says_what(tmp_path, caplog):
    model = tmp_path / "mine"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    write(model / "modules.json", [{"type": "custom_st.Mine", "path": "", "name": "0", "idx": 0}])
    (model / "custom_st.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise ValueError('it ran')\n")
    with pytest.raises(ModelError, match="running code of its own"):
        PretrainedModel(path=str(model)).load(list, tmp_path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ModelError, match="cannot be loaded"):
        PretrainedModel(path=str(model), trust_remote_code=True).load(list, tmp_path)
    assert (tmp_path / "ran").exists()
    assert "model.trust_remote_code=true: ['custom_st.Mine (modules.json)']" in caplog.text
