"""Words of a text: with the signs between them, and as terms for BM25 (stems, words of Chinese)."""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy

from embexp.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    import rjieba
    import scipy.sparse

# Scripts that are written without spaces: kana and Chinese characters.
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SIGNS = "!-/:-@\\[-`{-~\u00a1-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u2010-\u2027\u2030-\u205e"
_SIGNS += "\u3001-\u3004\u3008-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
# A run of letters may hold signs inside, as don't, 3.5 and re-use do; all other signs stand before or after it.
_RUN = re.compile(
    rf"(?P<before>[{_SIGNS}]*)"
    rf"(?P<core>[{_UNSPACED}]+|[^\s{_SIGNS}{_UNSPACED}]+(?:[{_SIGNS}]+[^\s{_SIGNS}{_UNSPACED}]+)*|(?<=[{_SIGNS}]))"
    rf"(?P<after>[{_SIGNS}]*\s*)"
)
# What jieba segments; all other characters are words of their own, which rjieba would join.
_SEGMENTED = re.compile("[\u4e00-\u9fd5]+|.")


class Word(NamedTuple):
    """A word with the signs before it, and the signs and spaces after it; all three make the text."""

    before: str
    core: str
    after: str


def words_of(text: str) -> list[Word]:
    """The words of a text in their order; Chinese is segmented as jieba does it, kana are words of one character.

    Together they give the text again, without spaces at its beginning. A run of signs alone is a word without core.

    >>> [word.core for word in words_of("Don't worry (3.5 % is fine): 我在银行工作。OK")]
    ["Don't", 'worry', '3.5', '', 'is', 'fine', '我', '在', '银行', '工作', 'OK']
    >>> text_of(words_of("Don't worry (3.5 % is fine): 我在银行工作。OK"))
    "Don't worry (3.5 % is fine): 我在银行工作。OK"
    """
    matches = (match for match in _RUN.finditer(text.lstrip()) if match.group())  # none at the end matches, too
    return [word for match in matches for word in _divided(*match.group("before", "core", "after"))]


def text_of(words: Iterable[Word]) -> str:
    """The text of the words, without spaces at its ends."""
    return "".join(part for word in words for part in word).strip()


def _divided(before: str, core: str, after: str) -> Iterator[Word]:
    if not core or not re.match(f"[{_UNSPACED}]", core):
        yield Word(before, core, after)
        return
    parts = [part for piece in _SEGMENTED.findall(core) for part in _segmenter().cut(piece)]
    for place, part in enumerate(parts):
        yield Word(before if place == 0 else "", part, after if place == len(parts) - 1 else "")


@functools.cache
def _segmenter() -> "rjieba.Jieba":
    """A segmenter of our own: any code can add words to the library's global one."""
    import rjieba

    return rjieba.Jieba()


_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TERM_RUN = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")
_IS_HAN = re.compile(f"[{_HAN}]")


class Terms:
    """Splits texts into terms and numbers these, from 0.

    The script decides on the language, so mixed texts need no detection: a run of Chinese characters is segmented; a
    run of letters and digits gets lower case and is stemmed. Stop words go (those of bm25s: 179 English ones, 841
    Chinese ones).

    Args:
        language: of the words in letters, as Snowball calls it, such as english; None for no stemming.

    Raises:
        ConfigError: Snowball has no such language.
    """

    def __init__(self, language: str | None) -> None:
        self.numbers: dict[str, int] = {"": 0}
        self._stem = _stemmer(language)
        self._stop_words = _stop_words(language)
        self._of_runs: dict[str, list[int]] = {}

    def numbers_of(self, text: str) -> list[int]:
        """The numbers of a text's terms in their order, repeated ones included."""
        known = self._of_runs
        runs = _TERM_RUN.findall(text.lower())
        for run in runs:
            if run not in known:
                known[run] = [self.numbers.setdefault(term, len(self.numbers)) for term in self._terms(run)]
        return [number for run in runs for number in known[run]]

    def counts(self, texts: Iterable[str], num_terms: int) -> "scipy.sparse.csr_array":
        """How often each of the first `num_terms` terms occurs in each text, float32 `(texts, num_terms)`."""
        import scipy.sparse

        found = [[number for number in self.numbers_of(text) if number < num_terms] for text in texts]
        ends = numpy.cumsum([0, *map(len, found)])
        numbers = numpy.fromiter((number for some in found for number in some), "int32", ends[-1])
        ones = numpy.ones(len(numbers), "float32")
        counts = scipy.sparse.csr_array((ones, numbers, ends), shape=(len(found), num_terms))
        counts.sum_duplicates()
        return counts

    def _terms(self, run: str) -> Iterator[str]:
        if _IS_HAN.match(run):
            yield from (word.core for word in words_of(run) if word.core not in self._stop_words)
        elif run not in self._stop_words:
            yield self._stem(run)


def _stemmer(language: str | None):
    import Stemmer

    if language is None:
        return str
    if language not in Stemmer.algorithms():
        key, expected = "retriever.language", f"null or one of: {listed(Stemmer.algorithms())}"
        note = did_you_mean(str(language), Stemmer.algorithms())
        raise ConfigError("has no stemmer", key=key, given=language, expected=expected, note=note, fix=f"{key}=english")
    return Stemmer.Stemmer(language).stemWord


@functools.cache
def _stop_words(language: str | None) -> frozenset[str]:
    from bm25s import stopwords

    name = {"english": "EN_PLUS"}.get(str(language), str(language).upper())
    return frozenset({*stopwords.STOPWORDS_CHINESE, *getattr(stopwords, f"STOPWORDS_{name}", ())})
