"""Tables fit a terminal of 60, 80, 120 and 200 columns; in a pipe nothing is padded or coloured."""

import contextlib
import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from embexp.cli.messages import TerminalFormatter, coloured
from embexp.core.escaping import output_console
from embexp.inspection.inspect_dataset import _fitted
from embexp.reports import comparisons
from embexp.reports.comparisons import model_tables, print_page
from embexp.reports.power_page import Comparison, PowerPage, power_page
from embexp.reports.tables import fitting, print_table
from embexp.tuning.report import _study_tables

KEY = "test/sts/spearman_cosine"
SCORE = {"value": 0.5, "low": 0.4, "high": 0.6, "to_best": 0.0, "p": 0.5, "is_best": True, "examples": 1200}
MODELS = [
    {
        "model": name,
        "scores": {KEY: SCORE | {"rows": 1200, "of_rows": 1200}, "test/retrieval/ndcg_at_10": SCORE},
        "metrics": {
            "test/sts/pearson_cosine": 0.4,
            "test/retrieval/mrr_at_10": 0.3,
            "test/retrieval/recall_at_10": 1.0,
        },
        "encode_texts_per_second": 123456.0,
        "parameters": 22_713_216.0,
        "dimensions": 384.0,
        "data/unknown_tokens/test/sts": 0.65,
    }
    for name in ("minilm", "中文句子模型", "runs/2026-11-26/10-00-00/a_model_with_a_long_name")
]
TRIALS = [
    {
        "trial": number,
        "state": state,
        "value": 0.5,
        "drawn": {f"loss.argument_{key}": 0.000123456 for key in "abcdefg"},
        "note": note,
    }
    for number, state, note in ((1, "done", ""), (2, "failed", "OutOfMemoryError: 显存不足 no memory is left " * 3))
]
LONG = "一段很长的文字 and more of it " * 10
COMPARED = "\n".join(
    [
        "# one and two",
        "| metric | first | second | difference | 95 % interval | p (Holm) | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        f"| {KEY}\\* | 0.4059 ± 0.0012 | 0.4123 ± 0.0031 | +0.0064 | -0.0010 to +0.0138 | 0.0913 | undecided |",
        "",
        "| key | first | second |",
        "| --- | --- | --- |",
        "| trainer.learning_rate | 5e-05 | 0.0001 |",
        "",
        "| change | gold | first | second | texts |",
        "| --- | --- | --- | --- | --- |",
        f"| +0.52 | 1.0000 | 0.2000 | 0.8000 | {LONG}\\| b |",
    ]
)
PLANNED = Comparison("mnrl · minilm - cosent · minilm", 0.1, 300, 300, 2, 0.01, 0.02, 0.003, 7000, 7, None, None, False)
PLAN = power_page(
    PowerPage(
        KEY, 0.0, 0.01, 2, 1, 60.0, True, True, [PLANNED], PLANNED.name, [1, 2, 3, 5, 10], {300: [0.02] * 5}, None
    )
)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of so many columns; gives what it shows."""

    def make(width: int) -> Console:
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        monkeypatch.setattr(comparisons, "output_console", lambda: console)
        return console

    return make


def shown_on(console):
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_of_evaluate_and_tune_fit_and_keep_what_matters(terminal, width):
    console = terminal(width)
    for variants in (*model_tables(MODELS), _study_tables(TRIALS, KEY)):
        print_table(fitting(variants, console), console)
    lines = shown_on(console)
    assert [line for line in lines if cell_len(line) > width or line != line.rstrip()] == []
    text = " ".join(" ".join(lines).split())
    for word in ("value", "0.5000*", "texts/s", "trial", "outcome", "failed", "中文句子模型"):
        assert word in text
    shown = re.sub("left out at this width: .*?(?= cost| test/|$)", "", text)
    assert ("pearson" in shown) == (width >= 80)
    assert ("argument_g" in shown) == (width >= 200)
    assert ("left out at this width: argument_g" in text) == (width < 200)


@pytest.mark.parametrize("page", [COMPARED, PLAN], ids=["compare", "power"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_of_a_page_fit_a_terminal(terminal, page, width):
    console = terminal(width)
    print_page(page)
    tables = [line for line in shown_on(console) if "─" in line or line.startswith(" ")]
    assert tables
    assert [line for line in tables if cell_len(line) > width or line != line.rstrip() or "│" in line] == []
    text = " ".join(" ".join(shown_on(console)).split())
    for word in ("difference", *(("verdict", "undecided", "+0.0064") if page is COMPARED else ("found", "+0.1000"))):
        assert word in text


def test_in_a_pipe_a_page_stays_as_it_is(capsys):
    print_page(COMPARED)
    assert capsys.readouterr().out == COMPARED + "\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "has_colours"),
    [
        ({"TERM": "xterm-256color"}, Terminal(), True),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({"TERM": "xterm-256color"}, io.StringIO(), False),
    ],
)
def test_colours_are_for_terminals_that_want_them(environment, stream, has_colours, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    message = "Error: loss=mnlr is not known, as hint: is.\nhint: type loss=mnrl"
    found = coloured(message, stream)
    assert found == (
        "\033[31mError:\033[0m loss=mnlr is not known, as hint: is.\n\033[36mhint:\033[0m type loss=mnrl"
        if has_colours
        else message
    )
    if stream.isatty():
        monkeypatch.setattr("sys.stdout", Terminal())
        output_console().print("better", style="green")
        import sys

        assert ("\033[" in sys.stdout.getvalue()) == has_colours


def test_a_log_colours_the_hints_of_a_warning(monkeypatch):
    import logging

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal())
    record = logging.LogRecord("embexp", logging.WARNING, "", 0, "%s\nhint: type x=1", ("it",), None)
    assert TerminalFormatter("%(message)s").format(record) == "it\n\033[36mhint:\033[0m type x=1"


@pytest.mark.parametrize("width", [60, 80])
def test_what_inspect_shows_fits_and_what_is_typed_stays_whole(width):
    lines = [
        "text  characters       8        9        9        9  |▂              █▂              █|",
        f"{'losses':<11}as it is: {', '.join(['batch_all', '对比', 'mnrl'] * 12)}",
        f"{'train':<11}python -m embexp dataset=tickets.csv model=static_scratch loss=auto evaluator=[classification]",
    ]
    found = [*_fitted("\n".join(lines), width)]
    assert found[0] == "text  characters       8        9        9        9"
    assert found[-1] == lines[-1]
    assert all(cell_len(line) <= width for line in found[:-1])
    assert " ".join(line.strip() for line in found[1:-1]) == " ".join(lines[1].split(maxsplit=1)).replace(
        "losses ", "losses     "
    )
    assert all(line.startswith(" " * 11) for line in found[2:-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "has_colours"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_command_in_a_terminal(environment, has_colours, tmp_path):
    """In a pseudo-terminal, as a person's shell is one."""
    import os
    import pty
    import subprocess
    import sys

    above, below = pty.openpty()
    given = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment
    command = [sys.executable, "-m", "embexp", "loss=mnlr"]
    process = subprocess.Popen(command, env=given, cwd=tmp_path, stdin=below, stdout=below, stderr=below)
    os.close(below)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while part := os.read(above, 65536):
            shown += part
    os.close(above)
    assert process.wait(60) == 1
    assert b"hint:" in shown
    assert (b"\033[" in shown) == has_colours
