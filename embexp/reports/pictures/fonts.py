"""Fonts for texts that DejaVu Sans cannot draw: Chinese, Japanese and Korean ones."""

import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry

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
