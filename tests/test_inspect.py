"""The inspect command: what it shows of files with known content, as text and as JSON, in a fresh process and here."""

import json
import subprocess
import sys

import pytest
from conftest import thinned

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose
from embexp.errors import EmbexpError
from embexp.inspection.inspect_dataset import _examples, _head, inspect

# Every data set of the shared folder by file: what it is, and its rows as the folder's README counts them.
NLI = ["dataset.reader.columns={sentence1: premise, sentence2: hypothesis}"]
SCORED = ["dataset.reader.score_range=[0,5]"]
QQP = ["dataset.reader.columns={sentence1: question1, sentence2: question2}"]
TREC = ["dataset.reader.columns={label: coarse_label}", "dataset.reader.ignore=[fine_label]"]
QA = ["dataset.reader.columns={anchor: question, positive: context}", "dataset.reader.ignore=[answer]"]
SHARED = [
    ("financial_qa_10k/train.parquet", QA, "positive_pair", [6_997]),
    ("mrpc/", [], "binary_pair", [4_076, 1_725]),
    ("nli/all_nli_train.parquet", NLI, "class_pair", [45_384]),
    ("nli/mnli_train.parquet", NLI, "class_pair", [15_890]),
    ("nli/mnli_train_extra.parquet", NLI, "class_pair", [9_496]),
    ("nli/mnli_validation_matched.parquet", NLI, "class_pair", [9_815]),
    ("nli/nli_triplets.parquet", [], "triplet", [7_198]),
    ("nli/snli_train.parquet", NLI, "class_pair", [19_998]),
    ("nli/snli_validation.parquet", NLI, "class_pair", [9_831]),
    ("qqp/", QQP, "binary_pair", [25_366, 7_599]),
    ("stsb/", SCORED, "scored_pair", [5_749, 1_500, 1_379]),
    ("trec/", TREC, "labelled_text", [5_452, 500]),
    ("zh_afqmc/", [], "binary_pair", [10_000, 4_316]),
    ("zh_cmnli/", NLI, "class_pair", [10_000]),
    ("zh_lcqmc/", [], "binary_pair", [8_802, 10_000]),
    ("zh_ocnli/", NLI, "class_pair", [9_985, 2_950]),
    ("zh_pawsx/", [], "binary_pair", [2_000, 2_000]),
    ("zh_snli/", NLI, "class_pair", [9_314, 9_176]),
    ("zh_stsb/", SCORED, "scored_pair", [5_231, 1_458, 1_361]),
    ("sentences/sentences.txt.gz", [], "text", [40_976]),
]


def inspected(*overrides, **choices):
    typed = quote_texts(expand_paths(overrides))
    given = dict(text.split("=", 1) for text in typed if "." not in text.partition("=")[0])
    return inspect(
        compose(typed, "inspect"), {"dataset": "finance", "model": "minilm", **given, **choices}, list(overrides)
    )


@pytest.fixture
def pairs(workplace):
    """Five usable pairs, one of them twice and once more in other letters, and two rows that are none."""
    lines = ["a b,c d,1", "a b,c d,1", "A  b!,c d,1", "e,f,0", "ggggggg,h,0", ",i,1", "j,k,high"]
    (workplace / "pairs.csv").write_text("\n".join(["sentence1,sentence2,label", *lines]))
    return "dataset=pairs.csv"


def test_a_file_is_reported_as_it_is(pairs):
    found = json.loads(inspected(pairs, "format=json", "examples=1"))
    assert (found["name"], found["shape"], found["rows"]) == ("pairs", "binary_pair", {"train": 5})
    assert found["labels"] == {"train": {"0": 2, "1": 3}}
    assert found["lengths"]["sentence1"]["characters"]["shortest"] == 1
    assert found["lengths"]["sentence1"]["characters"]["median"] == 3
    assert found["lengths"]["sentence1"]["characters"]["longest"] == 7
    assert found["lengths"]["sentence2"]["tokens"]["longest"] == 4  # [CLS] c d [SEP]
    assert found["duplicates"]["word for word"].startswith("1 repeat")
    assert found["duplicates"]["ignoring case and punctuation"].startswith("2 repeat")
    assert "2 of 7 rows cannot be used" in found["faults"]
    assert "pairs.csv:7: sentence1 is empty or missing" in found["faults"]
    assert "pairs.csv:8: label holds no label: 'high'" in found["faults"]
    assert found["examples"] == [{"sentence1": "a b", "sentence2": "c d", "label": 1}]
    assert "contrastive" in found["losses"]["directly"]
    assert found["losses"]["converted"]["cosent"] == "binary_pair -> scored_pair"
    lenient = "dataset=pairs.csv dataset.reader.on_fault=drop"  # or the faulty rows would stop both
    assert found["commands"]["train"] == f"python -m embexp {lenient} loss=auto"
    assert found["commands"]["prepare"] == f"python -m embexp.prepare {lenient}"
    assert found["tokens_of"] == "minilm"


