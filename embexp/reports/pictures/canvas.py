"""Shared by all pictures: a figure that becomes a PNG, its colours, letters that a thumbnail still shows, and fonts for
texts that DejaVu Sans cannot draw: Chinese, Japanese and Korean ones.
"""

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.reports.tables import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontEntry

# Okabe & Ito 2008: colour-blind readers can distinguish them.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, YELLOW = "#E69F00", "#56B4E9", "#000000", "#F0E442"
GREY, PALE_GREY = "#999999", "#DDDDDD"
SCALE = "cividis"  # from low to high: even steps of lightness, for colour-blind readers, too
MODELS = ("untouched", "trained")

_WIDTH, HEIGHT, _DPI = 6.4, 4.8, 150  # inches: 960 x 720 pixels; MLflow shows them about 250 pixels wide
_TITLE, LEGEND_LINE, _SUBJECT = 0.4, 0.28, 0.3  # inches that they take above and below the panels
_STYLE = {
    "font.size": 13,
    "figure.titlesize": 16,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.labelsize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.5,
    "legend.frameon": False,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.3,
    "legend.handlelength": 1.5,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "text.parse_math": False,  # "$5 or $6" is a price
}

HALF = 24  # Latin letters of a heading that fit above a panel of half the width


@contextmanager
def picture(
    path: Path, title: str, subject: str, texts: Iterable[str] = (), height: float = HEIGHT
) -> "Iterator[Figure]":
    """An empty figure to draw on; it is written as a PNG when the block ends.

    Args:
        title: what is seen, at most 40 characters.
        subject: of what, such as the run and the data; stands small below.
        texts: all other texts of users that are drawn, for the choice of the font.
        height: in inches; the width is 6.4.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fonts = {"font.family": families([title, subject, *texts])}
    with style.context(_STYLE | fonts, after_reset=True), _without_words_on_fonts():
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, y=1 - 0.06 / height, ha="left", va="top", weight="bold").set_in_layout(False)
        small = {"fontsize": 11, "color": "#555555"}
        label = figure.supxlabel(shortened(subject, 80), x=0.99, y=0.06 / height, ha="right", va="bottom", **small)
        label.set_in_layout(False)
        _keep_free(figure, _TITLE)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=_DPI)


@contextmanager
def _without_words_on_fonts() -> Iterator[None]:
    """Silence warnings on fonts: `families` warns of missing characters, and missing bold letters do not matter."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from")
            yield
    finally:
        logger.setLevel(level)


def put_legend(figure: "Figure", axis: "Axes", columns: int, enlarged: float = 1.0) -> None:
    """The legend of one panel in lines below the title, where it hides nothing; none where nothing has a label.

    Args:
        enlarged: how many times larger than in the panel its points are.
    """
    handles, labels = axis.get_legend_handles_labels()
    if not handles:
        return
    top = 1 - _TITLE / figure.get_figheight()
    look = {"ncols": columns, "markerscale": enlarged}
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, top), **look)
    _keep_free(figure, _TITLE + LEGEND_LINE * legend_lines(len(handles), columns) + 0.06)


def legend_lines(labels: int, columns: int) -> int:
    """How many lines so many labels take.

    >>> legend_lines(10, 4)
    3
    """
    return -(-labels // columns)


def _keep_free(figure: "Figure", above: float) -> None:
    """Lay out the panels between that many inches at the top and the subject at the bottom."""
    height = figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, _SUBJECT / height, 1, 1 - (above + _SUBJECT) / height))


def range_of(*arrays: Iterable[float], air: float = 0.05) -> tuple[float, float]:
    """The lowest and the highest finite number of all arrays; (0, 1) where there is none.

    Args:
        air: the share of the range that is added at each end.
    """
    values = numpy.concatenate([numpy.asarray(array, dtype=float).ravel() for array in arrays])
    values = values[numpy.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    added = air * (numpy.ptp(values) or 1.0)
    return float(values.min() - added), float(values.max() + added)


logger = logging.getLogger(__name__)

_FIRST = "DejaVu Sans"  # comes with matplotlib
_CJK = re.compile("[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")
# Those that draw simplified Chinese best, and are widely installed, come first; any other one is better than none.
_PREFERRED = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "SimHei",
    "Heiti SC",
    "STHeiti",
    "Noto Sans CJK JP",
)
_NO_GLYPHS = "Last Resort"  # a font that has a box for every character, and no character
_HOW_TO_INSTALL = (
    "Pictures show boxes in place of Chinese, Japanese or Korean characters: no installed font has them. "
    "Install one: on Debian or Ubuntu type `apt-get install fonts-noto-cjk` (or the smaller fonts-wqy-zenhei); without "
    "root rights put a font file, such as NotoSansSC-Regular.otf of github.com/notofonts/noto-cjk, into "
    "~/.local/share/fonts."
)


def families(texts: Iterable[str]) -> list[str]:
    """The font families to draw these texts with, the first one that has a character draws it.

    Where no font has them, a warning says once what to install, and boxes are drawn.
    """
    characters = frozenset(_CJK.findall("".join(texts)))
    if not characters:
        return [_FIRST]
    found = _best_font(characters)
    if found is None:
        _warn_of_boxes()
        return [_FIRST]
    return [_FIRST, found.name]


def _best_font(characters: frozenset[str]) -> "FontEntry | None":
    """The first font that has all the characters; else the one that has most of them; None where none has any."""
    best, most = None, 0
    for font in _installed_fonts():
        covered = _num_covered(font.fname, characters)
        if covered > most:
            best, most = font, covered
        if most == len(characters):
            break
    return best


def _installed_fonts() -> "Iterator[FontEntry]":
    """The fonts that matplotlib knows, best ones first, then those installed since it made its list."""
    from matplotlib.font_manager import fontManager

    known = [*fontManager.ttflist]
    yield from _by_preference(known)
    _add_fonts_that_are_new()
    yield from _by_preference([font for font in fontManager.ttflist if font not in known])


def _by_preference(fonts: "list[FontEntry]") -> "list[FontEntry]":
    """Preferred families first, upright and regular ones before others, one entry for each file and family."""
    some = [
        font for font in fonts if not font.name.lstrip(".").replace(" ", "").startswith(_NO_GLYPHS.replace(" ", ""))
    ]
    return sorted(some, key=_place)


def _place(font: "FontEntry") -> tuple[int, bool, float, str]:
    place = _PREFERRED.index(font.name) if font.name in _PREFERRED else len(_PREFERRED)
    weight = font.weight if isinstance(font.weight, int) else 400
    return place, font.style != "normal", abs(weight - 400), font.name


@cache
def _add_fonts_that_are_new() -> None:
    """Let matplotlib know of font files that its stored list lacks, such as one that was installed a minute ago."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError) as error:
            logger.debug("The font %s cannot be read: %s", path, error)


@cache
def _num_covered(path: str, characters: frozenset[str]) -> int:
    """How many of the characters the font file has a glyph for; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        return 0
    return sum(font.get_char_index(ord(character)) > 0 for character in characters)


@cache
def _warn_of_boxes() -> None:
    logger.warning(_HOW_TO_INSTALL)
