"""Fonts: Chinese is drawn by a font that has it, and where there is none that is told once."""

import logging

import matplotlib.image
import numpy
import pytest
from matplotlib import font_manager

from embexp.reports.pictures import canvas
from embexp.reports.pictures.canvas import families, picture
from embexp.reports.pictures.learning_curves import draw_learning_curves
from embexp.reports.pictures.projection import draw_projection
from embexp.reports.pictures.similarities import (
    draw_binary_histogram,
    draw_gold_against_predicted,
    draw_scored_histogram,
)
from embexp.reports.pictures.similarity_matrix import draw_similarity_matrix

pytestmark = pytest.mark.usefixtures("only_dejavu", "real_pictures")


def add(path):
    font_manager.fontManager.addfont(path)


def draw(path, text):
    with picture(path, "title", "subject", [text]) as figure:
        figure.text(0.1, 0.5, text, fontsize=30)
    return matplotlib.image.imread(path)


def test_latin_texts_need_no_other_font(make_font, caplog):
    add(make_font("Toy Han"))
    assert families(["A man is playing – “quotes”, €5, ß, Ω, Жизнь"]) == ["DejaVu Sans"]
    assert not caplog.records


def test_chinese_texts_get_a_font_that_has_them(make_font, caplog):
    add(make_font("Toy Han"))
    assert families(["English", "股票大跌"]) == ["DejaVu Sans", "Toy Han"]
    assert not caplog.records


def test_the_font_that_has_all_characters_wins(make_font):
    add(make_font("A Few", "股"))
    add(make_font("Most", "股票"))
    assert families(["股票大跌"]) == ["DejaVu Sans", "Most"]
    add(make_font("Whole"))
    assert families(["股票大跌"]) == ["DejaVu Sans", "Whole"]


def test_among_equals_the_preferred_family_wins(make_font):
    for family in ("AR Toy", "SimHei", "Noto Sans CJK SC", "Zen Toy"):
        add(make_font(family))
    assert families(["股票"]) == ["DejaVu Sans", "Noto Sans CJK SC"]


def test_a_font_that_has_only_boxes_is_passed_over(make_font):
    add(make_font("Last Resort High-Efficiency"))
    assert families(["股票"]) == ["DejaVu Sans"]


def test_a_font_installed_after_matplotlib_made_its_list_is_found(make_font, monkeypatch, tmp_path):
    new, broken = make_font("Toy Han"), tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), str(new)])
    assert families(["股票"]) == ["DejaVu Sans", "Toy Han"]


def test_a_listed_font_whose_file_is_gone_is_passed_over(make_font):
    gone = make_font("SimHei")
    add(gone)
    gone.unlink()
    add(make_font("Toy Han"))
    assert families(["股票"]) == ["DejaVu Sans", "Toy Han"]


def test_without_a_font_it_is_told_once_what_to_install_and_drawn_nevertheless(caplog, tmp_path):
    with caplog.at_level(logging.WARNING, logger="embexp"):
        first = draw(tmp_path / "a.png", "股票大跌")
        draw(tmp_path / "b.png", "銀行")
    (record,) = caplog.records
    assert record.name == "embexp.reports.pictures.canvas"
    assert "apt-get install fonts-noto-cjk" in record.getMessage()
    assert "~/.local/share/fonts" in record.getMessage()
    assert first[200:500].min() < 0.5


def test_the_fonts_glyphs_are_drawn(make_font, tmp_path, caplog):
    add(make_font("Toy Han"))
    with_squares = draw(tmp_path / "a.png", "股票")[300:400]
    assert numpy.mean(with_squares[..., 0] < 0.1) > 0.03  # two black squares of 30 points
    assert numpy.array_equal(with_squares, draw(tmp_path / "b.png", "大跌")[300:400])
    assert not caplog.records


def test_dollars_are_no_formulas(tmp_path):
    assert not numpy.array_equal(draw(tmp_path / "a.png", "$5 or $6"), draw(tmp_path / "b.png", "5 or 6"))
    draw(tmp_path / "c.png", r"$\frac{5 or $6")


@pytest.mark.parametrize("text", ["股", "，", "あ", "カ", "한", "𠮷", "Ａ"])
def test_all_of_chinese_japanese_and_korean_looks_for_a_font(make_font, text):
    add(make_font("Toy Han", text))
    assert families([text]) == ["DejaVu Sans", "Toy Han"]


NUMBERS = numpy.linspace(0, 1, 4)
STRINGS = {
    draw_scored_histogram: ("{}", NUMBERS, {"{}": NUMBERS, "{} ": NUMBERS}, "{}"),
    draw_binary_histogram: ("{}", NUMBERS > 0.5, {"{}": NUMBERS, "{} ": NUMBERS}, "{}", (1, 1), (0.5, 0.5)),
    draw_gold_against_predicted: ("{}", NUMBERS, {"{}": NUMBERS, "{} ": NUMBERS}, "{}", (1, 1)),
    draw_learning_curves: ("{}", [(1, 1.0)], [], "{}", None, None),
    draw_similarity_matrix: ("{}", ["{}", "{}"], numpy.ones((2, 2)), numpy.ones((2, 2)), "{}", ("{}", "{}")),
    draw_projection: ("{}", ["{}", "{}"], numpy.eye(2), numpy.eye(2), ("{}", "{}")),
}


@pytest.mark.parametrize("function", STRINGS)
def test_every_text_that_is_drawn_counts_for_the_choice_of_the_font(function, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(canvas, "families", lambda texts: seen.extend(texts) or families([]))
    expected, arguments = filled(STRINGS[function])
    function(tmp_path / "a.png", *arguments)
    assert {text for text in expected if not any(text in other for other in seen)} == set()
    assert len(expected) > 1


def filled(arguments, start=0x4E00):
    """The arguments with a different Chinese character for each "{}", and these characters."""
    characters = []

    def fill(value):
        if isinstance(value, list | tuple):
            return type(value)(map(fill, value))
        if isinstance(value, dict):
            return {fill(key): each for key, each in value.items()}
        if not isinstance(value, str):
            return value
        characters.append(chr(start + len(characters)))
        return characters[-1]

    return characters, fill(arguments)
