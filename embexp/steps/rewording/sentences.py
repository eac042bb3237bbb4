"""Sentences in another order, for long texts whose meaning hardly hangs on it."""

import re
from dataclasses import dataclass
from random import Random

# What ends a sentence, with the quotes and brackets that close it; a full stop only where a space follows.
_SENTENCE = re.compile(r"\S.*?(?:[。！？…]+[”’」』）\"')\]]*|[.!?]+[”’\"')\]]*(?=\s)|(?=\n)|$)", re.DOTALL)


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without the spaces between them; an abbreviation's stop ends one, too.

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
    """The sentences in an order that is drawn; texts of fewer than `min_sentences` stay as they are."""

    min_sentences: int

    def __call__(self, text: str, draw: Random) -> str:
        sentences = sentences_of(text)
        if len(sentences) < max(2, self.min_sentences):
            return text
        gaps = _SENTENCE.split(text)  # what stands before, between and after them
        order = draw.sample(sentences, len(sentences))
        return "".join(part for pair in zip(gaps, [*order, ""], strict=True) for part in pair)
