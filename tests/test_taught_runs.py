"""A teacher's labels as a person types them: in tiny runs, in a sweep, in prepare; and GPL, stage by stage."""

import json

import numpy
import pytest
from conftest import TINY

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose, resolve
from embexp.data.readers import read_files
from embexp.errors import EmbexpError
from embexp.experiment.datasets import builder_of, offered_shapes
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run
from embexp.inspection.prepare_dataset import prepare
from embexp.steps import crop_queries
from embexp.steps.augment.text_changes import sentences_of

SCORES = ("step=[teacher_scores]", "dataset.steps.teacher_scores.scorer=cosine")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(workplace):
    """Commands write below the working directory."""


@pytest.fixture
def pairs(workplace):
    rows = "".join(f"what thing is word{n}?\tword{n} is a thing. It has kind{n}. Look at item{n}.\n" for n in range(40))
    (workplace / "pairs.tsv").write_text("anchor\tpositive\n" + rows)
    return "dataset=pairs.tsv"


def planned(workplace, *overrides):
    typed = quote_texts(expand_paths([*TINY[:3], "tracking=none", *overrides]))
    choices = {"dataset": "finance", "model": "tiny", "loss": "mnrl", "modifier": "none", "trainer": "smoke"}
    choices |= dict(text.split("=", 1) for text in typed if text.startswith(("dataset=", "negatives=", "loss=")))
    return plan_run(compose(typed), choices, workplace / "run")


def prepared(*overrides):
    typed = quote_texts(expand_paths(overrides))
    given = dict(text.split("=", 1) for text in typed if "." not in text.partition("=")[0])
    return prepare(compose(typed, "prepare"), {"dataset": "finance", **given}, overrides)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["margin_mse", pytest.param("distill_kl", marks=pytest.mark.matrix)])
def test_a_run_learns_a_teachers_scores_of_mined_negatives(workplace, pairs, loss):
    own = (pairs, "negatives=bm25", "evaluator=[retrieval]", f"loss={loss}")
    plan = planned(workplace, *own, *SCORES, "dataset.steps.negatives.num_negatives=3", "conversion.max_negatives=3")
    main = plan.stages[-1].dataset
    assert main.shape.name == "scored_triplet"
    assert [report.step for report in main.history][-3:-1] == ["mine negatives", "teacher scores"]
    assert {len(label) for label in main.splits["train"]["label"][:]} == {4}
    assert main.splits["train"].num_rows == 32
    assert plan.evaluators[0].dataset.shape.name == "positive_pair"
    assert execute(plan).content["run"]["status"] == "FINISHED"


@pytest.mark.parametrize("loss", ["mse", pytest.param("embed_distill", marks=pytest.mark.matrix)])
@pytest.mark.slow
def test_a_run_learns_a_teachers_embeddings_and_is_evaluated_on_the_rows_without(workplace, pairs, loss):
    plan = planned(workplace, pairs, "evaluator=[retrieval]", "step=[teacher_embeddings]", f"loss={loss}")
    train = plan.stages[-1].dataset.splits["train"]
    assert (plan.stages[-1].dataset.shape.name, len(train[0]["label"])) == ("embedded_text", 384)
    assert plan.evaluators[0].dataset.shape.name == "positive_pair"
    assert execute(plan).content["run"]["status"] == "FINISHED"


def test_the_teacher_comes_last_wherever_it_is_typed():
    steps = ["step=[teacher_scores,deduplicate]", "dataset=file", "dataset.reader.path=x.csv", "negatives=bm25"]
    node = resolve(compose(steps))["dataset"]
    assert list(node["steps"]) == ["teacher_scores", "deduplicate", "split", "negatives"]
    assert offered_shapes(node) == ["ranked"]
    node = resolve(compose(["step=[teacher_embeddings,teacher_scores]", *steps[1:]]))["dataset"]
    assert offered_shapes({**node, "steps": {**node["steps"], "teacher_scores": None}}) == ["embedded_text"]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_prepared_scores_carry_their_report_and_are_read_and_trained_on_again(workplace, pairs, format):
    folder = prepared(pairs, "negatives=bm25", *SCORES, f"format={format}")
    step = json.loads((folder / "manifest.json").read_text())["steps"][-1]
    assert step["step"] == "teacher scores"
    assert step["examples"][0].startswith("positive - negative")
    train = read_files(folder, "again").splits["train"]
    assert all(len(scores) == 1 for name in ("positive_scores", "negative_scores") for scores in train[name][:])
    plan = planned(workplace, f"dataset={folder}/", "loss=margin_mse", "evaluator=[retrieval]")
    assert plan.stages[-1].dataset.splits["train"].num_rows == 32


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_prepared_embeddings_are_read_again_to_the_bit(pairs, format):
    folder = prepared(pairs, "step=[split,teacher_embeddings]", f"format={format}")
    dataset = read_files(folder, "again")
    assert dataset.shape.name == "embedded_text"
    vectors = numpy.array(dataset.splits["train"]["label"][:], "float32")
    numpy.testing.assert_allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    built = builder_of(resolve(compose(expand_paths([pairs, "step=[split,teacher_embeddings]"]), "prepare")))
    node = resolve(compose(expand_paths([pairs, "step=[split,teacher_embeddings]"]), "prepare"))["dataset"]
    assert built.read(node, "again", None).fingerprints() == dataset.fingerprints()


