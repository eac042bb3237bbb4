"""Words in the place of others that mean the same, from any source of synonyms."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from embexp.steps.rewording.rewording import check_share, drawn, num_changed
from embexp.steps.rewording.word_splitting import Word, text_of, words_of


class SynonymSource(Protocol):
    """Knows words that mean the same."""

    def of(self, word: str) -> Sequence[str]:
        """The synonyms of a word in lower case; none where it has none."""


@dataclass(frozen=True)
class Synonyms:
    """A share of the words is replaced by a synonym each (Zhang et al. 2015; Wei & Zou 2019, EDA).

    Left alone are words as "the" and "not" (scikit-learn's stop words), and words with capitals, mostly names, but
    for the first one.
    """

    share: float
    source: SynonymSource

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        known = dict(self._known(words))
        for place in drawn(known, num_changed(self.share, len(words)), draw):
            core, synonym = words[place].core, draw.choice(known[place])
            same_case = synonym[0].upper() + synonym[1:] if core[0].isupper() else synonym
            words[place] = words[place]._replace(core=same_case)
        return text_of(words)

    def _known(self, words: Sequence[Word]) -> Iterator[tuple[int, Sequence[str]]]:
        """The places of words that have synonyms, with these."""
        for place, word in enumerate(words):
            lower = word.core.lower()
            is_plain = word.core[1:] == lower[1:] and (place == 0 or word.core == lower)
            if lower and is_plain and lower not in _stop_words() and (synonyms := self.source.of(lower)):
                yield place, synonyms


@functools.cache
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS
