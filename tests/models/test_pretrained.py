"""Base models with published weights: where they are looked for, what is refused, and cutting layers."""

import hashlib
import importlib

import numpy
import pytest

from embexp.config.compose import compose, instantiate
from embexp.errors import ModelError
from embexp.models.pretrained import PretrainedModel, _keep_first_layers

TEXTS = ["The market rose.", "Stocks went up.", "A cat sleeps."]
COMMIT = "c" * 40


def write_weights(folder, content: bytes = b"weights") -> str:
    """A folder with a file that is called like weights; returns the file's sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """The name of an importable package with a folder `model`."""
    write_weights(tmp_path / "site" / "toy_weights" / "model", b"of the package")
    (tmp_path / "site" / "toy_weights" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    return "toy_weights"


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The snapshot folder of org/toy in a Hugging Face cache that holds nothing else; still empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--org--toy"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


@pytest.fixture
def minilm():
    return instantiate(compose(["model=minilm"]).model).load(list, None)


def test_another_model_stands_in_for_weights_of_the_hub_and_of_nothing_nearer(package, hub_cache):
    write_weights(hub_cache, b"of the cache")
    stands_in = PretrainedModel(id="org/toy", stand_in="minilm").locate()
    assert (stands_in["id"], stands_in["source"]) == ("sentence-transformers/all-MiniLM-L6-v2", "package")
    assert PretrainedModel(id="org/toy", package=package, stand_in="minilm").locate()["id"] == "org/toy"


def test_a_folder_goes_before_the_package_the_package_before_the_cache_the_cache_before_the_hub(
    tmp_path, package, hub_cache
):
    in_folder = write_weights(tmp_path / "mine", b"of the folder")
    in_cache = write_weights(hub_cache, b"of the cache")

    place = PretrainedModel(id="org/toy", path=str(tmp_path / "mine"), package=package).locate()
    assert (place["source"], place["location"], place["sha256"]) == ("path", str(tmp_path / "mine"), in_folder)
    place = PretrainedModel(id="org/toy", package=package).locate()
    assert (place["source"], place["sha256"]) == ("package", hashlib.sha256(b"of the package").hexdigest())
    place = PretrainedModel(id="org/toy", package="not_installed").locate()
    assert (place["source"], place["revision"], place["sha256"]) == ("cache", COMMIT, in_cache)
    with pytest.raises(ModelError, match="come with the Python package not_installed, which is not installed"):
        PretrainedModel(id="org/other", package="not_installed").locate()
    place = PretrainedModel(id="org/other").locate()
    unknown = {"sha256": "", "files": ""}
    assert place == {"id": "org/other", "source": "hub", "location": "org/other", "revision": "main"} | unknown


def test_a_package_with_other_weights_than_the_published_ones_is_refused(package):
    found = hashlib.sha256(b"of the package").hexdigest()
    assert PretrainedModel(id="org/toy", package=package, sha256=found).locate()["sha256"] == found
    with pytest.raises(ModelError, match=f"has the sha256 {found}; expected {'0' * 64}.*install it again"):
        PretrainedModel(id="org/toy", package=package, sha256="0" * 64).locate()


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\. Expected one of model\.safetensors"):
        PretrainedModel(path=str(tmp_path)).locate()


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere", "~/nowhere", "nowhere", "no/where/here"])
def test_a_path_that_is_neither_a_folder_nor_an_id_is_refused(path):
    with pytest.raises(ModelError, match=f"There is no folder {path}. Expected a saved model, or an id"):
        PretrainedModel(path=path).locate()


@pytest.mark.usefixtures("hub_cache")
def test_a_name_that_no_hub_could_have_is_refused():
    with pytest.raises(ModelError, match="org/a model is neither a folder nor an id on the Hub"):
        PretrainedModel(path="org/a model").locate()


def test_without_path_and_id_the_message_says_what_to_type():
    with pytest.raises(ModelError, match=r"hint: type model\.path=<folder or Hub id>"):
        PretrainedModel().locate()


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_that_does_not_answer_gives_a_message_that_says_what_to_do(workplace):
    with pytest.raises(ModelError) as caught:
        PretrainedModel(path="org/unheard-of").load(list, workplace)
    assert "The weights of org/unheard-of are not on this machine" in str(caught.value)
    assert str(caught.value).endswith("\nhint: type model.path=<folder>\nhint: type model=minilm")


def test_minilm_comes_from_its_package_with_the_published_weights():
    published = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    place = instantiate(compose(["model=minilm"]).model).locate()
    assert (place["id"], place["source"]) == ("sentence-transformers/all-MiniLM-L6-v2", "package")
    assert place["sha256"] == published


def test_max_seq_length_replaces_the_models_own(minilm):
    assert minilm.max_seq_length == 256
    assert instantiate(compose(["model=minilm", "model.max_seq_length=8"]).model).load(list, None).max_seq_length == 8


def test_the_first_layers_of_minilm_embed_the_same_after_saving_and_loading(minilm, tmp_path):
    from sentence_transformers import SentenceTransformer

    whole = minilm.encode(TEXTS)
    _keep_first_layers(minilm, 3)
    cut = minilm.encode(TEXTS)
    minilm.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path))
    assert len(loaded[0].auto_model.encoder.layer) == loaded[0].auto_model.config.num_hidden_layers == 3
    assert numpy.array_equal(loaded.encode(TEXTS), cut)
    assert not numpy.allclose(whole, cut, atol=0.1)


def test_the_configuration_minilm_l3_has_three_layers():
    assert len(instantiate(compose(["model=minilm_l3"]).model).load(list, None)[0].auto_model.encoder.layer) == 3


def test_more_layers_than_there_are_is_refused():
    with pytest.raises(ModelError, match=r"model\.num_layers=7 was given\. .*The model has 6 layers"):
        instantiate(compose(["model=minilm", "model.num_layers=7"]).model).load(list, None)
