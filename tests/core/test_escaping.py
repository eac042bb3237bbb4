"""Texts are data: whatever shows them, none colours, links, moves, computes or marks up."""

import ast
import csv
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt  # comes with rich
from recorded_runs import recorded
from rich.text import Text

from embexp.cli.messages import TerminalFormatter, explain
from embexp.core.escaping import (
    _console,
    as_markdown_block,
    as_markdown_code,
    as_markdown_text,
    file_console,
    markdown_table,
    report_csv,
    say,
)
from embexp.errors import ConfigError, Problem, printable
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.page import leaderboard_page
from embexp.leaderboards.tables import as_csv, as_markdown, print_leaderboard
from embexp.reports import comparisons
from embexp.reports.changed_examples import with_errors, write_changed
from embexp.reports.closing import closing_markdown, print_closing
from embexp.reports.tables import print_table, table_of
from embexp.tuning.report import _study_csv, _study_markdown

MARKDOWN = MarkdownIt("commonmark").enable("table")
PACKAGE = Path(__file__).parent.parent.parent / "embexp"
# What ends a line of ours, colours, hides, links, moves, renames the window, turns round, or is half a character.
TERMINAL = {
    "a colour": "\x1b[31mred",
    "hidden": "\x1b[8mhidden\x1b[0m",
    "a link of OSC 8": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "the title of the window": "\x1b]0;title\x07",
    "a clipboard": "\x1b]52;c;cm0=\x1b\\",
    "in eight bits": "\x9b31mred \x9d8;;x\x9c",
    "over the line": "real\rfake",
    "up a line": "\x1b[1A\x1b[2Kfake",
    "a backspace": "good\x08\x08\x08\x08evil",
    "right to left": "gpj.\u202eexe",
    "an isolate": "\u2066a\u2069",
    "a line of Unicode": "a\u2028b",
    "a null": "a\0b",
    "half a character": "a\udce3",
}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "\n=1",
    "＝1",
    "＋1",
    "－1",
    "＠A",
]
NUMBERS = ["-0.5", "+1e-5", "1,200", "-3%", "0.25", "-1"]
MARKUP = {
    "a link": "[x](http://evil)",
    "a picture": "![x](http://evil/x.png)",
    "HTML": "<img src=x onerror=alert(1)>",
    "a script": "</td></table></template><script>alert(1)</script>",
    "an attribute": "\" onmouseover=\"alert(1)",
    "a table": "a | b",
    "code": "`` ` ``",
    "a heading": "# x",
    "a formula": "$\\frac{1}{0}$",
    "strong": "**x** _y_",
    "an entity": "&lt;script&gt;",
}  # fmt: skip


@pytest.mark.parametrize("text", TERMINAL.values(), ids=TERMINAL)
def test_nothing_controls_the_terminal(text, capsys):
    record = logging.LogRecord("embexp", logging.INFO, "", 0, "read %s", (f"\n{text}",), None)
    shown = [TerminalFormatter("%(message)s").format(record)]
    error = ConfigError(Problem("is odd", text, given=text, fix=(f"a={text}",), file=text), "and")
    shown += [str(error), explain(error), str(ConfigError(text)), explain(ValueError(text))]
    say("a", text)
    buffer = io.StringIO()
    for console in (file_console(buffer), _console(file=buffer, width=80, force_terminal=True, color_system=None)):
        console.print(text)
        console.print(Text(text))
        print_table(table_of(text, ("name", "value"), [(text, text)]), console)
    shown += [capsys.readouterr().out, buffer.getvalue()]
    for each in shown:
        assert not CONTROL.search(each), ascii(each)
    assert len("".join(shown)) > 10 * len(text)


def test_our_own_colours_stay():
    buffer = io.StringIO()
    console = _console(file=buffer, force_terminal=True, color_system="standard", width=80)
    console.print(Text("good \x1b[31m", "green"))
    console.print("[bold]no mark-up[/bold] :smile: [link=http://evil]x[/link]")
    assert buffer.getvalue().startswith("\x1b[32mgood \\u001b[31m\x1b[0m")
    assert "[bold]no mark-up[/bold] :smile: [link=http://evil]" in buffer.getvalue()


def test_ordinary_texts_stay_as_they_are():
    for text in ("两行\n第二行", "a\tb", "مرحبا\u200f بك", "👩‍👩‍👧 é ß", "100 % – “x”", "C:\\x\\u202e"):
        assert printable(text) == text
    assert printable("a\r\nb") == "a\nb"


@pytest.mark.parametrize("text", FORMULAS)
def test_no_text_of_a_report_is_a_formula(text):
    ((cell, number),) = csv.reader(io.StringIO(report_csv([[text, -0.5]]), newline=""))
    assert (cell, number) == ("'" + text.replace("\r", "\n"), "-0.5")


