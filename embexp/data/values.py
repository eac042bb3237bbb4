"""Column values in the types of a shape: texts, lists of texts, scores, classes. A row with another value is faulty."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import schema_of
from embexp.data.cells import (
    DECIMAL_COMMA,
    as_list,
    has_decimal_comma,
    is_percent,
    number_in,
    range_override,
    values_at,
)
from embexp.data.classes import FRACTION, ClassLabels
from embexp.data.encodings import encoding_fix
from embexp.data.faults import FaultLog
from embexp.data.shapes import Shape
from embexp.data.text_files import Chunk

if TYPE_CHECKING:
    import pyarrow

_Wrong = dict[int, tuple[str, Any]]  # row of the chunk -> reason and value
_Typed = tuple["pyarrow.Array", _Wrong]
_SMALL_PART = 0.25  # of the range that scores were said to have


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def are_texts(values: "pyarrow.Array") -> "pyarrow.Array":
    """Which values are texts with something in them, as a boolean mask."""
    import pyarrow.compute

    if not (pyarrow.types.is_string(values.type) or pyarrow.types.is_large_string(values.type)):
        return pyarrow.array([False] * len(values))
    trimmed = pyarrow.compute.utf8_trim_whitespace(values)
    return pyarrow.compute.greater(pyarrow.compute.binary_length(trimmed), 0).fill_null(False)


def _texts(values: Any, may_be_missing: bool = False) -> _Typed:
    """Values as strings; anything else, a missing or an empty one is wrong."""
    import numpy
    import pyarrow

    values = _plain(values)
    wrong: _Wrong = {}
    try:
        array = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, pyarrow.string())
    except (pyarrow.ArrowException, UnicodeEncodeError):
        kept = []
        for row, value in enumerate(values):
            found = _instead_of_text(value)
            kept.append(value if found is None else None)
            if found and value is not None:
                wrong[row] = (f"holds {found}", value)
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


def _instead_of_text(value: Any) -> str | None:
    """What a value is that is no text; None for a text."""
    if not isinstance(value, str):
        return "no text"
    if any("\udc80" <= character <= "\udcff" for character in value):
        return "bytes of another encoding"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "half a character (a lone surrogate)"
    return None


def _text_lists(values: Any, may_be_empty: bool) -> _Typed:
    """Values as lists of strings; a missing list is an empty one."""
    import numpy
    import pyarrow

    wrong: _Wrong = {}
    kept = []
    for row, value in enumerate(listed_values(values)):
        texts = value if isinstance(value, list) else _texts_in(value)
        if texts is None:
            wrong[row] = ("holds no list", value)
        elif found := next(filter(None, map(_instead_of_text, texts)), None):
            wrong[row] = (f"holds a list with {found}", value)
        elif not texts and not may_be_empty:
            wrong[row] = ("is an empty list", None)
        kept.append([] if row in wrong else texts)
    array = pyarrow.array(kept, pyarrow.list_(pyarrow.string()))
    parents = numpy.asarray(pyarrow.compute.list_parent_indices(array))
    for row in parents[~numpy.asarray(are_texts(array.flatten()))]:
        wrong.setdefault(int(row), ("holds a list with an empty text", kept[row]))
    return array, wrong


def _texts_in(value: Any) -> list[Any] | None:
    """The members of a list, of one that a cell spells, or a single text as a list of one; None for what is no list."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    if (found := as_list(value)) is not None:
        return found
    return [value] if isinstance(value, str) and not _SPELLED_LIST.fullmatch(value.strip()) else None


_SPELLED_LIST = re.compile(r"""\[\s*['"].*['"]\s*\]""", re.DOTALL)


def _number_lists(values: Any, may_be_missing: bool = False) -> _Typed:
    """Values as lists of numbers; a single number is a list of one."""
    import pyarrow

    wrong: _Wrong = {}
    kept = []
    for row, value in enumerate(listed_values(values)):
        numbers_of = [value] if is_number(value) else as_list(value)
        if (value is None or value == "") and may_be_missing:
            numbers_of = None
        elif numbers_of is None or not all(map(is_number, numbers_of)) or not (numbers_of or may_be_missing):
            wrong[row] = ("holds no list of numbers", value)
        kept.append(None if row in wrong else numbers_of)
    return pyarrow.array(kept, pyarrow.list_(pyarrow.float64())), wrong


