"""Readers: each kind of file, folders, columns and scores of the user's own, public data sets, and every refusal."""

import hashlib

import pytest

from embexp.config.compose import compose, resolve
from embexp.config.session import conf_dir
from embexp.data.readers import read_files, read_public
from embexp.errors import DataError
from embexp.experiment.datasets import builder_of

PAIRS = {"anchor": ["a, or b", "c"], "positive": ["d", "é 市"]}
SCORED = {"sentence1": ["a", "b", "c"], "sentence2": ["d", "e", "f"], "score": [0.0, 2.5, 5.0]}


def write(path, columns):
    """A file of the kind that the path's suffix says."""
    from datasets import Dataset

    rows = Dataset.from_dict(columns)
    if path.suffix in (".parquet", ".jsonl"):
        {".parquet": rows.to_parquet, ".jsonl": rows.to_json}[path.suffix](path)
    else:
        rows.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, suffix):
    path = write(tmp_path / f"pairs.{suffix}", PAIRS)
    dataset = read_files(path, "mine")
    assert dataset.splits["train"].to_dict() == PAIRS
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert dataset.provenance == {"source": str(path), "sha256/train": sha256}


@pytest.mark.parametrize("dev", ["dev", "validation", "valid", "val"])
def test_a_folder_gives_a_split_for_each_file_in_the_usual_order(tmp_path, dev):
    for name, text in (("test", "c"), (dev, "b"), ("train", "a"), ("notes", "x")):
        write(tmp_path / f"{name}.csv", {"text": [text]})
    texts = {split: rows["text"][:] for split, rows in read_files(tmp_path, "mine").splits.items()}
    assert list(texts.items()) == [("train", ["a"]), ("dev", ["b"]), ("test", ["c"])]


def test_columns_are_renamed_and_others_left_out(tmp_path):
    path = write(tmp_path / "qa.jsonl", {"page": [3], "answer": ["b"], "question": ["a"]})
    dataset = read_files(path, "mine", columns={"anchor": "question", "positive": "answer"})
    assert dataset.splits["train"].to_dict() == {"anchor": ["a"], "positive": ["b"]}


@pytest.mark.parametrize(("score_range", "expected"), [([0, 5], [0.0, 0.5, 1.0]), ([-5, 5], [0.5, 0.75, 1.0])])
def test_scores_are_rescaled_and_their_range_recorded(tmp_path, score_range, expected):
    dataset = read_files(write(tmp_path / "sts.csv", SCORED), "mine", score_range=score_range)
    assert dataset.splits["train"]["score"][:] == expected
    assert dataset.provenance["score_range"] == f"{score_range[0]} to {score_range[1]}"


@pytest.mark.parametrize(
    ("columns", "shape"),
    [
        ({"sentence1": ["a"], "sentence2": ["b"], "score": [0.5]}, "scored_pair"),
        ({"sentence1": ["a", "c"], "sentence2": ["b", "d"], "label": [0, 1]}, "binary_pair"),
        ({"sentence1": ["a", "c"], "sentence2": ["b", "d"], "label": [0, 2]}, "class_pair"),
        ({"anchor": ["a"], "positive": ["b"]}, "positive_pair"),
        ({"anchor": ["a"], "positive": ["b"], "negative_1": ["c"]}, "triplet"),
        ({"anchor": ["a"], "positive": ["b"], "negative": ["c"]}, "triplet"),
        ({"text": ["a"], "label": [3]}, "labelled_text"),
        ({"text": ["a"], "label": [[0.1, 0.2]]}, "embedded_text"),
        ({"query": ["a"], "positives": [["b"]], "negatives": [["c"]]}, "ranked"),
        ({"anchor": ["a"], "positive": ["b"], "negative_1": ["c"], "label": [[0.9, 0.1]]}, "scored_triplet"),
        ({"text": ["a"], "id": [1]}, "text"),
        ({"text": ["a"], "twin": ["a"]}, "twin_text"),
        ({"damaged": ["a"], "original": ["a b"]}, "noised_text"),
    ],
)
def test_the_columns_tell_the_shape(tmp_path, columns, shape):
    assert read_files(write(tmp_path / "rows.parquet", columns), "mine").shape.name == shape


