"""The page of a leaderboard: whole in itself, names escaped, a table that a script can sort."""

import re
from html.parser import HTMLParser

import pytest
from recorded_runs import recorded

from embexp.leaderboards.make import make_leaderboard, write_leaderboard
from embexp.leaderboards.page import leaderboard_page

NAME = "<script>alert('x')</script> 余弦 & \"损失\""


class Page(HTMLParser):
    """What a page holds: the tags with their attributes, and the cells of the table `ranking`, row by row."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.is_ranking, self.cell = [], [], False, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.is_ranking = dict(attributes).get("id") == "ranking"
        if self.is_ranking and tag == "tr":
            self.rows.append([])
        self.cell = dict(attributes) if tag in ("th", "td") and self.is_ranking else None

    def handle_data(self, text):
        if self.cell is not None and text.strip():
            self.rows[-1].append((text.strip(), self.cell.get("data-value")))


def page_of(*runs, pictures=()):
    return leaderboard_page(make_leaderboard(runs), pictures)


def test_names_are_escaped_wherever_they_stand():
    text = page_of(recorded(1, 0.05, loss=NAME, model=NAME), recorded(2, 0.01, loss="mnrl", model=NAME))
    assert text.count("<script>") == 1
    assert "alert('x')" not in text
    assert [cells[0][0] for cells in Page(text).rows[1:]].count(NAME) == 1


def test_every_heading_can_be_reached_and_every_number_sorted():
    page = Page(page_of(recorded(1, 0.05), recorded(2, -0.05, loss="cosent")))
    headings, best = page.rows[0], dict(zip([name for name, _ in page.rows[0]], page.rows[1], strict=False))
    names = [name for name, _ in headings]
    assert names[:4] == ["loss", "model", "score", "95 % interval"]
    assert best["score"] == ("0.6500*", "0.65")
    in_ranking = [attributes for tag, attributes in page.tags if tag == "th" and "tabindex" in attributes]
    assert len(in_ranking) == len(headings)


@pytest.mark.usefixtures("real_pictures")
def test_pictures_are_inside_and_nothing_is_fetched(tmp_path):
    write_leaderboard(make_leaderboard([recorded(1, 0.05)]), tmp_path)
    text = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    page = Page(text)
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)
    assert not re.search(r"https?://", text)
    assert not [attributes for tag, attributes in page.tags if tag in ("link", "script") and attributes]


def test_a_board_without_runs_is_a_page_with_its_notes():
    text = page_of()
    assert "There is no run." in text
    assert "<table" not in text