@pytest.mark.parametrize("text", [*NUMBERS, "a=b", "股票", "'=1", "", "a-b", "(-1)"])
def test_numbers_and_other_texts_of_a_report_stay(text):
    ((cell, none, number),) = csv.reader([report_csv([[text, None, -3]])])
    assert (cell, none, number) == (text, "", "-3")


@pytest.mark.parametrize("text", MARKUP.values(), ids=MARKUP)
def test_markdown_shows_what_was_written(text):
    page = "\n".join(
        [f"# {as_markdown_text(text)}", "", *markdown_table([text], [[text]]), "", f"- {as_markdown_text(text)}"]
    )
    plain = Plain(MARKDOWN.render(page))
    assert {*plain.tags} <= {"h1", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p"}
    assert plain.text.count(" ".join(text.split())) == 4


class Plain(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


def test_code_ends_where_it_should():
    assert as_markdown_code("a``b") == "``` a``b ```"
    block = as_markdown_block("x\n`````\n# y").splitlines()
    assert block[0] == block[-1] == "``````"


HOSTILE = "=1|<script>alert(1)</script>`[x](y)\x1b[31m\u202e$\\frac{"


def primary(**more):
    numbers = {"base": 0.5, "trained": 0.6, "difference": 0.1, "low": 0.05, "high": 0.15, "verdict": "better"}
    return (
        {"evaluator": HOSTILE, "split": "test", "metric": "spearman_cosine", "primary": True, "headline": True}
        | numbers
        | more
    )


RESULT = {
    "choices": {"dataset": HOSTILE, "loss": HOSTILE, "model": HOSTILE},
    "seed": 1,
    "comparisons": [primary(data=HOSTILE, examples=5)],
    "primary": primary(key=f"test/{HOSTILE}/spearman_cosine"),
    "data": [HOSTILE],
    "base_model": HOSTILE,
    "training": HOSTILE,
    "model_path": HOSTILE,
    "tracked": HOSTILE,
    "warnings": [f"{HOSTILE} is odd. Type this."],
    "verdict": "better",
}  # fmt: skip


def changed_page(folder: Path) -> str:
    rows = with_errors([{"texts": [HOSTILE, HOSTILE], "gold": 1.0, "base": 1.0, "trained": 0.25}], "share")
    write_changed(folder / "changed.md", HOSTILE, rows, "share", 5)
    return (folder / "changed.md").read_text(encoding="utf-8")


def models_of(name: str) -> list[dict]:
    score = {"value": 0.5, "low": 0.4, "high": 0.6, "to_best": 0.0, "p": 0.5, "is_best": True, "examples": 3}
    return [{"model": name, "scores": {f"test/{name}/x": score}, "parameters": 5.0}]


TRIALS = [{"trial": 1, "state": "done", "value": 0.5, "drawn": {"a": HOSTILE}, "note": HOSTILE}]
FOUND = {
    "names": [HOSTILE, HOSTILE],
    "runs": [[{"folder": HOSTILE, "name": HOSTILE, "seed": 1, "verdict": "better", "seconds": 1.0}]] * 2,
    "metrics": [],
    "other_tests": [],
    "lacks_seeds": False,
    "left_out": [HOSTILE],
    "configuration": [(HOSTILE, HOSTILE, 1)],
    "data": [HOSTILE],
    "changed": {HOSTILE: [{"change": 0.5, "gold": HOSTILE, "base": 0.1, "trained": 0.2, "texts": [HOSTILE, "b"]}]},
}


@pytest.fixture(scope="module")
def leaderboard():
    return make_leaderboard([recorded(1, 0.05, loss=HOSTILE), recorded(2, 0.01, loss="mnrl", model=HOSTILE)])


def test_every_page_of_markdown_shows_names_and_texts_as_they_are(leaderboard, tmp_path):
    pages = {
        "changed examples": changed_page(tmp_path),
        "the closing note": closing_markdown(RESULT),
        "a comparison": comparisons.comparison_page(FOUND),
        "models": comparisons.as_markdown(models_of(HOSTILE)),
        "the spread": comparisons.spread_markdown(HOSTILE, [0, 1], {HOSTILE: [0.5, 0.6]}),
        "a leaderboard": as_markdown(leaderboard),
        "a study": _study_markdown(TRIALS, [("best", HOSTILE)]),
    }
    for name, page in pages.items():
        plain = Plain(MARKDOWN.render(page))
        assert not {"script", "a", "img"} & {*plain.tags}, (name, page)
        assert "alert(1)" in plain.text, name
        assert not CONTROL.search(page.replace("\n", "")), name


def test_every_report_for_a_spreadsheet_has_no_formula(leaderboard):
    reports = {
        "models": comparisons.as_csv(models_of(HOSTILE)),
        "a leaderboard": as_csv(leaderboard).removeprefix("\ufeff"),
        "a study": _study_csv(TRIALS),
    }
    for name, text in reports.items():
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert f"'{HOSTILE}" in cells, name
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))], name


