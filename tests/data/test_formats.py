"""Text files as people have them: marks, line ends, encodings, quotes, zipped; and rows that cannot be read."""

import gzip

import pyarrow
import pyarrow.parquet
import pytest

from embexp.data.readers import read_files
from embexp.errors import ConfigError, DataError

CSV = "anchor,positive\na,b\nc,d\n"
ROWS = {"anchor": ["a", "c"], "positive": ["b", "d"]}


def rows_of(path, **options):
    return read_files(path, "mine", **options).splits["train"].to_dict()


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode(), {}),
        ("crlf.csv", CSV.replace("\n", "\r\n").encode(), {}),
        ("blank_lines.csv", CSV.replace("\n", "\n\n").encode(), {}),
        ("no_last_newline.csv", CSV.rstrip().encode(), {}),
        ("zipped.csv.gz", gzip.compress(CSV.encode(), mtime=0), {}),
        ("utf16.csv", CSV.encode("utf-16"), {"encoding": "utf-16"}),
        ("tabs.tsv", CSV.replace(",", "\t").encode(), {}),
        ("headless.csv", b"a,b\nc,d\n", {"header": ["anchor", "positive"]}),
        ("lines.jsonl", b'\xef\xbb\xbf{"anchor": "a", "positive": "b"}\r\n\r\n{"anchor": "c", "positive": "d"}', {}),
        (
            "lines.jsonl.gz",
            gzip.compress(b'{"anchor": "a", "positive": "b"}\n{"positive": "d", "anchor": "c"}\n', mtime=0),
            {},
        ),
        ("lines.json", b'{"anchor": "a", "positive": "b", "x": {"y": [1]}}\n{"anchor": "c", "positive": "d"}', {}),
    ],
)
def test_the_same_rows_however_they_were_written(tmp_path, name, content, options):
    (tmp_path / name).write_bytes(content)
    assert rows_of(tmp_path / name, **options) == ROWS


def test_a_named_encoding_is_used_and_a_wrong_one_is_named_in_the_fault(tmp_path):
    path = tmp_path / "zh.csv"
    path.write_bytes("text\n股票\n基金\n".encode("gb18030"))
    assert rows_of(path, encoding="gb18030") == {"text": ["股票", "基金"]}
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert "zh.csv:2: text holds bytes of another encoding\n" in str(refusal.value)
    assert str(refusal.value).endswith("\nhint: type dataset.reader.encoding=gb18030")
    with pytest.raises(DataError, match=r"dataset\.reader\.encoding=klingon is not known"):
        read_files(path, "mine", encoding="klingon")


def test_quotes_hold_separators_and_line_ends_and_can_be_plain_text(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text('anchor,positive\n"a, or\nb","say ""hi"""\nc,d\n')
    assert rows_of(path) == {"anchor": ["a, or\nb", "c"], "positive": ['say "hi"', "d"]}
    path = tmp_path / "plain.tsv"
    path.write_text('anchor\tpositive\n"a\tb\nc\td"\n')
    assert rows_of(path, quote=None) == {"anchor": ['"a', "c"], "positive": ["b", 'd"']}


def test_a_quote_that_swallows_lines_of_a_tsv_is_no_text(tmp_path):
    path = tmp_path / "swallowed.tsv"
    path.write_text('anchor\tpositive\nx\t"one\ny\ttwo"\n')
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    assert f"{path}:2: in a quote that spans rows, lines 2 to 3" in str(refusal.value)
    assert str(refusal.value).endswith("\nhint: type dataset.reader.quote=null")


def test_plain_text_is_a_text_for_each_line(tmp_path):
    path = tmp_path / "sentences.txt.gz"
    path.write_bytes(gzip.compress(b'one, two\n\n  \n"three"\n'))
    assert rows_of(path) == {"text": ["one, two", '"three"']}


FAULTY = (
    '{"sentence1": "a", "sentence2": "b", "score": 1}\n'
    '{"sentence1": "a", "sentence2": 5, "score": 1}\n'
    '{"sentence1": "a", "score": 1}\n'
    '{"sentence1": " ", "sentence2": "b", "score": 1}\n'
    '{"sentence1": "a", "sentence2": "b", "score": NaN}\n'
    '{"sentence1": "a", "sentence2": "b", "score": "high"}\n'
    "[1, 2]\n"
    '{"sentence1": "a", \n'
    '{"sentence1": "c", "sentence2": "d", "score": "0.5"}\n'
)


def test_faulty_lines_are_named_and_all_are_counted(tmp_path):
    path = tmp_path / "scored.jsonl"
    path.write_text(FAULTY)
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine")
    message = str(refusal.value)
    assert message.startswith("7 of 9 rows cannot be used (")
    assert f"{path}:7: no JSON object (expected one in each line): [1, 2]" in message
    assert f"{path}:8: no JSON: 'Expecting property name enclosed in double quotes'" in message
    assert f"{path}:2: sentence2 holds no text: 5" in message
    assert f"{path}:3: sentence2 is empty or missing" in message
    assert "... and 2 more" in message
    assert message.endswith("\nhint: type dataset.reader.on_fault=drop")


def test_faulty_lines_can_be_dropped_and_are_counted(tmp_path):
    path = tmp_path / "scored.jsonl"
    path.write_text(FAULTY)
    dataset = read_files(path, "mine", on_fault="drop")
    assert dataset.splits["train"].to_dict() == {"sentence1": ["a", "c"], "sentence2": ["b", "d"], "score": [1.0, 0.5]}
    (report,) = dataset.history
    assert (report.step, report.rows_in, report.rows_out) == ("read", 9, 2)
    assert "2 score holds no number" in report.reason
    with pytest.raises(ConfigError, match=r"on_fault=skip was given\. Expected one of: stop, drop"):
        read_files(path, "mine", on_fault="skip")


def test_the_line_of_a_fault_counts_the_lines_of_quoted_texts(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('anchor,positive\n"a\nb",c\nonly one\nd,e\n')
    with pytest.raises(DataError, match=r"rows\.csv:4: not 2 fields as in the header: \['only one'\]"):
        read_files(path, "mine")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"PAR1....", "is no text file but a Parquet file (name it .parquet)"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "is no text file but compressed with gzip (name it .gz)"),
        ("a.csv", b"text\n\0\0\0", "is no text file but a binary file: there are zero bytes in it"),
        (
            "a.csv",
            "text\na\n".encode("utf-16"),
            "the file is encoded in utf-16.\nhint: type dataset.reader.encoding=utf-16",
        ),
        ("a.csv.gz", b"text\na\n", "cannot be opened"),
        ("a.parquet", b"text\na\n", "cannot be read as Parquet"),
    ],
)
def test_what_is_no_text_is_refused_by_what_it_is(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as refusal:
        read_files(tmp_path / name, "mine")
    assert message in str(refusal.value)


def test_a_zipped_file_that_was_cut_is_one_fault(tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(b"text\n" + b"".join(b"%d\n" % n for n in range(100_000)))[:-2000])
    with pytest.raises(DataError, match="the file ends too early"):
        read_files(path, "mine")
    assert 0 < read_files(path, "mine", on_fault="drop").num_rows < 100_000


def test_a_line_of_many_megabytes_is_one_fault(tmp_path):
    path = tmp_path / "huge.jsonl"
    path.write_text('{"text": "a"}\n{"text": "' + "x" * 17_000_000 + '"}\n{"text": "b"}\n')
    dataset = read_files(path, "mine", on_fault="drop")
    assert dataset.splits["train"]["text"][:] == ["a", "b"]
    assert "1 longer than 16,777,216 characters" in dataset.history[0].reason


def test_only_the_first_rows_are_read_when_requested(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"text": "{number}"}}\n' for number in range(25_000)))
    assert read_files(path, "mine", max_rows=12_345).num_rows == 12_345