def test_the_text_form_tells_the_same(pairs):
    text = inspected(pairs)
    assert text.startswith("pairs is binary_pair: sentence1, sentence2, label\nrows       train 5\n")
    assert "labels     train: 0 2 (40%), 1 3 (60%)" in text
    assert "2 of 7 rows cannot be used" in text
    assert "\ntokens as minilm counts them\n" in text
    assert "binary_pair -> scored_pair: " in text


def test_steps_are_applied_when_requested(pairs):
    text = inspected(pairs, "steps=true", "dataset.steps.split.ratios=[1,1,1]")
    assert "step       split" in text
    assert "leaks      none: train, dev, test share no text" in text
    rows = json.loads(inspected(pairs, "steps=true", "dataset.steps.split.ratios=[1,1,1]", "format=json"))["rows"]
    assert set(rows) == {"train", "dev", "test"}
    assert sum(rows.values()) == 5


def test_what_cannot_be_shown_is_refused(pairs):
    with pytest.raises(EmbexpError, match=r"format=xml was given\. Expected one of: text, json\."):
        inspected(pairs, "format=xml")
    with pytest.raises(EmbexpError, match=r"There is no file gone\.csv"):
        inspected("dataset=gone.csv")
    with pytest.raises(EmbexpError, match=r"examples=-1 was given\. Expected a whole number of at least 0\."):
        inspected(pairs, "examples=-1")
    with pytest.raises(EmbexpError, match=r"on_fault=skip was given\. Expected one of: stop, drop\."):
        inspected(pairs, "dataset.reader.on_fault=skip")


def test_the_suggested_commands_keep_what_was_typed_and_their_command_knows(workplace):
    (workplace / "pairs.csv").write_text("sentence1,sentence2,score\n" + "".join(f"a{n},b,0.{n}\n" for n in range(9)))
    typed = ["dataset=pairs.csv", "step=[clean]", "dataset.steps.clean.min_chars=1", "model=tiny"]
    commands = json.loads(inspected(*typed, "examples=1", "format=json"))["commands"]
    kept = "dataset=pairs.csv 'step=[clean]' dataset.steps.clean.min_chars=1"
    assert commands == {
        "train": f"python -m embexp {kept} model=tiny loss=auto",
        "prepare": f"python -m embexp.prepare {kept}",
        "compare": f"python -m embexp -m {kept} loss=cosent,angle,cosine model=minilm,minilm_l3 seed=1,2",
    }


def suggested(*overrides):
    return json.loads(inspected(*overrides, "format=json"))["commands"]["train"]


ZH = "如果您想取消订单请联系客服"
EVALUATORS_OF = {
    "question,answer": ("retrieval", "'dataset.reader.columns={anchor: question, positive: answer}'"),
    "anchor,positive": ("retrieval", ""),
    "anchor,positive,negative": ("triplet", ""),
    "text,label": ("classification", ""),
    "sentence1,sentence2,score": ("", ""),
    "sentence1,sentence2,label": ("", ""),
}


@pytest.mark.parametrize("header", EVALUATORS_OF)
def test_the_suggested_evaluator_reads_the_data_themselves(workplace, header):
    evaluator, typed = EVALUATORS_OF[header]
    width = header.count(",") + 1
    label = {"score": "0.{n}", "label": "{m}"}.get(header.rpartition(",")[2])
    line = ",".join(
        [f"please cancel order {place} of {{n}}" for place in range(width - bool(label))] + [label] * bool(label)
    )
    (workplace / "d.csv").write_text("\n".join([header, *(line.format(n=n, m=n % 2) for n in range(9))]))
    options = [typed.strip("'")] if typed else []
    expected = ["python -m embexp dataset=d.csv", typed, "loss=auto", f"evaluator=[{evaluator}]" if evaluator else ""]
    assert suggested("dataset=d.csv", *options) == " ".join(filter(None, expected))


