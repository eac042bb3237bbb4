"""Changes that know nothing of a language but its words: deletion, swap, mask, crop."""

from dataclasses import dataclass
from random import Random

from embexp.steps.rewording.rewording import check_share, drawn, num_changed
from embexp.steps.rewording.word_splitting import text_of, words_of


@dataclass(frozen=True)
class Deletion:
    """Each word goes with the probability `share`; one stays (Wang et al. 2021, TSDAE: 0.6; Wei & Zou 2019, EDA: 0.1).

    >>> Deletion(0.6)("the bank raised the rate again", Random(3))
    'the rate'
    """

    share: float

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        kept = [word for word in words if draw.random() >= self.share]
        return text_of(kept or [draw.choice(words)])


@dataclass(frozen=True)
class Swap:
    """A share of the words, two at least, change places among themselves; signs and spaces stay where they are.

    Each of these words comes to stand in the place of the next of them.
    """

    share: float

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        places = [place for place, word in enumerate(words) if word.core]
        if not self.share or len(places) < 2:
            return text
        moved = drawn(places, max(2, num_changed(self.share, len(places))), draw)
        cores = [words[place].core for place in moved]
        for place, core in zip(moved, cores[-1:] + cores[:-1], strict=True):
            words[place] = words[place]._replace(core=core)
        return text_of(words)


@dataclass(frozen=True)
class Mask:
    """Each word becomes the token with the probability `share`, as for a masked language model.

    Args:
        token: the model's own mask token: [MASK] for BERT, <mask> for RoBERTa and MPNet.
    """

    share: float
    token: str

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        return text_of(
            word._replace(core=self.token) if word.core and draw.random() < self.share else word for word in words
        )


@dataclass(frozen=True)
class Crop:
    """A share of the words goes from the ends; what stays stood together, and is one word at least."""

    share: float

    def __post_init__(self) -> None:
        check_share(self, self.share)

    def __call__(self, text: str, draw: Random) -> str:
        words = words_of(text)
        num_kept = max(1, len(words) - num_changed(self.share, len(words)))
        start = draw.randint(0, len(words) - num_kept)
        return text_of(words[start : start + num_kept])
