"""Tables: the right numbers in the right cells."""

import pytest
from rich.cells import cell_len
from rich.console import Console

from embexp.reports.closing import _closing_tables, _lines_below, closing_markdown, print_closing
from embexp.reports.tables import as_text, fitting


def row_of(metric: str, primary: bool = False, headline: bool = True, **numbers) -> dict:
    numbers = {"base": 0.8672, "trained": 0.8485, "difference": -0.0187, "low": -0.0251, "high": -0.012} | numbers
    place = {"evaluator": "stsb", "split": "test", "metric": metric, "primary": primary, "headline": headline}
    return place | numbers | {"verdict": "worse" if numbers["high"] < 0 else "better"}


def result_of(loss: str = "mnrl", model: str = "minilm", seed: int = 1, status: str = "FINISHED", **numbers) -> dict:
    primary = row_of("spearman_cosine", primary=True, **numbers) | {"key": "test/stsb/spearman_cosine"}
    return {
        "run": {"status": status},
        "choices": {"dataset": "nli", "loss": loss, "model": model},
        "seed": seed,
        "comparisons": [primary, row_of("pearson_cosine"), row_of("pearson_dot", headline=False)],
        "primary": primary,
        "data": ["nli as triplet (train 9 rows)", "[split]: 10 -> 9 rows"],
        "base_model": "minilm from package: /somewhere",
        "training": "4 steps in 1.0 s",
        "model_path": "runs/1/model",
        "tracked": "not tracked",
    }


def cells(table) -> list[list[str]]:
    """The table's text, line by line, split where two spaces or a rule stand."""
    lines = [line.replace("│", "  ").split("  ") for line in as_text(table).splitlines()]
    return [row for line in lines if (row := [cell.strip() for cell in line if cell.strip()])]


def test_the_closing_table_shows_headline_metrics_with_a_star_at_the_primary_one():
    lines = cells(_closing_tables(result_of())[0])
    numbers = ["0.8672", "0.8485", "-0.0187", "-0.0251 to -0.0120", "worse"]
    assert lines[0] == ["nli · mnrl · minilm · seed 1"]
    assert lines[1] == ["metric", "base", "trained", "difference", "95 % interval", "verdict"]
    assert lines[3:5] == [["test/stsb/spearman_cosine*", *numbers], ["test/stsb/pearson_cosine", *numbers]]
    assert "pearson_dot" not in as_text(_closing_tables(result_of())[0])


def test_the_title_names_the_modifier():
    result = result_of()
    result["choices"]["modifier"] = "orthogonal"
    assert str(_closing_tables(result)[0].title) == "nli · mnrl+orthogonal · minilm · seed 1"


def test_the_closing_words_say_where_things_are():
    console = Console(width=120, no_color=True, markup=False)
    result = result_of()
    result["comparisons"] = [row | {"data": "graded", "examples": 1379} for row in result["comparisons"]]
    with console.capture() as captured:
        print_closing(result, console)
    printed = captured.get()
    assert "the verdict falls on test" in printed
    assert "evaluated  test/stsb on graded (1,379 examples)\n" in printed
    assert "data       nli as triplet (train 9 rows); [split]: 10 -> 9 rows" in printed
    assert "model      runs/1/model" in printed


def test_warnings_of_the_check_stand_below_the_table():
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        print_closing(
            result_of()
            | {
                "warnings": [
                    "a.csv: columns taken by their names, as by 'x'",
                    "4 of 8 rows [50 %] are left out",
                    "texts are cut",
                ]
            },
            console,
        )
    lines = captured.get().splitlines()
    assert lines[-3] == "note       a.csv: columns taken by their names, as by 'x'"
    assert lines[-2:] == ["warning    4 of 8 rows [50 %] are left out", "warning    texts are cut"]


def test_a_warning_is_told_below_the_table_without_what_to_do_about_it():
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        print_closing(
            result_of() | {"warnings": ["3 of 1,500 rows (0.2 %) are there too. Type step=[leaks]."]}, console
        )
    assert captured.get().splitlines()[-1] == "warning    3 of 1,500 rows (0.2 %) are there too."


