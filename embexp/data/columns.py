"""Which column means what: the source's column for each column of a shape, and the shape that the columns tell."""

from collections.abc import Iterable, Mapping
from typing import Any

from embexp.data.shapes import OF_ANY_SHAPE, SHAPES, Shape, described, shape_named, text_columns, training_columns
from embexp.errors import DataError, did_you_mean, listed

ROLES = {name for shape in SHAPES.values() for name in (*training_columns(shape, ["negative_1"]), *shape.extras)}
ROLES |= {*OF_ANY_SHAPE}
# Other usual names: a single negative, and the columns of the BGE / FlagEmbedding JSONL form.
ALIASES = {
    "negative": "negative_1",
    "pos": "positives",
    "neg": "negatives",
    "pos_scores": "positive_scores",
    "neg_scores": "negative_scores",
}
_SAY_ANY = "<column of the shape>: <your column>"
_SAY_COLUMNS = f"Name yours with 'dataset.reader.columns={{{_SAY_ANY}}}'."
# What in a column's name says that it means something, and the column of a shape that it may be.
_TELLING = {
    "negative": "negative_1",
    "label": "label",
    "categor": "label",
    "class": "label",
    "score": "score",
    "similarity": "score",
    "split": "",
}
_MOST_NEAR = 3  # shapes that are described when none fits


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
        raise DataError(f"{source} has no column {listed(missing)}. It has: {listed(names)}. {_SAY_COLUMNS}")
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


def shape_of_columns(
    roles: Mapping[str, str], first_label: Any, source: Any, columns_told: bool = False, hint: str = ""
) -> Shape:
    """The one shape whose columns are all there; the most telling one when several fit.

    A class label that only ever is 0 or 1 makes a binary pair, but that is known once all rows were read.

    Args:
        roles: the source's column for each column, under the names of shapes.
        first_label: the label of the first row, None when there is none.
        columns_told: the user said which column is which: then other columns may be left out, unless shapes have them.
        hint: what else may be wrong when no shape fits.

    Raises:
        DataError: no shape fits, or a column would be ignored that has a meaning.
    """
    names = list(roles)
    fitting = [shape for shape in SHAPES.values() if {*_needed_columns(shape, names)} <= set(names)]
    fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, names)) > 2]
    if not fitting:
        raise DataError(_no_shape(list(roles.values()), names, source, hint))
    most = max(len(training_columns(shape, names)) for shape in fitting)
    best = {shape.name for shape in fitting if len(training_columns(shape, names)) == most}
    if best == {"binary_pair", "class_pair"}:
        best = {"class_pair"}
    if best == {"labelled_text", "embedded_text"}:
        best = {"embedded_text" if isinstance(first_label, list) else "labelled_text"}
    shape = shape_named(sorted(best)[0])
    unused = [
        theirs
        for ours, theirs in unused_columns(roles, shape).items()
        if ours in ROLES or (not columns_told and _meaning_of(theirs) is not None)
    ]
    if len(best) > 1 or unused:
        raise DataError(
            f"{source} has the columns {listed(roles.values())}, which can be {listed(sorted(best))}"
            + (f", but then {listed(unused)} would be ignored. {_way_to_use(unused, roles)}" if unused else ". ")
            + f"Type dataset.shapes=[{shape.name}] if that is what the rows are."
        )
    return shape


def _no_shape(theirs: list[str], names: list[str], source: Any, hint: str) -> str:
    def nearness(shape: Shape) -> tuple[int, int]:
        columns = _needed_columns(shape, ["negative_1"])
        return -len({*columns} & {*names}), abs(len(columns) - len(names))

    near = [shape.name for shape in sorted(SHAPES.values(), key=nearness)]
    return (
        f"{source} has the columns {listed(theirs)}, which tell no shape. {hint}{_SAY_COLUMNS} "
        f"The nearest shapes are {'; '.join(map(described, near[:_MOST_NEAR]))}; "
        f"the others {listed(near[_MOST_NEAR:])}."
    )


def usual_columns(number: int) -> str:
    """The names that so many columns without names most often have, for a message.

    >>> usual_columns(2), usual_columns(7)
    ('anchor,positive', '...')
    """
    return {1: "text", 2: "anchor,positive", 3: "sentence1,sentence2,label"}.get(number, "...")


def _meaning_of(column: str) -> str | None:
    """The column of a shape that a name seems to stand for ("" when none does); None for a name that tells nothing.

    >>> _meaning_of("Coarse_Label"), _meaning_of("split"), _meaning_of("ticker")
    ('label', '', None)
    """
    return next((role for part, role in _TELLING.items() if part in column.lower()), None)


def unused_columns(roles: Mapping[str, str], shape: Shape) -> dict[str, str]:
    """Those of the roles that mean nothing in this shape."""
    used = {*_used_columns(shape, list(roles))}
    return {ours: theirs for ours, theirs in roles.items() if ours not in used}


def _way_to_use(unused: list[str], roles: Mapping[str, str]) -> str:
    """What to type so that columns are used that would be ignored."""
    meant = {theirs: _meaning_of(theirs) for theirs in unused}
    if "split" in map(str.lower, meant):
        return "Write a file for each split into a folder. "
    columns = {role: theirs for theirs, role in reversed(meant.items()) if role}
    if negatives := sorted(theirs for theirs, role in meant.items() if role == "negative_1"):
        negatives += [
            theirs for ours, theirs in roles.items() if ours.startswith("negative_") and theirs not in negatives
        ]
        columns |= {f"negative_{number}": theirs for number, theirs in enumerate(negatives, 1)}
    named = ", ".join(f"{role}: {theirs}" for role, theirs in columns.items())
    return f"Say what they are with 'dataset.reader.columns={{{named or _SAY_ANY}}}'. "


def check_columns(roles: Iterable[str], shape: Shape, source: Any) -> None:
    """Raise DataError when columns are missing without which rows are not of this shape."""
    names = list(roles)
    needed = _needed_columns(shape, [*names, *shape.required_negatives])
    if missing := [name for name in needed if name not in names]:
        raise DataError(
            f"{source} has the columns {listed(names)}; for {described(shape.name)} it lacks {listed(missing)}. "
            f"{_SAY_COLUMNS}"
        )


def _needed_columns(shape: Shape, names: list[str]) -> list[str]:
    """The columns without which rows are not of this shape: ranked rows may lack negatives."""
    return [name for name in training_columns(shape, names) if name != "negatives"]


def _used_columns(shape: Shape, names: list[str]) -> list[str]:
    """The columns that mean something in this shape."""
    return [*training_columns(shape, names), *shape.extras, *OF_ANY_SHAPE]