@pytest.mark.parametrize(("text", "bundled"), [(ZH, "finance_zh"), ("how do I cancel", "finance")])
def test_texts_alone_are_evaluated_on_bundled_pairs_of_their_script(workplace, text, bundled):
    (workplace / "t.txt").write_text("\n".join(f"{text} {n}" for n in range(5)))
    assert suggested("dataset=t.txt").endswith(f" loss=auto test={bundled}")


def test_the_shape_that_keeps_more_rows_is_named(workplace):
    lines = [f"premise {n},what follows {n},entailment" for n in range(20)] + ["premise 0,what not,contradiction"]
    (workplace / "nli.csv").write_text("\n".join(["sentence1,sentence2,label", *lines, "x,y,neutral"]))
    assert suggested("dataset=nli.csv") == "python -m embexp dataset=nli.csv loss=auto shape=positive_pair"


def test_ranked_rows_are_evaluated_by_retrieval(workplace):
    (workplace / "r.jsonl").write_text("".join(f'{{"query": "q{n}", "pos": ["p{n}"], "neg": []}}\n' for n in range(3)))
    assert suggested("dataset=r.jsonl") == "python -m embexp dataset=r.jsonl loss=auto evaluator=[retrieval]"


def test_without_a_train_split_nothing_is_to_be_trained(workplace):
    (workplace / "judged").mkdir()
    for split in ("dev", "test"):
        (workplace / "judged" / f"{split}.csv").write_text(f"sentence1,sentence2,label\n{split},b,1\n")
    assert json.loads(inspected("dataset=judged/", "format=json"))["commands"]["train"] == ""
    assert "\ntrain      there is no train split (only dev, test), so nothing" in inspected("dataset=judged/")


def test_examples_name_their_classes_and_columns_that_are_not_read_are_reported():
    found = {"examples": [{"sentence1": "a", "label": 1}], "label_names": ["中立", "蕴含"]}
    assert list(_examples(found)) == ["row 1      sentence1: 'a'", "           label: 1 (蕴含)"]
    head = {"name": "x", "shape": "text", "columns": ["text"], "offered_shapes": [], "rows": {"train": 1}, "steps": []}
    source = {"source": "x.csv", "ignored_columns": ["page", "ticker"]}
    assert list(_head(head | {"label_names": [], "source": source}))[-1] == "ignored    page, ticker"


def test_the_command_runs_and_leaves_nothing_behind(pairs, workplace):
    command = [sys.executable, "-m", "embexp.inspect", pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pairs is binary_pair")
    assert done.stderr == ""
    assert [path.name for path in workplace.iterdir()] == ["pairs.csv"]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "options", "shape", "rows"), thinned(SHARED, 4), ids=[path for path, *_ in SHARED])
def test_a_shared_data_set_has_its_shape_and_counts(real_data, path, options, shape, rows):
    found = json.loads(inspected(f"dataset={real_data}/{path}", *options, "format=json"))
    assert found["shape"] == shape
    assert list(found["rows"].values()) == rows
    assert found["faults"] == ""


def test_every_shared_file_is_looked_at(real_data):
    files = {path for path in real_data.rglob("*") if path.suffix in (".parquet", ".gz")}
    seen = set()
    for path, *_ in SHARED:
        place = real_data / path
        seen |= {place} if place.is_file() else set(place.iterdir())
    assert seen == files


@pytest.mark.parametrize(
    ("overrides", "axes"),
    [
        (["dataset=t.csv"], "loss=cosent,angle,cosine model=minilm,minilm_l3 seed=1,2"),
        (
            ["dataset=t.txt", "test=finance"],
            "loss=contrastive_tension_in_batch,simcse,tsdae model=minilm,minilm_l3 seed=1,2",
        ),
        (["dataset=zh.csv", "model=minilm"], "loss=cosent,angle,cosine model=static_scratch seed=1,2"),
        (["dataset=zh.txt", "test=finance_zh"], None),  # one loss, one model
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_first_grid_has_losses_that_fit_and_models_here_that_read_the_texts(tmp_path, monkeypatch, overrides, axes):
    monkeypatch.chdir(tmp_path)
    for name, text in (("t", "how do I pay for it {n}"), ("zh", "怎么付款呢第{n}次")):
        lines = [text.format(n=n) for n in range(40)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
        rows = [f"{line},{line}!,0.{n % 10}" for n, line in enumerate(lines)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    found = json.loads(inspected(*overrides, "format=json"))
    command = found["commands"].get("compare")
    data = [each for each in overrides if not each.startswith("model")]
    assert command == (axes and f"python -m embexp -m {data[0]} {' '.join([*data[1:], axes])}")
    assert not axes or found["compare_minutes"] is None
