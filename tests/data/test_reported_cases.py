"""Files as people have them (issue 20): each is read, or its message leads there by what it says to type."""

import json

import pytest
from typed_hints import read_as_told

from embexp.data.beir import read_beir
from embexp.data.readers import read_files
from embexp.errors import DataError

ROWS = [
    (f"my {thing} broke in week {place}", f"to mend the {thing} read note {place}", f"the other note {place}")
    for place, thing in enumerate(["phone", "screen", "router", "printer", "camera", "coupon"] * 5)
]


def write_csv(path, header, rows, separator=",", encoding="utf-8", first=""):
    lines = [header, *(separator.join(map(str, row)) for row in rows)] if header else [*map(separator.join, rows)]
    path.write_text(first + "\n".join(lines) + "\n", encoding=encoding)
    return path


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def first_row(dataset):
    return dataset.splits["train"][0]


def test_anchor_positive_isdup(tmp_path):
    rows = [(a, b, place % 2) for place, (a, b, _) in enumerate(ROWS)]
    path = write_csv(tmp_path / "d.csv", "anchor,positive,is_duplicate", rows)
    dataset, (message,) = read_as_told(path)
    assert "can be positive_pair, but then is_duplicate would be ignored" in message
    assert dataset.shape.name == "binary_pair"
    assert dataset.splits["train"]["label"][:2] == [0, 1]
    dataset, _ = read_as_told(path, choice=1)
    assert dataset.shape.name == "positive_pair"
    assert dataset.provenance["reading"] == f"{path}: columns not used: is_duplicate"
    path = write_csv(tmp_path / "q.csv", "question1,question2,is_duplicate,similarity", [(*r, r[2] / 2) for r in rows])
    for columns in (None, {"anchor": "question1", "positive": "question2"}):
        for choice, shape in enumerate(("scored_pair", "binary_pair")):
            assert read_as_told(path, choice, columns=columns)[0].shape.name == shape


def test_positive_pair_with_label(tmp_path):
    path = write_csv(tmp_path / "d.csv", "anchor,positive,label", [(a, b, len(a) % 2) for a, b, _ in ROWS])
    dataset, (message,) = read_as_told(path)
    assert "hint: type 'dataset.reader.columns={sentence1: anchor, sentence2: positive}'" in message
    assert dataset.shape.name == "binary_pair"


@pytest.mark.parametrize("labels", [[1, 0, 1], ["sport", "law"], [1.0, 0.0]])
def test_multilabel(tmp_path, labels):
    path = write_jsonl(tmp_path / "data.jsonl", [{"text": a, "label": labels} for a, _, _ in ROWS])
    with pytest.raises(DataError, match=r"label holds lists of .*Expected one label for each text"):
        read_files(path, "mine")
    assert read_as_told(path, choice=9)[0].shape.name == "text"
    assert read_as_told(path)[0].shape.name == ("text" if labels[0] == "sport" else "embedded_text")


def test_label_m101(tmp_path):
    rows = [(a, b, place % 3 - 1) for place, (a, b, _) in enumerate(ROWS)]
    path = write_csv(tmp_path / "d.csv", "sentence1,sentence2,label", rows)
    dataset, (message,) = read_as_told(path)
    assert "holds the label -1 in 10 of 30 rows, besides 0, 1" in message
    assert (dataset.label_names, dataset.num_rows) == (("-1", "0", "1"), 30)
    dataset, _ = read_as_told(path, choice=1)
    assert (dataset.shape.name, dataset.num_rows) == ("binary_pair", 20)


