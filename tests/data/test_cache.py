"""The cache of steps: a hit for the same input and step, a miss as soon as anything that counts is another."""

import importlib
import os
import shutil
from dataclasses import replace

import pytest

from embexp.data import cache
from embexp.data.cache import cached_step, dataset_key, step_key
from embexp.data.dataset import Prompts
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError

CALL = {"_target_": "embexp.steps.clean.clean", "min_chars": 1}


def texts(*values, source="here"):
    return dataset_of("mine", "text", {"train": {"text": list(values)}}, provenance={"source": source})


class Counting:
    """A step that counts how often it is called and takes the last row away."""

    calls = 0

    def __call__(self, dataset):
        self.calls += 1
        rows = dataset.splits["train"]
        return dataset.after("shorten", {"train": rows.select(range(rows.num_rows - 1))}, "the last goes")


def test_the_same_input_and_step_are_taken_from_the_cache(tmp_path):
    step, dataset = Counting(), texts("a", "b")
    made = [cached_step(tmp_path, step_key(dataset_key(dataset), CALL), dataset, step) for _ in range(2)]
    assert step.calls == 1
    assert made[0].splits["train"].to_dict() == made[1].splits["train"].to_dict() == {"text": ["a"]}
    assert [str(report) for report in made[1].history] == ["shorten: 2 -> 1 rows (the last goes)"]


def test_the_same_rows_from_elsewhere_keep_their_own_source_and_history(tmp_path):
    step, first = Counting(), texts("a", "b")
    second = texts("a", "b", source="there").after("read", first.splits, "other reader")
    key = step_key(dataset_key(first), CALL)
    assert key == step_key(dataset_key(second), CALL)
    cached_step(tmp_path, key, first, step)
    made = cached_step(tmp_path, key, second, step)
    assert step.calls == 1
    assert made.provenance == {"source": "there"}
    assert [report.step for report in made.history] == ["read", "shorten"]


@pytest.mark.parametrize(
    "other",
    [
        texts("a", "c"),
        texts("b", "a"),
        texts("a"),
        replace(texts("a", "b"), prompts=Prompts({"q": "Q: "}, "q")),
        replace(texts("a", "b"), label_names=("x",)),
    ],
    ids=["text", "order", "rows", "prompts", "label_names"],
)
def test_another_input_is_another_key(other):
    assert dataset_key(other) != dataset_key(texts("a", "b"))


def test_another_step_is_another_key():
    keys = {
        step_key("input", call)
        for call in (CALL, CALL | {"min_chars": 2}, CALL | {"_target_": "embexp.steps.other"}, CALL | {"html": True})
    }
    assert len(keys | {step_key("other input", CALL)}) == 5


@pytest.mark.parametrize("named", ["stopwords.txt", "./stopwords", "stopwords", "同义词词林"])
def test_a_file_that_a_step_names_counts_by_its_content(workplace, named):
    (workplace / named).write_text("a")
    before = step_key("input", CALL | {"nested": [{"words": named}]})
    (workplace / named).write_text("b")
    assert step_key("input", CALL | {"nested": [{"words": named}]}) != before


def test_a_model_in_the_folder_counts_by_its_content_under_any_name(workplace):
    call = CALL | {"encoder": {"model": "enc"}}
    before = step_key("input", call)
    (workplace / "enc").mkdir()
    (workplace / "enc" / "config.json").write_text("{}")
    made = step_key("input", call)
    (workplace / "enc" / "model.safetensors").write_text("weights")
    assert len({before, made, step_key("input", call)}) == 3


@pytest.mark.parametrize("named", ["./enc", "~/enc", "enc"])
def test_a_model_of_a_step_counts_by_content_not_by_time(workplace, monkeypatch, named):
    monkeypatch.setenv("HOME", str(workplace))
    (workplace / "enc").mkdir()
    for name in ("modules.json", "tokenizer.json", "README.md"):
        (workplace / "enc" / name).write_text("[]")
    call = CALL | {"encoder": {"model": named}}
    seen = [step_key("input", call)]
    shutil.copytree("enc", "copy")  # as new as now
    shutil.rmtree("enc")
    os.rename("copy", "enc")
    (workplace / "enc" / "README.md").write_text("Another text.")
    seen.append(step_key("input", call))
    (workplace / "enc" / "tokenizer.json").write_text("{}")
    seen.append(step_key("input", call))
    assert (seen[0] == seen[1], seen[1] == seen[2]) == (True, False)


def test_code_of_a_part_of_a_step_counts(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    (workplace / "my_encoders").mkdir()
    (workplace / "my_encoders" / "lengths.py").write_text("scale = 1")
    importlib.invalidate_caches()
    call = CALL | {"encoder": {"_target_": "my_encoders.lengths.Encoder"}}
    before = step_key("input", call)
    (workplace / "my_encoders" / "lengths.py").write_text("scale = 2")
    assert step_key("input", call) != before


def test_words_that_are_no_paths_do_not_count_by_what_lies_in_the_folder(workplace):
    call = CALL | {"named": {"query": "query: ", "document": ""}, "by": "row", "odd": ["/", ".", "a/"]}
    before = step_key("input", call)
    for folder in ("row", "a"):
        (workplace / folder).mkdir()
        (workplace / folder / "file").write_text("x")
    assert step_key("input", call) == before


@pytest.mark.parametrize("changed", ["_our_code", "versions"])
def test_other_code_and_other_packages_are_another_key(monkeypatch, changed):
    before = step_key("input", CALL)
    monkeypatch.setattr(cache, changed, lambda *_: "changed")
    assert step_key("input", CALL) != before


def test_a_damaged_entry_is_made_anew(tmp_path):
    step, dataset = Counting(), texts("a", "b")
    cached_step(tmp_path, "key", dataset, step)
    (tmp_path / "key" / "train.parquet").write_bytes(b"damaged")
    assert cached_step(tmp_path, "key", dataset, step).splits["train"].to_dict() == {"text": ["a"]}
    assert step.calls == 2
    assert cached_step(tmp_path, "key", dataset, step).splits["train"].to_dict() == {"text": ["a"]}
    assert step.calls == 2
    (tmp_path / "key" / "manifest.json").write_text("{")
    assert cached_step(tmp_path, "key", dataset, step).splits["train"].to_dict() == {"text": ["a"]}
    assert step.calls == 3


def test_an_entry_that_was_not_finished_is_not_there(tmp_path):
    def killed(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_step(tmp_path, "key", texts("a", "b"), killed)
    step = Counting()
    cached_step(tmp_path, "key", texts("a", "b"), step)
    assert step.calls == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_cache_that_cannot_be_written_says_how_to_do_without(tmp_path):
    (tmp_path / "file").write_text("")
    dataset = texts("a", "b")
    with pytest.raises(ConfigError, match=r"cannot be written: .*\nhint: type paths.cache=null"):
        cached_step(tmp_path / "file", "key", dataset, Counting())
