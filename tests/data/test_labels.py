"""Labels: several a text, -1 among others, other encodings, damaged bytes, mixed types."""

import json

import pytest
from typed_hints import read_as_told

from embexp.data.encodings import _likely_encoding
from embexp.data.readers import read_files
from embexp.errors import DataError

TEXTS = [f"this is the text {place}" for place in range(30)]


def jsonl(path, labels, **more):
    columns = more or {"text": TEXTS[: len(labels)]}
    rows = [dict(zip((*columns, "label"), row, strict=True)) for row in zip(*columns.values(), labels, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal_of(path, **options):
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine", **options)
    return str(refusal.value)


@pytest.mark.parametrize("labels", [["a", "b", "a|b"], ["a", "b", "a,b"], ["a", "b; c", "c", "b"], ["x/y", "y/x"]])
def test_joined_labels_are_no_classes_of_their_own(tmp_path, labels):
    path = jsonl(tmp_path / "rows.jsonl", labels * 5)
    assert "label holds several labels in one, such as " in refusal_of(path)
    assert read_as_told(path)[0].label_names == tuple(dict.fromkeys(labels))
    assert read_as_told(path, choice=1)[0].shape.name == "text"


@pytest.mark.parametrize("labels", [["R&D, sales", "law"], ["n/a", "b"], ["either/or", "and"]])
def test_signs_in_names_of_classes_are_no_joint(tmp_path, labels):
    assert read_files(jsonl(tmp_path / "rows.jsonl", labels * 5), "mine").label_names == tuple(labels)


@pytest.mark.parametrize(
    "labels", [[[1, 0], [0, 1]], [["a"], ["b", "c"]], ["[1, 0]", "[0, 1]"], ["['a']", "['b','a']"]]
)
@pytest.mark.parametrize("pairs", [False, True])
def test_lists_of_labels_are_refused(tmp_path, labels, pairs):
    more = {"sentence1": TEXTS[:10], "sentence2": TEXTS[10:20]} if pairs else {"text": TEXTS[:10]}
    message = refusal_of(jsonl(tmp_path / "rows.jsonl", labels * 5, **more))
    assert "several labels" in message if pairs else "Expected one label for each text" in message


def test_embeddings_are_read_from_cells_of_text(tmp_path):
    dataset = read_files(jsonl(tmp_path / "rows.jsonl", ["[0.5, 1]", "[0.25, 0]"]), "mine")
    assert (dataset.shape.name, dataset.splits["train"]["label"][0]) == ("embedded_text", [0.5, 1.0])


@pytest.mark.parametrize(
    ("labels", "pairs", "kept"),
    [
        ([-1, 0, 1], False, None),
        ([-1, 0, 1, 2], False, None),
        ([-1, 0, 1, 2], True, 3 / 4),  # NLI
        ([-1, 0, 1], True, None),
        ([-1, 1], True, None),
        (["-1", "0", "1"], False, None),
        ([-1.0, 0.0, 1.0], False, None),
        ([-1, 0, 3, 4], True, None),
        ([0, 1] * 14 + [-1], False, 28 / 29),
    ],
)
def test_minus_one_is_a_question_where_it_is_frequent(tmp_path, labels, pairs, kept):
    labels = (labels * 30)[: 29 if len(labels) == 29 else 24]
    more = {"sentence1": TEXTS[: len(labels)], "sentence2": TEXTS[: len(labels)]} if pairs else {}
    path = jsonl(tmp_path / "rows.jsonl", labels, **more)
    if kept:
        assert read_files(path, "mine").num_rows == pytest.approx(kept * len(labels))
        return
    assert "holds the label -1 in " in refusal_of(path)
    dataset, messages = read_as_told(path)
    assert (dataset.num_rows, len(messages)) == (len(labels), 1)
    dataset, _ = read_as_told(path, choice=1)
    assert dataset.num_rows == sum(float(label) != -1 for label in labels) or len({*labels}) == 2


@pytest.mark.parametrize(
    ("none", "labels"), [("unknown", ["a", "b", "unknown"]), (9, [0, 1, 9]), ("-", ["a", "b", "-"])]
)
def test_a_label_can_be_said_to_be_none(tmp_path, none, labels):
    dataset = read_files(jsonl(tmp_path / "rows.jsonl", labels * 4), "mine", no_label=none)
    assert dataset.num_rows == 8
    assert str(dataset.history[-1]) == "leave out rows without a gold label: 12 -> 8 rows"


@pytest.mark.parametrize(
    ("encoding", "texts"),
    [
        ("gb18030", ["正面", "负面", "中性的评价"]),
        ("big5", ["正面的評價", "負面的評價", "沒有意見"]),
        ("shift_jis", ["ポジティブ", "ネガティブ", "どちらでもない"]),
        ("cp1252", ["größer", "über alles", "naïve"]),
        ("euc_kr", ["긍정적인 평가", "부정적인 평가", "중립"]),
    ],
)
@pytest.mark.parametrize("where", ["label", "text", "column"])
def test_labels_in_another_encoding_are_refused_with_the_likely_one(tmp_path, encoding, texts, where):
    path, rows = tmp_path / "rows.csv", []
    for place in range(30):
        label, text = texts[place % 3], f"hello {place}"
        rows.append(
            f"{text},{label}"
            if where == "label"
            else f"{label} {place},{place % 3}"
            if where == "text"
            else f"{text},1"
        )
    header = f"{texts[0]},x" if where == "column" else "text,label"
    path.write_bytes("\n".join([header, *rows]).encode(encoding))
    message = refusal_of(path)
    assert "another encoding" in message
    assert f"hint: type dataset.reader.encoding={encoding}" in message
    if where != "column":
        dataset = read_files(path, "mine", encoding=encoding)
        assert dataset.num_rows == 30
        assert where != "label" or dataset.label_names == tuple(texts)


def test_one_damaged_byte_makes_no_class(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(
        b"text,label\n" + b"".join(b"some text %d,neg\n" % place for place in range(40)) + b"last,ne\xc3g\n"
    )
    message = refusal_of(path)
    assert f"{path}:42: label holds bytes of another encoding" in message
    assert "hint: type dataset.reader.on_fault=drop" in message
    assert "encoding=" not in message
    assert read_files(path, "mine", on_fault="drop").label_names == ("neg",)


@pytest.mark.parametrize("name", ["caf\udce9", "\ud800"])
def test_a_damaged_name_of_a_column_is_refused(tmp_path, name):
    path = tmp_path / "rows.jsonl"
    key = json.dumps(name).encode() if name == "\ud800" else b'"caf\xe9"'
    path.write_bytes(b'{"text": "a", ' + key + b': "b"}\n')
    assert "names of columns are in another encoding" in refusal_of(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.txt", "rows.jsonl"])
def test_utf_16_without_a_mark_is_named(tmp_path, name, encoding):
    path = tmp_path / name
    content = '{"text": "hello there"}\n' if name.endswith("jsonl") else "text\nhello there\n"
    path.write_bytes(content.encode(encoding))
    assert refusal_of(path).endswith(f"hint: type dataset.reader.encoding={encoding}")
    assert "hello there" in read_files(path, "mine", encoding=encoding).splits["train"]["text"][:]
    assert refusal_of(path, encoding="utf-16").endswith(f"hint: type dataset.reader.encoding={encoding}")


def test_mixed_types_are_faults(tmp_path):
    for labels, message in (
        ([0, 1, "yes", 1, 0], "holds no label: 'yes'"),
        (["a", "b", 5, "a"], "holds no label: 5"),
        (["a", "b", None, "a"], "holds no label"),
        ([0, 1, 0.5, 1], "holds a fraction: 0.5"),
        ([0, 1, {"a": 1}, 1], "holds no label: {'a': 1}"),
        ([0, 1, [1], 1], "holds several labels: [1]"),
    ):
        assert message in refusal_of(jsonl(tmp_path / "rows.jsonl", labels))


def test_utf_8_with_damage_is_utf_8():
    assert _likely_encoding("数据和标签，都是中文。".encode() * 20 + b"\xff\xfe x") == ""


def test_minus_one_among_typed_binary_labels_is_a_question(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl", [-1, 0, 1] * 8, sentence1=TEXTS[:24], sentence2=TEXTS[:24])
    dataset, (message,) = read_as_told(path, shape="binary_pair")
    assert message.endswith("left out.\nhint: type dataset.reader.no_label=-1")
    assert (dataset.shape.name, dataset.num_rows) == ("binary_pair", 16)


def test_several_columns_of_labels_are_not_one(tmp_path):
    labels = {name: [place % (number + 2) // (number + 1) for place in range(30)] for number, name in enumerate("abc")}
    rows = [
        {"text": text, **{name: values[place] for name, values in labels.items()}} for place, text in enumerate(TEXTS)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "can be text, but then a, b, c would be ignored" in refusal_of(path)
    dataset, _ = read_as_told(path)
    assert (dataset.shape.name, dataset.provenance["ignored_columns"]) == ("labelled_text", "b, c")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Pos", "pos", "neg"], "classes that differ in capitals only: 'Pos', 'pos'"),
        (["a", "b", "nan"], "the class 'nan' may stand for no label"),
        (["好", "坏", "N/A"], "the class 'N/A' may stand for no label"),
        (["a", "b", "c"], ""),
    ],
)
def test_names_of_classes_that_may_be_no_names_are_a_warning(tmp_path, names, said):
    rows = [f"text {number},{names[number % 3]}" for number in range(9)]
    (tmp_path / "mine.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    reading = read_files(tmp_path / "mine.csv", "mine").provenance.get("reading", "")
    assert said in reading
    assert bool(said) == bool(reading)
    if "no label" in said:
        assert read_files(tmp_path / "mine.csv", "mine", no_label=names[2]).num_rows == 6
