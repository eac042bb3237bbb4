"""The terms by which BM25 compares texts: stems of words in letters, words of Chinese."""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from embexp.errors import ConfigError, did_you_mean, listed
from embexp.steps.rewording.word_splitting import words_of

if TYPE_CHECKING:
    import scipy.sparse

HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{HAN}]+|[^\W{HAN}]+")
_IS_HAN = re.compile(f"[{HAN}]")


class Terms:
    """Finds the terms of texts and gives each a number, from 0.

    The script tells the language: a run of Chinese characters is cut into words by jieba wherever it stands, so texts
    of both languages, or of one in the other, need no detection; a run of letters and digits is put in lower case and
    stemmed. Stop words go (those of bm25s: English has 179, Chinese 841).

    Args:
        language: of the words in letters, as Snowball calls it, such as english; None leaves them unstemmed.

    Raises:
        ConfigError: Snowball has no such language.
    """

    def __init__(self, language: str | None) -> None:
        self.numbers: dict[str, int] = {"": 0}
        self._stem = _stemmer(language)
        self._stop_words = _stop_words(language)
        self._of_runs: dict[str, list[int]] = {}

    def of(self, text: str) -> list[int]:
        """The numbers of a text's terms in their order, each as often as it stands there."""
        known = self._of_runs
        runs = _RUN.findall(text.lower())
        for run in runs:
            if run not in known:
                known[run] = [self.numbers.setdefault(term, len(self.numbers)) for term in self._terms(run)]
        return [number for run in runs for number in known[run]]

    def counts(self, texts: Iterable[str], num_terms: int) -> "scipy.sparse.csr_array":
        """How often each of the first `num_terms` terms stands in each text, float32 `(texts, num_terms)`."""
        import numpy
        import scipy.sparse

        found = [[number for number in self.of(text) if number < num_terms] for text in texts]
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
        raise ConfigError(
            f"retriever.language={language} has no stemmer. Expected null or one of: {listed(Stemmer.algorithms())}. "
            f"{did_you_mean(str(language), Stemmer.algorithms())}".strip()
        )
    return Stemmer.Stemmer(language).stemWord


@functools.cache
def _stop_words(language: str | None) -> frozenset[str]:
    from bm25s import stopwords

    name = {"english": "EN_PLUS"}.get(str(language), str(language).upper())
    return frozenset({*stopwords.STOPWORDS_CHINESE, *getattr(stopwords, f"STOPWORDS_{name}", ())})
