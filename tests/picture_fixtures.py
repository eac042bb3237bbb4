"""Fixtures of the pictures: the figure behind a PNG, and a machine with or without a font for Chinese."""

from pathlib import Path

import matplotlib.image
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from embexp.reports.pictures import canvas

TOY_CHARACTERS = "股票大跌，"
SAVE = Figure.savefig


@pytest.fixture(scope="session", autouse=True)
def blank_pictures():
    """Whole runs write empty files for pictures, as drawing them takes half of a tiny run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, path, **options: Path(path).write_bytes(b""))
        yield


@pytest.fixture
def real_pictures(monkeypatch):
    """Pictures are drawn."""
    monkeypatch.setattr(Figure, "savefig", SAVE)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Calls a function that draws a picture; gives the figure that it wrote as a PNG of 960 pixels' width."""
    figures = []

    def remember(figure, *arguments, **options):
        figures.append(figure)
        SAVE(figure, *arguments, **options)

    def draw(function, *arguments, **options) -> Figure:
        path = tmp_path / "plots" / f"{len(figures)}.png"
        assert function(path, *arguments, **options) is None
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert matplotlib.image.imread(path).shape[1] == 960
        return figures[-1]

    monkeypatch.setattr(Figure, "savefig", remember)
    return draw


@pytest.fixture
def only_dejavu(monkeypatch):
    """A machine on which only the fonts that matplotlib brings are installed."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    assert own
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    for remembered in (canvas._add_fonts_that_are_new, canvas._warn_of_boxes, canvas._num_covered):
        remembered.cache_clear()
    yield
    for remembered in (canvas._add_fonts_that_are_new, canvas._warn_of_boxes, canvas._num_covered):
        remembered.cache_clear()


@pytest.fixture
def make_font(tmp_path):
    """Makes a font file of that family, a bit bold as WenQuanYi Zen Hei is: a black square for each character."""

    def make(family: str, characters: str = TOY_CHARACTERS) -> Path:
        pen = TTGlyphPen(None)
        pen.moveTo((100, 0))
        for corner in ((100, 800), (900, 800), (900, 0)):
            pen.lineTo(corner)
        pen.closePath()
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder([".notdef", "square"])
        builder.setupCharacterMap({ord(character): "square" for character in characters})
        builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
        builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 100)})
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable({"familyName": family, "styleName": "Regular"})
        builder.setupOS2(usWeightClass=500)
        builder.setupPost()
        path = tmp_path / f"{family}.ttf"
        builder.save(path)
        return path

    return make
