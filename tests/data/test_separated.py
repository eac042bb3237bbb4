"""CSV, TSV and tables in other clothes: quotes that swallow rows, separators, headers that are none, row numbers."""

import pytest
from typed_hints import read_as_told

from embexp.data.readers import read_files
from embexp.errors import DataError

ROWS = [f"a{number},b{number}" for number in range(1, 51)]


def refusal_of(path, content, **options):
    path.write_text(content, encoding=options.pop("written", "utf-8"))
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine", **options)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("opened", "closed"),
    [('a10,"b10', 'a30,b30"'), ('"a10,b10', 'a30",b30'), ('"a10,b10', 'a30,"b30'), ('a10,"b10', 'a30,"b30')],
)
def test_a_quote_that_swallows_rows_counts_them_all(tmp_path, opened, closed):
    rows = [*ROWS[:9], opened, *ROWS[10:29], closed, *ROWS[30:]]
    message = refusal_of(tmp_path / "rows.csv", "\n".join(["anchor,positive", *rows]))
    assert message.startswith("21 of 50 rows cannot be used (21 ")
    assert f"{tmp_path / 'rows.csv'}:11: " in message
    assert "type dataset.reader.quote=null" in message
    assert ", lines 11 to 31\nMend them" in message
    assert message.endswith("\nhint: type dataset.reader.on_fault=drop")
    assert read_files(tmp_path / "rows.csv", "mine", on_fault="drop").num_rows == 29


def test_a_quote_that_is_never_closed_counts_the_rest_of_the_file(tmp_path):
    message = refusal_of(tmp_path / "rows.csv", "\n".join(["anchor,positive", *ROWS[:9], 'a10,"b10', *ROWS[10:]]))
    assert message.startswith("41 of 50 rows cannot be used (41 unexpected end of data):\n")
    assert "\nhint: type dataset.reader.quote=null\n" in message


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo\nthree\nfour",
        "one, two\nthree, four\nfive, six\nseven, eight",
        "one\ntwo, three\n\nfour, five\nsix, six",
    ],
)
@pytest.mark.parametrize("row", ['x,"{}"', '"{}",x'])
def test_a_text_of_several_lines_with_commas_stays(tmp_path, text, row):
    (tmp_path / "rows.csv").write_text("anchor,positive\n" + row.format(text))
    assert text in read_files(tmp_path / "rows.csv", "mine").splits["train"][0].values()


def test_a_single_column_has_no_separators_to_count(tmp_path):
    (tmp_path / "rows.csv").write_text('text\n"a\nb\nc\nd"\n')
    assert read_files(tmp_path / "rows.csv", "mine").splits["train"]["text"][:] == ["a\nb\nc\nd"]


LCQMC = "怎么还款\t如何还款\t1\n利率是多少\t今天天气\t0\n"


@pytest.mark.parametrize("ending", ["txt", "TXT"])
def test_a_text_file_of_tab_separated_fields_is_no_plain_text(tmp_path, ending):
    path = tmp_path / f"lcqmc.{ending}"
    assert refusal_of(path, LCQMC) == (
        f"{path}: each line holds 3 fields, separated by tabs: '怎么还款\\t如何还款\\t1'. Expected a name for each of "
        "them.\n"
        "hint: type dataset.reader.header=[sentence1,sentence2,label]"
    )
    dataset = read_files(path, "mine", header=["sentence1", "sentence2", "label"])
    assert dataset.shape.name == "binary_pair"
    assert dataset.splits["train"][1] == {"sentence1": "利率是多少", "sentence2": "今天天气", "label": 0}


@pytest.mark.parametrize("content", ["a\tb\n", "a\tb\nc\n", "a\nb\n"])
def test_tabs_in_some_lines_make_no_table(tmp_path, content):
    (tmp_path / "rows.txt").write_text(content)
    assert read_files(tmp_path / "rows.txt", "mine").splits["train"]["text"][:] == content.split("\n")[:-1]


@pytest.mark.parametrize(
    ("name", "sign", "called", "typed"),
    [("a.csv", ";", "semicolons", ";"), ("a.csv", "\t", "tabs", "\\t"), ("a.tsv", "|", "bars", "|")],
)
def test_another_separator_is_named_and_can_be_given(tmp_path, name, sign, called, typed):
    content = f"anchor{sign}positive\na, b{sign}c\n"
    message = refusal_of(tmp_path / name, content)
    assert message.startswith(f"{tmp_path / name}: the fields are separated by {called}: the first line is 'anchor")
    assert message.endswith(f"\nhint: type 'dataset.reader.delimiter=\"{typed}\"'")
    rows = read_files(tmp_path / name, "mine", delimiter=typed).splits["train"].to_dict()
    assert rows == {"anchor": ["a, b"], "positive": ["c"]}


