"""evaluator=auto: what data can be evaluated by, from their YAML or their first rows."""

import logging

import pytest

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose, resolve
from embexp.errors import ShapeError
from embexp.experiment.datasets import DataBuilder
from embexp.experiment.evaluation_data import with_evaluators
from embexp.steps.conversions.conversion import default_settings

FILES = {
    "scored.csv": "sentence1,sentence2,score\n你好吗,你好,0.9\n再见,好的,0.1\n",
    "labelled.tsv": "sentence1\tsentence2\tlabel\na b\tc d\t1\ne f\tg h\t0\n",
    "faq.jsonl": '{"anchor": "怎么退货", "positive": "点击退货"}\n{"anchor": "运费", "positive": "包邮"}\n',
    "mined.jsonl": '{"query": "退货", "positive": "点击", "negatives": ["包邮"]}\n',
    "tickets.csv": "text,label\n怎么退货,退换\n运费多少,物流\n",
    "triplets.csv": "anchor,positive,negative\na b,a c,x y\nd e,d f,u v\n",
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
    assert taken("primary_metric=retrieval/mrr@10") == ["retrieval"]
    assert taken("dataset=faq.jsonl", "evaluator=[sts]") == ["sts"]
    assert taken("dataset=tickets.csv", "evaluator=[auto,stsb]") == ["classification", "stsb"]
    assert taken("dataset=tickets.csv", config_name="evaluate") == ["classification"]


def test_texts_alone_are_refused_with_pairs_of_their_language_to_type(caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(ShapeError, match="mine is text: it can be trained on, but shows nothing to evaluate") as found:
        taken("dataset=texts.txt")
    (problem,) = found.value.problems
    assert problem.fix == ("evaluator.sts.dataset=finance_zh",)
    assert taken("dataset=texts.txt", *problem.fix) == ["sts"]
    assert not caplog.records


def test_the_main_job_has_the_configuration_that_it_always_had():
    config = resolve(compose())
    settled = with_evaluators(config, "finance", DataBuilder(default_settings(), None))
    assert settled == resolve(compose(["evaluator=[sts]"]))