def test_the_page_of_a_leaderboard_runs_nothing_of_a_name(leaderboard):
    page = Plain(leaderboard_page(leaderboard, []))
    assert page.tags.count("script") == 1  # its own
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not [value for _, value in page.attributes if str(value).lower().startswith("javascript:")]


def test_a_command_of_somebody_elses_run_is_not_offered_for_typing():
    from dataclasses import replace

    from embexp.leaderboards.page import _STARTS_UI

    assert _STARTS_UI.fullmatch("mlflow ui --backend-store-uri sqlite:////x/mlflow.db")
    for command in ("rm -rf ~", "mlflow ui --backend-store-uri a; rm -rf ~", "mlflow ui --backend-store-uri $(x)"):
        run = replace(recorded(1, 0.05), page=f"http://127.0.0.1:5000 (after: {command})")
        assert command not in leaderboard_page(make_leaderboard([run, recorded(2, 0.05, loss="b")]), [])


def test_the_closing_words_and_the_leaderboard_on_a_terminal(leaderboard, capsys):
    buffer = io.StringIO()
    print_closing(RESULT, file_console(buffer))
    print_leaderboard(leaderboard)
    for shown in (buffer.getvalue(), capsys.readouterr().out):
        assert "alert(1)" in shown
        assert not CONTROL.search(shown.replace("\n", ""))


@pytest.mark.parametrize("text", ["$\\frac{1}{", HOSTILE], ids=["formula", "all"])
def test_a_picture_draws_a_formula_as_text(text, drawn):
    from embexp.reports.pictures.similarities import draw_scored_histogram

    drawn(draw_scored_histogram, text, [0.0, 0.5, 1.0], {text: [0.1, 0.5, 0.9]}, "cosine")


# Where texts of data and names of runs are shown.
ROOMS = (
    "data",
    "steps",
    "evaluation",
    "experiment",
    "exports",
    "inspection",
    "leaderboards",
    "models",
    "reports",
    "tuning",
)


def test_who_shows_texts_prints_through_the_border():
    paths = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
    assert len(paths) > 150
    for path in paths:
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        names = {getattr(call.func, "id", "") for call in calls}
        assert not {"print", "Console"} & names, path


@pytest.mark.slow
def test_a_run_over_hostile_rows_leaves_and_prints_nothing_that_acts(workplace, store, capfd):
    import mlflow

    from embexp import api

    texts = [*FORMULAS, *MARKUP.values(), *TERMINAL.values()]
    readable = [text for text in texts if "\udce3" not in text] * 8
    rows = [(f"{text} {place}", f"{text} {place + 1}", place % 7 / 6) for place, text in enumerate(readable)]
    lines = [{"sentence1": one, "sentence2": two, "score": score} for one, two, score in rows]
    name = "=1 <img src=x>[x](y)"
    (workplace / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    options = ("model=tiny", "loss=cosent", "trainer=smoke", "threads=1", "step=[split]", "evaluator.sts.resamples=50")
    run = api.run(f"dataset={name}.jsonl", *options, f"tracking.uri={store}")
    printed = "".join(capfd.readouterr())
    assert not CONTROL.search(re.sub("\x1b\\[[0-9;]*m|\r", "", printed).replace("\n", ""))
    logged = [path.read_text(encoding="utf-8") for path in run.folder.rglob("*.log")]
    (note,) = [
        each.data.tags["mlflow.note.content"]
        for each in mlflow.MlflowClient(store).search_runs(["1"], f"attributes.run_id = '{run.result['run']['id']}'")
    ]
    reports = [path.read_bytes().decode("utf-8-sig") for path in run.folder.glob("reports/*.csv")]
    pages = [note, *(path.read_text(encoding="utf-8") for path in run.folder.rglob("*.md"))]
    assert (len(reports) > 0, len(pages) > 2) == (True, True)
    assert not [text for text in logged if CONTROL.search(text.replace("\n", ""))]
    cells = [cell for text in reports for row in csv.reader(io.StringIO(text)) for cell in row]
    assert not [cell for cell in cells if cell.lstrip()[:1] in "=@＝＠" and cell.strip()]
    for page in pages:
        body = re.sub(r"\A---\n.*?\n---\n", "", page, flags=re.DOTALL)  # a card's metadata are YAML
        assert not {"script", "img"} & {*Plain(MARKDOWN.render(body)).tags}, page
    data = api.load(run.folder).examples("sts")
    assert {*data["sentence1"]} <= {one for one, *_ in rows}  # data stay exact
