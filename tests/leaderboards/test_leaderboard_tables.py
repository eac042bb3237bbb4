"""A leaderboard on the terminal, in Markdown and as CSV."""

import csv

import pytest
from recorded_runs import recorded
from rich.cells import cell_len
from rich.console import Console

from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.tables import _pivot_table, _tables, as_csv, as_latex, as_markdown, notes_of
from embexp.reports.tables import as_text, fitting, print_table


@pytest.fixture
def leaderboard():
    """Two losses on two models, one of the cells with two seeds, one missing."""
    return make_leaderboard(
        [
            recorded(1, 0.05, loss="mnrl"),
            recorded(2, 0.07, loss="mnrl", seed=2),
            recorded(3, -0.05, loss="余弦[b]|x", model="模型"),
            recorded(4, 0.001, loss="余弦[b]|x"),
        ]
    )


def test_the_pivot_begins_with_the_untouched_models_and_the_best_row_follows(leaderboard):
    lines = [line for line in as_text(_pivot_table(leaderboard)).splitlines() if "│" in line]
    assert [line.split("│")[1].strip() for line in lines] == ["(untouched)", "mnrl", "", "余弦[b]|x", ""]
    assert "0.6600* (" in lines[1]
    assert ", 2 seeds" in lines[1]
    assert lines[2].split("│")[2].strip().startswith("+0.0600 (")
    assert lines[1].split("│")[3].strip() == "-"
    assert "-0.0500 (-0.0622 to -0.0378) worse" in lines[4]  # one of three: 2.39 standard errors, not 1.96


def shown_at(leaderboard, width):
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        for variants in _tables(leaderboard):
            print_table(fitting(variants, console), console)
    return captured.get().splitlines()


@pytest.mark.parametrize(
    ("width", "is_pivot", "intervals"), [(200, True, 2), (100, True, 2), (80, False, 1), (60, False, 0)]
)
def test_a_narrow_terminal_has_fewer_columns_and_no_broken_box(leaderboard, width, is_pivot, intervals):
    lines = shown_at(leaderboard, width)
    text = "\n".join(lines)
    assert all(cell_len(line) <= width and line == line.rstrip() for line in lines)
    assert ("│" in text) == is_pivot
    if not is_pivot:
        assert text.count("95 % interval") == intervals
        assert [text.count(number) for number in ("0.6600", "+0.0600", "better", "余弦")] >= [1] * 4


def test_costs_have_units_and_the_front_a_mark(leaderboard):
    _, costs = _tables(leaderboard)
    text = as_text(costs[0])
    assert [word in text for word in ("wall", "parameters", "22.7M", "0.6010 o")] == [True] * 4
    assert notes_of(leaderboard)[1] == (
        "o on the front: no other cell of its group is as good in both the score and encoded texts/s"
    )


def test_a_long_board_is_cut_on_the_terminal_and_says_so():
    leaderboard = make_leaderboard([recorded(number, 0.1, loss=f"loss {number:02}") for number in range(1, 61)])
    _, costs = _tables(leaderboard)
    assert "the first 40 of 60" in as_text(costs[0])
    assert len(as_csv(leaderboard).splitlines()) == 62


def test_markdown_shows_names_as_they_are(leaderboard):
    text = as_markdown(leaderboard)
    assert "| 余弦\\[b]\\|x | 模型 | 0.5500" in text
    heads = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in heads}) == 1
    assert len(heads) == 2 + len(leaderboard.cells)


def test_csv_has_all_numbers_and_opens_in_a_spreadsheet(leaderboard):
    text = as_csv(leaderboard)
    assert text.startswith("\ufeff")
    rows = [*csv.DictReader(text.removeprefix("\ufeff").splitlines())]
    (row,) = [row for row in rows if row["loss"] == "mnrl"]
    assert float(row["difference"]) == pytest.approx(0.06)
    assert (row["seeds"], row["runs"], row["seconds"]) == ("1 2", "run 1 run 2", "15.0")
    assert {row["std"] for row in rows if row["is_base"] == "True"} == {""}


def test_latex_is_a_table_of_booktabs_with_escaped_names_and_the_best_in_bold():
    runs = [recorded(1, 0.05, loss="m_n&rl", seed="1"), recorded(2, 0.01, loss="100 %", seed="1")]
    text = as_latex(make_leaderboard(runs, command="python -m embexp -m loss=a_b"))
    assert r"m\_n\&rl & minilm & \textbf{0.6500*" in text
    assert r"100 \% & minilm & 0.6100" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({line.replace(r"\&", "").count("&") for line in lines}) == 1
    columns = text.partition(r"\begin{tabular}{")[2].partition("}")[0]
    assert len(columns) == lines[0].count("&") + 1
    assert r"by: python -m embexp -m loss=a\_b." in text
    assert [text.count(each) for each in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_how_it_was_measured_is_said_in_sentences():
    tags = {"version.embexp": "0.1.0", "version.sentence-transformers": "6.2.0", "commit": "ab12"}
    runs = [recorded(number, 0.05, seed=str(number), **{"dataset.train_rows": 590}) for number in (100_000, 200_000)]
    for run in runs:
        run.tags.update(tags)
    assert make_leaderboard(runs).measured == (
        "Trained on finance (590 rows) with embexp 0.1.0 and sentence-transformers 6.2.0 (commit ab12).",
        "Scores are test/sts/spearman_cosine, means over 2 seeds.",
        "Measured 1970-01-02 to 1970-01-03.",
    )
    runs[0].params["dataset.train_rows"] = "1590"
    for run in runs:
        run.tags.update({"commit": "d25f380767215840169eaa79993bfd6eab900afb", "embexp.sweep": "cd3ed1e2"})
        run.tags["evaluated_on.sts/test"] = "graded"
    trained, scores, measured = make_leaderboard(runs).measured
    assert trained.startswith("Trained on finance (590 to 1,590 rows) with embexp 0.1.0 ")
    assert trained.endswith("(commit d25f38076721).")
    assert scores == "Scores are test/sts/spearman_cosine on graded, means over 2 seeds."
    assert measured == "Measured 1970-01-02 to 1970-01-03 in sweep cd3ed1e2."
