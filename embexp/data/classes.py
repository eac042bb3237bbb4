"""Class labels as numbers: given as numbers, or as names that get theirs."""

import logging
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of, select_rows
from embexp.data.cells import as_list
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError, Problem, listed

if TYPE_CHECKING:
    import pyarrow

_MOST_NAMES = 1_000  # more different label texts than this are no classes
_NO_LABELS = ("", "-")  # how SNLI and others write that there is none
_HUBS_NO_LABEL = -1
_NONE = -(2**62)  # the number of rows that have what the user says is no label
_TRUTHS = {"true": 1, "false": 0}
FRACTION = "holds a fraction"
_SEVERAL = "holds several labels"
_OTHER_BYTES = "holds bytes of another encoding"
_FEW = 0.05  # share of rows up to which -1 says that a row has no label
_JOINED = re.compile(r"\s*[|;,/+]\s*")  # between the labels of a text that has several
_SCALES = range(3, 11)  # the largest numbers of usual scales for scores; classes of pairs rarely are so many

logger = logging.getLogger(__name__)


class ClassLabels:
    """The classes of a data set.

    Args:
        names: the classes by their number; empty takes the names in the data, in the order in which they come.
        no_label: the label of rows that have none; `drop_unlabelled` leaves them out.
    """

    def __init__(self, names: Sequence[str] = (), no_label: str | int | None = None) -> None:
        self.numbers_of = {name: number for number, name in enumerate(names)}
        self._no_label = None if no_label is None else str(no_label)
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
        found = [_NONE if self._says_none(value) else number(value) for value in values]
        wrong = {row: (self._why_none(values[row]), values[row]) for row, label in enumerate(found) if label is None}
        return pyarrow.array(found, pyarrow.int64()), wrong

    def _says_none(self, value: Any) -> bool:
        if self._no_label is None or value is None:
            return False
        same_number = _number(value) is not None and _number(value) == _number(self._no_label)
        return same_number or str(value).strip() == self._no_label

    def _why_none(self, value: Any) -> str:
        if as_list(value) is not None:
            return _SEVERAL
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            return _OTHER_BYTES
        number = _number(value)
        if number is not None and not number.is_integer():
            return FRACTION
        return f"holds none of the labels {list(self.numbers_of)}" if self._given else "holds no label"

    def _look_like_names(self, values: Sequence[Any]) -> bool:
        if self._given and any(self._as_text(value) in self.numbers_of for value in values):
            return True
        texts = [value for value in values if isinstance(value, str) and value.strip() not in _NO_LABELS]
        return sum(_number(text) is None for text in texts) > len(values) / 2

    def _as_text(self, value: Any) -> str | None:
        """A label as a name; True and False are names only where names were given that say so."""
        if isinstance(value, bool):
            return (str(value) if str(value) in self.numbers_of else str(value).lower()) if self._given else None
        name = value.strip() if isinstance(value, str) else None
        if self._given and name not in self.numbers_of and (number := _whole_number(value)) is not None:
            return str(number)
        return name

    def _number_of_name(self, value: Any) -> int | None:
        name = self._as_text(value)
        if name is None or name in _NO_LABELS or as_list(name) is not None:
            return None
        if any("\ud800" <= character <= "\udfff" for character in name):  # bytes of another encoding: no name
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


def drop_unlabelled(dataset: EmbeddingDataset, is_sure: bool = False) -> EmbeddingDataset:
    """The data set without the rows labelled -1, the Hub's sign for pairs on which the annotators did not agree.

    -1 is that sign where few rows have it, or where the others have the three labels of NLI.

    Args:
        is_sure: -1 says for sure that a row has no label.

    Raises:
        DataError: -1 may be a class, or some labels seem to be several joined ones.
    """
    import numpy

    if dataset.shape.label_kind not in ("class", "binary"):
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
    left_out = _NONE
    if _HUBS_NO_LABEL in seen and _NONE not in seen and max(seen) >= 0:
        counts = [int((of_split == _HUBS_NO_LABEL).sum()) for of_split in labels.values()]
        is_nli = "sentence1" in dataset.shape.texts and seen == {_HUBS_NO_LABEL, 0, 1, 2}
        if not is_sure and not is_nli and sum(counts) > _FEW * dataset.num_rows:
            raise DataError(_question(dataset, seen, sum(counts)))
        left_out = _HUBS_NO_LABEL
    if left_out not in seen:
        return dataset
    splits = {split: select_rows(rows, labels[split] != left_out) for split, rows in dataset.splits.items()}
    return dataset.after(f"leave out rows without a gold label{' (-1)' if left_out == _HUBS_NO_LABEL else ''}", splits)


def _question(dataset: EmbeddingDataset, seen: set[int], count: int) -> Problem:
    """What -1 may mean among these labels, and what to type for each reading."""
    others = seen - {_HUBS_NO_LABEL}
    names = ",".join(f'"{label}"' for label in sorted(seen))
    is_binary = "sentence1" in dataset.shape.texts and others == {1}
    as_class = f"'dataset.reader.label_names=[{names}]'" + (" dataset.shapes=[binary_pair]" if is_binary else "")
    return Problem(
        f"Data set {dataset.name} holds the label -1 in {count:,} of {dataset.num_rows:,} rows, besides "
        f"{listed(str(label) for label in sorted(others))}",
        expected="to know whether -1 is a class, or says that a row has no label and is to be left out",
        fix=(
            *([as_class] if dataset.shape.label_kind == "class" or is_binary else []),
            *(["dataset.reader.no_label=-1"] if len(others) > 1 else []),
        ),
    )


_NO_NAMES = {"nan", "none", "null", "n/a", "na", "nil", "#n/a"}


def doubtful_names(names: Sequence[str]) -> list[str]:
    """What to say of names of classes that may be spellings of one class, or no label at all.

    >>> doubtful_names(["Pos", "pos", "neg"]), doubtful_names(["a", "b"])
    (["classes that differ in capitals only: 'Pos', 'pos'"], [])
    >>> print(*doubtful_names(["a", "nan"]))
    the class 'nan' may stand for no label, whose rows 'dataset.reader.no_label="nan"' leaves out
    """
    by_plain: dict[str, list[str]] = {}
    for name in names:
        by_plain.setdefault(name.casefold(), []).append(name)
    same = [listed(map(repr, group)) for group in by_plain.values() if len(group) > 1]
    found = [f"classes that differ in capitals only: {'; '.join(same)}"] if same else []
    none = [name for name in names if name.casefold() in _NO_NAMES]
    typed = "may stand for no label, whose rows 'dataset.reader.no_label=\"{}\"' leaves out"
    return found + [f"the class {name!r} {typed.format(name)}" for name in none]


def joined_labels(names: Sequence[str]) -> list[str]:
    """The names that are several others joined, such as `sport|politics`: of texts that have several labels.

    >>> joined_labels(["sport", "politics", "sport|politics"]), joined_labels(["R&D, sales", "law"])
    (['sport|politics'], [])
    """
    parts = {name: _JOINED.split(name.strip()) for name in names}
    alone = {name for name, found in parts.items() if len(found) == 1}
    times = Counter(part for found in parts.values() if len(found) > 1 for part in {*found})
    return [
        name
        for name, found in parts.items()
        if len(found) > 1 and all(part and (part in alone or times[part] > 1) for part in found)
    ]
