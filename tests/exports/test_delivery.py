"""Exports one after another: order, folders, and one that fails among others that do not."""

import errno

from embexp.errors import ExportError, Problems
from embexp.evaluation.scores import verdict_split
from embexp.exports.delivery import Exported, TrainedModel, make_exports, plan_exports


class Form:
    needs = ()

    def __init__(self, name, comes_last=False, fails=None):
        self.name, self.comes_last, self.fails = name, comes_last, fails

    def make(self, trained, folder):
        (folder / "file").write_text("made")
        if self.fails:
            raise self.fails
        return Exported(self.name, folder, [f"after {[each.name for each in trained.made]}"], {"export/x": 1.0})


def node(**arguments):
    return {"_target_": f"{__name__}.Form", **arguments}


def test_those_that_hand_on_the_others_come_last():
    config = {"hub": node(comes_last=True), "int8": node(), "onnx": node()}
    assert [form.name for form in plan_exports(config, Problems())] == ["int8", "onnx", "hub"]


def test_one_that_fails_leaves_what_was_there_and_does_not_stop_the_next(tmp_path):
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").touch()
    forms = [Form("bad", fails=ExportError("it broke. Type something else.")), Form("good")]
    bad, good = make_exports(forms, TrainedModel(tmp_path, tmp_path, encoder=None))
    assert bad.record() == {
        "name": "bad",
        "folder": "exports/bad",
        "lines": [],
        "problem": "it broke. Type something else.",
    }
    assert good.lines == ["after ['bad']"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "bad",
        "bad/old",
        "good",
        "good/file",
    ]
    assert good.folder == tmp_path / "good"


def test_a_full_disk_is_a_problem_of_the_export_and_not_of_the_run(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    run = tmp_path / "run"
    bad, good = make_exports([Form("int8", fails=full), Form("good")], TrainedModel(run, run, None, run_folder=run))
    assert bad.problem.startswith(f"export=int8 failed on the files of {run}: [Errno 28] No space left on device. ")
    assert bad.problem.endswith(f"python -m embexp.export run={run} export=[int8]")
    assert good.problem is None
    assert [path.name for path in run.iterdir()] == ["good"]


def test_the_verdict_falls_on_test_in_whatever_order_an_evaluator_names_its_splits():
    class Splits:
        def __init__(self, *splits):
            self.splits = splits

    assert [verdict_split(Splits(*splits)) for splits in (("test", "dev"), ("dev", "test"), ("dev",))] == [
        "test",
        "test",
        "dev",
    ]