@pytest.mark.parametrize("columns", [(*PAIRS, "label"), (*SCORED, "label")], ids=" ".join)
def test_a_column_that_changes_the_meaning_is_not_dropped_silently(tmp_path, columns):
    path = write(tmp_path / "rows.csv", {name: [1] if name in ("label", "score") else ["a"] for name in columns})
    with pytest.raises(DataError):
        read_files(path, "mine")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", "", "There is no file {path}. Expected a file in {folder}."),
        ("rows.xlsx", "a", "{path}: files of this kind cannot be read. Expected one of: .parquet, .csv, .tsv, .jsonl"),
        ("rows.csv", "\n", "{path}: the file begins with no line. Expected a header line that names each column once"),
        ("rows.csv", "a,a\nb,c\n", "{path}: the file begins with the columns 'a', 'a'. Expected a header line"),
        ("rows.csv", "text\n", "{path}: there are no rows. Expected at least one."),
        (
            "",
            "",
            "The folder {path} holds no split. Expected files with one of the words train, dev, validation, valid",
        ),
        ("rows.csv", "question,positive\na,b\n", "{path}: the columns question, positive fit no shape. Expected "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    if content:
        path.write_text(content)
    with pytest.raises(DataError) as error:
        read_files(path, "mine")
    assert str(error.value).startswith(message.format(path=path, folder=tmp_path))


def test_columns_that_the_file_lacks_are_refused(tmp_path):
    path = write(tmp_path / "qa.csv", {"q": ["a"], "positive": ["b"]})
    with pytest.raises(DataError) as error:
        read_files(path, "mine", columns={"anchor": "question", "positive": "answer"})
    assert str(error.value) == (
        f"{path}: there is no column question, answer. Expected some of its columns: q, positive.\n"
        "hint: type 'dataset.reader.columns={anchor: q}'"
    )


def public(root):
    columns = {"sentence1": "premise", "sentence2": "hypothesis", "label": "gold"}
    splits, files = {"train": "train", "dev": "validation"}, {"train": "nli/a.parquet", "dev": "nli/b.parquet"}
    return read_public(
        "nli", "class_pair", columns, "org/nli", splits, files, "finance_en", root, label_names=["yes", "no", "?"]
    )


def test_a_public_data_set_is_read_from_a_local_folder_without_its_unlabelled_rows(tmp_path):
    (tmp_path / "nli").mkdir()
    write(tmp_path / "nli/a.parquet", {"gold": [0, -1, 2], "premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"]})
    write(tmp_path / "nli/b.parquet", {"gold": [1], "premise": ["g"], "hypothesis": ["h"]})
    dataset = public(str(tmp_path))
    assert dataset.splits["train"].to_dict() == {"sentence1": ["a", "c"], "sentence2": ["d", "f"], "label": [0, 2]}
    assert dataset.splits["dev"].to_dict() == {"sentence1": ["g"], "sentence2": ["h"], "label": [1]}
    assert [str(report) for report in dataset.history] == ["leave out rows without a gold label (-1): 4 -> 3 rows"]
    assert dataset.provenance["source"] == f"{tmp_path} (org/nli)"


def test_the_hub_out_of_reach_says_how_to_do_without():
    with pytest.raises(DataError) as error:
        public(root=None)
    message = str(error.value)
    assert message.startswith(
        "There is no folder org/nli here. Data set nli could not be read from the Hugging Face Hub"
    )
    assert "paths.data=<folder>" in message


# Rows of train, dev and test as shared/data/README.md counts them.
PUBLIC = {
    "afqmc": (10_000, 4_316),
    "financial_qa": (5_599, 704, 694),  # one file of 6,997 rows; the step split divides it
    "mnli": (15_890, 9_815),
    "mrpc": (4_076, 1_725),
    "nli": (45_384, 9_815, 9_831),
    "nli_triplets": (7_198,),
    "nli_unlabelled": (45_384,),
    "pawsx_zh": (2_000, 2_000),
    "qqp": (25_366, 7_599),
    "sentences": (40_976,),
    "snli": (19_998, 9_831),
    "stsb": (5_749, 1_500, 1_379),
    "trec": (5_452, 500),
    "zh_lcqmc": (8_802, 10_000),
    "zh_stsb": (5_231, 1_458, 1_361),
}
NO_FILES_HERE = {"sentence_compression"}


def test_every_public_data_set_is_counted_here():
    assert {path.stem for path in conf_dir().glob("dataset/*.yaml") if "root:" in path.read_text()} == {
        *PUBLIC,
        *NO_FILES_HERE,
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_data_set_has_the_rows_its_readme_counts(real_data, name):
    config = resolve(compose([f"dataset={name}", f"paths.data={real_data}", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], name, config["dataset"]["shapes"][0])
    assert tuple(rows.num_rows for rows in dataset.splits.values()) == PUBLIC[name]


@pytest.mark.parametrize("name", [*PUBLIC, *NO_FILES_HERE])
def test_bundled_rows_stand_in_for_a_public_data_set_in_its_shape(name):
    config = resolve(compose([f"dataset={name}", "paths.data=bundled", "paths.cache=null"]))
    dataset = builder_of(config).read(config["dataset"], name, config["dataset"]["shapes"][0])
    assert dataset.shape.name == config["dataset"]["shapes"][0]
    assert [*dataset.splits] == ["train", "dev", "test"]
    assert all(rows.num_rows > 20 for rows in dataset.splits.values())


def test_smoke_runs_read_bundled_rows_unless_another_folder_is_typed():
    assert compose(["trainer=smoke"]).paths.data == "bundled"
    assert compose(["trainer=smoke", "paths.data=here"]).paths.data == "here"
    assert compose([]).paths.data is None
