"""Shell completion: what is proposed for a line, and that real shells type it."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from embexp.cli.completion import _query, answer_shell
from embexp.config.session import remember_config_dir
from embexp.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with files of one's own."""
    monkeypatch.chdir(tmp_path)
    for path in ("faq.csv", "我的 数据.csv", "own/loss/ours.yaml", "runs/2026-11-30/a/x", ".hidden", "it's.csv"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("# A loss\n_target_: a.B\nwidth: 3\n")
    yield tmp_path
    remember_config_dir(None)


def proposed(line, shell="zsh", **more):
    return _query({"COMP_LINE": line, **more}, shell)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("embexp comp", ["compare"]),
        ("embexp lo", ["losses", "loss=", "loss."]),
        ("embexp loss=mn", ["loss=mnrl"]),
        ("embexp loss=ours", []),  # of a folder that is not given
        ("embexp --config-dir own loss=ou", ["loss=ours"]),
        ("embexp -cd own loss=ours loss.w", ["loss.width="]),
        ("embexp loss=mnrl,cose", ["loss=mnrl,cosent"]),
        ("embexp evaluator=[sts,bin", ["evaluator=[sts,binary"]),
        ("embexp evaluator=[binary,bin", []),  # is there already
        ("embexp loss=cosent loss.", ["loss.scale="]),
        ("embexp trainer.max_s", ["trainer.max_steps=", "trainer.max_seconds="]),
        ("embexp dataset.r", ["dataset.reader."]),
        ("embexp model.adapter=l", ["model.adapter=lora"]),
        ("embexp model.adapter=lora model.adapter.r", ["model.adapter.r="]),
        ("embexp loss.hardness_mode=h", ["loss.hardness_mode=hard_negatives"]),
        ("embexp trainer.bf16=", ["trainer.bf16=true", "trainer.bf16=false"]),
        ("embexp dataset=fa", ["dataset=faq.csv"]),
        ("embexp dataset=我", ["dataset=我的\\ 数据.csv"]),
        ("embexp dataset=我的\\ 数", ["dataset=我的\\ 数据.csv"]),
        ("embexp dataset=it", ["dataset=it\\'s.csv"]),
        ("embexp test=f", ["test=file", "test=finance", "test=finance_zh", "test=financial_qa", "test=faq.csv"]),
        ("embexp evaluator.sts.dataset=stsb", ["evaluator.sts.dataset=stsb"]),
        ("embexp +dataset@evaluator.sts.dataset=nli_t", ["+dataset@evaluator.sts.dataset=nli_triplets"]),
        ("embexp ~dataset.st", ["~dataset.steps="]),
        ("embexp compare ru", ["runs=", "runs/"]),
        ("embexp compare runs/2026-11-30/a/x runs/", ["runs/2026-11-30/"]),
        ("embexp export run=ru", ["run=runs/"]),
        ("embexp inspect lo", []),  # a group that the command does not have
        ("embexp losses mn", ["mnrl"]),
        ("embexp --help tra", ["trainer", "tracking", "trainer=", "tracking=", "trainer.", "tracking."]),
        ("embexp --c", ["--config-dir", "--cfg"]),
        ("embexp --config-dir o", ["own/"]),
        ("embexp --config-dir=o", ["--config-dir=own/"]),
        ("embexp --cfg j", ["job"]),
        ("embexp 'loss=mn", []),  # an open quote
        ("embexp --config-dir nowhere loss=mn", []),
        ("embexp nothing_like_it", []),
        ("", None),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_line_is_completed(line, found):
    assert proposed(line) == found or found is None


@pytest.mark.usefixtures("place")
def test_bash_gets_what_stands_behind_its_word_breaks():
    breaks = " \t\n\"'><=;|&(:"
    assert proposed("embexp loss=mn", "bash", COMP_WORDBREAKS=breaks) == ["mnrl"]
    assert proposed("embexp loss=mn", "bash", COMP_WORDBREAKS=breaks.replace("=", "")) == ["loss=mnrl"]
    assert proposed("embexp dataset=我", "bash", COMP_WORDBREAKS=breaks) == ["我的\\ 数据.csv"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_read_by_their_shells_and_taken_back(shell, capsys):
    assert answer_shell(["-sc", f"install={shell}"])
    install = capsys.readouterr().out
    assert answer_shell(["-sc", f"uninstall={shell}"])
    assert capsys.readouterr().out
    if program := shutil.which(shell):
        assert subprocess.run([program, "-n"], input=install, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize("given", [["-sc"], ["-sc", "install=powershell"], ["-sc", "query=bsh"]])
def test_another_shell_is_refused(given):
    with pytest.raises(ConfigError, match="Expected install=<shell>, and one of: bash, zsh, fish"):
        answer_shell(given)
    assert not answer_shell(["loss=mnrl"])


def typed_into(command, text, end, folder):
    """What a terminal shows after `text` was typed into a program, up to the answer that ends with `end`."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvp(command[0], command)
    shown, until = b"", time.monotonic() + 60
    try:
        for part in text:
            time.sleep(0.3)
            os.write(terminal, part.encode())
        while end.encode() not in shown and time.monotonic() < until:
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4096)
    finally:
        os.write(terminal, b"\x03\x04")
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)
    return shown.decode(errors="replace")


SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}


TYPED = {
    "embexp loss=mn\t model=ti\t": "loss=mnrl model=tiny",
    "embexp comp\truns/2026\t": "compare runs/2026-11-30/",
    "embexp --config-dir own loss=ou\tloss.wi\t": "own loss=ours loss.width=",
    "embexp dataset=我\t": "dataset=我的 数据.csv",
    "embexp dataset=fa\t": "dataset=faq.csv",
    "embexp -m loss=mnrl,cose\t": "loss=mnrl,cosent",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "typed"),
    [("bash", typed) for typed in TYPED] + [(shell, typed) for shell in ("zsh", "fish") for typed in [*TYPED][1:4:2]],
)
def test_the_key_completes_in_a_real_shell(shell, typed, place):
    """The line is echoed by a function of the name `embexp`, which shows what the shell was left with."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    program = place / "bin" / "embexp"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "if '-sc' not in sys.argv:\n    print('LINE', *sys.argv[1:], 'END')\n    sys.exit()\n"
        "from embexp.__main__ import main\nmain()\n"
    )
    program.chmod(0o755)
    load = 'eval "$(embexp -sc install={})"\n' if shell != "fish" else "embexp -sc install={} | source\n"
    path = f"set -x PATH {program.parent} $PATH\n" if shell == "fish" else f"export PATH={program.parent}:$PATH\n"
    shown = typed_into(SHELLS[shell], [path, load.format(shell), *re.split(r"(?<=\t)", typed), "\r"], "END", place)
    assert TYPED[typed] in re.sub(r"\s+", " ", shown.rpartition("LINE")[2]), shown
