"""Which column means what: the source's column for each column of a shape, and the shape that the columns tell."""

from collections.abc import Iterable, Mapping
from typing import Any

from embexp.data.shapes import ROW_PROMPT, SHAPES, Shape, described, shape_named, text_columns, training_columns
from embexp.errors import DataError, did_you_mean, listed

ROLES = {
    name for shape in SHAPES.values() for name in (*training_columns(shape, ["negative_1"]), *shape.extras, ROW_PROMPT)
}
# Other usual names: a single negative, and the columns of the BGE / FlagEmbedding JSONL form.
ALIASES = {
    "negative": "negative_1",
    "pos": "positives",
    "neg": "negatives",
    "pos_scores": "positive_scores",
    "neg_scores": "negative_scores",
}
SAY_COLUMNS = "Name yours with dataset.reader.columns={<column of the shape>: <your column>}."


def roles_of(names: Iterable[str], columns: Mapping[str, str], source: Any) -> dict[str, str]:
    """The source's column for each column it can be under a shape's name; others keep their own name.

    Args:
        columns: the source's column for each column of the shape, as the user names them.

    Raises:
        DataError: a column that is not there, or a name on the left that no shape has.
    """
    names = list(names)
    missing = [theirs for theirs in columns.values() if theirs not in names]
    if missing:
        raise DataError(f"{source} has no column {listed(missing)}. It has: {listed(names)}. {SAY_COLUMNS}")
    unknown = [ours for ours in columns if ours not in ROLES and not ours.startswith("negative_")]
    if unknown:
        raise DataError(
            f"dataset.reader.columns names {listed(unknown)}, which no shape has. Expected some of: "
            f"{listed(sorted(ROLES))}. {did_you_mean(unknown[0], ROLES)}".strip()
        )
    taken = {*columns, *columns.values()}
    roles = {name: name for name in names if name not in taken} | dict(columns)
    for usual, ours in ALIASES.items():
        if usual in roles and ours not in roles:
            roles[ours] = roles.pop(usual)
    return roles


def shape_of_columns(roles: Iterable[str], first_label: Any, source: Any) -> Shape:
    """The one shape whose columns are all there; the most telling one when several fit.

    A class label that only ever is 0 or 1 makes a binary pair, but that is known once all rows were read.

    Args:
        roles: the columns, under the names of shapes.
        first_label: the label of the first row, None when there is none.

    Raises:
        DataError: no shape fits, or a column would be ignored that has a meaning.
    """
    names = list(roles)
    fitting = [shape for shape in SHAPES.values() if {*needed_columns(shape, names)} <= set(names)]
    fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, names)) > 2]
    if not fitting:
        raise DataError(
            f"{source} has the columns {listed(names)}, which tell no shape. Expected those of one of "
            + "; ".join(described(name) for name in SHAPES)
            + f". {SAY_COLUMNS}"
        )
    most = max(len(training_columns(shape, names)) for shape in fitting)
    best = {shape.name for shape in fitting if len(training_columns(shape, names)) == most}
    if best == {"binary_pair", "class_pair"}:
        best = {"class_pair"}
    if best == {"labelled_text", "embedded_text"}:
        best = {"embedded_text" if isinstance(first_label, list) else "labelled_text"}
    shape = shape_named(sorted(best)[0])
    unused = [name for name in names if name in ROLES and name not in used_columns(shape, names)]
    if len(best) > 1 or unused:
        raise DataError(
            f"{source} has the columns {listed(names)}, which can be {listed(sorted(best))}"
            + (f", but then {listed(unused)} would be ignored" if unused else "")
            + f". Say what the rows are with dataset.shapes=[{shape.name}], or take the column away."
        )
    return shape


def check_columns(roles: Iterable[str], shape: Shape, source: Any) -> None:
    """Raise DataError when columns are missing without which rows are not of this shape."""
    names = list(roles)
    needed = needed_columns(shape, [*names, *shape.required_negatives])
    if missing := [name for name in needed if name not in names]:
        raise DataError(
            f"{source} has the columns {listed(names)}; for {described(shape.name)} it lacks {listed(missing)}. "
            f"{SAY_COLUMNS}"
        )


def needed_columns(shape: Shape, names: list[str]) -> list[str]:
    """The columns without which rows are not of this shape: ranked rows may lack negatives."""
    return [name for name in training_columns(shape, names) if name != "negatives"]


def used_columns(shape: Shape, names: list[str]) -> list[str]:
    """The columns that mean something in this shape."""
    return [*training_columns(shape, names), *shape.extras, ROW_PROMPT]