def numbers(values: Any, decimal: str = ".") -> _Typed:
    """Values as float64; text that spells a number is one; missing, NaN and infinite ones are wrong.

    Args:
        decimal: the sign before the fraction in texts.
    """
    import numpy
    import pyarrow

    values = _plain(values)
    try:
        array = values if isinstance(values, pyarrow.Array) else pyarrow.array(values)
        if pyarrow.types.is_boolean(array.type) or pyarrow.types.is_temporal(array.type):
            raise pyarrow.ArrowTypeError(str(array.type))
        array = array.cast(pyarrow.float64())
    except (pyarrow.ArrowException, UnicodeEncodeError, OverflowError):
        array = pyarrow.array([_number(value, decimal) for value in listed_values(values)], pyarrow.float64())
    finite = numpy.isfinite(array.to_numpy(zero_copy_only=False))
    given = listed_values(values) if not finite.all() else []
    return array, {int(row): ("holds no number", given[row]) for row in numpy.flatnonzero(~finite)}


def _number(value: Any, decimal: str) -> float | None:
    if isinstance(value, str):
        value = value.replace(".", "x").replace(",", ".") if decimal == "," and "," in value else value
        value = "x" if "_" in value else value  # Python reads 1_0 as 10
    return number_in(value)


def _plain(values: Any) -> Any:
    """Arrow values out of their dictionary, if they are in one."""
    import pyarrow

    return values.dictionary_decode() if isinstance(values, pyarrow.DictionaryArray) else values


def listed_values(values: Any) -> Sequence[Any]:
    """Values of a list or an Arrow array as Python's own."""
    return values if isinstance(values, list | tuple) else values.to_pylist()


_OUTSIDE = "is outside of"


