"""`embexp <command>`, and `--config-dir` wherever it is typed."""

import ast
import errno
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest

from embexp.cli.app import _check_words, run_command, run_named_command
from embexp.cli.help import COMMANDS, FUNCTIONS, split_flags, summaries
from embexp.cli.overrides import expand_paths
from embexp.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent
DOORS = {path.stem: path for path in (ROOT / "embexp").glob("*.py") if "__main__" in path.read_text("utf-8")}
OWN = {
    "loss/mine.yaml": (ROOT / "conf/loss/mnrl.yaml").read_text("utf-8").replace("scale: 20.0", "scale: 33.0"),
    "model/own.yaml": (ROOT / "conf/model/tiny.yaml").read_text("utf-8"),
    "dataset/own.yaml": (ROOT / "conf/dataset/finance.yaml").read_text("utf-8"),
}


@pytest.fixture
def own(workplace) -> Path:
    """A folder `own` with YAML files of one's own."""
    for name, text in OWN.items():
        path = workplace / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return workplace


def call(*arguments: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=None, capture_output=True, text=True, timeout=120
    )


def test_every_door_is_a_command_and_says_what_it_is_for():
    assert {*DOORS} - {"__main__"} == {*COMMANDS} - {"losses", "init"}
    lines = summaries()
    assert [name for name, _ in lines] == [*COMMANDS]
    assert all(len(said) <= 65 and len(said.split()) > 5 for _, said in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_called_by_its_name(name, monkeypatch):
    called, argv = Mock(), ["embexp", name, "seed=1"]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr("embexp.cli.app.runpy.run_module", called)
    if name in FUNCTIONS:
        monkeypatch.setattr(".".join(FUNCTIONS[name]), called)
    assert run_named_command(argv[1:])
    called.assert_called_once()
    assert argv[1:] == ["seed=1"]


def test_pytest_passes_the_doors_by():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["addopts"]
    assert {f"--ignore=embexp/{name}.py" for name in DOORS} - {"--ignore=embexp/__main__.py"} <= {*options}


def test_nothing_imports_a_door():
    """Their modules would stand in place of the functions of the same names: `embexp.compare`."""
    doors = {f"embexp.{name}" for name in DOORS}
    for path in [
        path for folder in ("embexp", "tests", "results", "hydra_plugins") for path in (ROOT / folder).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert not doors & {alias.name for alias in node.names} - {"embexp.__main__"}, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in doors - {"embexp.__main__"}, path
    for name, path in DOORS.items():
        if name != "__main__":
            kinds = [type(node) for node in ast.parse(path.read_text("utf-8")).body]
            assert kinds == [ast.Expr, ast.If], f"{name} is more than a docstring and a call"


def test_flags_may_stand_anywhere():
    assert split_flags(["a=1", "--config-dir", "own", "b=2"]) == (["--config-dir=own"], ["a=1", "b=2"])
    assert split_flags(["a=1", "-cd", "own", "-m"]) == (["--config-dir=own", "-m"], ["a=1"])
    assert split_flags(["-cd=own", "a=1", "--info", "b=2"]) == (["--config-dir=own", "--info"], ["a=1", "b=2"])
    assert split_flags(["a=1", "-c", "job", "-i", "searchpath"]) == (["-c", "job", "-i", "searchpath"], ["a=1"])


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["pairs.csv"], "\nhint: type dataset=pairs.csv"),
        (["数据 集", "model=tiny"], "\nhint: type 'dataset=数据 集/'"),
        (["--dataset=pairs.csv"], "\nhint: type dataset=pairs.csv"),
        (["-x", "model=tiny"], "-x is no flag. Expected overrides without dashes: <key>=<value>."),
        (["nothing"], "nothing is no override. Expected <key>=<value>."),
    ],
)
def test_a_word_that_is_no_override_is_answered_with_what_it_may_mean(line, hint, workplace):
    (workplace / "pairs.csv").write_text("text\na")
    (workplace / "数据 集").mkdir()
    with pytest.raises(ConfigError) as refusal:
        _check_words(*split_flags(line), "inspect")
    assert str(refusal.value).endswith(hint)


@pytest.mark.parametrize(
    "line", [["--cfg", "job", "--resolve"], ["--cfg=job", "-m", "a=1,2"], ["-cd", "own", "--info", "plugins"], ["-h"]]
)
def test_flags_of_hydra_are_flags(line):
    _check_words(*split_flags(line), "config")


def test_an_unknown_command_names_the_nearest_one(workplace):
    done = call("embexp", "evalute", "model=tiny", folder=workplace)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: evalute is neither a command nor an override. Expected an override")
    assert "Did you mean 'evaluate'" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["embexp", "--config-dir", "own", "loss=mine", "model=tiny", "--cfg", "job"],
        ["embexp", "loss=mine", "-cd", "own", "model=tiny", "--cfg", "job"],
        ["embexp", "loss=mine", "model=tiny", "--cfg", "job", "--config-dir=own"],
        ["embexp", "tune", "loss=mine", "-cd", "own", "tune.seed=3", "--cfg", "job"],
        ["embexp.tune", "loss=mine", "--config-dir", "own", "tune.seed=3", "--cfg", "job"],
    ],
)
def test_the_folder_of_ones_own_is_found_from_any_place(line, own):
    done = call(*line, folder=own)
    assert done.returncode == 0, done.stderr
    assert "scale: 33.0" in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("evaluate", ["model=own", "--config-dir", "own", "evaluator=[sts]"]),
        ("export", ["model=own", "-cd", "own", "export=[]"]),
        ("inspect", ["dataset=own", "-cd=own", "examples=0"]),
        ("prepare", ["dataset=own", "--config-dir=own", "format=jsonl"]),
    ],
)
def test_every_command_finds_it(command, words, own):
    done = call("embexp", command, *words, "--cfg", "job", folder=own)
    assert done.returncode == 0, done.stderr


