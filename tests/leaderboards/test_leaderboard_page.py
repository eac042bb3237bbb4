"""The page of a leaderboard: whole in itself, names escaped, a table that a script can sort."""

import html
import re
from dataclasses import replace
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


def of_sweep(number, place, page="", **params):
    """A run in a folder, with a page in its tracker."""
    return replace(recorded(number, 0.01 * number, **params), folder=place, page=page)


def test_each_cell_opens_into_its_seeds_with_links_to_their_page_and_folder(tmp_path):
    store = "mlflow ui --backend-store-uri 'sqlite:///a \"b\"/mlflow.db'"
    jobs = [tmp_path / "sweep" / str(number) for number in (0, 1)] + [tmp_path / "another <b> & 中文"]
    runs = [
        of_sweep(2, jobs[0], f"http://127.0.0.1:5000/#/experiments/1/runs/ab (after: {store})", seed=10),
        of_sweep(1, jobs[1], "javascript:alert(1)", seed=2),
        of_sweep(3, jobs[2], loss=NAME),
    ]
    text = leaderboard_page(make_leaderboard(runs), (), tmp_path / "sweep" / "leaderboard")
    links = [attributes["href"] for tag, attributes in Page(text).tags if tag == "a"]
    assert links == [jobs[2].as_uri() + "/", "../1/", "http://127.0.0.1:5000/#/experiments/1/runs/ab", "../0/"]
    assert "javascript:" not in text
    items = [
        " ".join(re.sub("<.*?>", " ", each).split()) for each in re.findall("<li>(seed .*?)</li>", text, re.DOTALL)
    ]
    assert items == [
        "seed 1: 0.6300, +0.0300 folder",
        "seed 2: 0.6100, +0.0100 folder",  # 2 before 10
        "seed 10: 0.6200, +0.0200 MLflow folder",
    ]
    assert f"answer after: <code>{html.escape(store, quote=True)}" in text.replace("&#34;", "&quot;").replace(
        "&#39;", "&#x27;"
    )
    assert text.count("<summary>2 seeds</summary>") == 1


def test_a_sentence_says_the_result_to_people_who_read_no_tables():
    runs = [recorded(1, 0.05), recorded(2, 0.045, loss="cosent"), recorded(3, -0.3, loss="angle")]
    text = " ".join(page_of(*runs).split())
    assert (
        "Of 3 trained models mnrl · minilm scores highest (0.6500 by test/sts/spearman_cosine) and is better than its "
        "untouched model (+0.0500); 1 other is not significantly worse.</p>" in text
    )
    text = page_of(recorded(1, -0.05, loss=NAME))
    assert "minilm scores 0.5500 by" not in text
    assert "and is worse than its untouched model (-0.0500). The untouched minilm scores 0.6000." in text
    both = page_of(recorded(1, 0.05), recorded(2, 0.05, dataset="other"))
    assert both.count('<p class="in-words">Group ') == 2


def test_costs_sort_with_the_least_first():
    headings = [attributes for tag, attributes in Page(page_of(recorded(1, 0.05))).tags if tag == "th"]
    assert [each.get("data-first") for each in headings if "tabindex" in each].count(
        "ascending"
    ) == 2  # wall s, parameters


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
