"""Exports one after another: order, folders, and one that fails beside others that do not."""

from embexp.errors import ExportError
from embexp.exports.delivery import make_exports, plan_exports
from embexp.exports.trained import Exported, RememberingEncoder, TrainedModel
from embexp.misfits import Misfits


class Form:
    needs = ()

    def __init__(self, name, comes_last=False, fails=False):
        self.name, self.comes_last, self.fails = name, comes_last, fails

    def make(self, trained, folder):
        (folder / "file").write_text("made")
        if self.fails:
            raise ExportError("it broke. Type something else.")
        return Exported(self.name, folder, [f"after {[each.name for each in trained.made]}"], {"export/x": 1.0})


def node(**arguments):
    return {"_target_": f"{__name__}.Form", **arguments}


def test_those_that_hand_on_the_others_come_last():
    config = {"hub": node(comes_last=True), "int8": node(), "onnx": node()}
    assert [form.name for form in plan_exports(config, Misfits())] == ["int8", "onnx", "hub"]


def test_one_that_fails_leaves_no_files_and_does_not_stop_the_next(tmp_path):
    old = tmp_path / "good" / "old"
    old.parent.mkdir()
    old.touch()
    forms = [Form("bad", fails=True), Form("good")]
    bad, good = make_exports(forms, TrainedModel(tmp_path, tmp_path, encoder=None))
    assert bad.record() == {
        "name": "bad",
        "folder": "exports/bad",
        "lines": [],
        "problem": "it broke. Type something else.",
    }
    assert good.lines == ["after ['bad']"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["good", "good/file"]


def test_texts_are_encoded_once_for_all_exports():
    asked = []

    class Counting:
        def encode(self, texts, prompt=None):
            asked.append((tuple(texts), prompt))
            return len(asked)

    encoder = RememberingEncoder(Counting())
    assert [encoder.encode(["a"]), encoder.encode(["a"]), encoder.encode(["a"], "query: ")] == [1, 1, 2]
