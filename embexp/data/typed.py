"""Values as a shape wants them: texts, lists of texts, scores, classes; a row with another value is a faulty row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import schema_of
from embexp.data.chunks import Chunk
from embexp.data.classes import FRACTION, ClassLabels
from embexp.data.faults import FaultLog
from embexp.data.shapes import Shape
from embexp.data.values import Typed, listed_values, number_lists, numbers, text_lists, texts

if TYPE_CHECKING:
    import pyarrow

OUTSIDE = "is outside of"


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
                    self._record(faults, source, chunk.places[row], column.name, reason, value)
                    fits[row] = False
        table = pyarrow.table(arrays, schema=self.schema)
        for row, reason in _unequal_lists(table):
            if fits[row]:
                faults.add(source, chunk.places[row], reason)
                fits[row] = False
        return table if fits.all() else table.filter(pyarrow.array(fits))

    def _record(self, faults: FaultLog, source: Any, place: int, column: str, reason: str, value: Any) -> None:
        theirs = self.roles.get(column, column)
        if reason == OUTSIDE:
            low, high = self.score_range or (0, 1)
            advice = "Name the lowest and the highest score that there can be: dataset.reader.score_range=[0,5]."
            faults.misread(source, place, f"{theirs} is outside of {low:g} to {high:g}", value, advice)
        elif reason == FRACTION:
            roles = {name: self.roles[name] for name in self.shape.texts} | {"score": theirs}
            named = ", ".join(f"{ours}: {name}" for ours, name in roles.items())
            ways = f"If these are scores, type 'dataset.reader.columns={{{named}}}'." if len(roles) == 3 else ""
            advice = f"Expected classes: names, or whole numbers from 0. {ways}".strip()
            faults.misread(source, place, f"{theirs} {reason}", value, advice)
        else:
            faults.add(source, place, f"{theirs} {reason}", value)

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
        import numpy
        import pyarrow.compute

        array, wrong = numbers(values)
        low, high = self.score_range or (0, 1)
        given = array.to_numpy(zero_copy_only=False)
        if (outside := (given < low) | (given > high)).any():
            as_given = listed_values(values)
            wrong = {int(row): (OUTSIDE, as_given[row]) for row in numpy.flatnonzero(outside)} | wrong
        if self.score_range:
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
