"""Which column means what: renaming columns to those of a shape, and telling the shape from their names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embexp.data.shapes import SHAPES, Shape, described, shape_named, text_columns, training_columns
from embexp.errors import DataError, listed

if TYPE_CHECKING:
    from datasets import Dataset

ROLES = {name for shape in SHAPES.values() for name in training_columns(shape, ["negative_1"])}


def with_columns(rows: "Dataset", columns: Mapping[str, str], source: Any) -> "Dataset":
    """The rows with the columns of a shape under their own names; `negative` is taken for `negative_1`.

    Args:
        columns: the source's column for each column of the shape.

    Raises:
        DataError: a column that is not there.
    """
    missing = [theirs for theirs in columns.values() if theirs not in rows.column_names]
    if missing:
        raise DataError(
            f"{source} has no column {listed(missing)}. It has: {listed(rows.column_names)}. "
            "Name yours with dataset.reader.columns={<column of the shape>: <your column>}."
        )
    import pyarrow
    from datasets import Dataset

    table = rows.with_format("arrow")[:]
    taken = {*columns, *columns.values()}
    named = {name: table[name] for name in rows.column_names if name not in taken}
    named |= {ours: table[theirs] for ours, theirs in columns.items()}
    if "negative" in named and "negative_1" not in named:  # the usual name of a single negative
        named["negative_1"] = named.pop("negative")
    return Dataset(pyarrow.table(named))


def shape_of_columns(rows: "Dataset", source: Any) -> Shape:
    """The one shape whose columns are all there; the most telling one when several fit.

    Raises:
        DataError: no shape fits, or a label column can mean more than one.
    """
    names = set(rows.column_names)
    fitting = [shape for shape in SHAPES.values() if {*training_columns(shape, list(names))} <= names]
    fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, list(names))) > 2]
    if not fitting:
        raise DataError(
            f"{source} has the columns {listed(rows.column_names)}, which tell no shape. Expected those of one of "
            + "; ".join(described(name) for name in SHAPES)
            + ". Name yours with dataset.reader.columns={<column of the shape>: <your column>}."
        )
    most = max(len(training_columns(shape, list(names))) for shape in fitting)
    best = [shape for shape in fitting if len(training_columns(shape, list(names))) == most]
    if {shape.name for shape in best} == {"binary_pair", "class_pair"}:
        labels = {str(value) for value in rows.unique("label")}
        best = [shape_named("binary_pair" if labels <= {"0", "1"} else "class_pair")]
    if {shape.name for shape in best} == {"labelled_text", "embedded_text"}:
        best = [shape_named("embedded_text" if isinstance(rows[0]["label"], list) else "labelled_text")]
    unused = [
        name for name in rows.column_names if name in ROLES and name not in training_columns(best[0], list(names))
    ]
    if len(best) > 1 or unused:
        raise DataError(
            f"{source} has the columns {listed(rows.column_names)}, which can be {listed(shape.name for shape in best)}"
            + (f", but then {listed(unused)} would be ignored" if unused else "")
            + f". Say what the rows are with dataset.shapes=[{best[0].name}], or take the column away."
        )
    return best[0]
