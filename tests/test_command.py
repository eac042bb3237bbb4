"""Mistakes on the command line: one message, exit code 1, no traceback, nothing left behind, nothing heavy imported."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.core.claims import held
from embexp.errors import ConfigError

# Runs the command line in its arguments, then tells which slow libraries were imported.
PROBE = """
import atexit, sys
slow = ("torch", "sentence_transformers", "transformers", "datasets", "mlflow", "scipy")
atexit.register(lambda: print("IMPORTED", [name for name in slow if name in sys.modules], file=sys.stderr))
atexit.register(lambda: print("NUMPY", "numpy" in sys.modules, file=sys.stderr))
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
        (["trainer.learning_rate=abc"], ["Expected a number.\nhint: type trainer.learning_rate=5e-05\n"]),
        (["seed=abc"], ["seed=abc was given. Expected a whole number.\nhint: type seed=42\n"]),
        (
            ["loss=softmax", "dataset=stsb"],
            [
                "loss=softmax accepts class_pair",
                "data set stsb is scored_pair",
                "hint: type one of: conversion.min_score=0.8 ",
            ],
        ),
        (["shape=text"], ["shape=text is not accepted by the loss mnrl", "hint: type shape=positive_pair"]),
        (
            ["dataset=trec", "evaluator=sts"],
            ["evaluator=[sts] accepts scored_pair", "hint: type evaluator.sts.dataset="],
        ),
        (["dataset=file"], ["dataset.reader.path has no value"]),
        (["loss=auto", "loss.scale=30"], ["loss.scale is not a key. loss=auto has no arguments of its own"]),
        (["step=[cleen]"], ["step=[cleen] is not known. Expected some of: augment_", "Did you mean 'clean'?"]),
        (["evaluator=[foo]"], ["evaluator=[foo] is not known. Expected some of: auto, beir, binary, "]),
        (
            ["dataset=x.csv", "dataset.reader.columns.score=foo"],
            ["dataset.reader.columns is empty.", "hint: type 'dataset.reader.columns={score: foo}'\n"],
        ),
        (["dataset.steps.clean.min_chars=5"], ["no such step", "type step=[clean] dataset.steps.clean.min_chars=5"]),
        (["dataset=financial_qa", "dataset.steps.clean.min_chars=5"], ["hint: type step=[clean] dataset.steps"]),
        (
            ["dataset=financial_qa", "dataset.steps.negatives.seed=5"],
            ["hint: type negatives=bm25 dataset.steps.negatives.seed=5"],
        ),
        (["dataset.shapes=scored_pair"], ["Expected a list.\nhint: type dataset.shapes=[scored_pair]\n"]),
        (["name=数据]"], ["name=数据] cannot be read by Hydra.", """hint: type name='"数据]"'\n"""]),
        (["+conversion.label_scores.蕴含=1"], ["with all names", "hint: type 'conversion.label_scores={蕴含: 1}'\n"]),
        (["dataset=数据"], ["dataset=数据 is not known. Expected one of: afqmc, "]),
        (["modifier=matrioshka"], ["modifier=matrioshka is not known", "Did you mean 'matryoshka'"]),
        (
            ["loss=softmax", "dataset=stsb", "modifier=matryoshka", "+trainer.batch_sampler=no_duplicate"],
            [
                "3 things do not fit",
                "1. loss=softmax accepts class_pair",
                "2. trainer.batch_sampler=no_duplicate",
                "3. modi",
            ],
        ),
        (["-m", "loss=mnrl,mnlr"], ["Did you mean 'mnrl'?"]),
        (["-m", "trainer.learning_rate=1e-5,abc"], ["trainer.learning_rate=abc is a text"]),
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
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [".", "mine"])
def test_a_refused_run_removes_no_folder_of_the_user(place, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    done = run("loss.scale=-1", f"hydra.run.dir={place}", folder=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("flags", [["--help", "trainer.learning_rate"], ["--cfg", "job"]])
def test_looking_around_imports_nothing_heavy(flags, tmp_path):
    done = run(*flags, folder=tmp_path)
    assert done.returncode == 0
    assert "model._learning_rate_,5.0e-5" in done.stdout  # the trainer refers to the model's
    assert "IMPORTED []" in done.stderr
    assert "NUMPY False" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_traceback_comes_when_requested(tmp_path):
    done = run("loss=softmax", "dataset=stsb", folder=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ShapeError" in done.stderr


def test_a_missing_file_is_reported_before_anything_is_loaded(tmp_path):
    done = run("dataset=nothing/here.csv", folder=tmp_path)
    assert done.returncode == 1
    assert "There is no file nothing/here.csv" in done.stderr
    assert "sentence_transformers" not in done.stderr.partition("IMPORTED")[2]


@pytest.mark.slow
def test_an_unknown_argument_added_with_plus_is_refused_before_mlflow(tmp_path):
    done = run("+trainer.learning_rat=1e-5", "model=tiny", folder=tmp_path)
    assert done.returncode == 1
    assert "trainer.learning_rat=1e-05 is no argument of" in done.stderr
    assert "Did you mean 'learning_rate'" in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_half_precision_on_a_cpu_is_refused(tmp_path):
    done = run("trainer.fp16=true", "model=tiny", folder=tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "trainer.fp16=true needs a GPU" in done.stderr


def test_a_refused_run_leaves_a_folder_that_another_process_uses(tmp_path):
    with held(tmp_path / "here"):
        done = run("shape=text", "hydra.run.dir=here", folder=tmp_path)
        assert "is still running in another process" in done.stderr
        assert (tmp_path / "here" / "run.claim").is_dir()


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("dataset=a/b.csv", ["dataset=file", "dataset.reader.path=a/b.csv"]),
        ("dataset=pairs.jsonl,b.tsv", ["dataset=file", "dataset.reader.path=pairs.jsonl,b.tsv"]),
        ("model=BAAI/bge-small-zh-v1.5", ["model=pretrained", "model.path=BAAI/bge-small-zh-v1.5"]),
        ("dataset=org/name", ["dataset=hub", "dataset.reader.id=org/name"]),
        ("dataset=org/a,org/b", ["dataset=hub", "dataset.reader.id=org/a,org/b"]),
        (
            "+dataset@evaluator.retrieval.dataset=pairs.csv",
            ["+dataset@evaluator.retrieval.dataset=file", "evaluator.retrieval.dataset.reader.path=pairs.csv"],
        ),
        ("adapt.tsdae.modifier=matryoshka", ["+modifier@adapt.tsdae.modifier=matryoshka"]),
        ("dataset@adapt.mlm.dataset=nli", ["dataset@adapt.mlm.dataset=nli"]),
        ("dataset=mine/", ["dataset=file", "dataset.reader.path=mine/"]),
        ("dataset=finance", ["dataset=finance"]),
        ("paths.data=../shared/data", ["paths.data=../shared/data"]),
        ("--cfg", ["--cfg"]),
    ],
)
def test_a_path_stands_for_the_option_that_reads_it(given, expanded):
    assert expand_paths([given]) == expanded


def test_a_run_has_one_modifier():
    with pytest.raises(ConfigError) as error:
        expand_paths(["modifier=[orthogonal,matryoshka]"])
    assert str(error.value) == (
        "modifier=[orthogonal,matryoshka] names several. Expected only one modifier. "
        "With -m there is a run with each.\n"
        "hint: type modifier=orthogonal\nhint: type -m modifier=orthogonal,matryoshka"
    )
    assert expand_paths(["modifier=[orthogonal]", "evaluator=[a,b]"]) == ["modifier=orthogonal", "evaluator=[a,b]"]


def parsed(*arguments: str) -> list:
    """What Hydra makes of the last override; of a sweep, its values as they are handed to the jobs."""
    override = OverridesParser.create().parse_overrides(quote_texts(expand_paths(arguments)))[-1]
    return list(override.sweep_string_iterator()) if override.is_sweep_override() else override.value()


@pytest.mark.parametrize(
    "path", ["数据.jsonl", "a=b.jsonl", "a(1).jsonl", "it's.jsonl", "数 据/", 'a"b.csv', "a,b.jsonl", "x#[1]{2}.tsv"]
)
def test_a_path_is_read_as_it_was_typed(path, workplace):
    if "," not in path:
        assert parsed(f"dataset={path}") == path
    place = workplace / path
    place.mkdir() if path.endswith("/") else place.touch()
    assert parsed(f"dataset={path}") == path
    assert parsed(f"model={path}") == path


def test_a_list_of_paths_is_a_sweep_unless_there_is_a_file_of_that_name(workplace):
    assert parsed("dataset=数据.csv,b.csv") == ['"数据.csv"', "b.csv"]
    (workplace / "数据.csv,b.csv").touch()
    assert parsed("dataset=数据.csv,b.csv") == "数据.csv,b.csv"
    assert parsed("""dataset='a,b.csv'""") == "a,b.csv"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("带空格", "带空格"),
        ("带 空格", "带 空格"),
        ("[蕴含]", ["蕴含"]),
        ("[句子1,句子2, plain]", ["句子1", "句子2", "plain"]),
        ("{sentence1: 句子1, sentence2: 句子2}", {"sentence1": "句子1", "sentence2": "句子2"}),
        ("{named: {query: 查询：}, n: [1, 2.5, null]}", {"named": {"query": "查询："}, "n": [1, 2.5, None]}),
        ("['在引号里', \"it's\"]", ["在引号里", "it's"]),
        ("it's", "it's"),
        ("a#b=c", "a#b=c"),
        ("实验(1)", "实验(1)"),
        (r"数\,据", "数,据"),
        ("C:\\数据\\", "C:\\数据\\"),
        ("${paths.runs}/数据", "${paths.runs}/数据"),
        ("数据,b", ['"数据"', "b"]),
        ("range(start=1,stop=3)", ["1", "2"]),
        ("{a:1,b:[x,{c:d}]}", {"a": 1, "b": ["x", {"c": "d"}]}),
        ("1e-5", 1e-5),
        ("", ""),
    ],
)
def test_a_value_is_read_as_it_was_typed(typed, value):
    assert parsed(f"+key={typed}") == value


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("{蕴含: 1, 中立: 0.5, 矛盾: 0}", {"蕴含": 1, "中立": 0.5, "矛盾": 0}),
        ("""{"a b": 1, 'c': it's, d: [真, {'"': null}]}""", {"a b": 1, "c": "it's", "d": ["真", {'"': None}]}),
    ],
)
def test_a_dictionary_may_have_any_names(typed, value):
    given = OmegaConf.create({"key": parsed(f"key={typed}")})
    assert OmegaConf.to_container(given, resolve=True) == {"key": value}


def test_what_hydra_refuses_even_so_stays_as_it_was_typed():
    assert quote_texts(["name=数据]", "--config-dir=数据", "-m", "x={[蕴含]: 1}"]) == [
        "name=数据]",
        "--config-dir=数据",
        "-m",
        "x={[蕴含]: 1}",
    ]


def test_a_hub_that_does_not_answer_is_queried_once(tmp_path):
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub")}
    started = time.monotonic()
    done = run("dataset=org/name", "model=tiny", "tracking=none", folder=tmp_path, **nobody)
    assert time.monotonic() - started < 20  # the Hub's client alone would wait for 23 s, twice
    assert done.stderr.splitlines()[0].startswith(
        "Error: There is no folder org/name here. "
        "Data set name could not be read from the Hugging Face Hub (org/name): it does not answer."
    )
