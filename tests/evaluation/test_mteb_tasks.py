"""Tasks of mteb: the same numbers as ours and as its own, on local rows and without the network."""

import json
import random
import sys

import numpy
import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError
from embexp.evaluation.mteb_tasks import mteb_evaluator
from embexp.evaluation.scores import compare
from embexp.models.encoding import ModelEncoder

OWN_TASKS = """
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from mteb.abstasks.clustering import AbsTaskClustering
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

def described(name, type, main_score):
    return TaskMetadata(
        name=name, description="local rows", type=type, main_score=main_score, eval_langs=["eng-Latn"],
        dataset={"path": "none/" + name, "revision": "1"},
    )

class OwnPairs(AbsTaskSTS):
    metadata = described("OwnPairs", "STS", "cosine_spearman")
    min_score, max_score = 0, 1

    def load_data(self, **kwargs):
        rows = {"sentence1": ["x", "x", "x", "y"], "sentence2": ["x", "xy", "y", "xy"], "score": [1, 0.4, 0, 0.5]}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True

class OwnClusters(AbsTaskClustering):
    metadata = described("OwnClusters", "Clustering", "v_measure")
    max_fraction_of_documents_to_embed, max_documents_per_cluster, n_clusters = 0.5, 30, 2

    def load_data(self, **kwargs):
        rows = {"sentences": [f"t{n}" for n in range(60)], "labels": [str(n % 4) for n in range(60)]}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True
"""


class ToyEncoder:
    """Vectors in the plane for a few texts, drawn ones for all others."""

    vectors = {"x": (1, 0), "y": (0, 1), "xy": (1, 1)}  # noqa: RUF012

    def __init__(self):
        self.calls = []

    def encode(self, texts, prompt=None):
        self.calls.append((list(texts), prompt))
        return numpy.array([self.vectors.get(text) or self._drawn(text) for text in texts], dtype="float32")

    def _drawn(self, text):
        draw = random.Random(text)
        return draw.uniform(0.1, 1), draw.uniform(-1, 1)


@pytest.fixture
def own_tasks(tmp_path, monkeypatch):
    """A module with task classes, as a user may have it."""
    pytest.importorskip("mteb")
    (tmp_path / "own_tasks.py").write_text(OWN_TASKS)
    monkeypatch.syspath_prepend(tmp_path)


def evaluator_of(*tasks, folder=None, prompts=None):
    return mteb_evaluator("mteb", tasks, folder, prompts)


def test_a_run_without_the_package_says_how_to_install_it(without):
    without("mteb")
    with pytest.raises(ConfigError, match=r"evaluator=mteb needs mteb, which is not installed\.\nhint: type .*mteb"):
        evaluator_of("STSBenchmark")


def test_a_folder_of_data_sets_is_not_taken_for_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mteb" / "stsbenchmark-sts").mkdir(parents=True)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mteb", raising=False)
    with pytest.raises(ConfigError, match="evaluator=mteb needs mteb, which is not installed"):
        evaluator_of("STSBenchmark")


@pytest.mark.usefixtures("own_tasks")
def test_a_task_of_the_users_own_gives_its_main_score():
    evaluator = evaluator_of("own_tasks.OwnPairs")
    assert (evaluator.splits, evaluator.metric_names) == (("test",), ("OwnPairs",))
    scores = evaluator.score(ToyEncoder(), "test")
    # cosines 1, 0.71, 0, 0.71: ranks 4, 2.5, 1, 2.5 against 4, 2, 1, 3
    assert scores.metrics == {"OwnPairs": pytest.approx(numpy.corrcoef([4, 2.5, 1, 2.5], [4, 2, 1, 3])[0, 1])}
    assert (scores.examples, scores.predicted, scores.measures) == ({"id": []}, {}, ())
    (difference,) = compare(scores, scores, evaluator.resamples)
    assert (difference.metric, difference.verdict) == ("OwnPairs", "no interval")


@pytest.mark.usefixtures("own_tasks")
def test_every_model_is_evaluated_on_the_same_sample():
    evaluator = evaluator_of("own_tasks.OwnClusters")
    encoders = ToyEncoder(), ToyEncoder()
    first, second = (evaluator.score(encoder, "test").metrics for encoder in encoders)
    assert first == second
    assert encoders[0].calls == encoders[1].calls
    assert len(encoders[0].calls[0][0]) == 30


@pytest.mark.usefixtures("own_tasks")
def test_the_random_numbers_of_others_stay_as_they_were():
    import torch

    def seed():
        random.seed(7)
        numpy.random.seed(7)
        torch.manual_seed(7)

    def drawn():
        return random.random(), numpy.random.rand(), torch.rand(1).item()

    seed()
    expected = drawn()
    seed()
    evaluator_of("own_tasks.OwnClusters").score(ToyEncoder(), "test")
    assert drawn() == expected


@pytest.mark.usefixtures("own_tasks")
def test_tasks_without_sides_take_no_prompt_of_a_side():
    for prompts, expected in ((None, None), ({"query": "Q: "}, "")):
        encoder = ToyEncoder()
        evaluator_of("own_tasks.OwnPairs", prompts=prompts).score(encoder, "test")
        assert {prompt for _, prompt in encoder.calls} == {expected}


