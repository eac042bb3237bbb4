"""Class labels as numbers: given as numbers, or as names that get theirs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embexp.errors import DataError

if TYPE_CHECKING:
    import pyarrow

MOST_NAMES = 1_000  # more different label texts than this are no classes
NO_LABEL = ("", "-")  # how SNLI and others write that there is none


class ClassLabels:
    """The classes of a data set.

    Args:
        names: the classes by their number; empty takes the names in the data, in the order in which they come.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.numbers_of = {name: number for number, name in enumerate(names)}
        self._given = bool(names)
        self._as_names: bool | None = None  # told by the first labels that are read

    @property
    def names(self) -> tuple[str, ...]:
        """The classes by their number; empty for labels that are numbers without names."""
        return tuple(self.numbers_of)

    def numbers(self, values: Any) -> tuple["pyarrow.Array", dict[int, tuple[str, Any]]]:
        """Labels as int64, with those that are none: neither a whole number nor one of the names.

        Raises:
            DataError: there are too many different names for classes.
        """
        import pyarrow

        values = values if isinstance(values, list | tuple) else values.to_pylist()
        if self._as_names is None:
            self._as_names = self._look_like_names(values)
        number = self._number_of_name if self._as_names else _whole_number
        found = [number(value) for value in values]
        what = "holds no label" if not self._given else f"holds none of the labels {list(self.numbers_of)}"
        wrong = {row: (what, values[row]) for row, label in enumerate(found) if label is None}
        return pyarrow.array(found, pyarrow.int64()), wrong

    def _look_like_names(self, values: Sequence[Any]) -> bool:
        texts = [value for value in values if isinstance(value, str) and value.strip() not in NO_LABEL]
        if self._given and any(text.strip() in self.numbers_of for text in texts):
            return True
        return sum(_whole_number(text) is None for text in texts) > len(values) / 2

    def _number_of_name(self, value: Any) -> int | None:
        if not isinstance(value, str) or value.strip() in NO_LABEL:
            return None
        name = value.strip()
        if name not in self.numbers_of and not self._given:
            if len(self.numbers_of) == MOST_NAMES:
                raise DataError(
                    f"The label column holds more than {MOST_NAMES:,} different texts, such as {value!r}: no classes. "
                    "Expected class numbers or class names; name another column with dataset.reader.columns."
                )
            self.numbers_of[name] = len(self.numbers_of)
        return self.numbers_of.get(name)


def _whole_number(value: Any) -> int | None:
    """The whole number that a value is or spells.

    >>> [_whole_number(value) for value in (1, "1", 1.0, "2.0", True, 0.5, "x", None)]
    [1, 1, 1, 2, 1, None, None, None]
    """
    if isinstance(value, bool | int):
        return int(value) if abs(value) < 2**63 else None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else None
