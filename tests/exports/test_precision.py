"""Embeddings in fewer bits: the numbers themselves, what evaluators make of them, and the usage that is written."""

import numpy
import pytest

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError, ExportError
from embexp.evaluation.library_evaluators import LibraryEvaluator
from embexp.evaluation.similarity import similarity_evaluator
from embexp.exports.delivery import TrainedModel
from embexp.exports.precision import QuantisedEmbeddings, _QuantisedEncoder
from embexp.steps.prompting import set_prompts

VECTORS = {
    "a": [1.0, 0.0],
    "b": [0.9, -0.1],
    "c": [0.1, 1.0],
    "d": [-1.0, 0.2],
    "low": [-1.0, -1.0],
    "high": [1.0, 1.0],
}


class Table:
    """An Encoder that looks vectors up."""

    def encode(self, texts, prompt=None):
        return numpy.array([VECTORS[text] for text in texts], dtype="float32")


@pytest.fixture
def trained(tmp_path):
    pairs = {"sentence1": ["a", "a", "a"], "sentence2": ["b", "c", "d"], "score": [1.0, 0.5, 0.0]}
    evaluator = similarity_evaluator("sts", dataset_of("p", "scored_pair", {"dev": pairs}), ["cosine"], resamples=40)
    texts = dataset_of("t", "text", {"train": {"text": ["low", "high", "a"]}})
    return TrainedModel(tmp_path, tmp_path / "exports", Table(), (evaluator,), texts)


def test_int8_takes_the_ranges_apart_into_256_steps():
    """A range of 255 is steps of one, from -128 on; what lies below the range is cut to its end."""
    ranges = numpy.array([[0.0, -1.0], [255.0, 254.0]])
    found = _QuantisedEncoder(Table(), "int8", ranges).encode(["low", "high", "a"])
    assert found.tolist() == [[-128, -128], [-127, -126], [-127, -127]]


def test_cosine_of_binary_embeddings_is_that_of_the_hamming_distance():
    found = _QuantisedEncoder(Table(), "binary", None).encode(["a", "c", "low"])
    assert found.tolist() == [[1, -1], [1, 1], [-1, -1]]


def test_int8_writes_the_ranges_of_the_training_texts_and_what_each_metric_loses(trained, tmp_path):
    made = QuantisedEmbeddings("int8", "int8", 10).make(trained, tmp_path)
    assert numpy.load(tmp_path / "ranges.npy").tolist() == [[-1, -1], [1, 1]]
    assert made.metrics["export/int8/sts/spearman_cosine"] == 1.0
    assert made.metrics["export/int8/delta/sts/spearman_cosine"] == 0.0
    assert {"export/int8/delta/sts/pearson_cosine_low", "export/int8/sts/pearson_cosine"} <= set(made.metrics)
    assert [line.replace("-0.0000", "+0.0000") for line in made.lines] == [  # a resample may end at -1e-17
        "4 times smaller embeddings",
        "dev/sts/spearman_cosine 1.0000 -> 1.0000 (+0.0000: too few to judge)",
    ]
    assert "dev/sts/spearman_cosine 1.0000" in (tmp_path / "README.md").read_text()


def test_binary_tells_what_signs_alone_lose(trained, tmp_path):
    """a is (+, -), b too, c is (+, +), d is (-, +): similarities 1, 0, -1, as the gold scores go."""
    made = QuantisedEmbeddings("binary", "binary", None).make(trained, tmp_path)
    assert made.metrics["export/binary/sts/pearson_cosine"] == pytest.approx(1.0)
    assert made.metrics["export/binary/delta/sts/pearson_cosine"] == pytest.approx(
        1 - trained.scores(trained.evaluators[0]).metrics["pearson_cosine"]
    )
    assert made.lines[0] == "32 times smaller embeddings"


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_the_usage_that_is_written_gives_the_measured_vectors(precision, trained, tmp_path, monkeypatch):
    QuantisedEmbeddings(precision, precision, 10).make(trained, tmp_path)
    code = (tmp_path / "README.md").read_text().split("```")[1].removeprefix("python")
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", lambda _: Table())
    monkeypatch.chdir(tmp_path)
    names = {"texts": ["a", "d"]}
    exec(code, names)
    ranges = names.get("ranges")
    expected = _QuantisedEncoder(Table(), precision, ranges).encode(["a", "d"])
    found = names["vectors"]
    if precision == "binary":
        found = numpy.unpackbits(found, axis=1, count=2).astype(int) * 2 - 1
    assert found.tolist() == expected.tolist()


def test_ranges_are_those_of_the_texts_after_the_prompts_that_evaluation_puts_there(trained, tmp_path):
    class Prompted(Table):
        def encode(self, texts, prompt=None):
            return super().encode(texts) * {"twice: ": 2, "": 1}[prompt]

    pairs = dataset_of("t", "positive_pair", {"train": {"anchor": ["low"], "positive": ["high"]}})
    trained.dataset = set_prompts(pairs, {"query": "twice: "}, columns={"anchor": "query"})
    trained.encoder, trained.evaluators = Prompted(), ()
    QuantisedEmbeddings("int8", "int8", 10).make(trained, tmp_path)
    assert numpy.load(tmp_path / "ranges.npy").tolist() == [[-2, -2], [1, 1]]


def test_ranges_without_training_texts_are_refused(trained, tmp_path):
    trained.dataset = dataset_of("t", "text", {"dev": {"text": ["a"]}})
    with pytest.raises(DataError, match="has no rows to train on"):
        QuantisedEmbeddings("int8", "int8", 10).make(trained, tmp_path)


@pytest.mark.parametrize(
    ("precision", "texts", "message"),
    [
        ("int4", 10, "export.x.precision=int4 was given. Expected one of: int8, binary."),
        ("int8", 1, "export.x.calibration_texts=1 was given. Expected a whole number of at least 2."),
        ("int8", None, "export.x.calibration_texts=null was given. Expected a whole number of at least 2."),
    ],
)
def test_what_cannot_be_done_is_refused_in_the_plan(precision, texts, message):
    with pytest.raises(ConfigError) as refusal:
        QuantisedEmbeddings("x", precision, texts)
    assert message in str(refusal.value)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_an_evaluator_of_whole_models_does_not_measure_vectors_and_costs_no_export(precision, trained, tmp_path):
    theirs = LibraryEvaluator("nanobeir", lambda model: {"ndcg": 1.0})
    own = trained.evaluators
    trained.evaluators = (theirs, *own)
    made = QuantisedEmbeddings(precision, precision, 10).make(trained, tmp_path)
    assert made.lines[1] == "test/nanobeir not measured: it reads a whole model, not vectors alone"
    assert made.lines[2].startswith("dev/sts/spearman_cosine")
    assert not any("nanobeir" in key for key in made.metrics)
    trained.evaluators = (theirs,)
    with pytest.raises(ExportError, match=r"The evaluator nanobeir .* needs a whole model"):
        QuantisedEmbeddings(precision, precision, 10).make(trained, tmp_path)
