"""The most similar pairs in a file of texts: any format, its lines, identical and missing texts, all pairs of few."""

import csv
import json

import numpy
import pytest

from embexp.config.compose import compose
from embexp.errors import ConfigError, DataError
from embexp.inspection import similar_pairs
from embexp.inspection.similar_pairs import _mined, pairs


class _Letters:
    """Embeds a text by its letters; a prompt changes all of them."""

    def __init__(self):
        self.texts, self.prompt = [], None

    def __call__(self, resolved, texts, _name):
        self.texts, self.prompt = texts, resolved["prompt"]
        vectors = numpy.zeros((len(texts), 64), dtype="float32")
        for row, text in enumerate(texts):
            for letter in text:
                vectors[row, ord(letter) % 64] += 1
        return vectors, "cpu"


@pytest.fixture
def letters(monkeypatch):
    encoder = _Letters()
    monkeypatch.setattr(similar_pairs, "_encoded", encoder)
    return encoder


def found_in(file, *overrides):
    config = compose(["dataset=file", f"dataset.reader.path='{file}'", "output=null", *overrides], "pairs")
    return pairs(config, {"dataset": "file", "model": "minilm"})


TEXTS = ["怎么退款", "怎么退款呢", "", "股票大跌", "怎么退款"]


def _written(kind):
    if kind == "txt":
        return "\n".join(TEXTS)
    if kind == "csv":
        return "\n".join(["编号,问题", *(f'{n},"{text}"' for n, text in enumerate(TEXTS))])
    return "\n".join(json.dumps({"n": n, "q": text or None}, ensure_ascii=False) for n, text in enumerate(TEXTS))


@pytest.mark.parametrize(("kind", "lines", "empty"), [("txt", (1, 2), 0), ("csv", (2, 3), 1), ("jsonl", (1, 2), 1)])
def test_texts_of_every_format_are_found_with_their_lines(letters, tmp_path, kind, lines, empty):
    (tmp_path / f"文本.{kind}").write_text(_written(kind), encoding="utf-8")
    found, text = found_in(tmp_path / f"文本.{kind}", "top=1")
    (row,) = found
    assert (row["text_a"], row["text_b"], row["line_a"], row["line_b"]) == ("怎么退款", "怎么退款呢", *lines)
    assert letters.texts == ["怎么退款", "怎么退款呢", "股票大跌"]
    assert ("1 row without a text" in text) == bool(empty)
    assert "1 row with the text of an earlier one" in text


@pytest.mark.usefixtures("letters")
def test_parquet_and_a_folder_of_files(tmp_path):
    import pandas

    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        pandas.DataFrame({"text": [f"{name} abc", "same"]}).to_parquet(tmp_path / "data" / f"{name}.parquet")
    found, _ = found_in(tmp_path / "data", "duplicates=true", "top=2")
    assert [(row["line_a"], row["line_b"]) for row in found] == [
        ("train.parquet:2", "test.parquet:2"),
        ("train.parquet:1", "test.parquet:1"),
    ]


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("output", ["pairs.csv", "out/对.jsonl"])
def test_all_pairs_are_written_once(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    found, text = found_in("a.txt", f"output='{output}'", "top=1000", "shown=1")
    assert len(found) == 3
    assert "these are all pairs of 3 texts" in text
    assert text.count("怎么退款") == 2
    content = (tmp_path / output).read_text(encoding="utf-8-sig")
    rows = [*csv.DictReader(content.splitlines())] if output.endswith("csv") else map(json.loads, content.splitlines())
    assert [row["text_b"] for row in rows] == [row["text_b"] for row in found]
    with pytest.raises(ConfigError, match="is there already") as error:
        found_in("a.txt", f"output='{output}'")
    assert "overwrite=true" in error.value.problems[0].fix
    found_in("a.txt", f"output='{output}'", "overwrite=true")


def test_a_threshold_and_a_prompt(letters, tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    found, text = found_in(tmp_path / "a.txt", "min_score=1", "prompt='query: '")
    assert found == []
    assert "no pair has a cosine of 1.0 or more" in text
    assert letters.prompt == "query: "


@pytest.mark.parametrize(
    ("content", "overrides", "error", "said", "typed"),
    [
        ("question,answer\na,b\nc,d", (), DataError, "question, answer", "column=answer"),
        ("question,answer\na,b\nc,d", ("column=anser",), ConfigError, "Did you mean 'answer'", "column=answer"),
        ("a,b\n1,2\n3,4", (), DataError, "none of texts", "column=a"),
        ("text\nsame\nsame", (), DataError, "holds one text, in 2 rows. Expected two different texts", None),
        ("text\na\nb", ("top=0",), ConfigError, "top=0", "top=100"),
        ("text\na\nb", ("output=x.xlsx",), ConfigError, "output=x.xlsx cannot be written", "output=x.csv"),
        ("text\na\nb", ("min_score=2",), ConfigError, "min_score=2.0", "min_score=0.8"),
    ],
)
def test_a_mistake_says_what_to_type(letters, tmp_path, monkeypatch, content, overrides, error, said, typed):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(error) as raised:
        found_in(tmp_path / "a.csv", *overrides)
    assert said in str(raised.value)
    assert letters.texts == []
    if typed:
        assert any(typed in fix for fix in raised.value.problems[0].fix)
        fix = next(fix for fix in raised.value.problems[0].fix if typed in fix)
        assert "different ones" in found_in(tmp_path / "a.csv", *overrides, fix)[1]


def test_many_pairs_are_those_of_all_similarities_sorted():
    random = numpy.random.default_rng(0)
    vectors = random.normal(size=(300, 4)).astype("float32")
    vectors[:250] = vectors[0] + random.normal(size=(250, 4)) / 1000  # each of them has far more near ones than 100
    units = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    every = numpy.sort((units @ units.T)[numpy.triu_indices(300, 1)])[::-1]
    mined = [*_mined(vectors, 5000, "cpu")]
    assert [score for score, _, _ in mined] == pytest.approx(every[:5000], abs=1e-6)
    assert len({(first, second) for _, first, second in mined}) == 5000
    assert all(first < second for _, first, second in mined)


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
def test_the_api_and_a_bundled_corpus():
    import embexp

    report = embexp.pairs(
        "dataset=finance", "model=tiny", "threads=1", "top=5", "output=null", "dataset.reader.max_rows=20"
    )
    assert len(report.table) == 5
    assert "column text" in report.text
