"""The trials of a study on the terminal, in Markdown and as CSV."""

import csv

from embexp.reports.tables import as_text
from embexp.tuning.report import _study_csv, _study_markdown, _study_tables

ROWS = [
    {"trial": 1, "state": "done", "value": 0.51234, "drawn": {"loss.scale": "10", "a.rate": 0.000123456}, "note": ""},
    {"trial": 0, "state": "failed", "value": None, "drawn": {"loss.scale": "inf"}, "note": "a | b"},
]


def test_the_table_shows_values_in_short():
    text = as_text(_study_tables(ROWS, "dev/sts/spearman_cosine")[0])
    assert text.startswith("trials by dev/sts/spearman_cosine")
    headings, *lines = (line.split() for line in text.splitlines() if line.strip() and line[1:2] != "─")
    assert ["trial", "dev", "scale", "rate", "outcome"] in (headings, *lines)
    assert ["1", "0.5123", "10", "0.0001235", "done"] in lines
    assert ["0", "-", "inf", "-", "failed,", "a", "|", "b"] in lines


def test_the_page_begins_with_the_closing_lines():
    lines = _study_markdown(ROWS, [("best", "trial 1")]).splitlines()
    assert lines[:3] == ["- **best** trial 1", "", "| trial | dev | scale | rate | outcome |"]
    assert lines[-1] == "| 0 | - | inf | - | failed, a \\| b |"


def test_the_file_has_values_in_full():
    rows = [*csv.DictReader(_study_csv(ROWS).splitlines())]
    assert rows[0] == {
        "trial": "1",
        "state": "done",
        "value": "0.51234",
        "loss.scale": "10",
        "a.rate": "0.000123456",
        "note": "",
    }
    assert rows[1]["value"] == rows[1]["a.rate"] == ""
