"""Tables of changed examples: the right rows in the right order, whatever characters their texts hold."""

from embexp.reports.changed_examples import with_errors, write_changed

ROWS = with_errors(
    [
        {"texts": ["A | B", "two\nlines"], "gold": 1.0, "base": 1.0, "trained": 0.25},
        {"texts": ["[red]not red[/red]", "<b>"], "gold": 0.5, "base": 0.5, "trained": 1.0},
        {"texts": ["股票大跌", "x" * 300], "gold": 0.0, "base": 0.9876, "trained": 0.9876},
    ],
    "share",
)


def written(tmp_path, rows, number=5) -> list[str]:
    path = tmp_path / "examples" / "changed.md"
    write_changed(path, "nli/mnrl on stsb [test]", rows, "share", number)
    return path.read_text(encoding="utf-8").splitlines()


def test_the_page_has_what_broke_what_was_mended_and_the_worst_errors(tmp_path):
    lines = written(tmp_path, ROWS)
    assert lines[0] == r"# Changed examples: nli/mnrl on stsb \[test]"
    assert lines[2] == ("Of 3 examples 1 got worse and 1 got better. The error of a query is 1 minus its metric.")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## What training broke", "## What training mended", "## Worst errors of the trained model"]
    table = lines[lines.index("## What training broke") + 2 :]
    assert table[:4] == [
        "| error | gold | base | trained | texts |",
        "| ---: | ---: | ---: | ---: | --- |",
        r"| 0% -> 75% | 1 | 1 | 0.250 | A \| B<br>two lines |",
        "",
    ]
    assert r"| 50% -> 0% | 0.500 | 0.500 | 1 | \[red]not red\[/red]<br>\<b> |" in lines


def test_the_worst_errors_come_first_and_long_texts_are_cut(tmp_path):
    lines = written(tmp_path, ROWS)
    worst = [line for line in lines[lines.index("## Worst errors of the trained model") :] if "->" in line]
    assert [line.split(" | ")[0] for line in worst] == ["| 0% -> 75%", "| 1% -> 1%"]
    assert worst[1].endswith("| 股票大跌<br>" + "x" * 159 + "… |")


def test_each_table_has_at_most_so_many_rows(tmp_path):
    assert sum("->" in line for line in written(tmp_path, ROWS * 4, number=2)) == 6


def test_nothing_changed_is_said(tmp_path):
    lines = written(tmp_path, [])
    assert "Training made no example worse." in lines
    assert "The trained model makes no error." in lines
