"""Checkpoints are known by content: one with flipped bytes is not resumed from, nor is one whose best one is lost."""

import json

import pytest

from embexp.core.run_folder import MARK
from embexp.errors import TrainingError
from embexp.training.checkpoints import best_checkpoint, complete, folders, last_checkpoint, slim, tidy_checkpoints
from embexp.training.stages import StageResult, finished_stage

FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "loss.pt", "1_Pooling/config.json")


def save(place, step, best_step=0):
    path = place / f"checkpoint-{step}"
    for name in FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(f"{name} of step {step} ".encode() * 100)
    state = {"global_step": step, "max_steps": 8, "best_global_step": best_step or None}
    (path / "trainer_state.json").write_text(json.dumps(state))
    complete(path, seconds=float(step))
    return path


def flip(path, number=64):
    """Other bytes in the middle of a file; its length stays."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + number] = bytes(byte ^ 255 for byte in content[middle : middle + number])
    path.write_bytes(content)


@pytest.mark.parametrize("name", [*FILES, "trainer_state.json"])
@pytest.mark.parametrize("number", [1, 64])
def test_flipped_bytes_are_noticed_and_the_checkpoint_before_is_taken(tmp_path, caplog, name, number):
    for step in (2, 4, 6):
        save(tmp_path, step)
    flip(tmp_path / "checkpoint-6" / name, number)
    found = last_checkpoint(tmp_path)
    assert (found.step, found.seconds) == (4, 4.0)
    assert f"checkpoint-6 is not whole: {name} in it is not as it was written. It is left out." in caplog.text
    assert [path.name for path in folders(tmp_path)] == ["checkpoint-2", "checkpoint-4"]


@pytest.mark.parametrize("fault", ["cut", "missing", "no mark", "empty mark", "mark of another form"])
def test_what_is_not_whole_in_other_ways_is_left_out(tmp_path, fault):
    save(tmp_path, 2)
    path = save(tmp_path, 4)
    weights, mark = path / "model.safetensors", path / MARK
    if fault == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif fault == "missing":
        weights.unlink()
    elif fault == "no mark":
        mark.unlink()
    else:
        mark.write_text("" if fault == "empty mark" else '{"files": 3}')
    assert last_checkpoint(tmp_path).step == 2


@pytest.mark.parametrize("damage", [lambda path: flip(path / "model.safetensors"), lambda path: (path / MARK).unlink()])
def test_without_its_best_checkpoint_a_later_one_is_not_resumed_from(tmp_path, caplog, damage):
    save(tmp_path, 2, best_step=2)
    for step in (4, 6, 8):
        save(tmp_path, step, best_step=4)
    damage(tmp_path / "checkpoint-4")
    assert last_checkpoint(tmp_path).step == 2
    assert "checkpoint-8 is not whole: the best one before it, checkpoint-4, cannot be used" in caplog.text
    assert [path.name for path in folders(tmp_path)] == ["checkpoint-2"]
    damage(tmp_path / "checkpoint-2")
    assert last_checkpoint(tmp_path) is None


def test_the_best_checkpoint_is_loaded_as_it_was_written_or_not_at_all(tmp_path):
    save(tmp_path, 2)
    save(tmp_path, 4)
    assert [best_checkpoint(tmp_path, step).name for step in (2, 0)] == ["checkpoint-2", "checkpoint-4"]
    flip(tmp_path / "checkpoint-2" / "model.safetensors")
    with pytest.raises(
        TrainingError, match=r"checkpoint-2 cannot be loaded: model\.safetensors in it is not as it was"
    ):
        best_checkpoint(tmp_path, 2)
    assert best_checkpoint(tmp_path / "nothing", 2) is None


def test_of_a_run_that_waits_the_best_checkpoint_is_loaded_and_the_last_one_resumed_from(tmp_path, caplog):
    for step in (2, 4, 6, 8):
        save(tmp_path, step, best_step=4)
    slim(tmp_path, best_step=4)
    assert [path.name for path in folders(tmp_path)] == ["checkpoint-4", "checkpoint-8"]
    assert {file.name for file in (tmp_path / "checkpoint-4").rglob("*.*")} == {
        *("model.safetensors", "config.json", "trainer_state.json", MARK)
    }
    assert {*FILES} < {file.relative_to(tmp_path / "checkpoint-8").as_posix() for file in tmp_path.rglob("*-8/**/*")}
    assert last_checkpoint(tmp_path).step == 8
    assert best_checkpoint(tmp_path, 4).name == "checkpoint-4"
    slim(tmp_path, best_step=4)  # a run may wait once more before anything was saved
    assert (last_checkpoint(tmp_path).step, caplog.text) == (8, "")
    flip(tmp_path / "checkpoint-8" / "optimizer.pt")
    assert last_checkpoint(tmp_path) is None
    assert "checkpoint-4 is not whole: only its weights were kept while the run waited" in caplog.text
    slim(tmp_path, best_step=4)
    assert folders(tmp_path) == []


@pytest.mark.parametrize("keep", ["weights", "full"])
def test_a_checkpoint_that_stays_and_the_model_are_one_file_on_the_disk(tmp_path, monkeypatch, keep):
    monkeypatch.setattr("embexp.core.file_contents.WORTH_LINKING", 1)
    best, other = save(tmp_path / "checkpoints", 2), save(tmp_path / "checkpoints", 4)
    model = tmp_path / "model" / "model.safetensors"
    model.parent.mkdir()
    model.write_bytes((best / model.name).read_bytes())
    tidy_checkpoints([tmp_path / "checkpoints"], keep)
    assert (best / model.name).samefile(model)
    assert not (other / model.name).samefile(model)
    assert (best / "optimizer.pt").exists() == (keep == "full")
    tidy_checkpoints([tmp_path / "checkpoints"], "none")
    assert model.read_bytes().startswith(b"model.safetensors of step 2")


def test_a_stage_whose_model_was_damaged_has_not_finished(tmp_path, caplog):
    result = StageResult(tmp_path, best_step=2, num_steps=4, seconds=1.0, rows_per_second=8.0)
    result.model_path.mkdir()
    for name in ("model.safetensors", "config.json", "README.md"):
        (result.model_path / name).write_text("{}" * 100)
    assert finished_stage(tmp_path) is None
    result.write()
    (result.model_path / "README.md").write_text("A card that is written later.")
    assert finished_stage(tmp_path) == result
    flip(result.model_path / "model.safetensors")
    assert finished_stage(tmp_path) is None
    assert "is not as it was written: it is trained again" in caplog.text
