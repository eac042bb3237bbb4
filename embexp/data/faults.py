"""Rows that cannot be read: each is named by file, line and reason, all are counted, the first ones are shown."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from embexp.errors import ConfigError, DataError

_SHOWN = 5
_POLICIES = ("stop", "drop")


class FaultLog:
    """Collects the faulty rows of a data set while its files are read.

    Args:
        on_fault: `stop` refuses data with any faulty row, `drop` leaves those rows out and counts them.

    Raises:
        ConfigError: another policy.
    """

    def __init__(self, on_fault: str) -> None:
        if on_fault not in _POLICIES:
            raise ConfigError(
                f"dataset.reader.on_fault={on_fault} is not known. Expected stop (refuse data with a faulty row) "
                "or drop (leave faulty rows out and count them)."
            )
        self.on_fault = on_fault
        self.count = 0
        self.first: list[str] = []
        self.reasons: Counter[str] = Counter()
        self._num_shown = 0
        self._misread: dict[str, tuple[int, str, str]] = {}  # reason -> rows, the first of them, advice

    def add(self, source: Any, line: int, reason: str, value: Any = None, num_lines: int = 1) -> None:
        """Record a faulty row; `reason` is the same for all rows with this fault, `value` differs.

        Args:
            num_lines: how many lines of the file went with it, from `line` on; each counts as a row.
        """
        self.count += num_lines
        self.reasons[reason] += num_lines
        if len(self.first) < _SHOWN:
            spanned = f", lines {line:,} to {line + num_lines - 1:,}" if num_lines > 1 else ""
            self.first.append(f"{source}:{line}: {reason}{spanned}{_shown(value)}")
            self._num_shown += num_lines

    def misread(self, source: Any, line: int, reason: str, value: Any, advice: str) -> None:
        """Record a value which says that its whole column is misunderstood: refused whatever the policy is."""
        count, first, _ = self._misread.get(reason, (0, f"{source}:{line}: {reason}{_shown(value)}", advice))
        self._misread[reason] = (count + 1, first, advice)

    def settle(self, num_rows: int) -> None:
        """Once all is read: raise if a column was misread, at faults if the policy is to stop, or if no row is left.

        Args:
            num_rows: how many rows could be read.

        Raises:
            DataError: shows the first faults and counts all.
        """
        if self._misread:
            found = self._misread.values()
            raise DataError("\n".join(f"{first} (rows like it: {count:,}). {advice}" for count, first, advice in found))
        if self.count and not num_rows:
            raise DataError(f"{self.summary(num_rows)}\nNo row is left.")
        if self.count and self.on_fault == "stop":
            raise DataError(
                f"{self.summary(num_rows)}\n"
                "Mend them, or type dataset.reader.on_fault=drop to leave them out (they are counted)."
            )

    def summary(self, num_rows: int) -> str:
        """The first faults, a line each, under a line that counts all."""
        more = [f"... and {self.count - self._num_shown:,} more"] if self.count > self._num_shown else []
        total = f"{self.count:,} of {self.count + num_rows:,} rows cannot be used"
        return "\n  ".join([f"{total} ({self.reason()}):", *self.first, *more])

    def reason(self) -> str:
        """How many rows for which reason, the most frequent first."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common(_SHOWN))


def _shown(value: Any, most: int = 60) -> str:
    shown = repr(value[:most] if isinstance(value, str | Sequence) else value)
    if value is None or "\\udc" in shown:  # bytes of another encoding tell nobody anything
        return ""
    return ": " + (shown if len(shown) <= most + 2 else shown[:most] + "...")
