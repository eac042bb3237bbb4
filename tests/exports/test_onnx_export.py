"""The ONNX export: the same embeddings as torch by the loader that is written with it, and its refusals."""

import shutil

import numpy
import pytest

from embexp.errors import ConfigError, ExportError
from embexp.exports.delivery import TrainedModel
from embexp.exports.onnx_export import OnnxExport, _OnnxEncoder
from embexp.models.scratch import ScratchModel

TEXTS = ["a bond is a loan", "shares", "what does a bond cost " * 40, "ein 中文 text", ""]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A two-layer BERT with a normalisation and a default prompt, saved."""
    from sentence_transformers.base.modules import Normalize

    folder = tmp_path_factory.mktemp("model")
    scratch = ScratchModel(num_layers=2, hidden_size=32, num_heads=2, vocabulary_size=200, max_seq_length=32)
    model = scratch.load(lambda: TEXTS, folder)
    model.append(Normalize())
    model.prompts, model.default_prompt_name = {"query": "bond: "}, "query"
    model.save_pretrained(str(folder / "saved"))
    return folder / "saved"


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    trained = TrainedModel(model, folder.parent, encoder=None)
    return folder, OnnxExport("onnx", 1e-4, 50, quantise=True).make(trained, folder)


def test_the_loader_that_is_written_gives_the_embeddings_of_torch(exported, model, monkeypatch):
    from sentence_transformers import SentenceTransformer

    folder, _ = exported
    expected = SentenceTransformer(str(model), device="cpu").encode(TEXTS)
    monkeypatch.chdir(folder)
    code = (folder / "README.md").read_text().split("```")[1].removeprefix("python")
    for file, most in (("model.onnx", 1e-5), ("model_int8.onnx", 0.1)):
        names = {"texts": TEXTS}
        exec(code.replace("model_int8.onnx", file), names)
        assert numpy.abs(names["vectors"] - expected).max() < most
    assert numpy.allclose(numpy.linalg.norm(expected, axis=1), 1)


def test_the_folder_is_what_the_backend_onnx_of_sentence_transformers_takes(exported, model, tmp_path):
    """Its own rules name the graph, and the vectors of the tokens are the first output, which optimum reads."""
    import torch
    from onnxruntime import InferenceSession
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.backend.utils import backend_should_export

    folder, _ = exported
    shutil.copytree(folder, tmp_path / "onnx")
    for place in (tmp_path / "onnx", tmp_path):  # alone, and below a model as on the Hub
        makes_one, found = backend_should_export(place, True, {"provider": "x"}, "model.onnx", "*.onnx", "ONNX")
        graph = place / found.get("subfolder", "") / found.get("file_name", "model.onnx")
        assert not makes_one
        assert graph.samefile(tmp_path / "onnx/model.onnx")
    whole = SentenceTransformer(str(model), device="cpu")
    session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["last_hidden_state", "sentence_embedding"]
    features = whole.preprocess(TEXTS)
    tokens = session.run(None, {each.name: features[each.name].numpy() for each in session.get_inputs()})[0]
    features |= {"token_embeddings": torch.from_numpy(tokens)}
    for step in [*whole][1:]:
        features = step(features)
    without_prompt = whole.encode(TEXTS, prompt="")
    assert numpy.abs(features["sentence_embedding"].numpy() - without_prompt).max() < 1e-5
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "modules.json", "1_Pooling", "tokenizer.json"} <= names
    assert "model.safetensors" not in names


@pytest.mark.slow
def test_sentence_transformers_loads_it_by_its_backend(exported, model):
    """Where optimum is installed: sentence-transformers 5.7 with optimum-onnx 0.1.0 gives the same within 1e-6."""
    pytest.importorskip("optimum.onnxruntime")
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(exported[0]), backend="onnx", device="cpu")
    expected = SentenceTransformer(str(model), device="cpu").encode(TEXTS)
    assert numpy.abs(loaded.encode(TEXTS) - expected).max() < 1e-5


def test_size_speed_and_difference_are_measured(exported):
    folder, made = exported
    assert made.metrics["export/onnx/megabytes"] == (folder / "model.onnx").stat().st_size / 1e6
    assert made.metrics["export/onnx/max_difference"] < 1e-5
    assert made.metrics["export/onnx/speed_ratio"] > 0
    assert made.metrics["export/onnx/int8_weights/megabytes"] < made.metrics["export/onnx/megabytes"]
    assert "embeddings differ by at most" in made.lines[0]


@pytest.mark.slow
def test_embeddings_that_differ_too_much_are_refused(model, tmp_path):
    with pytest.raises(ExportError, match="Expected at most 0 "):
        OnnxExport("onnx", 0.0, 50, quantise=False).make(TrainedModel(model, tmp_path, encoder=None), tmp_path)


def test_what_torch_cannot_export_is_a_failed_export(model, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no such operator\nmore")

    monkeypatch.setattr("torch.onnx.export", fails)
    with pytest.raises(ExportError, match=r"torch cannot write this model .* as ONNX: no such operator\. Expected"):
        OnnxExport("onnx", 1e-4, 50, False).make(TrainedModel(model, tmp_path, encoder=None), tmp_path)


def test_what_onnxruntime_cannot_read_is_a_failed_export(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(
        ExportError, match=r"onnxruntime cannot use model\.onnx: (.|\n)*hint: type .*pip install --upgrade"
    ):
        _OnnxEncoder(tmp_path, "model.onnx", 8, "", 1)


def test_a_table_of_word_vectors_is_refused(model, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = StaticEmbedding(SentenceTransformer(str(model)).tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[words]).save_pretrained(str(tmp_path / "table"))
    with pytest.raises(ExportError, match="begins with StaticEmbedding"):
        OnnxExport("onnx", 1e-4, 50, False).make(TrainedModel(tmp_path / "table", tmp_path, encoder=None), tmp_path)


def test_missing_packages_are_named_before_training(without):
    without("onnxscript")
    with pytest.raises(ConfigError, match=r"export=onnx needs .*; not installed: onnxscript\.\nhint: type .*onnx"):
        OnnxExport("onnx", 1e-4, 50, quantise=False)