def test_in_a_narrow_terminal_only_names_of_metrics_are_broken():
    result = result_of()
    result["comparisons"].append(row_of("spearman_cosine_no_leaks") | {"verdict": "equal within 0.005"})
    console = Console(width=90, no_color=True)
    with console.capture() as captured:
        console.print(fitting(_closing_tables(result), console))
    printed = captured.get()
    assert "…" not in printed
    assert printed.count("-0.0251 to -0.0120") == 3
    assert [word for word in ("equal", "within", "0.005") if word not in printed] == []
    assert "\n spearman_cosine_no_leaks " in printed


def test_the_closing_table_as_markdown_stands_below_the_verdict():
    result = result_of() | {"verdict": "worse", "warnings": ["12 rows repeat. Type this."]}
    lines = closing_markdown(result).splitlines()
    assert lines[0] == "**worse** on test; 4 steps in 1.0 s"
    assert lines[2] == "| metric | base | trained | difference | 95 % interval | verdict |"
    assert lines[4] == "| test/stsb/spearman_cosine\\* | 0.8672 | 0.8485 | -0.0187 | -0.0251 to -0.0120 | worse |"
    assert lines[-1] == "- 12 rows repeat."
    assert "pearson_dot" not in closing_markdown(result)


@pytest.mark.parametrize(
    ("split", "others", "picked", "said"),
    [
        ("test", "", True, ["* picks the checkpoint on dev; the verdict falls on test"]),
        (
            "test",
            "worse",
            True,
            ["others are secondary, corrected for their number, 1 (Holm)"],
        ),
        ("dev", "", True, ["the verdict falls on dev", "no test split: where dev picked among several checkpoints"]),
        (
            "dev",
            "",
            False,
            ["* gives the verdict, on dev", "the last checkpoint is kept, so that dev, which picked none"],
        ),
        ("test", "", False, ["* gives the verdict, on test"]),
    ],
)
def test_below_the_closing_table_stands_what_its_verdicts_rest_on(split, others, picked, said):
    primary = row_of("spearman_cosine") | {"split": split, "primary": True, "verdict": "undecided"}
    primary |= {"margin": 0.005, "examples_needed": 8173}
    other = row_of("pearson_cosine") | {"verdict": others, "primary": False, "headline": True, "margin": 0.005}
    lines = [*_lines_below({"primary": primary, "comparisons": [primary, other], "picked_on_dev": picked})]
    assert all(any(each in line for line in lines) for each in said)
    assert "intervals hold how the examples vary, not how other seeds would train" in lines
    assert lines[-2] == "smallest difference worth having (verdict.margin): 0.005"
    assert lines[-1].startswith("spearman_cosine is undecided: about 8,200 examples")


@pytest.mark.parametrize("width", [80, 90, 100])
def test_tables_of_forms_and_stages_keep_interval_and_verdict(width):
    result = result_of()
    result["primary"] |= {"verdict": "equal within 0.005"}
    forms = [result["primary"] | {"dimensions": number, "precision": "float32"} for number in (None, 64)]
    stages = [{"name": "pairs", "seconds": 2.0, "comparisons": [result["primary"]]}]
    result |= {"forms": forms, "stages": stages, "metrics": {"cost/train_seconds": 8.0}}
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        print_closing(result, console)
    _, tables = captured.get().partition("\n* ")[0].split("embeddings in other forms")
    assert "…" not in tables
    assert all(cell_len(line) <= width for line in tables.splitlines())
    assert tables.count("-0.0251 to -0.0120") == tables.count("equal") == tables.count("0.005") == 4


@pytest.mark.parametrize("width", [60, 80, 104, 200])
@pytest.mark.parametrize("dataset", ["nli", "金融问答数据"])
@pytest.mark.parametrize("verdict", ["better", "no difference", "better (collapsed)"])
def test_no_line_of_the_closing_table_is_wider_than_the_terminal_and_the_verdict_is_whole(width, dataset, verdict):
    result = result_of()
    result["choices"]["dataset"] = dataset
    result["comparisons"] = [row | {"verdict": verdict, "evaluator": dataset} for row in result["comparisons"]]
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        print_closing(result, console)
    table = captured.get().partition("\n* ")[0].splitlines()
    assert all(cell_len(line) <= width and line == line.rstrip() for line in table)
    assert all(word in " ".join(table) for word in verdict.split())
    shown = " ".join(" ".join(table).split())
    if width >= 80:
        assert all(number in shown for number in ("0.8672", "-0.0187", "-0.0251 to -0.0120"))
    assert ("left out at this width: trained" in shown) == ("0.8485" not in shown)
