"""Evaluators of sentence-transformers by `_target_`: any of them, as metrics without intervals; NanoBEIR; mteb."""

import json
import math

import numpy
import pytest

from embexp.config.compose import compose, resolve
from embexp.errors import ConfigError, DataError, ModelError, Problems
from embexp.evaluation.library_evaluators import LibraryEvaluator, nanobeir_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import MemoryCachedEncoder, ModelEncoder

FROM = "sentence_transformers.sentence_transformer.evaluation"
OWN = """
class Shorter:
    greater_is_better = False
    def __call__(self, model, output_path=None, epoch=-1, steps=-1):
        return float(abs(model.encode(["a"])).sum())
"""


@pytest.fixture(scope="module")
def model():
    """Four words with vectors in the plane."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: place for place, word in enumerate(["[UNK]", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors)], device="cpu")


def planned(text, tmp_path):
    """The evaluator that such a YAML gives, in a run's plan."""
    from embexp.config.session import hydra_started
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import check_evaluator, plan_evaluators

    (tmp_path / "own" / "evaluator").mkdir(parents=True, exist_ok=True)
    (tmp_path / "own" / "evaluator" / "theirs.yaml").write_text(
        f"# @package evaluator.theirs\n# An evaluator of a library.\n{text}\n_reads_: []\n"
    )
    with hydra_started(tmp_path / "own"):
        from embexp.config.compose import composed

        config = resolve(composed(["evaluator=[theirs]", "paths.cache=null"])[0])
        builder, problems = builder_of(config), Problems()
        check_evaluator("theirs", config, "finance", builder)
        found = plan_evaluators(config, "finance", [], builder, problems)
    problems.raise_if_any()
    return found


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        (
            f"_target_: {FROM}.EmbeddingSimilarityEvaluator\nsentences1: [a, a, a]\nsentences2: [a, b, c]\n"
            "scores: [1, 0.6, 0.1]\nmain_similarity: cosine",
            {"score": 1.0, "spearman_cosine": 1.0},
        ),
        (
            f"_target_: {FROM}.TripletEvaluator\nanchors: [a, c]\npositives: [b, b]\nnegatives: [c, c]",
            {"score": 0.5, "cosine_accuracy": 0.5},
        ),
        (
            f"_target_: {FROM}.InformationRetrievalEvaluator\nqueries: {{q: a}}\ncorpus: {{d1: b, d2: c}}\n"
            "relevant_docs: {q: {_target_: builtins.set, _args_: [[d1]]}}",
            {"cosine_ndcg_at_10": 1.0, "cosine_mrr_at_10": 1.0},
        ),
        ("_target_: own_evaluators.Shorter", {"score": -1.0}),
    ],
    ids=["similarity", "triplet", "retrieval", "own"],
)
def test_any_evaluator_that_is_called_with_a_model_gives_its_metrics(text, metrics, model, tmp_path, monkeypatch):
    (tmp_path / "own_evaluators.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (evaluator,), primary, _ = planned(text, tmp_path)
    assert primary == ("theirs", "score")
    scores = evaluator.score(MemoryCachedEncoder(ModelEncoder(model)), "test")
    assert {key: scores.metrics[key] for key in metrics} == pytest.approx(metrics)
    assert all("@" not in key for key in scores.metrics)
    difference = next(each for each in compare(scores, scores, evaluator.resamples) if each.metric == "score")
    assert difference.verdict == "no interval"
    assert math.isnan(difference.low)


def test_what_an_evaluator_does_not_take_is_refused_as_elsewhere(tmp_path):
    with pytest.raises(ConfigError, match=r"evaluator.theirs.anchor\b.*Did you mean.*anchors"):
        planned(f"_target_: {FROM}.TripletEvaluator\nanchor: [a]\npositives: [b]\nnegatives: [c]", tmp_path)


def test_vectors_alone_are_no_model_and_the_model_stays_as_it_was(model):
    import random

    class Plain:
        def encode(self, texts, prompt=None):
            return numpy.zeros((len(texts), 2), dtype="float32")

    def draws(given):
        random.seed(1)
        assert not given.training
        return {"one": random.random()}

    evaluator = LibraryEvaluator("theirs", draws)
    with pytest.raises(ModelError, match="needs a whole model"):
        evaluator.score(Plain(), "test")
    model.train()
    random.seed(5)
    expected = random.random()
    random.seed(5)
    evaluator.score(ModelEncoder(model), "test")
    assert random.random() == expected
    assert model.training


def test_nanobeir_without_its_data_is_one_message(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"The data of NanoBEIR \(a/b\) cannot be loaded.*\n?.*guard=general comes"):
        nanobeir_evaluator("nanobeir", ["msmarco"], "a/b", 32)
    with pytest.raises(DataError, match="msmaco"):
        nanobeir_evaluator("nanobeir", ["msmaco"], "a/b", 32)


@pytest.mark.slow  # mteb takes seconds to make its benchmarks
@pytest.mark.parametrize("name", ["MTEB(eng, v2)", "NanoBEIR", "MTEB(cmn, v1)"])
def test_a_benchmark_of_mteb_stands_for_its_tasks(name):
    pytest.importorskip("mteb")
    import mteb

    from embexp.evaluation.mteb_tasks import _tasks

    wanted = [each.metadata.name for each in mteb.get_benchmark(name).tasks]
    assert [each.metadata.name for each in _tasks("mteb", name)] == wanted
    assert len(wanted) > 5


@pytest.mark.slow
def test_benchmarks_that_are_mistyped_or_not_about_text_are_refused():
    pytest.importorskip("mteb")
    from embexp.evaluation.mteb_tasks import _tasks

    with pytest.raises(ConfigError, match=r"Did you mean 'MTEB\(eng, v2\)'"):
        _tasks("mteb", "MTEB(eng,v2)")
    with pytest.raises(ConfigError, match="also about"):
        _tasks("mteb", "MIEB(eng)")


@pytest.mark.slow
def test_a_benchmark_without_its_data_is_told_of_at_once(monkeypatch):
    pytest.importorskip("mteb")
    from embexp.evaluation.mteb_tasks import mteb_evaluator

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"The data of mteb's .* cannot be loaded"):
        mteb_evaluator("mteb", ["NanoBEIR"], None, None)