def test_beir_identical_ids(tmp_path):
    from embexp.config.compose import compose, resolve
    from embexp.errors import Problems
    from embexp.experiment.datasets import builder_of
    from embexp.experiment.evaluators import plan_evaluators

    documents = [{"_id": f"d{place}", "text": text} for place, text in enumerate(a for a, _, _ in ROWS)]
    (tmp_path / "qrels").mkdir()
    write_jsonl(tmp_path / "corpus.jsonl", documents)
    write_jsonl(tmp_path / "queries.jsonl", documents[:4])
    (tmp_path / "qrels/test.tsv").write_text("d0 0 d1 1\nd1 0 d2 1\nd2 0 d3 1\n")
    assert read_beir("mine", tmp_path, None, "stop").num_rows == 3
    typed = ["evaluator=[beir]", f"evaluator.beir.dataset.reader.folder={tmp_path}", "paths.cache=null"]
    for more, count in ([], 1), (["evaluator.beir.ignore_identical=true"], 0):
        config = resolve(compose([*typed, *more], "evaluate"))
        _, _, warnings = plan_evaluators(config, "mine", [], builder_of(config), Problems())
        assert len(warnings) == count
        if count:
            assert "3 of 3 queries of beir/test are among the searched documents themselves" in warnings[0].text
            assert warnings[0].fix == ("evaluator.beir.ignore_identical=true",)


@pytest.mark.parametrize(
    "row",
    [
        lambda a, b, c: {"query": a, "pos": b, "neg": [c]},  # fe_pos_string
        lambda a, b, c: {"anchor": a, "positive": b, "negatives": [c, c]},  # negative_list
        lambda a, b, c: {"query": a, "positive": b, "negatives": [c]},
        lambda a, b, c: {"query": a, "pos": [b], **({"neg": [c]} if a > "my p" else {})},  # fe_mixed_neg
        lambda a, b, c: {"set": {"query": a, "pos": [b], "neg": [c]}},
        lambda a, b, c: {"set": [a, b, c]},
        lambda a, b, c: {"query": a, "positive": [b], "negative": [c]},
        lambda a, b, c: {"query": a, "pos": [b], "neg": c},
    ],
)
def test_lists_of_positives_and_negatives(tmp_path, row):
    path = write_jsonl(tmp_path / "data.jsonl", [row(*each) for each in ROWS])
    dataset = read_files(path, "mine")
    assert (dataset.shape.name, dataset.num_rows) == ("ranked", 30)
    assert first_row(dataset)["query"] == ROWS[0][0]
    assert first_row(dataset)["positives"][0] == ROWS[0][1]


@pytest.mark.parametrize(("title", "found"), [("T", "T to mend the phone read note 0"), ("", ROWS[0][1])])
def test_tevatron(tmp_path, title, found):
    rows = [
        {
            "query_id": str(place),
            "query": a,
            "positive_passages": [{"docid": "d", "title": title, "text": b}],
            "negative_passages": [{"docid": "n", "title": title, "text": c}],
        }
        for place, (a, b, c) in enumerate(ROWS)
    ]
    dataset, (message,) = read_as_told(write_jsonl(tmp_path / "data.jsonl", rows))
    assert "positives: positive_passages." in message
    assert dataset.shape.name == "ranked"
    assert first_row(dataset) == {
        "query": ROWS[0][0],
        "positives": [found],
        "negatives": [f"{title} {ROWS[0][2]}".strip()],
    }
    assert read_as_told(tmp_path / "data.jsonl", choice=9)[0].splits["train"][0]["positives"] == [ROWS[0][1]]


def test_simcse_csv(tmp_path):
    path = write_csv(tmp_path / "nli_for_simcse.csv", "sent0,sent1,hard_neg", ROWS)
    dataset, messages = read_as_told(path)
    assert not messages
    assert "{anchor: sent0, positive: sent1, negative_1: hard_neg}" in dataset.provenance["reading"]
    assert (dataset.shape.name, [*first_row(dataset).values()]) == ("triplet", [*ROWS[0]])


@pytest.mark.parametrize("written", [repr, json.dumps])
def test_list_str_csv(tmp_path, written):
    from datasets import Dataset

    rows = [{"query": a, "pos": written([b]), "neg": written([c, a])} for a, b, c in ROWS]
    Dataset.from_list(rows).to_csv(tmp_path / "d.csv", index=False)
    dataset = read_files(tmp_path / "d.csv", "mine")
    assert first_row(dataset) == {"query": ROWS[0][0], "positives": [ROWS[0][1]], "negatives": [ROWS[0][2], ROWS[0][0]]}


