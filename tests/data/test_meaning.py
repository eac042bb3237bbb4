"""Columns that are left out: decided by name and content, with what to type; header names written another way."""

import json

import pytest
from typed_hints import read_as_told

from embexp.data.readers import read_files
from embexp.errors import DataError

NUMBER = 24
QUERIES = [f"how do I pay bill number {place}" for place in range(NUMBER)]
ANSWERS = [f"open the app and choose bill {place}" for place in range(NUMBER)]


def jsonl(path, **columns):
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def csv(path, **columns):
    from datasets import Dataset

    Dataset.from_dict(columns).to_csv(path, index=False)
    return path


MEANINGFUL = {
    "is_duplicate": [place % 2 for place in range(NUMBER)],
    "flag": [place % 2 for place in range(NUMBER)],
    "ok": [bool(place % 2) for place in range(NUMBER)],
    "是否重复": ["是" if place % 2 else "否" for place in range(NUMBER)],
    "相似度": [place / NUMBER for place in range(NUMBER)],
    "打分": [place % 5 for place in range(NUMBER)],
    "value": [place / NUMBER for place in range(NUMBER)],
    "stars": [place % 5 + 1 for place in range(NUMBER)],
    "department": ["sales" if place % 3 else "law" for place in range(NUMBER)],
    "third": [f"choose another bill than {place}" for place in range(NUMBER)],
    "hard-neg": ["n"] * NUMBER,
    "难负例": ["错"] * NUMBER,
    "gold_label": ["same"] * NUMBER,
    "Paraphrase?": ["yes"] * NUMBER,
    "tags": [["a"]] * NUMBER,
    "tags_as_text": ["['a', 'b']"] * NUMBER,
}
NEUTRAL = {
    "id": [*range(NUMBER)],
    "docid": [f"d{place % 3}" for place in range(NUMBER)],
    "pairID": [place % 2 for place in range(NUMBER)],
    "source_url": [f"https://example.org/{place} a" for place in range(NUMBER)],
    "page": [place % 4 for place in range(NUMBER)],
    "编号": [*range(NUMBER)],
    "来源": ["网站" if place % 2 else "手册" for place in range(NUMBER)],
    "lines": [*range(100, 100 + NUMBER)],
    "hash": [f"{place * 7919:08x}" for place in range(NUMBER)],
    "empty": [""] * NUMBER,
    "same": ["x"] * NUMBER,
    "metadata": [{"a": place} for place in range(NUMBER)],
}
NEUTRAL.pop("same")


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("name", MEANINGFUL)
def test_a_column_that_means_something_stops_until_it_is_mapped_or_named(tmp_path, name, typed):
    names = ("question", "answer") if typed else ("anchor", "positive")
    path = jsonl(
        tmp_path / "rows.jsonl", **dict(zip(names, (QUERIES, ANSWERS), strict=True)), **{name: MEANINGFUL[name]}
    )
    options = {"columns": {"anchor": "question", "positive": "answer"}} if typed else {}
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine", **options)
    assert f"can be positive_pair, but then {name} would be ignored" in str(refusal.value)
    dataset, messages = read_as_told(path, choice=9, **options)
    assert (dataset.shape.name, dataset.num_rows, len(messages)) == ("positive_pair", NUMBER, 1)
    assert dataset.provenance["reading"] == f"{path}: columns not used: {name}"
    assert read_files(path, "mine", ignore=[name], **options).num_rows == NUMBER
    dataset = read_files(path, "mine", shape="positive_pair", **options)  # the user says what the rows are
    assert dataset.provenance["reading"] == f"{path}: columns not used: {name}"


@pytest.mark.parametrize("name", NEUTRAL)
def test_ids_places_and_dates_are_left_out(tmp_path, name):
    path = jsonl(tmp_path / "rows.jsonl", anchor=QUERIES, positive=ANSWERS, **{name: NEUTRAL[name]})
    dataset = read_files(path, "mine")
    assert dataset.provenance["ignored_columns"] == name
    assert "reading" not in dataset.provenance


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ("question answer", "positive_pair"),
        ("query answer", "positive_pair"),
        ("q a", "positive_pair"),
        ("问题 答案", "positive_pair"),
        ("标题 正文", "positive_pair"),
        ("instruction output", "positive_pair"),
        ("Question Answer", "positive_pair"),
        ("anchor_text positive_text", "positive_pair"),
        ("premise hypothesis label", "binary_pair"),
        ("question1 question2 is_duplicate", "binary_pair"),
        ("text_a text_b label", "binary_pair"),
        ("句子1 句子2 标签", "binary_pair"),
        ("s1 s2 sim", "scored_pair"),
        ("sent_1 sent_2 gold_score", "scored_pair"),
        ("文本1 文本2 相似度", "scored_pair"),
        ("sent0 sent1 hard_neg", "triplet"),
        ("question answer wrong_negative", "triplet"),
        ("query positive negative", "triplet"),
        ("查询 文档 负例", "triplet"),
        ("review stars", "labelled_text"),
        ("content category", "labelled_text"),
        ("文本 类别", "labelled_text"),
        ("id question answer", "positive_pair"),
    ],
)
def test_usual_names_lead_to_a_mapping_that_works(tmp_path, names, shape):
    texts = iter([QUERIES, ANSWERS, [f"not that {answer}" for answer in ANSWERS]])
    columns = {}
    for name in names.split():
        if name == "id":
            columns[name] = [*range(NUMBER)]
        elif any(part in name for part in ("label", "标签", "duplicate", "stars", "category", "类别")):
            columns[name] = [place % 2 for place in range(NUMBER)]
        elif any(part in name for part in ("sim", "score", "相似度")):
            columns[name] = [place / 32 for place in range(NUMBER)]
        else:
            columns[name] = next(texts)
    dataset, messages = read_as_told(csv(tmp_path / "rows.csv", **columns))
    assert (dataset.shape.name, dataset.num_rows) == (shape, NUMBER)
    (said,) = messages or [dataset.provenance["reading"]]
    assert "'dataset.reader.columns={" in said
    assert bool(messages) == (names in ("anchor_text positive_text", "review stars"))  # else the names are known


