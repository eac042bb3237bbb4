"""Mistakes on the command line: one message, exit code 1, no traceback, nothing left behind, nothing heavy imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from embexp.command import expand_paths

# Runs the command line in its arguments, then tells which slow libraries were imported.
PROBE = """
import atexit, sys
slow = ("torch", "sentence_transformers", "transformers", "datasets", "mlflow", "scipy")
atexit.register(lambda: print("IMPORTED", [name for name in slow if name in sys.modules], file=sys.stderr))
sys.argv[0] = "embexp"
from embexp.__main__ import main
main()
"""


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["loss=mnlr"], ["loss=mnlr is not known", "Expected one of: angle, auto, batch_all", "Did you mean 'mnrl'?"]),
        (["los=mnrl"], ["los is not a key", "Did you mean 'loss'?"]),
        (["trainer.learning_rat=1e-5"], ["trainer.learning_rat is not a key", "Did you mean 'learning_rate'?"]),
        (["trainer.learning_rate=abc"], ["expected a number, such as the default trainer.learning_rate=5e-05"]),
        (["seed=abc"], ["seed=abc", "could not be converted to Integer"]),
        (["loss=softmax", "dataset=stsb"], ["dataset=stsb is scored_pair", "loss=softmax accepts", "loss=cosent"]),
        (["shape=text"], ["shape=text was given; loss=mnrl accepts triplet, positive_pair"]),
        (["dataset=trec", "evaluator=sts"], ["evaluator=sts accepts scored_pair"]),
        (["dataset=file"], ["dataset.reader.path has no value"]),
        (["loss=auto", "loss.scale=30"], ["loss.scale is not a key. loss=auto has no arguments of its own"]),
        (["modifier=matrioshka"], ["modifier=matrioshka is not known", "Did you mean 'matryoshka'"]),
        (
            ["loss=softmax", "dataset=stsb", "modifier=matryoshka", "+trainer.batch_sampler=no_duplicate"],
            [
                "3 things do not fit",
                "1. dataset=stsb is scored_pair",
                "2. trainer.batch_sampler=no_duplicate",
                "3. modi",
            ],
        ),
        (["-m", "loss=mnrl,mnlr"], ["Did you mean 'mnrl'?"]),
        (["-m", "trainer.learning_rate=1e-5,abc"], ["trainer.learning_rate=abc is text"]),
    ],
    ids=lambda value: " ".join(value) if value[0].count(" ") == 0 else "",
)
def test_a_mistake_gets_one_message_and_touches_nothing(arguments, messages, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 1
    for message in messages:
        assert message in done.stderr
    assert done.stderr.count("Error:") == 1
    assert "Traceback" not in done.stderr
    assert "IMPORTED []" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"]])
def test_looking_around_imports_nothing_heavy(flags, tmp_path):
    done = run(*flags, folder=tmp_path)
    assert done.returncode == 0
    assert "learning_rate: 5.0e-05" in done.stdout
    assert "IMPORTED []" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_groups_and_their_options(tmp_path):
    done = run("--help", folder=tmp_path)
    assert "loss: angle, auto, batch_all, " in done.stdout
    assert "modifier: adaptive_layer, matryoshka, matryoshka_2d, none" in done.stdout
    assert "mlflow ui" in done.stdout


def test_the_traceback_comes_when_asked_for(tmp_path):
    done = run("loss=softmax", "dataset=stsb", folder=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ShapeError" in done.stderr


def test_a_missing_file_is_told_before_anything_is_loaded(tmp_path):
    done = run("dataset=nothing/here.csv", folder=tmp_path)
    assert done.returncode == 1
    assert "There is no file nothing/here.csv" in done.stderr
    assert "sentence_transformers" not in done.stderr.partition("IMPORTED")[2]


def test_an_unknown_argument_added_with_plus_is_refused_before_mlflow(tmp_path):
    done = run("+trainer.learning_rat=1e-5", "model=tiny", folder=tmp_path)
    assert done.returncode == 1
    assert "takes no argument 'learning_rat'" in done.stderr
    assert "Did you mean 'learning_rate'" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_half_precision_on_a_cpu_is_refused(tmp_path):
    done = run("trainer.fp16=true", "model=tiny", folder=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "trainer.fp16=true needs a GPU" in done.stderr


def test_a_failed_job_leaves_its_error_in_its_folder(tmp_path):
    run("shape=text", "hydra.run.dir=here", folder=tmp_path)
    result = json.loads((tmp_path / "here" / "result.json").read_text())
    assert result["run"]["status"] == "FAILED"
    assert result["error"].startswith("ShapeError: shape=text was given")


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("dataset=a/b.csv", ["dataset=file", "dataset.reader.path=a/b.csv"]),
        ("dataset=pairs.jsonl,b.tsv", ["dataset=file", "dataset.reader.path=pairs.jsonl,b.tsv"]),
        ("model=BAAI/bge-small-zh-v1.5", ["model=pretrained", "model.path=BAAI/bge-small-zh-v1.5"]),
        ("dataset=mine/", ["dataset=file", "dataset.reader.path=mine/"]),
        ("dataset=finance", ["dataset=finance"]),
        ("paths.data=../shared/data", ["paths.data=../shared/data"]),
        ("--cfg", ["--cfg"]),
    ],
)
def test_a_path_stands_for_the_option_that_reads_it(given, expanded):
    assert expand_paths([given]) == expanded
