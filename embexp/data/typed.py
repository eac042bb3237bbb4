"""Values as a shape wants them: texts, lists of texts, scores, classes; a row with another value is a faulty row."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import schema_of
from embexp.data.checks import are_texts
from embexp.data.classes import ClassLabels
from embexp.data.faults import FaultLog
from embexp.data.formats import Chunk
from embexp.data.shapes import Shape
from embexp.errors import DataError

if TYPE_CHECKING:
    import pyarrow

Wrong = dict[int, tuple[str, Any]]  # row of the chunk -> reason and value
Typed = tuple["pyarrow.Array", Wrong]


class TypedRows:
    """Turns chunks into Arrow tables of a shape.

    Args:
        roles: the source's column for each column of the shape.
        score_range: lowest and highest possible score in the source; scores are rescaled to [0, 1].
        labels: the classes by number, shared by all splits.
    """

    def __init__(
        self, shape: Shape, roles: Mapping[str, str], score_range: Sequence[float] | None, labels: ClassLabels
    ) -> None:
        self.shape = shape
        self.roles = roles
        self.score_range = score_range
        self.labels = labels
        self.schema = schema_of(shape, list(roles))

    def table(self, chunk: Chunk, source: Any, faults: FaultLog) -> "pyarrow.Table":
        """The rows of a chunk that fit, in the columns of the schema; the others go to `faults`."""
        import numpy
        import pyarrow

        arrays, fits = [], numpy.ones(len(chunk.places), dtype=bool)
        for column in self.schema:
            values = chunk.columns.get(self.roles.get(column.name), None)
            if values is None:
                values = [None] * len(chunk.places)
            array, wrong = self._converter(column.name)(values)
            arrays.append(array.cast(column.type))
            for row, (reason, value) in wrong.items():
                if fits[row]:
                    faults.add(source, chunk.places[row], f"{self.roles.get(column.name, column.name)} {reason}", value)
                    fits[row] = False
        table = pyarrow.table(arrays, schema=self.schema)
        for row, reason in _unequal_lists(table):
            if fits[row]:
                faults.add(source, chunk.places[row], reason)
                fits[row] = False
        return table if fits.all() else table.filter(pyarrow.array(fits))

    def _converter(self, column: str) -> Callable[[Any], Typed]:
        shape = self.shape
        if column in shape.text_lists:
            return lambda values: text_lists(values, may_be_empty=column == "negatives")
        if column == shape.label:
            return {
                "score": self._scores,
                "binary": self.labels.numbers,
                "class": self.labels.numbers,
                "scores": number_lists,
                "embedding": number_lists,
            }[shape.label_kind]
        if column.endswith("_scores"):
            return lambda values: number_lists(values, may_be_missing=True)
        may_be_missing = column not in shape.texts and not column.startswith("negative_")
        return lambda values: texts(values, may_be_missing)

    def _scores(self, values: Any) -> Typed:
        import pyarrow.compute

        array, wrong = numbers(values)
        if self.score_range:
            low, high = self.score_range
            array = pyarrow.compute.divide(pyarrow.compute.subtract(array, float(low)), float(high - low))
        return array, wrong


def _unequal_lists(table: "pyarrow.Table") -> Iterator[tuple[int, str]]:
    """Rows whose teacher scores are not as many as the texts they belong to."""
    import numpy
    import pyarrow.compute

    for texts_column, scores_column in (("positives", "positive_scores"), ("negatives", "negative_scores")):
        if scores_column in table.column_names:
            lengths = [pyarrow.compute.list_value_length(table[name]) for name in (texts_column, scores_column)]
            unequal = pyarrow.compute.not_equal(*lengths).fill_null(False)
            for row in numpy.flatnonzero(unequal.to_numpy()):
                yield int(row), f"{scores_column} are not as many as {texts_column}"


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
    for row, value in enumerate(_list(values)):
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
    for row, value in enumerate(_list(values)):
        as_list = [value] if _is_number(value) else value
        if value is None and may_be_missing:
            as_list = None
        elif not isinstance(as_list, list) or not all(map(_is_number, as_list)) or not (as_list or may_be_missing):
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
        array = pyarrow.array([_number(value) for value in _list(values)], pyarrow.float64())
    finite = numpy.isfinite(array.to_numpy(zero_copy_only=False))
    given = _list(values) if not finite.all() else []
    return array, {int(row): ("holds no number", given[row]) for row in numpy.flatnonzero(~finite)}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _plain(values: Any) -> Any:
    """Arrow values out of their dictionary, if they are in one."""
    import pyarrow

    return values.dictionary_decode() if isinstance(values, pyarrow.DictionaryArray) else values


def _list(values: Any) -> Sequence[Any]:
    return values if isinstance(values, list | tuple) else values.to_pylist()


def check_score_range(score_range: Sequence[float], shape: Shape) -> None:
    """Raise DataError unless the range is two rising numbers and the shape has scores to rescale."""
    bounds = [bound for bound in score_range if _is_number(bound)]
    if len(score_range) != 2 or len(bounds) != 2 or bounds[0] >= bounds[1]:
        raise DataError(
            f"dataset.reader.score_range={list(score_range)} is no range. "
            "Expected the lowest and the highest score, as [0,5]."
        )
    if shape.label_kind != "score":
        raise DataError(f"dataset.reader.score_range has no effect on {shape.name}, which has no scores. Leave it out.")
