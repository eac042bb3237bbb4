"""evaluator=auto: what data can be evaluated by, from their YAML or their first rows. Data named by test= and dev=."""

import logging

import pytest

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose, resolve
from embexp.errors import ConfigError, DataError, Problems, ShapeError
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.evaluation_data import split_for_run, with_evaluators
from embexp.experiment.evaluators import check_data_of_evaluators, plan_evaluators
from embexp.steps.conversions.conversion import default_settings

FILES = {
    "scored.csv": "sentence1,sentence2,score\n你好吗,你好,0.9\n再见,好的,0.1\n",
    "labelled.tsv": "sentence1\tsentence2\tlabel\na b\tc d\t1\ne f\tg h\t0\n",
    "faq.jsonl": '{"anchor": "怎么退货", "positive": "点击退货"}\n{"anchor": "运费", "positive": "包邮"}\n',
    "mined.jsonl": '{"query": "退货", "positive": "点击", "negatives": ["包邮"]}\n',
    "tickets.csv": "text,label\n怎么退货,退换\n运费多少,物流\n",
    "triplets.csv": "anchor,positive,negative\na b,a c,x y\nd e,d f,u v\n",
    "graded 测试.csv": "q,a,grade\n" + "".join(f"问题{n}的内容,答案{n}的内容,{n % 6}\n" for n in range(60)),
    "better.json": '[{"问题": "怎么退货呢", "答案": "点击退货"}, {"问题": "运费多少", "答案": "满额包邮"}]',
    "tickets_test.csv": "标签,工单\n" + "".join(f"类{n % 3},我的问题是{n}\n" for n in range(30)),
    "texts.txt": "怎么退货\n运费多少\n",
}


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    folder = tmp_path / "客服 数据"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8-sig" if name.endswith("csv") else "utf-8")
    monkeypatch.chdir(folder)


def taken(*overrides, config_name="config"):
    config = resolve(compose(expand_paths([*overrides]), config_name))
    return [*with_evaluators(config, "mine", DataBuilder(default_settings(), None))["evaluator"]]


@pytest.mark.parametrize(
    ("data", "evaluator"),
    [
        ("finance", "sts"),
        ("qqp", "binary"),
        ("scored.csv", "sts"),
        ("labelled.tsv", "binary"),
        ("faq.jsonl", "retrieval"),
        ("mined.jsonl", "retrieval"),
        ("tickets.csv", "classification"),
        ("triplets.csv", "triplet"),
    ],
)
def test_the_evaluator_that_the_data_suit_is_taken(data, evaluator):
    assert taken(f"dataset={data}") == [evaluator]


def test_what_is_typed_of_an_evaluator_chooses_it():
    assert taken("dataset=faq.jsonl", "evaluator.sts.dataset=scored.csv") == ["sts"]
    assert taken("evaluator.retrieval.corpus=split") == ["retrieval"]
    assert taken("primary_metric=retrieval/mrr_at_10") == ["retrieval"]
    assert taken("dataset=faq.jsonl", "evaluator=[sts]") == ["sts"]
    assert taken("dataset=tickets.csv", "evaluator=[auto,stsb]") == ["classification", "stsb"]
    assert taken("dataset=tickets.csv", config_name="evaluate") == ["classification"]


