"""Words of a text, with what stands between them, so that the text can be put together again."""

import functools
import logging
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import jieba

# Scripts that are written without spaces: kana and Chinese characters.
UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SIGNS = "!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u2027\u2030-\u205e"
_SIGNS += "\u3001-\u3004\u3008-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
# A run of letters may hold signs inside, as don't, 3.5 and re-use do; all other signs stand before or after it.
_RUN = re.compile(
    rf"(?P<before>[{_SIGNS}]*)"
    rf"(?P<core>[{UNSPACED}]+|[^\s{_SIGNS}{UNSPACED}]+(?:[{_SIGNS}]+[^\s{_SIGNS}{UNSPACED}]+)*|(?<=[{_SIGNS}]))"
    rf"(?P<after>[{_SIGNS}]*\s*)"
)


class Word(NamedTuple):
    """A word with the signs before it, and the signs and spaces after it; all three make the text."""

    before: str
    core: str
    after: str


def words_of(text: str) -> list[Word]:
    """The words of a text in their order; those of Chinese as jieba tells them, kana one by one.

    Put together they give the text again, but for spaces at its beginning. A run of signs alone is a word without core.

    >>> [word.core for word in words_of("Don't worry (3.5 % is fine): 我在银行工作。OK")]
    ["Don't", 'worry', '3.5', '', 'is', 'fine', '我', '在', '银行', '工作', 'OK']
    >>> text_of(words_of("Don't worry (3.5 % is fine): 我在银行工作。OK"))
    "Don't worry (3.5 % is fine): 我在银行工作。OK"
    """
    matches = (match for match in _RUN.finditer(text.lstrip()) if match.group())  # none at the end matches, too
    return [word for match in matches for word in _divided(*match.group("before", "core", "after"))]


def text_of(words: Iterable[Word]) -> str:
    """The text that the words make, without spaces at its ends."""
    return "".join(part for word in words for part in word).strip()


def _divided(before: str, core: str, after: str) -> Iterator[Word]:
    if not core or not re.match(f"[{UNSPACED}]", core):
        yield Word(before, core, after)
        return
    parts = list(_segmenter().cut(core))
    for place, part in enumerate(parts):
        yield Word(before if place == 0 else "", part, after if place == len(parts) - 1 else "")


@functools.cache
def _segmenter() -> "jieba.Tokenizer":
    """A segmenter of our own: the library's global one is anybody's to add words to."""
    import jieba

    logging.getLogger(jieba.__name__).setLevel(logging.WARNING)  # it tells of every dictionary that it loads
    return jieba.Tokenizer()