class Stages:
    """GPL with a retriever's encoder and a scorer that are counted, each of which can be killed."""

    encoded: int
    scored: int
    most_encoded: int
    most_scored: int

    @classmethod
    def begin(cls, most_encoded=99, most_scored=99):
        cls.encoded, cls.scored, cls.most_encoded, cls.most_scored = 0, 0, most_encoded, most_scored

    def encode(self, texts, prompt=None):
        if Stages.encoded == Stages.most_encoded:
            raise KeyboardInterrupt
        Stages.encoded += 1
        return numpy.array([[len(text), text.count("e") + 1] for text in texts], "float32")

    def score(self, pairs):
        if Stages.scored == Stages.most_scored:
            raise KeyboardInterrupt
        Stages.scored += 1
        return numpy.array([len(query) / len(text) for query, text in pairs], "float32")


def gpl_data(monkeypatch, pairs):
    """Builds the data of experiment=gpl as a process that has just started does; counts passages that are cropped."""
    cropped, open_guards = [], ["dataset.steps.negatives.guards.relative_margin=null"]
    monkeypatch.setattr(crop_queries, "sentences_of", lambda text: cropped.append(text) or sentences_of(text))
    config = resolve(compose(expand_paths(["experiment=gpl", pairs, "negatives=embedding", *open_guards])))
    steps = config["dataset"]["steps"]
    steps["negatives"]["retriever"]["encoder"] = {"_target_": f"{__name__}.Stages"}
    steps["teacher_scores"] |= {"scorer": {"_target_": f"{__name__}.Stages"}, "block_pairs": 16}

    def build():
        cropped.clear()
        return builder_of(config).read(config["dataset"], "pairs", None), bool(cropped)

    return build


@pytest.mark.slow
def test_gpl_resumes_where_it_was_killed_stage_by_stage(monkeypatch, pairs, workplace):
    build = gpl_data(monkeypatch, pairs)
    Stages.begin(most_encoded=1)
    with pytest.raises(KeyboardInterrupt):
        build()
    Stages.begin(most_scored=2)
    with pytest.raises(KeyboardInterrupt):
        build()
    assert (Stages.encoded, Stages.scored) == (2, 2)
    Stages.begin()
    dataset, has_cropped = build()
    assert (has_cropped, Stages.encoded, Stages.scored) == (False, 0, 2)
    assert [report.step for report in dataset.history][-3:] == ["crop queries", "mine negatives", "teacher scores"]
    Stages.begin()
    again, has_cropped = build()
    assert (has_cropped, Stages.encoded, Stages.scored) == (False, 0, 0)
    assert again.fingerprints() == dataset.fingerprints()
    assert not any((workplace / "cache" / "unfinished").iterdir())


@pytest.mark.slow
def test_gpl_runs_on_the_bundled_data(workplace):
    config = compose(["trainer=smoke", "experiment=gpl", "threads=1", "tracking=none"])
    choices = {"dataset": "finance", "model": "minilm_l3", "loss": "margin_mse", "modifier": "none", "trainer": "smoke"}
    plan = plan_run(config, choices, workplace / "run")
    assert plan.stages[-1].dataset.shape.name == "scored_triplet"
    assert plan.evaluators[0].dataset.shape.name == "positive_pair"
    assert plan.primary_metric.endswith("ndcg_at_10")


def test_gpl_of_passages_alone_needs_an_evaluator_which_is_reported_before_anything_is_mined(workplace, monkeypatch):
    (workplace / "texts.txt").write_text("".join(f"Thing {n} is here. It has kind {n}.\n" for n in range(40)))
    gpl = ("experiment=gpl", "dataset=texts.txt", "model=tiny", "trainer=smoke")
    monkeypatch.setattr("embexp.steps.crop_queries.sentences_of", lambda _: pytest.fail("passages are cropped"))
    with pytest.raises(
        EmbexpError, match=r"evaluator=\[retrieval\] accepts (.|\n)*type evaluator\.retrieval\.dataset="
    ):
        planned(workplace, *gpl)


@pytest.mark.parametrize(
    "judge",
    ["+dataset@evaluator.retrieval.dataset=finance", pytest.param("evaluator=[stsb]", marks=pytest.mark.matrix)],
)
def test_gpl_of_passages_alone_is_evaluated_on_other_data(workplace, judge):
    (workplace / "texts.txt").write_text("".join(f"Thing {n} is here. It has kind {n}.\n" for n in range(40)))
    gpl = ("experiment=gpl", "dataset=texts.txt", "model=tiny", "trainer=smoke", "negatives=bm25", "paths.data=bundled")
    teacher = "dataset.steps.teacher_scores.scorer.encoder.model=static"
    plan = planned(workplace, *gpl, teacher, judge)
    assert plan.stages[-1].dataset.shape.name == "scored_triplet"
    assert plan.evaluators[0].dataset.name != plan.stages[-1].dataset.name