@pytest.mark.parametrize(
    ("highest", "range_typed"), [(4, "[0,4]"), (4.9, "[0,5]"), (96.5, "[0,100]"), (7, "[0,7]"), (9.5, "[0,10]")]
)
def test_score_0_4(tmp_path, highest, range_typed):
    rows = [(a, b, highest * place / 29) for place, (a, b, _) in enumerate(ROWS)]
    rows = [(a, b, round(score)) for a, b, score in rows] if highest in (4, 7) else rows
    dataset, (message,) = read_as_told(write_csv(tmp_path / "d.csv", "sentence1,sentence2,score", rows))
    assert message.endswith(f"hint: type dataset.reader.score_range={range_typed}")
    assert f"The lowest is 0 and the highest {highest}: are there none beyond?" in message
    assert 0.9 < max(dataset.splits["train"]["score"][:]) <= 1


@pytest.mark.parametrize(("highest", "typed"), [(0.95, 1), (4.5, 2)])
def test_score_comma(tmp_path, highest, typed):
    rows = [(a, b, f"{highest * place / 29:.2f}".replace(".", ",")) for place, (a, b, _) in enumerate(ROWS)]
    dataset, messages = read_as_told(
        write_csv(tmp_path / "d.csv", "sentence1;sentence2;score", rows, ";", first="sep=;\n")
    )
    assert messages[0].endswith("hint: type 'dataset.reader.decimal=\",\"'")
    assert len(messages) == typed
    assert dataset.splits["train"]["score"][29] == pytest.approx(0.95 if typed == 1 else 0.9)


def test_excel_semicolon_sep(tmp_path):
    path = write_csv(tmp_path / "d.csv", "anchor;positive", [row[:2] for row in ROWS], ";", "utf-8-sig", "sep=;\r\n")
    assert first_row(read_files(path, "mine")) == {"anchor": ROWS[0][0], "positive": ROWS[0][1]}
    path.write_text("anchor;positive\na\n")
    with pytest.raises(DataError, match=r"d\.csv: the fields are separated by semicolons"):
        read_files(path, "mine")


@pytest.mark.parametrize("sign", ["||", "|||", "::", "\t"])
@pytest.mark.parametrize("header", ["", "id sentence1 sentence2 score"])
def test_stsb_bars(tmp_path, sign, header):
    rows = [(f"2012test-{place:04}", a, b, str(place % 5)) for place, (a, b, _) in enumerate(ROWS)]
    path = write_csv(tmp_path / "数据 sts.txt", header.replace(" ", sign), rows, sign)
    dataset, messages = read_as_told(path)
    assert "each line holds 4 fields, separated by" in messages[0]
    assert messages[1].endswith("score_range=[0,4]")
    assert (dataset.shape.name, first_row(dataset)["sentence2"]) == ("scored_pair", ROWS[0][1])


@pytest.mark.parametrize(
    "names",
    [
        "sts-train.csv sts-dev.csv sts-test.csv",
        "train.sts.csv dev.sts.csv test.sts.csv",
        "lcqmc_train_v2.csv lcqmc_valid_v2.csv lcqmc_test_v2.csv",
        "sts-train-00000-of-00001.csv sts-validation-00000-of-00001.csv sts-test-00000-of-00001.csv",
        "训练集.csv 验证集.csv 测试集.csv",
        "Training.csv eval.csv Testing.csv",
    ],
)
def test_folder_sts_dash(tmp_path, names):
    for name in names.split():
        write_csv(tmp_path / name, "anchor,positive", [row[:2] for row in ROWS])
    assert [*read_files(tmp_path, "mine").splits] == ["train", "dev", "test"]
    write_csv(tmp_path / "latest.csv", "anchor,positive", ROWS)
    notes = read_files(tmp_path, "mine").provenance["reading"]
    assert notes == f"{tmp_path}: files that are no split are not read: latest.csv"


def test_label_zh(tmp_path):
    rows = [(a, b, "相似" if place % 2 else "不相似") for place, (a, b, _) in enumerate(ROWS)]
    path = write_csv(tmp_path / "d.csv", "句子1,句子2,标签", rows, encoding="gb18030")
    dataset, messages = read_as_told(path)
    assert messages[0].endswith("hint: type dataset.reader.encoding=gb18030")
    assert "{sentence1: 句子1, sentence2: 句子2, label: 标签}" in dataset.provenance["reading"]
    assert dataset.label_names == ("不相似", "相似")
