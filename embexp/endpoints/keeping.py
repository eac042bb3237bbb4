"""What requests take and what they brought: tokens, their price, and tables on disk: nothing is paid for twice."""

import math
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from embexp.core.claims import held

NOT_KEPT = "Answers are not kept (paths.cache=null): after an interruption all are paid for again."


@contextmanager
def open_table(folder: Path | None, name: str) -> Iterator[sqlite3.Connection]:
    """The SQLite file <name>.sqlite of a folder, for this process alone: another one waits, and finds what is there.

    Rows are written one by one, and are whole after a kill. All threads may use it, one at a time.

    Args:
        folder: None keeps rows only as long as this lasts.
    """
    if folder is None:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
            yield connection
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            held(folder, name, waits=True),
            closing(sqlite3.connect(folder / f"{name}.sqlite", check_same_thread=False)) as connection,
        ):
            # A log of writes is as safe against a kill as a journal and needs no disk flush for each answer; with no
            # other process there, SQLite needs no shared memory for it, which network drives do not have.
            for pragma in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = normal"):
                connection.execute(f"pragma {pragma}")
            yield connection


_LETTERS_PER_TOKEN = 4  # of alphabets
_AROUND_A_TEXT = 4  # tokens that say who speaks
_WIDE = re.compile(r"[\u2e80-\ud7ff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")  # about a token each


def estimated_tokens(texts: Iterable[str]) -> int:
    """Tokens of texts: one for four letters, one for a Chinese, Japanese or Korean character.

    >>> estimated_tokens(["The bank raised the rate."]), estimated_tokens(["银行提高了利率。"])
    (11, 12)
    """
    counts = [(len(text), len(_WIDE.findall(text))) for text in texts]
    return sum(_AROUND_A_TEXT + wide + math.ceil((chars - wide) / _LETTERS_PER_TOKEN) for chars, wide in counts)


_MILLION = 1_000_000


class Prices(Protocol):
    """Of a million tokens, in any currency; None where there is none."""

    input_price: float | None
    output_price: float | None


@dataclass(frozen=True)
class Tokens:
    """Tokens that were read and written."""

    read: int = 0
    written: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.written + other.written)

    def cost_at(self, prices: Prices) -> float:
        """What they cost, in the currency of the prices."""
        read, written = prices.input_price or 0.0, prices.output_price or 0.0
        return (self.read * read + self.written * written) / _MILLION

    def in_words(self, prices: Prices) -> str:
        """The tokens, and their cost where there are prices."""
        return f"{self.read:,} tokens read, {self.written:,} written{self.cost_in_words(prices)}"

    def cost_in_words(self, prices: Prices) -> str:
        """What they cost, to stand after their number; empty where there are no prices."""
        has_prices = prices.input_price is not None or prices.output_price is not None
        return f", cost {self.cost_at(prices):.4f}" if has_prices else ""
