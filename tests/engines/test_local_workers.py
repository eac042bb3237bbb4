"""Processes of this machine as workers of a script: what the script does is not done once more in each of them."""

import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from multiprocessing.spawn import get_preparation_data

import pytest

from embexp.engines.local import _without_program

# As somebody types it who never heard of `if __name__ == "__main__":`.
SCRIPT = """
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

import embexp

open("times.txt", "a").write("once\\n")
FACTOR = 2.0


def doubled(number):
    return FACTOR * number


class Width(SentenceEvaluator):
    primary_metric = "width"

    def __call__(self, model, output_path=None, epoch=-1, steps=-1):
        return {"width": doubled(model.encode(["a text"]).shape[1])}


scored = embexp.evaluate(
    "model=tiny,static_scratch", "evaluator=[sts,width]", "evaluator.sts.resamples=100", "speed_texts=0",
    "tracking=none", "sweep.workers=2", config_dir="own",
)
print("FOUND", scored.table.set_index("model")["test/width/score"].to_json())
"""
WIDTH = "# @package evaluator.width\n# Twice the width of a model.\n_target_: __main__.Width\n_reads_: []\n"


@pytest.mark.slow
def test_a_script_without_a_guard_has_its_models_scored_in_workers_with_a_class_of_its_own(workplace):
    (workplace / "own/evaluator").mkdir(parents=True)
    (workplace / "own/evaluator/width.yaml").write_text(WIDTH)
    (workplace / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.partition("FOUND ")[2]) == {"tiny": 64.0, "static_scratch": 1024.0}
    assert (workplace / "times.txt").read_text() == "once\n"


def _names_a_program(prepared):
    return any(each.startswith("init_main") for each in prepared)


@pytest.mark.parametrize("spec", [None, ModuleSpec("a.module", None)])
def test_the_program_is_whole_again_after_a_process_was_started(monkeypatch, spec):
    program = sys.modules["__main__"]
    monkeypatch.setattr(program, "__file__", "/a/script.py", raising=False)
    monkeypatch.setattr(program, "__spec__", spec)
    assert _names_a_program(get_preparation_data("worker"))
    with _without_program():
        assert not _names_a_program(get_preparation_data("worker"))
    assert (program.__file__, program.__spec__) == ("/a/script.py", spec)