class TypedRows:
    """Turns chunks into Arrow tables of a shape.

    Args:
        roles: the source's column for each column of the shape.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].
        labels: the classes by number, shared by all splits.
        decimal: the sign before the fraction of a score that is text.

    Attributes:
        notes: what was read otherwise than it is written.
    """

    def __init__(
        self,
        shape: Shape,
        roles: Mapping[str, str],
        score_range: Sequence[float] | None,
        labels: ClassLabels,
        decimal: str = ".",
    ) -> None:
        self.shape = shape
        self.roles = roles
        self.score_range = score_range
        self.labels = labels
        self.decimal = decimal
        self.notes: list[str] = []
        self._lowest, self._highest = math.inf, -math.inf  # score so far
        self.schema = schema_of(shape, list(roles))

    def table(self, chunk: Chunk, source: Any, faults: FaultLog) -> "pyarrow.Table":
        """The rows of a chunk that fit, in the columns of the schema; the others go to `faults`."""
        import numpy
        import pyarrow.compute

        arrays, fits = [], numpy.ones(len(chunk.places), dtype=bool)
        for column in self.schema:
            values = values_at(chunk.columns, self.roles.get(column.name, ""))
            values = [None] * len(chunk.places) if values is None else values
            array, wrong = self._converter(column.name)(values)
            arrays.append(array.cast(column.type))
            for row, (reason, value) in wrong.items():
                if fits[row]:
                    self._record(faults, source, chunk.places[row], column.name, reason, value)
                    fits[row] = False
        table = pyarrow.table(arrays, schema=self.schema)
        for texts, scores in (("positives", "positive_scores"), ("negatives", "negative_scores")):
            if scores in table.column_names:
                lengths = [pyarrow.compute.list_value_length(table[name]) for name in (texts, scores)]
                unequal = pyarrow.compute.not_equal(*lengths).fill_null(False).to_numpy()
                for row in numpy.flatnonzero(unequal & fits):
                    faults.add(source, chunk.places[row], f"{scores} are not as many as {texts}")
                    fits[row] = False
        self._advise_range(faults)
        return table if fits.all() else table.filter(pyarrow.array(fits))

    def _record(self, faults: FaultLog, source: Any, place: int, column: str, reason: str, value: Any) -> None:
        theirs = self.roles.get(column, column)
        if reason == _OUTSIDE:
            expected = "a range that holds the lowest and the highest score that there can be"
            faults.misread(source, place, self._outside(column), value, expected)
        elif reason == FRACTION:
            roles = {name: self.roles[name] for name in self.shape.texts} | {"score": theirs}
            named = ", ".join(f"{ours}: {name}" for ours, name in roles.items())
            is_pair = len(roles) == 3
            expected = f"classes: names, or whole numbers from 0{'; or scores of pairs' if is_pair else ''}"
            fix = f"'dataset.reader.columns={{{named}}}'" if is_pair else ""
            faults.misread(source, place, f"{theirs} {reason}", value, expected, fix)
        else:
            fix = encoding_fix(source) if reason.endswith("bytes of another encoding") else ""
            if column == "score" and has_decimal_comma(value) and self.decimal == ".":
                fix = DECIMAL_COMMA
            faults.add(source, place, f"{theirs} {reason}", value, fix=fix)

    def _converter(self, column: str) -> Callable[[Any], _Typed]:
        shape = self.shape
        if column in shape.text_lists:
            return lambda values: _text_lists(values, may_be_empty=column == "negatives")
        if column == shape.label:
            is_class = shape.label_kind in ("binary", "class")
            return self._scores if shape.label_kind == "score" else self.labels.numbers if is_class else _number_lists
        if column.endswith("_scores"):
            return lambda values: _number_lists(values, may_be_missing=True)
        may_be_missing = column not in shape.texts and not column.startswith("negative_")
        return lambda values: _texts(values, may_be_missing)

    def _scores(self, values: Any) -> _Typed:
        import numpy
        import pyarrow.compute

        array, wrong = numbers(values, self.decimal)
        low, high = self.score_range or (0, 1)
        given = array.to_numpy(zero_copy_only=False)
        if percents := self._percents(values):
            array = pyarrow.array(numpy.where(percents, given / 100, given), from_pandas=True)
            given = array.to_numpy(zero_copy_only=False)
        finite = given[numpy.isfinite(given)]
        if len(finite):
            self._lowest, self._highest = min(self._lowest, finite.min()), max(self._highest, finite.max())
        if (outside := (given < low) | (given > high)).any():
            as_given = listed_values(values)
            wrong = {int(row): (_OUTSIDE, as_given[row]) for row in numpy.flatnonzero(outside)} | wrong
        if self.score_range:
            array = pyarrow.compute.divide(pyarrow.compute.subtract(array, float(low)), float(high - low))
        return array, wrong

    def _percents(self, values: Any) -> list[bool]:
        """Which values have a percent sign and are hundredths; none where a range of the user's says what 85 % is."""
        if self.score_range or not isinstance(listed_values(values[:1])[0] if len(values) else None, str):
            return []
        signs = [is_percent(value) for value in listed_values(values)]
        if not any(signs):
            return []
        self.notes.append(f"{self.roles['score']}: 85 % is read as 0.85")
        return signs

    def _outside(self, column: str) -> str:
        low, high = self.score_range or (0, 1)
        return f"{self.roles.get(column, column)} is outside of {low:g} to {high:g}"

    def doubts(self) -> Iterator[str]:
        """What to say of the range that was given where the scores, all read by now, take but a small part of it."""
        if self.score_range and self._lowest <= self._highest:
            low, high = self.score_range
            if self._highest - self._lowest < _SMALL_PART * (high - low):
                seen = f"{self._lowest:g} to {self._highest:g}"
                yield f"{self.roles['score']} is {seen} in a range of {low:g} to {high:g}: is that range right?"

    def _advise_range(self, faults: FaultLog) -> None:
        """Say which range the scores read so far seem to have."""
        if self.shape.label_kind == "score" and self._lowest <= self._highest:
            low, high = self._lowest, self._highest
            low, high = min(low, (self.score_range or (low,))[0]), max(high, (self.score_range or (high,))[-1])
            note = f"The lowest is {self._lowest:g} and the highest {self._highest:g}: are there none beyond?"
            faults.advise(self._outside("score"), f"dataset.reader.score_range={range_override(low, high)}", note)