@pytest.mark.parametrize(
    ("labels", "label_names", "expected", "names"),
    [
        (["yes", "no", "yes"], [], [0, 1, 0], ("yes", "no")),
        (["yes", "no", "yes"], ["no", "yes"], [1, 0, 1], ("no", "yes")),
        (["0", "2", "1.0"], [], [0, 2, 1], ()),
        ([0, 1, 2], ["a", "b", "c"], [0, 1, 2], ("a", "b", "c")),
    ],
)
def test_classes_are_numbers_or_names(tmp_path, labels, label_names, expected, names):
    path = tmp_path / "classes.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b", "c"], "label": labels}), path)
    dataset = read_files(path, "mine", label_names=label_names)
    assert dataset.splits["train"]["label"][:] == expected
    assert dataset.label_names == names


def test_a_label_that_is_none_of_the_names_is_a_fault(tmp_path):
    path = tmp_path / "nli.jsonl"
    path.write_text('{"text": "a", "label": "yes"}\n{"text": "b", "label": "-"}\n{"text": "c", "label": "maybe"}\n')
    with pytest.raises(DataError) as refusal:
        read_files(path, "mine", label_names=["no", "yes"])
    assert f"{path}:3: label holds none of the labels ['no', 'yes']: 'maybe'" in str(refusal.value)


def test_a_dictionary_encoded_column_is_text(tmp_path):
    path = tmp_path / "encoded.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array(["a", "b", "a"]).dictionary_encode()}), path)
    assert rows_of(path) == {"text": ["a", "b", "a"]}


def zeros(path, megabytes):
    with gzip.open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(b"text\n" + b"\n" * (2**20 - 5))


def rows_of_nothing(path, rows):
    table = pyarrow.table({"text": pyarrow.nulls(rows, pyarrow.string())})
    pyarrow.parquet.write_table(table, path, row_group_size=rows)


@pytest.mark.parametrize(
    ("name", "make", "size", "text"),
    [
        ("lines.txt.gz", zeros, 3, "unfolds to more than 200 times as many. Expected compressed texts. Whoever"),
        ("table.csv.gz", zeros, 3, "unfolds to more than 200 times as many"),
        ("rows.jsonl.GZ", zeros, 3, "unfolds to more than 200 times as many"),
        ("rows.parquet", rows_of_nothing, 2_000_000, "claims 2,000,000 rows"),
    ],
)
def test_a_file_that_unfolds_without_end_is_refused(name, make, size, text, tmp_path, monkeypatch):
    monkeypatch.setattr("embexp.data.text_files._ALWAYS", 2**20)
    monkeypatch.setattr("embexp.data.formats._ALWAYS_ROWS", 10**5)
    make(tmp_path / name, size)
    with pytest.raises(DataError) as refusal:
        read_files(str(tmp_path / name), name="x")
    assert text in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path / name))
