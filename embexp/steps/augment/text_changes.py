"""Changes to a text without a model: words deleted, swapped or masked, typing errors, sentences reordered."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.steps.word_tokenizer import text_of, words_of

_SHOWN_CHARS = 80  # of each text of an example


class TextChange(Protocol):
    """Changes a text; returns one that it cannot change as it is."""

    def __call__(self, text: str, rng: Random) -> str: ...


def change_text(text: str, change: TextChange, *seeds: Any) -> str:
    """The text, changed. Text and seeds alone decide how, so the order of the rows changes nothing."""
    return change(text, Random(" ".join(map(str, (*seeds, text)))))


@dataclass(frozen=True)
class ShareOfWords:
    """What changes a share of the words, in [0, 1)."""

    share: float

    def __post_init__(self) -> None:
        refuse(problems_with("share", self.share, LegalValues(least=0, below=1), such_as=0.1))


def sample_places(places: Iterable[int], num_words: int, share: float, rng: Random, least: int = 1) -> Sequence[int]:
    """A sample of the places for a share of the words, `least` at least, in order; all places where there are fewer."""
    places = list(places)
    return sorted(rng.sample(places, min(_num_changed(share, num_words, least), len(places))))


def _num_changed(share: float, num_words: int, least: int = 1) -> int:
    """How many words a share of them is: `least` at least, none of a share of 0.

    >>> _num_changed(0.1, 30), _num_changed(0.1, 3), _num_changed(0, 30)
    (3, 1, 0)
    """
    return max(least, round(share * num_words)) if share else 0


def shown_change(before: str, after: str) -> str:
    """A text before and after a change, shortened for a report.

    >>> shown_change("a big profit", "a large profit")
    'a big profit -> a large profit'
    """
    short = (text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…" for text in (before, after))
    return " -> ".join(short)


# What ends a sentence, with the quotes and brackets that close it; a full stop only where a space follows. Each run of
# stops is looked at once, from its beginning: at every place of it, a text of 10,000 dots would take seconds.
_STOPS = r"[.!?]++[”’\"')\]]*+(?=\s)"
_SENTENCE = re.compile(rf"\S(?:{_STOPS}|.*?(?:[。！？…]+[”’」』）\"')\]]*|(?<![.!?]){_STOPS}|(?=\n)|$))", re.DOTALL)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without the spaces between them; the stop of an abbreviation ends one, too.

    >>> sentences_of('It rose 3.5 %. Why? "Demand."  我不知道。真的！')
    ['It rose 3.5 %.', 'Why?', '"Demand."', '我不知道。', '真的！']
    """
    return _SENTENCE.findall(text)


def without_sentence(text: str, number: int) -> str:
    """The text without one of its sentences and the spaces after it.

    >>> without_sentence("It rose. Why? Demand.", 1), without_sentence("我不知道。真的！", 1)
    ('It rose. Demand.', '我不知道。')
    """
    sentence = list(_SENTENCE.finditer(text))[number]
    return (text[: sentence.start()] + text[sentence.end() :].lstrip()).strip()


@dataclass(frozen=True)
class SentenceShuffle:
    """The sentences in random order; texts of fewer than `min_sentences` stay as they are."""

    min_sentences: int

    def __call__(self, text: str, rng: Random) -> str:
        sentences = sentences_of(text)
        if len(sentences) < max(2, self.min_sentences):
            return text
        gaps = _SENTENCE.split(text)  # before, between and after them
        order = rng.sample(sentences, len(sentences))
        return "".join(part for pair in zip(gaps, [*order, ""], strict=True) for part in pair)


@dataclass(frozen=True)
class Deletion(ShareOfWords):
    """Deletes each word with probability `share`; one stays (Wang et al. 2021, TSDAE: 0.6; Wei & Zou 2019, EDA: 0.1).

    >>> Deletion(0.6)("the bank raised the rate again", Random(3))
    'the rate'
    """

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        kept = [word for word in words if rng.random() >= self.share]
        return text_of(kept or [rng.choice(words)])


@dataclass(frozen=True)
class Swap(ShareOfWords):
    """A share of the words, two at least, change places in a circle; signs and spaces stay where they are."""

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        places = [place for place, word in enumerate(words) if word.core]
        if not self.share or len(places) < 2:
            return text
        moved = sample_places(places, len(places), self.share, rng, least=2)
        cores = [words[place].core for place in moved]
        for place, core in zip(moved, cores[-1:] + cores[:-1], strict=True):
            words[place] = words[place]._replace(core=core)
        return text_of(words)


@dataclass(frozen=True)
class Mask(ShareOfWords):
    """Each word becomes the token with the probability `share`, as for a masked language model.

    Args:
        token: the model's own mask token: [MASK] for BERT, <mask> for RoBERTa and MPNet.
    """

    token: str

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        return text_of(
            word._replace(core=self.token) if word.core and rng.random() < self.share else word for word in words
        )


@dataclass(frozen=True)
class Crop(ShareOfWords):
    """Cuts a share of the words from the ends; one word stays at least."""

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        num_kept = max(1, len(words) - _num_changed(self.share, len(words)))
        start = rng.randint(0, len(words) - num_kept)
        return text_of(words[start : start + num_kept])


_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours(letter: str) -> str:
    """The letters next to a letter, and those above and below it.

    >>> _neighbours("s")
    'adwezx'
    """
    row = next(number for number, letters in enumerate(_ROWS) if letter in letters)
    place = _ROWS[row].index(letter)
    near = [(row, place - 1), (row, place + 1)]
    near += [(row - 1, place), (row - 1, place + 1), (row + 1, place - 1), (row + 1, place)]
    return "".join(_ROWS[at][column] for at, column in near if 0 <= at < 3 and 0 <= column < len(_ROWS[at]))


NEIGHBOURS = {letter: _neighbours(letter) for letters in _ROWS for letter in letters}


@dataclass(frozen=True)
class KeyboardTypos(ShareOfWords):
    """A share of the words gets a typing error each: a neighbouring key, a letter left out or twice, two exchanged.

    Only words of at least `min_letters` letters from a to z; never in the first letter, so that they stay readable.
    """

    min_letters: int

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        least = max(3, self.min_letters)
        cores = [(place, word.core) for place, word in enumerate(words) if len(word.core) >= least]
        typable = [place for place, core in cores if core.isascii() and core.isalpha()]
        for place in sample_places(typable, len(words), self.share, rng):
            words[place] = words[place]._replace(core=_mistyped(words[place].core, rng))
        return text_of(words)


def _mistyped(word: str, rng: Random) -> str:
    """The word with an error, never the same word."""
    made = word
    while made == word:
        kind, place = rng.choice(("neighbour", "left out", "twice", "exchanged")), rng.randrange(1, len(word))
        before, letter, after = word[:place], word[place], word[place + 1 :]
        if kind == "neighbour":
            key = rng.choice(NEIGHBOURS[letter.lower()])
            made = before + (key.upper() if letter.isupper() else key) + after
        elif kind == "exchanged":  # with the next letter; the last one has none
            made = before + after[:1] + letter + after[1:]
        else:
            made = before + (letter * 2 if kind == "twice" else "") + after
    return made
