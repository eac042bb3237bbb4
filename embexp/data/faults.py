"""Rows that cannot be read: each is named by file, line and reason, all are counted, the first ones are shown."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.errors import DataError, Problem

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
        note = "stop refuses data with a faulty row, drop leaves faulty rows out and counts them"
        refuse(problems_with("dataset.reader.on_fault", on_fault, LegalValues(one_of=_POLICIES), "drop", note))
        self.on_fault = on_fault
        self.count = 0
        self.first: list[str] = []
        self.reasons: Counter[str] = Counter()
        self._num_shown = 0
        self._ways: dict[str, None] = {}  # what to type against the faults, each once
        self._misread: dict[str, tuple[int, Problem]] = {}  # by reason: rows, and the first of them

    def state(self) -> dict[str, Any]:
        """What is recorded so far, for `restore`."""
        return copy.deepcopy(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Forget what was recorded since: the rows are read once more."""
        vars(self).update(copy.deepcopy(state))

    def add(self, source: Any, line: int, reason: str, value: Any = None, num_lines: int = 1, fix: str = "") -> None:
        """Record a faulty row; `reason` is the same for all rows with this fault, `value` differs.

        Args:
            num_lines: how many lines of the file are lost with it, from `line` on; each counts as a row.
            fix: what to type so that rows with this fault can be read.
        """
        self.count += num_lines
        self.reasons[reason] += num_lines
        if fix:
            self._ways[fix] = None
        if len(self.first) < _SHOWN:
            spanned = f", lines {line:,} to {line + num_lines - 1:,}" if num_lines > 1 else ""
            self.first.append(f"{source}:{line}: {reason}{spanned}{_shown(value)}")
            self._num_shown += num_lines

    def misread(self, source: Any, line: int, reason: str, value: Any, expected: str, fix: str = "") -> None:
        """Record a value which shows that its whole column is misunderstood: refused whatever the policy is.

        Args:
            fix: what to type; `advise` replaces it once more rows are known.
        """
        fixes = (fix,) if fix else ()
        first = Problem(f"{reason}{_shown(value)}", file=str(source), line=line, expected=expected, fix=fixes)
        count, first = self._misread.get(reason, (0, first))
        self._misread[reason] = count + 1, first

    def advise(self, reason: str, fix: str, note: str) -> None:
        """Say what to type for values misread for this reason, from all rows read so far."""
        if reason in self._misread:
            count, first = self._misread[reason]
            self._misread[reason] = count, replace(first, fix=(fix,), note=note)

    def settle(self, num_rows: int) -> None:
        """Once all is read: raise if a column was misread, at faults if the policy is to stop, or if no row is left.

        Args:
            num_rows: how many rows could be read.

        Raises:
            DataError: shows the first faults and counts all.
        """
        if self._misread:
            found = self._misread.values()
            raise DataError(*(replace(first, text=f"{first.text} (rows like it: {count:,})") for count, first in found))
        if self.count and not num_rows:
            raise DataError(f"{self.summary(num_rows)}\nNo row is left.", fix=(*self._ways,))
        if self.count and self.on_fault == "stop":
            raise DataError(
                f"{self.summary(num_rows)}\nMend them, or leave them out (they are counted).",
                fix=(*self._ways, "dataset.reader.on_fault=drop"),
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
    if value is None or "\\udc" in shown:  # nobody can read bytes of another encoding
        return ""
    return ": " + (shown if len(shown) <= most + 2 else shown[:most] + "...")
