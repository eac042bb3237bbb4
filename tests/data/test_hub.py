"""Data sets in the Hub's layout, read from a local folder as `datasets` reads them: whole, streamed, by split."""

import pytest
from datasets import ClassLabel, Features, Value

from embexp.data.readers import read_hub
from embexp.errors import DataError

FEATURES = Features(
    {"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=["yes", "maybe", "no"])}
)
COLUMNS = {"sentence1": "premise", "sentence2": "hypothesis"}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder as the Hub has it, with a train split of three rows and a validation split of one."""
    from datasets import Dataset

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = {"premise": ["a", "b", "c"], "hypothesis": ["d", "e", "f"], "label": [0, 2, -1]}
    folder = tmp_path / "repository"
    folder.mkdir()
    Dataset.from_dict(rows, FEATURES).to_parquet(folder / "train-00000-of-00001.parquet")
    Dataset.from_dict({"premise": ["g"], "hypothesis": ["h"], "label": [1]}, FEATURES).to_parquet(
        folder / "validation-00000-of-00001.parquet"
    )
    return str(folder)


@pytest.mark.parametrize("streaming", [False, True])
def test_splits_and_classes_are_taken_as_the_hub_names_them(repository, streaming):
    dataset = read_hub(repository, "mine", columns=COLUMNS, streaming=streaming)
    assert dataset.shape.name == "class_pair"
    assert dataset.label_names == ("yes", "maybe", "no")
    assert dataset.splits["train"].to_dict() == {"sentence1": ["a", "b"], "sentence2": ["d", "e"], "label": [0, 2]}
    assert dataset.splits["dev"].to_dict() == {"sentence1": ["g"], "sentence2": ["h"], "label": [1]}
    assert [str(report) for report in dataset.history] == ["leave out rows without a gold label (-1): 4 -> 3 rows"]


def test_a_split_can_be_named_and_its_rows_counted(repository):
    splits = {"train": "validation", "test": "train"}
    dataset = read_hub(repository, "mine", splits=splits, columns=COLUMNS, streaming=True, max_rows=1)
    assert {split: rows["sentence1"][:] for split, rows in dataset.splits.items()} == {"train": ["g"], "test": ["a"]}


@pytest.mark.parametrize("given", [{"splits": {"train": "nosplit"}}, {"subset": "nosubset"}])
def test_what_is_not_there_is_reported(repository, given):
    with pytest.raises(DataError, match=r"Data set mine could not be read from the Hugging Face Hub"):
        read_hub(repository, "mine", columns=COLUMNS, **given)
