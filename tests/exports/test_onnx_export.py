"""The ONNX export: the same embeddings as torch by the loader that is written with it, and its refusals."""

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
        ExportError, match=r"onnxruntime cannot use model\.onnx: (.|\n)*hint: type pip install --upgrade"
    ):
        _OnnxEncoder(tmp_path, "model.onnx", 8, "", 1)


def test_a_table_of_word_vectors_is_refused(model, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = StaticEmbedding(SentenceTransformer(str(model)).tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[words]).save_pretrained(str(tmp_path / "table"))
    with pytest.raises(ExportError, match="begins with StaticEmbedding"):
        OnnxExport("onnx", 1e-4, 50, False).make(TrainedModel(tmp_path / "table", tmp_path, encoder=None), tmp_path)


def test_missing_packages_are_named_before_training(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ConfigError, match=r"not installed: onnxscript\.\nhint: type pip install onnxscript$"):
        OnnxExport("onnx", 1e-4, 50, quantise=False)
