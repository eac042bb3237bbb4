"""Values as texts, lists of texts and numbers: what a column holds, and which of its rows hold something else."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

Wrong = dict[int, tuple[str, Any]]  # row of the chunk -> reason and value
Typed = tuple["pyarrow.Array", Wrong]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is a whole number from `least`; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def are_texts(values: "pyarrow.Array") -> "pyarrow.Array":
    """Which values are texts with something in them, as a boolean mask."""
    import pyarrow.compute

    if not (pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)):
        return pyarrow.array([False] * len(values))
    trimmed = pyarrow.compute.utf8_trim_whitespace(values)
    return pyarrow.compute.greater(pyarrow.compute.binary_length(trimmed), 0).fill_null(False)


def texts(values: Any, may_be_missing: bool = False) -> Typed:
    """Values as strings; anything else, a missing or an empty one is wrong."""
    import numpy
    import pyarrow

    values = _plain(values)
    wrong: Wrong = {}
    try:
        array = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, pyarrow.string())
    except (pyarrow.ArrowException, UnicodeEncodeError):
        kept = []
        for row, value in enumerate(values):
            reason = _why_no_text(value)
            kept.append(value if reason is None else None)
            if reason and value is not None:
                wrong[row] = (reason, value)
        array = pyarrow.array(kept, pyarrow.string())
    if pyarrow.types.is_null(array.type):
        array = array.cast(pyarrow.string())
    if not pyarrow.types.is_string(array.type) and not pyarrow.types.is_large_string(array.type):
        wrong = {row: ("holds no text", value) for row, value in enumerate(array.to_pylist()) if value is not None}
        array = pyarrow.nulls(len(array), pyarrow.string())
    if not may_be_missing:
        for row in numpy.flatnonzero(~numpy.asarray(are_texts(array))):
            wrong.setdefault(int(row), ("is empty or missing", None))
    return array, wrong


def _why_no_text(value: Any) -> str | None:
    if not isinstance(value, str):
        return "holds no text"
    if any("\udc80" <= character <= "\udcff" for character in value):
        return "holds bytes of another encoding (name it with dataset.reader.encoding=gb18030 or the like)"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "holds half a character (a lone surrogate)"
    return None


def text_lists(values: Any, may_be_empty: bool) -> Typed:
    """Values as lists of strings; a missing list is an empty one."""
    import numpy
    import pyarrow

    wrong: Wrong = {}
    kept = []
    for row, value in enumerate(listed_values(values)):
        as_list = [] if value is None else value
        if not isinstance(as_list, list):
            wrong[row] = ("holds no list", value)
        elif reason := next(filter(None, map(_why_no_text, as_list)), None):
            wrong[row] = (reason.replace("holds", "holds a list with"), value)
        elif not as_list and not may_be_empty:
            wrong[row] = ("is an empty list", None)
        kept.append([] if row in wrong else as_list)
    array = pyarrow.array(kept, pyarrow.list_(pyarrow.string()))
    parents = numpy.asarray(pyarrow.compute.list_parent_indices(array))
    for row in parents[~numpy.asarray(are_texts(array.flatten()))]:
        wrong.setdefault(int(row), ("holds a list with an empty text", kept[row]))
    return array, wrong


def number_lists(values: Any, may_be_missing: bool = False) -> Typed:
    """Values as lists of numbers; a single number is a list of one."""
    import pyarrow

    wrong: Wrong = {}
    kept = []
    for row, value in enumerate(listed_values(values)):
        as_list = [value] if is_number(value) else value
        if value is None and may_be_missing:
            as_list = None
        elif not isinstance(as_list, list) or not all(map(is_number, as_list)) or not (as_list or may_be_missing):
            wrong[row] = ("holds no list of numbers", value)
        kept.append(None if row in wrong else as_list)
    return pyarrow.array(kept, pyarrow.list_(pyarrow.float64())), wrong


def numbers(values: Any) -> Typed:
    """Values as float64; text that spells a number is one; missing, NaN and infinite ones are wrong."""
    import numpy
    import pyarrow

    values = _plain(values)
    try:
        array = values if isinstance(values, pyarrow.Array) else pyarrow.array(values)
        if pyarrow.types.is_boolean(array.type) or pyarrow.types.is_temporal(array.type):
            raise pyarrow.ArrowTypeError(str(array.type))
        array = array.cast(pyarrow.float64())
    except (pyarrow.ArrowException, UnicodeEncodeError, OverflowError):
        array = pyarrow.array([_number(value) for value in listed_values(values)], pyarrow.float64())
    finite = numpy.isfinite(array.to_numpy(zero_copy_only=False))
    given = listed_values(values) if not finite.all() else []
    return array, {int(row): ("holds no number", given[row]) for row in numpy.flatnonzero(~finite)}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _plain(values: Any) -> Any:
    """Arrow values out of their dictionary, if they are in one."""
    import pyarrow

    return values.dictionary_decode() if isinstance(values, pyarrow.DictionaryArray) else values


def listed_values(values: Any) -> Sequence[Any]:
    """Values of a list or an Arrow array as Python's own."""
    return values if isinstance(values, list | tuple) else values.to_pylist()


def are_bounds(value: Any) -> bool:
    """Whether a value is a range: two rising numbers."""
    is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    return is_pair and all(map(is_number, value)) and value[0] < value[1]