ANSWERED = {"question": QUERIES, "answer": ANSWERS}


@pytest.mark.parametrize(
    ("columns", "hints"),
    [
        (
            ANSWERED | {"category": ["pay", "send", "pay", "back"] * (NUMBER // 4)},
            2,
        ),  # a topic, or the label of the pair
        ({"premise": QUERIES, "hypothesis": ANSWERS}, 1),  # pairs that may contradict each other
        ({"first": QUERIES, "other": ANSWERS}, 1),  # which is asked?
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_columns_with_several_likely_readings_are_not_taken_by_their_names(tmp_path, columns, hints):
    with pytest.raises(DataError) as refusal:
        read_files(csv(tmp_path / "rows.csv", **columns), "mine")
    assert len(refusal.value.problems[0].fix) == hints


def test_grades_by_their_name_have_the_range_that_they_show(tmp_path):
    grades = {"问题": QUERIES, "答案": ANSWERS, "评分": [place % 6 for place in range(NUMBER)]}
    dataset = read_files(csv(tmp_path / "rows.csv", **grades), "mine")
    assert (dataset.shape.name, max(dataset.splits["train"]["score"])) == ("scored_pair", 1.0)
    assert "dataset.reader.score_range=[0,5] (type others to change that)" in dataset.provenance["reading"]


@pytest.mark.parametrize(
    "names", ["Sentence1 SENTENCE2 Score", "sentence_1 sentence_2 score", " sentence1 Sentence2  score "]
)
def test_capitals_and_blanks_in_headers_are_read_with_a_line_that_says_so(tmp_path, names):
    header = names.split() if "_" in names or names[0] == "S" else [" sentence1", "Sentence2 ", "score"]
    path = csv(tmp_path / "rows.csv", **dict(zip(header, (QUERIES, ANSWERS, [0.5] * NUMBER), strict=True)))
    dataset = read_files(path, "mine")
    assert dataset.shape.name == "scored_pair"
    assert f"{header[0]!r} as sentence1" in dataset.provenance["reading"]


def test_a_name_that_is_there_twice_in_other_writings_stays_as_it_is(tmp_path):
    path = csv(tmp_path / "rows.csv", Text=QUERIES, text=ANSWERS)
    with pytest.raises(DataError, match="but then Text would be ignored"):
        read_files(path, "mine")


@pytest.mark.parametrize(("given", "near"), [("question", "Question "), ("Answr", "answer")])
def test_a_column_that_is_nearly_there_is_named(tmp_path, given, near):
    path = csv(tmp_path / "rows.csv", **{"Question ": QUERIES, "answer": ANSWERS})
    with pytest.raises(DataError, match=f"there is no column {given}.*Did you mean '{near}'"):
        read_files(path, "mine", columns={"anchor": given})


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"anchor": QUERIES, "positive": ANSWERS, "hard_negatives": [["n", "m"]] * NUMBER}, ["n", "m"]),
        ({"问题": QUERIES, "答案": ANSWERS, "负例": [["n"]] * NUMBER}, ["n"]),
        (
            {
                "query": [{"id": 1, "text": text} for text in QUERIES],
                "passages": [[{"text": text}] for text in ANSWERS],
            },
            [],
        ),
        ({"question": QUERIES, "pos_list": [[text] for text in ANSWERS], "neg_list": [["n"]] * NUMBER}, ["n"]),
    ],
)
def test_lists_under_other_names_lead_to_ranked_rows(tmp_path, columns, expected):
    dataset, (message,) = read_as_told(jsonl(tmp_path / "rows.jsonl", **columns))
    first = dataset.splits["train"][0]
    assert "ignore" not in message.splitlines()[1]
    assert first == {"query": QUERIES[0], "positives": [ANSWERS[0]], "negatives": expected}


@pytest.mark.parametrize("name", ["labels", "annotator_labels", "标签列表"])
def test_lists_of_labels_are_no_positives(tmp_path, name):
    path = jsonl(tmp_path / "rows.jsonl", text=QUERIES, **{name: [["a", "b"]] * NUMBER})
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert "positives" not in str(refusal.value)
    assert read_as_told(path, choice=9)[0].shape.name == "text"


@pytest.mark.parametrize("name", ["labels", "relevance_scores", "is_selected_label"])
def test_lists_whose_texts_are_rated_are_no_positives(tmp_path, name):
    texts = [[answer, "another"] for answer in ANSWERS]
    path = jsonl(tmp_path / "rows.jsonl", query=QUERIES, documents=texts, **{name: [[1, 0]] * NUMBER})
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert "positives: documents" not in str(refusal.value)
