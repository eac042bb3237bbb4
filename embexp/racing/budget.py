"""What a race may use up: time, or rows that are trained on."""

import re
from dataclasses import dataclass
from typing import Any

from embexp.errors import ConfigError

_SECONDS = {"h": 3600, "m": 60, "s": 1}
_NUMBER = r"(\d+(?:\.\d+)?)"
_TIME = re.compile("".join(rf"(?:{_NUMBER}{unit})?" for unit in _SECONDS))
_EXAMPLES = re.compile(r"(\d+)examples")
_FIX = ("budget=90s", "budget=30m", "budget=2h30m", "budget=20000examples")


@dataclass(frozen=True)
class Budget:
    """The most that a race uses up; None: no limit.

    Attributes:
        seconds: of training and evaluation, of all candidates together.
        examples: rows that are trained on, of all candidates together; a row that is read twice counts twice.
    """

    seconds: float | None = None
    examples: int | None = None

    @property
    def is_unlimited(self) -> bool:
        return self.seconds is None and self.examples is None

    @property
    def size(self) -> float:
        """Seconds or examples, where there is a limit."""
        return float(self.examples if self.examples is not None else self.seconds)

    def __str__(self) -> str:
        """The budget for people.

        >>> [str(read_budget(text)) for text in ("150m", "90s", "20000examples", None)]
        ['2 h 30 min', '1 min 30 s', '20,000 examples', 'no limit']
        """
        if self.examples is not None:
            return f"{self.examples:,} examples"
        if self.seconds is None:
            return "no limit"
        minutes, seconds = divmod(self.seconds, 60)
        hours, minutes = divmod(int(minutes), 60)
        parts = ((hours, "h"), (minutes, "min"), (round(seconds, 1), "s"))
        return " ".join(f"{number:g} {unit}" for number, unit in parts if number)


def read_budget(given: Any) -> Budget:
    """The budget that was typed; null is none.

    >>> [read_budget(text).seconds for text in ("90s", "15m", "1.5h", "2h30m")]
    [90.0, 900.0, 5400.0, 9000.0]
    >>> read_budget("20000examples")
    Budget(seconds=None, examples=20000)

    Raises:
        ConfigError: a number without a unit, nothing at all, or what is neither time nor examples.
    """
    if given is None:
        return Budget()
    text = str(given).strip().lower().replace(" ", "")
    if (found := _EXAMPLES.fullmatch(text)) and int(found[1]):
        return Budget(examples=int(found[1]))
    parts = (found := _TIME.fullmatch(text)) and zip(found.groups(), _SECONDS.values(), strict=True)
    if seconds := sum(float(number or 0) * each for number, each in parts or ()):
        return Budget(seconds=seconds)
    expected = "hours, minutes, seconds or a number of examples, above 0"
    if is_number := re.fullmatch(_NUMBER, text) and float(text):
        fix = (f"budget={text}m", f"budget={text}s", f"budget={text.partition('.')[0]}examples")
    raise ConfigError(
        "has no unit" if is_number else "is no budget",
        key="budget",
        given=given,
        expected=expected,
        fix=fix if is_number else _FIX,
    )
