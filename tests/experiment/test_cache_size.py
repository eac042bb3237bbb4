"""A cache is kept below its size: what was not used for longest goes, what was paid for neither counts nor goes."""

import multiprocessing
import os
import time
from pathlib import Path

import numpy
import pytest
from test_clean_command import MB, PATHS, make_cache, write

from embexp.config.compose import compose
from embexp.data.cache import in_use
from embexp.errors import ConfigError
from embexp.experiment.cache_size import bound_cache, bounded_cache
from embexp.models.encoding import DiskCachedEncoder

PAID = {"answers.sqlite", "cross_encoders", f"served/{'e' * 24}"}


class Zeros:
    """An Encoder of a megabyte a text."""

    def encode(self, texts, prompt=None):
        return numpy.zeros((len(texts), MB // 4), dtype="float32")


def encode(cache, *texts, age=0.0):
    """Embeddings of each text in a file of its own, last used so many days ago; returns the files."""
    folder, files = cache / "embeddings", []
    for text in texts:
        before = {*folder.glob("*")}
        DiskCachedEncoder(Zeros(), folder, "a model").encode([text])
        files += {*folder.glob("*")} - before
    for file in files:
        os.utime(file, (time.time() - age * 86_400,) * 2)
    return files


def test_what_was_not_used_for_longest_goes_and_what_was_paid_for_stays(tmp_path, caplog):
    cache = make_cache(tmp_path / "cache")
    write(cache / "served" / ("e" * 24) / "000001.npy", MB)
    write(cache / "notes" / "my.txt", MB)
    for path in cache.rglob("*"):
        os.utime(path, (1e9, 1e9))
    (older,), (newer,) = encode(cache, "渡轮", age=2), encode(cache, "ferry", age=1)
    encode(cache, "渡轮")  # is read, and so is the newest
    caplog.set_level("INFO")
    bound_cache(cache, round(2.1 * MB))
    assert {path.relative_to(cache).as_posix() for path in cache.rglob("*.npy")} == {
        *(file.relative_to(cache).as_posix() for file in (older, newer)),
        f"served/{'e' * 24}/000001.npy",
    }
    bound_cache(cache, round(1.1 * MB))
    assert (older.exists(), newer.exists()) == (True, False)
    bound_cache(cache, 1)
    assert not older.exists()
    assert all((cache / each).exists() for each in (*PAID, "notes/my.txt"))
    assert "of what was not used for longest was removed from" in caplog.text
    assert "it held 5 MB" in caplog.text


def test_a_step_that_is_read_stays_longer_than_one_that_is_not(tmp_path):
    from datasets import Dataset

    from embexp.data.cache import cached_step
    from embexp.data.dataset import EmbeddingDataset
    from embexp.data.shapes import SHAPES

    rows = {"train": Dataset.from_dict({"anchor": ["a"], "positive": ["b"]})}
    dataset = EmbeddingDataset("pairs", SHAPES["positive_pair"], rows)
    keys = ["1" * 24, "2" * 24, "3" * 24]
    for age, key in zip((3, 2, 1), keys, strict=True):
        cached_step(tmp_path, key, dataset, lambda made: made)
        for file in (tmp_path / key).iterdir():
            os.utime(file, (time.time() - age * 86_400,) * 2)
    cached_step(tmp_path, keys[0], dataset, lambda made: made)
    size = sum(file.stat().st_size for file in (tmp_path / keys[0]).iterdir())
    bound_cache(tmp_path, 2 * size)
    assert sorted(path.name for path in tmp_path.iterdir()) == [keys[0], keys[2]]


def test_a_cache_that_another_process_uses_stays_until_it_has_ended(tmp_path, caplog):
    cache = make_cache(tmp_path / "cache")
    caplog.set_level("INFO")
    with in_use(cache):
        bound_cache(cache, 1)
    assert (cache / "embeddings" / f"{'c' * 64}.npy").exists()
    assert "stays so while other processes use it" in caplog.text
    bound_cache(cache, 1)
    assert not (cache / "embeddings" / f"{'c' * 64}.npy").exists()


def test_where_folders_have_no_locks_nothing_goes(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no locks")

    monkeypatch.setattr("embexp.data.cache._locked", refuse)
    cache = make_cache(tmp_path)
    bound_cache(cache, 1)
    assert (cache / "embeddings" / f"{'c' * 64}.npy").exists()


def _fill(cache, number):
    for place in range(30):
        with bounded_cache({"paths": {"cache": str(cache), "cache_size": "3MB"}}):
            vectors = DiskCachedEncoder(Zeros(), cache / "embeddings", "a model").encode([f"{(place + number) % 7}"])
            assert vectors.shape == (1, MB // 4)


@pytest.mark.slow
def test_several_processes_fill_one_cache_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=_fill, args=(tmp_path, number)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(timeout=120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    with bounded_cache({"paths": {"cache": str(tmp_path), "cache_size": "3MB"}}):
        pass
    files = [*(tmp_path / "embeddings").glob("*")]
    assert {file.suffix for file in files} == {".npy"}
    assert 1 <= len(files) <= 3


@pytest.mark.parametrize("folder", [f"{'a' * 24}", "embeddings"])
def test_what_cannot_be_removed_is_said_and_the_rest_goes(tmp_path, monkeypatch, caplog, folder):
    cache = make_cache(tmp_path / "cache")
    theirs = cache / folder

    def rename_or_not(path, target):
        if path.is_relative_to(theirs):
            raise PermissionError(13, "Permission denied", str(path))
        os.rename(path, target)

    def unlink_or_not(path, missing_ok=False):  # noqa: ARG001
        if path.is_relative_to(theirs):
            raise PermissionError(13, "Permission denied", str(path))
        os.unlink(path)

    monkeypatch.setattr(Path, "rename", rename_or_not)
    monkeypatch.setattr(Path, "unlink", unlink_or_not)
    bound_cache(cache, 1)
    left = [path for path in cache.rglob("*") if path.is_file() and path.relative_to(cache).parts[0] not in PAID]
    assert left
    assert all(path.is_relative_to(theirs) for path in left)
    assert "what is there cannot be removed: [Errno 13] Permission denied" in caplog.text


@pytest.mark.parametrize("paths", [{"cache": None, "cache_size": "1B"}, {"cache": "cache", "cache_size": None}, PATHS])
def test_without_a_size_all_stays(workplace, paths):
    cache = make_cache(workplace / "cache")
    with bounded_cache({"paths": paths}):
        pass
    assert len([*cache.rglob("*.npy")]) == 2


def test_after_an_error_too_it_is_below_its_size(workplace):
    cache = make_cache(workplace / "cache")
    with pytest.raises(ZeroDivisionError), bounded_cache({"paths": {"cache": "cache", "cache_size": "1.5MB"}}):
        raise ZeroDivisionError
    assert sum(path.stat().st_size for path in cache.rglob("*.npy")) <= 1.5e6


@pytest.mark.parametrize("size", ["-5GB", "0GB", "20", "20G", "[1]"])
def test_what_is_no_size_is_refused_and_what_is_to_be_typed_works(size):
    with pytest.raises(ConfigError, match=r"^paths\.cache_size=.* is no size\. Expected a size above 0") as refusal:
        compose([f"paths.cache_size={size}"])
    (problem,) = refusal.value.problems
    assert len(problem.fix) == 2
    for fix in problem.fix:
        compose([fix])


@pytest.mark.parametrize("command", ["config", "evaluate", "prepare", "clean"])
def test_every_command_refuses_it_before_it_starts(command):
    with pytest.raises(ConfigError, match="20 elephants is no size"):
        compose(["paths.cache_size=20 elephants"], command)


@pytest.mark.parametrize("size", ["1.5TB", "100 kb", "null"])
def test_sizes(size):
    assert compose([f"paths.cache_size={size}"]).paths.cache_size == (None if size == "null" else size)
