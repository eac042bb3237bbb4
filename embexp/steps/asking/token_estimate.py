"""How many tokens texts are, about, without a model's tokenizer."""

import math
import re
from collections.abc import Iterable

LETTERS_PER_TOKEN = 4  # of alphabets
AROUND_A_TEXT = 4  # tokens that say who speaks
_WIDE = re.compile(r"[\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")  # about a token each


def estimated_tokens(texts: Iterable[str]) -> int:
    """Tokens of texts: one for four letters, one for a Chinese, Japanese or Korean character.

    >>> estimated_tokens(["The bank raised the rate."]), estimated_tokens(["银行提高了利率。"])
    (11, 12)
    """
    return sum(AROUND_A_TEXT + _tokens(text) for text in texts)


def _tokens(text: str) -> int:
    wide = len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / LETTERS_PER_TOKEN)
