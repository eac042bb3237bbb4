"""`--help`: short at 80 columns, a page for each topic, one's own files, too, unknown words refused."""

import subprocess
import sys

import pytest
from rich.cells import cell_len

from embexp.cli.help import COMMANDS, show_help
from embexp.config.descriptions import all_groups, groups_of
from embexp.config.session import conf_dir, option_files, remember_config_dir
from embexp.errors import ConfigError


@pytest.fixture
def page(capsys, monkeypatch, tmp_path):
    """What `embexp` with these words and --help prints."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def shown(*words, config_name="config"):
        assert show_help([*words, "--help"], config_name)
        return capsys.readouterr().out

    yield shown
    remember_config_dir(None)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "ours.yaml").write_text(
        "# 我们自己的损失：适合客服问答数据，温度可调，说明很长，因为终端的一行放不下这么多的字。\n_target_: a.B\n"
        "_accepts_: [triplet]\nt: 3  # 温度\n",
        encoding="utf-8",
    )
    (tmp_path / "own" / "loss" / "bare.yaml").write_text("_target_: a.B\nmargin: 0.1\n")
    (tmp_path / "own" / "scorer").mkdir()
    (tmp_path / "own" / "scorer" / "fast.yaml").write_text("# A group of one's own.\nspeed: 2\n")
    return ("--config-dir", "own")


def test_the_first_page_is_short_and_names_all_commands_and_groups(page):
    lines = page().splitlines()
    assert len(lines) < 60
    assert max(map(cell_len, lines)) <= 80
    starts = [line.split()[0] for line in lines if line.startswith("  ")]
    assert {*COMMANDS} <= {*starts}
    assert {group.name for group in groups_of()} <= {*starts}
    assert "  loss           [mnrl] angle, auto, batch_all, batch_hard, ... (29)" in lines
    assert "  embexp --help loss=mnrl  an option: its keys" in lines


@pytest.mark.parametrize("columns", ["60", "80", "120", "200"])
@pytest.mark.parametrize("words", [[], ["loss"], ["trainer"], ["negatives=bm25"], ["evaluator"], ["tune"], ["compare"]])
def test_no_line_is_wider_than_the_terminal(words, columns, page, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    lines = [line for line in page(*words).splitlines() if not line.startswith("  embexp ")]  # commands to paste
    assert max(map(cell_len, lines)) <= min(int(columns), 120)


def test_every_command_has_a_page(page):
    commands = [path.stem for path in sorted(conf_dir().glob("*.yaml"))]
    assert len(commands) > 10
    for name in commands:
        text = page(config_name=name)
        assert "Keys: " in text
        assert "  embexp " in text or "python -m results" in text  # an example
        assert "_schema" not in text


def test_every_option_has_a_page_without_describing_keys(page):
    options = [(group, name) for group in all_groups() for name in option_files(group)]
    assert len(options) > 150
    for group, name in options:
        text = page(f"{group}={name}")
        assert text.startswith(f"{group}={name}    conf/{group}/{name}.yaml\n")
        assert "_target_=" not in text
        assert "_accepts_" not in text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["loss=mnrl"], ["reads  triplet, positive_pair", "loss.scale=20.0\n", "(a number above 0)"]),
        (["loss"], ["where none is typed: mnrl", "  batch_all ", "Keys of loss=mnrl", "loss.scale=20.0"]),
        (["trainer"], ["  smoke ", "trainer.max_steps=-1", "More: embexp --help trainer=gpu"]),
        (["negatives=bm25"], ["dataset.steps.negatives.guards.within=50", "dataset.steps.negatives.retriever.k1=1.5"]),
        (["trainer.learning_rate"], ["trainer.learning_rate=${oc.select:", "Peak of the schedule"]),
        (["trainer.learning_rate=1e-3"], ["Peak of the schedule"]),
        (["learning_rate"], ["trainer.learning_rate=", "adapt.tsdae.trainer.learning_rate=3.0e-5 (adapt=tsdae)"]),
        (["guards.margin"], ["dataset.steps.negatives.guards.margin=null (negatives=bm25, "]),
        (["dataset.reader"], ["dataset.reader.columns=null", "the file's column for each column of the shape"]),
        (["mnrl"], ["loss=mnrl    conf/loss/mnrl.yaml"]),
        (["seed"], ["seed=42 (embexp)"]),
        (["trials"], ["trials=20 (embexp tune)"]),
        (["model.adapter=lora"], ["model/adapter=lora", "model.adapter.r=64"]),
        (["model.adapter"], ["model.adapter=<option>", "  lora "]),
        (["model=BAAI/bge-m3"], ["model=pretrained", "model.path=???"]),
        (["model=all-MiniLM-L6-v2"], ["model=minilm "]),
        (["dataset=my/pairs.csv"], ["dataset=file ", "dataset.reader.encoding=utf-8"]),
        (["modifier=null"], ["modifier=none "]),
        (["+dataset@evaluator.sts.dataset=stsb"], ["dataset=stsb "]),
        (["evaluator=[sts,binary]"], ["evaluator=sts ", "evaluator=binary "]),
        (["step"], ["step=[<option>,...]", "  clean "]),
        (["experiment=gpl"], ["with it  step=split", "loss=margin_mse"]),
        (["compare"], ["embexp compare a1,a2,a3", "resamples=10000"]),
        (["compare", "runs/a", "runs/b"], ["embexp compare a1,a2,a3"]),
        (["inspect", "dataset=stsb"], ["dataset=stsb "]),
        (["loss=mnrl", "model=tiny"], ["loss=mnrl ", "model=tiny "]),
        (["-m", "loss=mnrl,cosent"], ["loss=mnrl ", "loss=cosent "]),
    ],
)
def test_a_topic_has_its_page(words, shown, page):
    text = page(*words)
    assert [part for part in shown if part not in text] == []


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["losss"], "--help loss"),
        (["trainer.learning_rat"], "--help trainer.learning_rate"),
        (["modle=tiny"], "--help model"),
        (["comparre"], "--help compare"),
        (["数据"], ""),
    ],
)
def test_an_unknown_topic_is_refused_with_the_nearest_known_ones(words, near, page):
    with pytest.raises(ConfigError, match="--help knows no") as refusal:
        page(*words)
    (problem,) = refusal.value.problems
    assert (near == "") == (problem.fix == ())
    for fix in (each for each in problem.fix if not each.endswith(" losses")):
        page(*fix.split()[2:])
    assert near in str(refusal.value)


def test_an_unknown_option_is_refused_with_those_there_are(page):
    with pytest.raises(ConfigError, match=r"loss=mnlr is not known\. Expected one of: angle, .*Did you mean 'mnrl'"):
        page("loss=mnlr")


def test_options_of_ones_own_are_shown_first_and_by_themselves(own, page):
    assert "  loss           [mnrl] bare, ours, angle" in page(*own)
    lines = page(*own, "loss").splitlines()
    assert lines[3].startswith("  bare")
    assert "我们自己的损失" in lines[4]
    assert max(map(cell_len, lines)) <= 80
    assert page(*own, "loss=ours").startswith(f"loss=ours    {'own/loss/ours.yaml'}\n")
    assert "  loss.t=3  温度" in page(*own, "loss=ours")
    assert "  loss.margin=0.1" in page(*own, "bare")
    assert "scorer.speed=2" in page(*own, "scorer=fast")
    assert "A group of one's own." in page(*own, "scorer")


def test_a_file_of_ones_own_that_is_no_yaml_hides_no_other_page(own, page, tmp_path):
    (tmp_path / "own" / "loss" / "broken.yaml").write_text("# Not done\na: [1\n")
    assert "Not done" in page(*own, "loss")
    assert "seed=42" in page(*own, "seed")
    with pytest.raises(ConfigError, match=r"own/loss/broken\.yaml:3: is no YAML"):
        page(*own, "loss=broken")


@pytest.mark.parametrize("flags", [["--help"], ["-h"], ["--hel"]])
def test_each_way_of_typing_it_is_known(flags, capsys):
    assert show_help(["loss=mnrl", *flags])
    assert show_help([*flags, "loss=mnrl"])
    assert capsys.readouterr().out.count("loss.scale=20.0") == 2


@pytest.mark.parametrize("words", [["help", "loss=mnrl"], ["help"]])
def test_help_is_a_word_too(words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert show_help(words)
    assert "loss" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["loss=mnrl"], [], ["--hydra-help"], ["--cfg", "job"], ["losses", "--help"]])
def test_everything_else_is_left_to_the_command(words):
    assert not show_help(words)


@pytest.mark.parametrize("command", ["embexp", "embexp.compare"])
def test_help_comes_before_hydra_and_closes_quietly(command, tmp_path):
    code = "import runpy, sys; sys.argv[1:] = ['--help']\n"
    code += f"try: runpy.run_module('{command}', run_name='__main__', alter_sys=True)\n"
    code += "finally: print('omegaconf' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == ("False False" if command == "embexp" else "True False"), done.stderr
    piped = f"{sys.executable} -m {command} --help | head -1"
    done = subprocess.run(piped, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert list(tmp_path.iterdir()) == []
