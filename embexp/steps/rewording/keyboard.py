"""Typing errors, as fingers make them on a QWERTY keyboard."""

from dataclasses import dataclass
from random import Random

from embexp.steps.rewording.rewording import check_share, drawn, num_changed
from embexp.steps.rewording.word_splitting import text_of, words_of

ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _neighbours(letter: str) -> str:
    """The letters beside a letter, and those above and below it.

    >>> _neighbours("s")
    'adwezx'
    """
    row = next(number for number, letters in enumerate(ROWS) if letter in letters)
    place = ROWS[row].index(letter)
    near = [(row, place - 1), (row, place + 1)]
    near += [(row - 1, place), (row - 1, place + 1), (row + 1, place - 1), (row + 1, place)]
    return "".join(ROWS[at][column] for at, column in near if 0 <= at < 3 and 0 <= column < len(ROWS[at]))


NEIGHBOURS = {letter: _neighbours(letter) for letters in ROWS for letter in letters}


@dataclass(frozen=True)
class KeyboardTypos:
    """A share of the words gets a typing error each: a key beside the right one, one left out or twice, two exchanged.

    Only words of at least `min_letters` letters from a to z; never in the first letter, so that they stay readable.
    """

    share: float
    min_letters: int

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        for place in drawn(self._typable(words), num_changed(self.share, len(words)), draw):
            words[place] = words[place]._replace(core=_mistyped(words[place].core, draw))
        return text_of(words)

    def _typable(self, words: list) -> list[int]:
        return [
            place
            for place, word in enumerate(words)
            if len(word.core) >= max(3, self.min_letters) and word.core.isascii() and word.core.isalpha()
        ]


def _mistyped(word: str, draw: Random) -> str:
    """The word with an error, another word in any case."""
    kinds = (_beside, _left_out, _twice, _exchanged)
    while (made := draw.choice(kinds)(word, draw.randrange(1, len(word)), draw)) == word:
        pass
    return made


def _beside(word: str, place: int, draw: Random) -> str:
    key = draw.choice(NEIGHBOURS[word[place].lower()])
    return word[:place] + (key.upper() if word[place].isupper() else key) + word[place + 1 :]


def _left_out(word: str, place: int, _: Random) -> str:
    return word[:place] + word[place + 1 :]


def _twice(word: str, place: int, _: Random) -> str:
    return word[:place] + word[place] + word[place:]


def _exchanged(word: str, place: int, _: Random) -> str:
    """With the letter at the place and the one after it exchanged; the last letter has none after it."""
    return word[:place] + word[place : place + 2][::-1] + word[place + 2 :]