def test_the_row_numbers_that_pandas_writes_are_not_used(tmp_path):
    (tmp_path / "rows.csv").write_text(",anchor,positive\n0,a,b\n")
    dataset = read_files(tmp_path / "rows.csv", "mine")
    assert dataset.splits["train"].to_dict() == {"anchor": ["a"], "positive": ["b"]}
    assert dataset.provenance["ignored_columns"] == "Unnamed: 0"
    assert "begins with the columns 'anchor', '', 'positive'" in refusal_of(tmp_path / "b.csv", "anchor,,positive\n")


def test_a_file_without_a_header_line_is_reported_with_what_may_be_wrong(tmp_path):
    path = tmp_path / "rows.csv"
    message = refusal_of(path, "how are you,how do you do,1\na,b,0\n")
    assert message.startswith(
        f"{path}: the columns how are you, how do you do, 1 fit no shape. Expected the columns of a shape, or a header "
        "line that names columns."
    )
    assert "\nhint: type dataset.reader.header=[sentence1,sentence2,label]\nhint: type 'dataset.reader.col" in message
    assert "header" not in refusal_of(tmp_path / "b.csv", "sentence1,b\na,b\n").removeprefix(str(tmp_path))
    assert "header" not in refusal_of(tmp_path / "b.jsonl", '{"a": "b", "c": "d"}\n').removeprefix(str(tmp_path))


def test_a_header_in_another_encoding_is_reported(tmp_path):
    message = refusal_of(tmp_path / "zh.csv", "问题,答案\na,b\n", written="gb18030")
    assert message.endswith("the header line is in another encoding.\nhint: type dataset.reader.encoding=gb18030")


def test_bytes_of_another_encoding_are_not_shown(tmp_path):
    message = refusal_of(tmp_path / "zh.csv", "text\n股票\n", written="gb18030")
    assert "text holds bytes of another encoding" in message
    assert "udc" not in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{\n  "text": "a"\n}\n', "one JSON value over several lines"),
        ('{"data": [\n  {"text": "a"}\n]}\n', "one JSON value over several lines"),
    ],
)
def test_json_that_is_not_one_object_a_line_is_reported_once(tmp_path, content, what):
    path = tmp_path / "rows.json"
    message = refusal_of(path, content)
    assert message.startswith(f"{path}: the file holds {what}. Expected an object in each line (JSON Lines), or an")


@pytest.mark.parametrize("sign", [" ### ", "@@", "\x01", "[SEP]", "<sep>", "¦", ">>", "^^"])
@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_fields_between_unusual_signs_are_no_plain_text(tmp_path, sign, ending):
    rows = [("sentence1", "sentence2", "score")] if ending == "csv" else []
    rows += [(f"a bank {number}", f"银行 {number}", f"0.{number}") for number in range(6)]
    (tmp_path / f"rows.{ending}").write_text("\n".join(map(sign.join, rows)), encoding="utf-8")
    dataset, messages = read_as_told(tmp_path / f"rows.{ending}")
    assert len(messages) == 1
    assert dataset.shape.name == "scored_pair"
    assert dataset.splits["train"][5] == {"sentence1": "a bank 5", "sentence2": "银行 5", "score": 0.5}


@pytest.mark.parametrize(
    "lines", [["a == b", "c", "d", "e", "f"], ["==", "a"] * 3, ["# title ##"] * 5, ["no signs at all here"] * 9]
)
def test_signs_that_separate_nothing_make_no_table(tmp_path, lines):
    (tmp_path / "rows.txt").write_text("\n".join(lines))
    assert read_files(tmp_path / "rows.txt", "mine").splits["train"]["text"][:] == lines


def test_texts_that_hold_as_many_commas_each_are_read_as_such_on_request(tmp_path):
    lines = [f"well, {number}" for number in range(6)]
    (tmp_path / "rows.txt").write_text("\n".join(lines))
    dataset, messages = read_as_told(tmp_path / "rows.txt", choice=1)
    assert len(messages) == 1
    assert dataset.splits["train"]["text"][:] == lines


@pytest.mark.parametrize(
    "first", ["no time to read this page", "the index of a market went up today", "which row is it"]
)
def test_a_first_row_with_words_of_columns_is_no_header(tmp_path, first):
    rows = [
        f"{first},another text of some words,0.5",
        *(f"a text {number},a text too,0.{number}" for number in range(9)),
    ]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    dataset, messages = read_as_told(tmp_path / "rows.csv")
    assert "hint: type dataset.reader.header=[sentence1,sentence2,score]" in messages[0]
    assert dataset.splits["train"].num_rows == len(rows)
