"""Rows that cannot be read: each is named by file, line and reason, all are counted, the first ones are shown."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from embexp.errors import ConfigError, DataError

SHOWN = 5
POLICIES = ("stop", "drop")


class FaultLog:
    """Collects the faulty rows of a data set while its files are read.

    Args:
        on_fault: `stop` refuses data with any faulty row, `drop` leaves those rows out and counts them.

    Raises:
        ConfigError: another policy.
    """

    def __init__(self, on_fault: str) -> None:
        if on_fault not in POLICIES:
            raise ConfigError(
                f"dataset.reader.on_fault={on_fault} is not known. Expected stop (refuse data with a faulty row) "
                "or drop (leave faulty rows out and count them)."
            )
        self.on_fault = on_fault
        self.count = 0
        self.first: list[str] = []
        self.reasons: Counter[str] = Counter()

    def add(self, source: Any, line: int, reason: str, value: Any = None) -> None:
        """Record a faulty row; `reason` is the same for all rows with this fault, `value` differs."""
        self.count += 1
        self.reasons[reason] += 1
        if len(self.first) < SHOWN:
            shown = "" if value is None else f": {_short(value)}"
            self.first.append(f"{source}:{line}: {reason}{shown}")

    def settle(self, num_rows: int) -> None:
        """Once all is read: raise if there were faults and the policy is to stop, or if no row is left.

        Args:
            num_rows: how many rows could be read.

        Raises:
            DataError: shows the first faults and counts all.
        """
        if self.count and not num_rows:
            raise DataError(f"{self.summary(num_rows)}\nNo row is left.")
        if self.count and self.on_fault == "stop":
            raise DataError(
                f"{self.summary(num_rows)}\n"
                "Mend them, or type dataset.reader.on_fault=drop to leave them out (they are counted)."
            )

    def summary(self, num_rows: int) -> str:
        """The first faults, a line each, under a line that counts all."""
        more = [f"... and {self.count - len(self.first):,} more"] if self.count > len(self.first) else []
        total = f"{self.count:,} of {self.count + num_rows:,} rows cannot be used"
        return "\n  ".join([f"{total} ({self.reason()}):", *self.first, *more])

    def reason(self) -> str:
        """How many rows for which reason, the most frequent first."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common(SHOWN))


def _short(value: Any, most: int = 60) -> str:
    shown = repr(value[:most] if isinstance(value, str | Sequence) else value)
    return shown if len(shown) <= most + 2 else shown[:most] + "..."