def test_compare_and_leaderboard_take_it_for_no_run(own):
    done = call("embexp", "compare", "a", "--config-dir", "own", "b", "--cfg", "job", folder=own)
    assert "runs:\n- a\n- b\n" in done.stdout, done.stderr
    done = call("embexp", "leaderboard", "rows=loss", "-cd", "own", "columns=model", "--cfg", "job", folder=own)
    assert "rows:\n- loss\n" in done.stdout, done.stderr


def test_the_losses_of_ones_own_are_in_the_catalogue(own):
    done = call("embexp", "losses", "mine", "--config-dir", "own", folder=own)
    assert done.stdout.startswith("mine"), done.stderr


def test_a_folder_that_is_not_there_is_reported(workplace):
    done = call("embexp", "loss=mnrl", "--config-dir", "nowhere", folder=workplace)
    assert done.stderr.startswith("Error: --config-dir=nowhere is not a folder. Expected a folder with YAML files")


def test_suggested_commands_keep_it(own):
    done = call("embexp", "inspect", "dataset=own", "--config-dir", "own", folder=own)
    assert "python -m embexp --config-dir own dataset=own loss=auto" in done.stdout, done.stderr
    assert "python -m embexp.prepare --config-dir own dataset=own" in done.stdout


def test_help_lists_the_commands_first_and_imports_nothing_slow(workplace):
    code = "import atexit, runpy, sys; sys.argv[1:] = ['--help']; "
    code += "atexit.register(lambda: print('torch' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nrunpy.run_module('embexp', run_name='__main__')"],
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.index("leaderboard  which loss") < done.stdout.index("Groups: <group>=<option>")
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("typed", "expanded"),
    [
        ("model=all-MiniLM-L6-v2", ["model=minilm"]),
        ("model=all-minilm-l6-v2", ["model=minilm"]),
        ("model=bge-small-zh-v1.5", ["model=bge_small_zh"]),
        ("model=bert-base-chinese,all-mpnet-base-v2", ["model=bert_base_chinese,mpnet"]),
        ("model=multilingual-e5-large", ["model=pretrained", "model.path=intfloat/multilingual-e5-large"]),
        ("model=BAAI/bge-small-zh-v1.5", ["model=pretrained", "model.path=BAAI/bge-small-zh-v1.5"]),
        ("model=xlm-roberta-base", ["model=pretrained", "model.path=FacebookAI/xlm-roberta-base"]),
        ("model=bge-m3,Qwen3-Embedding-0.6B", ["model=bge_m3,qwen3_embedding_0_6b"]),
        (
            "model=bge-large-zh-v1.5,m3e-base",
            ["model=pretrained", "model.path=BAAI/bge-large-zh-v1.5,moka-ai/m3e-base"],
        ),
        ("model=minilm,m3e-base", ["model=minilm,m3e-base"]),  # the message names the id
        ("model=bert_base", ["model=bert_base"]),
        ("model=my-model", ["model=my-model"]),
    ],
)
def test_a_model_is_known_by_the_name_that_tutorials_type(typed, expanded):
    assert expand_paths([typed]) == expanded


def test_a_folder_here_is_not_taken_for_a_model_of_the_hub(workplace):
    (workplace / "bge-m3").mkdir()
    assert expand_paths(["model=bge-m3"]) == ["model=bge-m3"]


@pytest.mark.parametrize(
    ("typed", "expanded"),
    [
        (
            "evaluator.sts.dataset=gold.csv",
            ["+dataset@evaluator.sts.dataset=file", "evaluator.sts.dataset.reader.path=gold.csv"],
        ),
        ("+evaluator.retrieval.dataset=finance_zh", ["+dataset@evaluator.retrieval.dataset=finance_zh"]),
        ("evaluator.stsb.dataset=zh_stsb", ["dataset@evaluator.stsb.dataset=zh_stsb"]),  # its YAML chooses one
        ("evaluator.sts.dataset=${dataset}", ["evaluator.sts.dataset=${dataset}"]),
        ("evaluator.sts.dataset=null", ["evaluator.sts.dataset=null"]),
    ],
)
def test_an_evaluator_chooses_its_data_as_a_run_does(typed, expanded):
    assert expand_paths([typed]) == expanded


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.usefixtures("workplace")
def test_a_folder_that_cannot_be_written_is_one_message(number, monkeypatch, capsys):
    error = OSError(number, os.strerror(number), "runs/2026")
    monkeypatch.setattr("embexp.cli.app.hydra.main", Mock(side_effect=error))
    monkeypatch.setattr(sys, "argv", ["embexp", "loss=mnrl"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit):
        run_command(lambda *given: None)
    assert capsys.readouterr().err.startswith(f"Error: runs/2026: {os.strerror(number)}. Expected a folder that can")