@pytest.mark.usefixtures("own_tasks")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], None, None), "evaluator.mteb.tasks is empty"),
        ((["STSBenchmrk"], None, None), "names STSBenchmrk, which mteb does not know.*Did you mean 'STSBenchmark'"),
        ((["own_tasks.OwnPair"], None, None), "names own_tasks.OwnPair, which mteb does not know"),
        ((["own_tasks.TaskMetadata"], None, None), "names own_tasks.TaskMetadata, which mteb does not know"),
        ((["own_tsks.OwnPairs"], None, None), "names own_tsks.OwnPairs, which mteb does not know"),
        (
            (["STSBenchmark"], None, {"passage": "P: "}),
            "prompts=.passage. was given. Expected .* one of: query, document",
        ),
        (
            (["STSBenchmark"], "nowhere", None),
            "folder=nowhere holds no mteb/stsbenchmark-sts",
        ),
        ((["CIFAR10Clustering"], None, None), "names CIFAR10Clustering, which is about image. Expected tasks of text"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        mteb_evaluator("mteb", *arguments)


@pytest.mark.usefixtures("own_tasks")
def test_data_that_cannot_be_loaded_are_reported(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"of mteb's STSBenchmark \(mteb/stsbenchmark-sts\) cannot be loaded"):
        evaluator_of("STSBenchmark")


@pytest.mark.usefixtures("own_tasks")
def test_a_run_builds_it_without_data_of_its_own():
    from embexp.errors import Problems
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import check_evaluator, plan_evaluators

    config = resolve(compose(["evaluator=[mteb]", "evaluator.mteb.tasks=[own_tasks.OwnPairs]", "paths.cache=null"]))
    builder, problems = builder_of(config), Problems()
    check_evaluator("mteb", config, "finance", builder)
    (evaluator,), primary, _ = plan_evaluators(config, "finance", [], builder, problems)
    assert primary == ("mteb", "OwnPairs")
    assert (evaluator.texts("test"), evaluator.positives("test").first) == ({}, [])


RETRIEVAL = {
    "corpus": [{"_id": f"d{n}", "title": "", "text": f"document {n}"} for n in range(12)],
    "queries": [{"_id": f"q{n}", "text": f"query {n}"} for n in range(5)],
    "default": [{"query-id": f"q{n % 5}", "corpus-id": f"d{n}", "score": 1 + n % 2} for n in range(12)],
}


@pytest.mark.usefixtures("own_tasks")
def test_the_splits_that_a_benchmark_chose_are_those_that_are_scored():
    evaluator = evaluator_of("own_tasks.OwnPairs")
    (task,) = evaluator.tasks
    task.dataset["dev"] = task.dataset["test"].select([0, 2, 3])
    assert [*evaluator._result(task, ToyEncoder()).scores] == ["test"]
    task.filter_eval_splits(["dev"])
    assert [*evaluator._result(task, ToyEncoder()).scores] == ["dev"]
    task.filter_eval_splits(["test", "dev"])
    assert {*evaluator._result(task, ToyEncoder()).scores} == {"dev", "test"}


def copy_of_hub(folder):
    """A data set of a retrieval task, in the Hub's layout."""
    place = folder / "mteb" / "nfcorpus"
    place.mkdir(parents=True)
    lines = ["---", "configs:"]
    for config, rows in RETRIEVAL.items():
        (place / f"{config}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        split = "test" if config == "default" else config
        lines += [f"- config_name: {config}", "  data_files:", f"  - split: {split}", f"    path: {config}.jsonl"]
    (place / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder


def test_a_task_of_mteb_reads_its_copy_in_a_folder_and_gives_our_ndcg(tmp_path):
    pytest.importorskip("mteb")
    from embexp.evaluation.retrieval import retrieval_evaluator

    evaluator = evaluator_of("NFCorpus", folder=copy_of_hub(tmp_path), prompts={"query": "Q: ", "document": ""})
    encoder = ToyEncoder()
    theirs = evaluator.score(encoder, "test").metrics
    assert sorted({(texts[0].split()[0], prompt) for texts, prompt in encoder.calls}) == [
        ("document", ""),
        ("query", "Q: "),
    ]
    text = {row["_id"]: row["text"] for kind in ("corpus", "queries") for row in RETRIEVAL[kind]}
    judged = [[row for row in RETRIEVAL["default"] if row["query-id"] == f"q{n}"] for n in range(5)]
    rows = {
        "query": [f"query {n}" for n in range(5)],
        "positives": [[text[row["corpus-id"]] for row in rows] for rows in judged],
        "negatives": [[]] * 5,
        "positive_scores": [[float(row["score"]) for row in rows] for rows in judged],
    }
    cuts = {"ndcg_at": [10], "mrr_at": [], "recall_at": [], "map_at": [], "accuracy_at": [], "precision_at": []}
    options = {"corpus": "split", "similarity": "cosine", "graded": True, "ignore_identical": False, "resamples": 40}
    ours = retrieval_evaluator("ours", dataset_of("toy", "ranked", {"test": rows}), **options, **cuts)
    assert theirs["NFCorpus"] == pytest.approx(ours.score(encoder, "test").metrics["ndcg_at_10"], abs=1e-5)


@pytest.mark.slow
def test_minilm_has_its_published_score(real_data, tmp_path):
    pytest.importorskip("mteb")
    place = tmp_path / "mteb" / "stsbenchmark-sts"
    place.mkdir(parents=True)
    (place / "test.parquet").symlink_to(real_data / "stsb" / "test.parquet")
    model = instantiate(resolve(compose(["model=minilm"]))["model"]).load(list, None)
    metrics = evaluator_of("STSBenchmark", folder=tmp_path).score(ModelEncoder(model), "test").metrics
    assert metrics["STSBenchmark"] == pytest.approx(0.82032, abs=1e-5)