def test_results_of_mteb_are_written_in_its_own_format(tmp_path, monkeypatch):
    pytest.importorskip("mteb")
    import mteb
    from test_mteb_tasks import OWN_TASKS, ToyEncoder

    from embexp.evaluation.mteb_tasks import mteb_evaluator

    (tmp_path / "own_results.py").write_text(OWN_TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    evaluator = mteb_evaluator("mteb", ["own_results.OwnPairs"], None, None)
    scores = evaluator.score(ToyEncoder(), "test")
    (path,) = evaluator.write_results(tmp_path / "mteb", "embexp/mnrl-minilm", "run-1", scores)
    assert path == tmp_path / "mteb" / "results" / "embexp__mnrl-minilm" / "run-1" / "OwnPairs.json"
    assert json.loads((path.parent / "model_meta.json").read_text())["name"] == "embexp/mnrl-minilm"
    read = mteb.ResultCache(tmp_path / "mteb").load_results(include_remote=False).model_results
    assert [each.model_name for each in read] == ["embexp/mnrl-minilm"]
    assert read[0].task_results[0].get_score() == pytest.approx(scores.metrics["OwnPairs"], abs=1e-6)


def test_the_names_compose_as_they_are_typed():
    arguments = ["guard=[mteb]", "guard.mteb.tasks=['MTEB(eng, v2)',STS12]"]
    assert resolve(compose(arguments))["guard"]["mteb"]["tasks"] == ["MTEB(eng, v2)", "STS12"]
