"""Class labels as numbers: given as numbers, or as names that get theirs."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of, select_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError

if TYPE_CHECKING:
    import pyarrow

_MOST_NAMES = 1_000  # more different label texts than this are no classes
_NO_LABEL = ("", "-")  # how SNLI and others write that there is none
_TRUTHS = {"true": 1, "false": 0}
FRACTION = "holds a fraction"
_SCALES = range(3, 11)  # the largest numbers of usual scales for scores; classes of pairs rarely are so many

logger = logging.getLogger(__name__)


class ClassLabels:
    """The classes of a data set.

    Args:
        names: the classes by their number; empty takes the names in the data, in the order in which they come.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.numbers_of = {name: number for number, name in enumerate(names)}
        self._given = bool(names)
        self._as_names: bool | None = None  # decided by the first labels that are read

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
        wrong = {row: (self._why_none(values[row]), values[row]) for row, label in enumerate(found) if label is None}
        return pyarrow.array(found, pyarrow.int64()), wrong

    def _why_none(self, value: Any) -> str:
        number = _number(value)
        if number is not None and not number.is_integer():
            return FRACTION
        return f"holds none of the labels {list(self.numbers_of)}" if self._given else "holds no label"

    def _look_like_names(self, values: Sequence[Any]) -> bool:
        if self._given and any(self._as_text(value) in self.numbers_of for value in values):
            return True
        texts = [value for value in values if isinstance(value, str) and value.strip() not in _NO_LABEL]
        return sum(_number(text) is None for text in texts) > len(values) / 2

    def _as_text(self, value: Any) -> str | None:
        """A label as a name; True and False are names only where names were given that say so."""
        if isinstance(value, bool) and self._given:
            return str(value) if str(value) in self.numbers_of else str(value).lower()
        return value.strip() if isinstance(value, str) else None

    def _number_of_name(self, value: Any) -> int | None:
        name = self._as_text(value)
        if name is None or name in _NO_LABEL:
            return None
        if name not in self.numbers_of and not self._given:
            if len(self.numbers_of) == _MOST_NAMES:
                text = f"The label column holds more than {_MOST_NAMES:,} texts, such as {value!r}: no classes"
                fix = "'dataset.reader.columns={label: <your column>}'"
                raise DataError(text, expected="class numbers or class names", fix=fix)
            self.numbers_of[name] = len(self.numbers_of)
        return self.numbers_of.get(name)


def _whole_number(value: Any) -> int | None:
    """The whole number that a value is or spells; true is 1 and false is 0.

    >>> [_whole_number(value) for value in (1, "1", 1.0, "2.0", True, "False", 0.5, "x", None)]
    [1, 1, 1, 2, 1, 0, None, None, None]
    """
    if isinstance(value, int):  # a bool is one
        return int(value) if abs(value) < 2**63 else None
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def _number(value: Any) -> float | None:
    """The finite number that a value is or spells."""
    if isinstance(value, str) and value.strip().lower() in _TRUTHS:
        return float(_TRUTHS[value.strip().lower()])
    try:
        number = float(value) if isinstance(value, str | float | int) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def drop_unlabelled(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set without the rows labelled -1, the Hub's sign for pairs on which the annotators did not agree.

    -1 is that sign only among labels from 0, and not where -1 and 1 without names are the two classes.

    Raises:
        DataError: all labels are -1 or 1.
    """
    import numpy

    if dataset.shape.label_kind != "class":
        return dataset
    labels = {
        split: numpy.concatenate([batch[dataset.shape.label].to_numpy() for batch in batches_of(rows)] or [[]])
        for split, rows in dataset.splits.items()
    }
    seen = {int(label) for of_split in labels.values() for label in numpy.unique(of_split)}
    if dataset.shape.name == "class_pair" and not dataset.label_names and max(seen, default=0) in _SCALES:
        logger.info(
            "%s: the labels %d to %d are read as classes. If they are scores, type "
            "'dataset.reader.columns={score: <the column>}' and dataset.reader.score_range=[%d,%d].",
            dataset.name, min(seen), max(seen), min(seen), max(seen),
        )  # fmt: skip
    if -1 not in seen or max(seen) < 0:
        return dataset
    if seen == {-1, 1} and not dataset.label_names:
        expected = "0 and 1, or class names: write 0 for -1"
        raise DataError(f"Data set {dataset.name} holds the labels -1 and 1", expected=expected)
    splits = {split: select_rows(rows, labels[split] != -1) for split, rows in dataset.splits.items()}
    return dataset.after("leave out rows without a gold label (-1)", splits)
