"""Prepared folders: files, manifest, what is read again, and folders that cannot be trusted."""

import json
import logging
from dataclasses import replace

import pytest

from embexp.core.file_contents import sha256_of
from embexp.data import storage
from embexp.data.dataset import Prompts
from embexp.data.readers import read_files
from embexp.data.row_checks import dataset_of
from embexp.data.storage import MANIFEST, is_prepared, read_prepared, write_dataset
from embexp.errors import ConfigError, DataError


@pytest.fixture
def dataset():
    splits = {"train": {"text": ["a", "b\n"], "label": [1, 0]}, "test": {"text": ["文"], "label": [1]}}
    plain = dataset_of("mine", "labelled_text", splits, ("no", "yes"), {"source": "somewhere"})
    prompts = Prompts({"query": "Q: "}, "query", {"text": "query"})
    return replace(plain, prompts=prompts).after("clean", plain.splits, "2 went")


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_what_is_written_is_read_again(tmp_path, dataset, format):
    folder = write_dataset(dataset, tmp_path / "out", format)
    again = read_files(folder, "other")
    assert {split: rows.to_dict() for split, rows in again.splits.items()} == {
        split: rows.to_dict() for split, rows in dataset.splits.items()
    }
    assert (again.name, again.shape, again.label_names) == ("other", dataset.shape, dataset.label_names)
    assert (again.history, again.prompts) == (dataset.history, dataset.prompts)
    assert again.provenance == {"source": "somewhere", "prepared": str(folder)}


def test_the_manifest_says_what_the_folder_holds(tmp_path, dataset):
    folder = write_dataset(dataset, tmp_path / "out", "jsonl", config={"seed": 7})
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["shape"] == "labelled_text"
    assert manifest["columns"] == ["text", "label"]
    assert manifest["source"] == {"source": "somewhere"}
    assert manifest["config"] == {"seed": 7}
    assert manifest["steps"] == [{"step": "clean", "rows_in": 3, "rows_out": 3, "reason": "2 went"}]
    assert manifest["splits"]["test"] == {
        "file": "test.jsonl",
        "rows": 1,
        "sha256": sha256_of(folder / "test.jsonl"),
    }
    assert {"embexp", "python", "ftfy", "pyarrow"} <= set(manifest["versions"])


def test_a_file_that_was_changed_since_is_reported(tmp_path, dataset, caplog):
    folder = write_dataset(dataset, tmp_path / "out", "jsonl")
    (folder / "test.jsonl").write_text('{"text": "other", "label": 0}\n')
    with caplog.at_level(logging.WARNING):
        assert read_prepared(folder, "mine").splits["test"]["text"][:] == ["other"]
    assert "test.jsonl is not the file that" in caplog.text


@pytest.mark.parametrize(
    ("manifest", "message"),
    [("{", "cannot be read"), ("[]", "lacks shape"), ('{"shape": "text"}', "lacks label_names, prompts, source")],
)
def test_a_damaged_manifest_is_refused(tmp_path, manifest, message):
    (tmp_path / MANIFEST).write_text(manifest)
    assert is_prepared(tmp_path)
    with pytest.raises(DataError, match=message):
        read_files(tmp_path, "mine")


def test_another_shape_than_the_manifest_says_is_refused(tmp_path, dataset):
    folder = write_dataset(dataset, tmp_path / "out", "parquet")
    with pytest.raises(DataError, match="was prepared as labelled_text, but the configuration has shape text"):
        read_files(folder, "mine", shape="text")


def test_an_unknown_format_is_refused(tmp_path, dataset):
    with pytest.raises(
        ConfigError, match=r"format=xml was given\. Expected one of: parquet, jsonl\.\nhint: type format=parquet"
    ):
        write_dataset(dataset, tmp_path / "out", "xml")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_who_is_stopped_while_writing_loses_nothing(tmp_path, dataset, monkeypatch, stop):
    folder = write_dataset(dataset, tmp_path / "out", "jsonl")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def stopped(_):
        raise stop

    monkeypatch.setattr(storage, "versions", stopped)
    with pytest.raises(stop):
        write_dataset(dataset, folder, "parquet")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_of_an_earlier_writing_do_not_stay(tmp_path, dataset):
    write_dataset(dataset, tmp_path / "out", "jsonl")
    write_dataset(replace(dataset, splits={"train": dataset.splits["train"]}), tmp_path / "out", "parquet")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "train.parquet"]


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path, dataset):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError,
        match=r"cannot be written: (Not a directory|File exists)\. Expected a folder[^\n]*\nhint: type output=",
    ):
        write_dataset(dataset, tmp_path / "file" / "out", "jsonl")
