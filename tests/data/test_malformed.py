"""A hundred malformed files: each gives one clear message or a counted drop, never a traceback or a hang."""

import gzip
import io
import json
import random
import time

import pyarrow
import pyarrow.parquet
import pytest

from embexp.data.dataset import EmbeddingDataset
from embexp.data.readers import read_files
from embexp.errors import EmbexpError

ROWS = [{"sentence1": f"text {n}, 文本", "sentence2": f'other "{n}"', "score": n / 40} for n in range(40)]


def as_csv(delimiter: str = ",") -> bytes:
    quoted = [[f'"{str(value).replace(chr(34), chr(34) * 2)}"' for value in row.values()] for row in ROWS]
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(row) for row in quoted)]
    return "\n".join(lines).encode()


def as_jsonl() -> bytes:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


VALID = {
    "csv": as_csv(),
    "tsv": as_csv("\t"),
    "jsonl": as_jsonl(),
    "parquet": as_parquet(),
    "csv.gz": gzip.compress(as_csv(), mtime=0),
    "jsonl.gz": gzip.compress(as_jsonl(), mtime=0),
    "txt": as_csv(),
}


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(1, len(content))]


def overwritten(content: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(20):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def with_junk(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + draw.randbytes(50) + content[place:]


def reencoded(content: bytes, draw: random.Random) -> bytes:
    text = content.decode("utf-8", errors="replace")
    return text.encode(draw.choice(["gb18030", "utf-16", "utf-32", "utf-16-be", "utf-7"]))


def ragged(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    return b"\n".join(line + b'," \t' * draw.randrange(3) for line in lines)


def shuffled(content: bytes, draw: random.Random) -> bytes:
    parts = [content[start : start + 37] for start in range(0, len(content), 37)]
    draw.shuffle(parts)
    return b"".join(parts)


DAMAGES = (truncated, overwritten, with_junk, reencoded, ragged, shuffled)
FUZZED = [
    (f"{damage.__name__}_{turn}.{suffix}", damage(content, random.Random(f"{suffix}{turn}")))
    for suffix, content in VALID.items()
    for damage in DAMAGES
    for turn in range(2)
]
DEEP = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BY_HAND = [
    ("empty.csv", b""),
    ("empty.jsonl", b""),
    ("empty.txt", b" \n\n"),
    ("empty.parquet", b""),
    ("empty.csv.gz", b""),
    ("mark_only.csv", b"\xef\xbb\xbf"),
    ("header_only.csv", b"sentence1,sentence2,score"),
    ("no_names.csv", b",,\na,b,1\n"),
    ("open_quote.csv", b'text\n"a\nb\nc\n'),
    ("quote_inside.csv", b'text\na"b"c\n"a"b\nd\n'),
    ("zeros.jsonl", b"\0" * 5_000),
    ("late_zeros.jsonl", as_jsonl() * 2 + b"\0" * 5_000),
    ("array.json", b'[{"text": "a"}, {"text": "b"}]'),
    ("pretty.json", b'{\n  "text": "a"\n}\n'),
    ("deep.jsonl", DEEP),
    ("deep_in_text.jsonl", b'{"text": "a"}\n' + DEEP),
    ("big_number.jsonl", b'{"text": "a", "label": 1' + b"0" * 5_000 + b"}"),
    ("beyond_int64.jsonl", b'{"text": "a", "label": 99999999999999999999}\n{"text": "b", "label": 1e400}\n'),
    ("surrogate.jsonl", b'{"text": "\\ud800 half"}\n'),
    ("repeated_key.jsonl", b'{"text": "a", "text": 5}\n'),
    ("objects_for_texts.jsonl", b'{"text": {"a": 1}}\n{"text": ["a"]}\n{"text": true}\n'),
    ("nested_set.jsonl", b'{"set": ["q", "p"]}\n{"set": {"query": "q"}}\n'),
    ("odd_labels.jsonl", b'{"text": "a", "label": {"x": 1}}\n{"text": "b", "label": [[1]]}\n'),
    ("odd_lists.jsonl", b'{"query": "q", "pos": [["p"]], "neg": {"n": 1}}\n{"query": 1, "pos": 2, "neg": 3}\n'),
    ("wide.csv", b",".join(b"c%d" % n for n in range(20_000)) + b"\n1\n"),
    ("huge_field.csv", b'text\n"' + b"x" * 20_000_000 + b'"\n'),
    ("huge_line.txt", b"x" * 20_000_000),
    ("bomb.jsonl.gz", gzip.compress(b"x" * 50_000_000, mtime=0)),
]
FILES = FUZZED + BY_HAND


def test_there_are_a_hundred_files():
    assert len(FILES) >= 100
    assert len({name for name, _ in FILES}) == len(FILES)


@pytest.mark.parametrize("on_fault", ["stop", "drop"])
@pytest.mark.parametrize(("name", "content"), FILES, ids=[name for name, _ in FILES])
def test_a_malformed_file_gives_one_message_or_a_counted_drop(tmp_path, name, content, on_fault):
    path = tmp_path / name
    path.write_bytes(content)
    start = time.perf_counter()
    try:
        result: EmbeddingDataset | str = read_files(path, "mine", on_fault=on_fault)
    except EmbexpError as error:
        result = str(error)
    assert time.perf_counter() - start < 30, "a hang"
    if isinstance(result, str):
        assert name in result or "dataset.reader" in result or "Data set mine" in result
        assert 20 < len(result) < 5_000
        assert "Traceback" not in result
    else:
        lost = sum(report.rows_in - report.rows_out for report in result.history)
        assert result.num_rows > 0
        assert lost == 0 or on_fault == "drop"


@pytest.mark.parametrize("suffix", VALID)
def test_the_files_before_they_were_damaged_are_fine(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(VALID[suffix])
    dataset = read_files(path, "mine")
    assert dataset.num_rows == (41 if suffix == "txt" else 40)
    assert not dataset.history


@pytest.mark.parametrize("content", [b".,\xe5", b"a\xc3", b"text,label\nx,y\xd6"])
def test_a_character_that_was_cut_off_at_the_end_is_one_message(content, tmp_path):
    (tmp_path / "mine.csv").write_bytes(content)
    with pytest.raises(EmbexpError, match=r"mine\.csv"):
        read_files(str(tmp_path / "mine.csv"), "mine")


@pytest.mark.parametrize("place", [b"text 3, ", b"text 39", b"other"])
def test_a_text_in_parquet_that_is_no_utf_8_is_one_message(place, tmp_path):
    sink = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(ROWS), sink, compression="none", use_dictionary=False, write_statistics=False
    )
    whole = sink.getvalue()
    assert place in whole
    (tmp_path / "mine.parquet").write_bytes(whole.replace(place, b"\xc7" + place[1:]))
    with pytest.raises(EmbexpError, match=r"mine\.parquet: the file cannot be read as Parquet"):
        read_files(str(tmp_path / "mine.parquet"), "mine")