def test_texts_alone_are_refused_with_pairs_of_their_language_to_type(caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(ShapeError, match="mine is text: it can be trained on, but shows nothing to evaluate") as found:
        taken("dataset=texts.txt")
    (problem,) = found.value.problems
    assert problem.fix == ("test=finance_zh",)
    assert taken("dataset=texts.txt", *problem.fix) == ["sts"]
    assert not caplog.records


def test_the_main_job_has_the_configuration_that_it_always_had():
    config = resolve(compose())
    settled = with_evaluators(config, "finance", DataBuilder(default_settings(), None))
    assert settled == resolve(compose(["evaluator=[sts]"]))


def read(*overrides):
    """The settled configuration, and the rows of each split that its evaluator reads."""
    config, builder, problems = (
        resolve(compose(expand_paths([*overrides]))),
        DataBuilder(default_settings(), None),
        Problems(),
    )
    config = with_evaluators(config, "mine", builder)
    check_data_of_evaluators(config)
    config = split_for_run(config)
    evaluators, _, _ = plan_evaluators(config, "mine", (), builder, problems)
    problems.raise_if_any()
    return config, {split: rows.num_rows for split, rows in evaluators[0].dataset.splits.items()}


GRADED = "test=graded 测试.csv"


@pytest.mark.parametrize(
    ("overrides", "evaluator", "rows"),
    [
        (["dataset=faq.jsonl", GRADED], "sts", {"test": 60}),
        (["dataset=faq.jsonl", GRADED, "dev=scored.csv"], "sts", {"test": 60, "dev": 2}),
        (["dataset=triplets.csv", "test=better.json"], "retrieval", {"test": 2}),
        (["dataset=texts.txt", "test=finance"], "sts", {"test": 1940, "dev": 971}),
        (["dataset=texts.txt", "test=finance", "dev=finance_zh"], "sts", {"test": 1940, "dev": 442}),
        (["dataset=tickets.csv", "test=tickets_test.csv"], "classification", {"test": 30}),
        (["dataset=faq.jsonl", "dev=graded 测试.csv"], "sts", {"dev": 60}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_all_of_the_test_file_is_evaluated_and_all_of_the_other_is_trained_on(overrides, evaluator, rows):
    config, found = read(*overrides)
    assert ([*config["evaluator"]], found) == ([evaluator], rows)
    assert config["dataset"]["steps"]["split"]["ratios"] == [1, 0, 0]


def test_a_file_that_is_trained_on_and_named_for_test_is_divided():
    config, rows = read("dataset=graded 测试.csv", GRADED)
    assert config["dataset"]["steps"]["split"]["ratios"] is config["test"]["steps"]["split"]["ratios"] is None
    assert set(rows) == {"test", "dev"}
    assert sum(rows.values()) < 60


def test_one_file_for_test_and_dev_is_halved():
    _, rows = read("dataset=faq.jsonl", GRADED, "dev=graded 测试.csv")
    assert sum(rows.values()) == 60
    assert min(rows["test"], rows["dev"]) > 20


def test_prompts_of_the_training_data_go_before_the_texts_of_the_test_data():
    config = resolve(compose(expand_paths(["dataset=faq.jsonl", "test=better.json", "step=[prompts]"])))
    builder, problems = DataBuilder(default_settings(), None), Problems()
    config = split_for_run(with_evaluators(config, "mine", builder))
    (evaluator,), _, _ = plan_evaluators(config, "mine", (), builder, problems)
    assert evaluator.dataset.prompts.named == {"query": "query: ", "document": "passage: "}


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (["dataset=faq.jsonl", GRADED, "evaluator=[stsb]"], ConfigError, "has no effect: stsb brings its own data"),
        (["dataset=faq.jsonl", GRADED, "dev=better.json"], ShapeError, "better is positive_pair"),
        (
            ["dataset=faq.jsonl", GRADED, "test.reader.columns={anchor: que}"],
            DataError,
            "hint: type 'test.reader.columns={",
        ),
        (["dataset=faq.jsonl", "test=texts.txt"], ShapeError, "texts is text: it can be trained on, but shows nothing"),
        (["dataset=faq.jsonl", "test=grade.csv"], DataError, "There is no file grade.csv"),
        (["dataset=faq.jsonl", "test=financ"], ConfigError, "test=financ is not known"),
        (["dataset=faq.jsonl", "test=sentences"], ShapeError, "test is text"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_data_that_nothing_reads_or_nobody_can_read_are_refused_by_their_own_keys(overrides, kind, message):
    with pytest.raises(kind) as refusal:
        read(*overrides)
    assert message in str(refusal.value)
