"""Which column means what: the source's column for each column of a shape, and the shape that the columns fit."""

from collections.abc import Iterable, Mapping
from typing import Any

from embexp.data.shapes import OF_ANY_SHAPE, SHAPES, Shape, described, shape_named, text_columns, training_columns
from embexp.errors import DataError, Problem, did_you_mean, listed

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
_SAY_COLUMNS = "'dataset.reader.columns={<column of the shape>: <your column>}'"
# A part of a column's name that shows that the column means something, and the column of a shape that it may be.
_MEANINGS = {
    "negative": "negative_1",
    "label": "label",
    "categor": "label",
    "class": "label",
    "score": "score",
    "similarity": "score",
    "split": "",
}
_MOST_NEAR = 3  # shapes that are described when none fits


def match_columns(
    given: Mapping[str, Any], columns: Mapping[str, str], shape: Shape | None, source: Any, header_fix: str = ""
) -> tuple[Shape, dict[str, str], list[str]]:
    """The shape of rows, the source's column for each of its columns, and the source's columns that it does not use.

    Without a shape it is the one whose columns are all there; the one with the most columns when several fit. Labels
    that only ever are 0 or 1 make a binary pair, but that is known once all rows are read: until then it is a class
    pair.

    Args:
        given: the values of the first rows, by the source's column.
        columns: the source's column for each column of the shape, as the user names them: then other columns may be
            left out, unless shapes have them.
        header_fix: what to type where the file may have no header line.

    Raises:
        DataError: a column that is not there, a name on the left that no shape has, no shape that fits, or a column
            that means something and would be ignored.
    """
    roles = _roles(list(given), columns, source)
    if shape is None:
        label = given.get(roles.get("label"), [None])
        first = label[0] if isinstance(label, list | tuple) else label[0].as_py()
        shape = _shape_of(roles, isinstance(first, list), source, bool(columns), header_fix)
    needed = _needed_columns(shape, [*roles, *shape.required_negatives])
    if missing := [name for name in needed if name not in roles]:
        text = f"the columns are {listed(roles)}; for {described(shape.name)} it lacks {listed(missing)}"
        raise DataError(text, file=source, fix=_SAY_COLUMNS)
    return shape, roles, [*_unused(roles, shape).values()]


def _roles(names: list[str], columns: Mapping[str, str], source: Any) -> dict[str, str]:
    """The source's column for each column it can be under a shape's name; others keep their own name."""
    missing = [theirs for theirs in columns.values() if theirs not in names]
    if missing:
        expected = f"some of its columns: {listed(names)}"
        raise DataError(f"there is no column {listed(missing)}", file=source, expected=expected, fix=_SAY_COLUMNS)
    unknown = [ours for ours in columns if ours not in ROLES and not ours.startswith("negative_")]
    if unknown:
        text, note = f"names {listed(unknown)}, which no shape has", did_you_mean(unknown[0], ROLES)
        expected = f"some of: {listed(sorted(ROLES))}"
        raise DataError(text, key="dataset.reader.columns", expected=expected, note=note, fix=_SAY_COLUMNS)
    taken = {*columns, *columns.values()}
    roles = {name: name for name in names if name not in taken} | dict(columns)
    for usual, ours in ALIASES.items():
        if usual in roles and ours not in roles:
            roles[ours] = roles.pop(usual)
    return roles


def _shape_of(roles: Mapping[str, str], is_vector: bool, source: Any, may_leave_out: bool, header_fix: str) -> Shape:
    names = list(roles)
    fitting = [shape for shape in SHAPES.values() if {*_needed_columns(shape, names)} <= set(names)]
    fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, names)) > 2]
    if not fitting:
        raise DataError(_no_shape(list(roles.values()), names, source, header_fix))
    most = max(len(training_columns(shape, names)) for shape in fitting)
    best = {shape.name for shape in fitting if len(training_columns(shape, names)) == most}
    if best == {"binary_pair", "class_pair"}:
        best = {"class_pair"}
    if best == {"labelled_text", "embedded_text"}:
        best = {"embedded_text" if is_vector else "labelled_text"}
    shape = shape_named(sorted(best)[0])
    unused = [
        theirs
        for ours, theirs in _unused(roles, shape).items()
        if ours in ROLES or (not may_leave_out and _meaning_of(theirs) is not None)
    ]
    if len(best) > 1 or unused:
        ignored = f", but then {listed(unused)} would be ignored" if unused else ""
        has_split = "split" in map(str.lower, unused)
        raise DataError(
            f"the columns {listed(roles.values())} can be {listed(sorted(best))}{ignored}",
            file=source,
            expected="a file for each split, in a folder" if has_split else "",
            fix=(*([] if has_split or not unused else [_way_to_use(unused, roles)]), f"dataset.shapes=[{shape.name}]"),
        )
    return shape


def _no_shape(theirs: list[str], names: list[str], source: Any, header_fix: str) -> Problem:
    def nearness(shape: Shape) -> tuple[int, int]:
        columns = _needed_columns(shape, ["negative_1"])
        return -len({*columns} & {*names}), abs(len(columns) - len(names))

    near = [shape.name for shape in sorted(SHAPES.values(), key=nearness)]
    return Problem(
        f"the columns {listed(theirs)} fit no shape",
        file=str(source),
        expected="the columns of a shape" + (", or a header line that names columns" if header_fix else ""),
        note=f"The nearest shapes are {'; '.join(map(described, near[:_MOST_NEAR]))}; "
        f"the others {listed(near[_MOST_NEAR:])}",
        fix=(*([header_fix] if header_fix else []), _SAY_COLUMNS),
    )


def usual_columns(number: int) -> str:
    """The names that so many columns without names most often have, for a message.

    >>> usual_columns(2), usual_columns(7)
    ('anchor,positive', '...')
    """
    return {1: "text", 2: "anchor,positive", 3: "sentence1,sentence2,label"}.get(number, "...")


def _meaning_of(column: str) -> str | None:
    """The column of a shape that a name seems to stand for ("" when none does); None for a name without a meaning.

    >>> _meaning_of("Coarse_Label"), _meaning_of("split"), _meaning_of("ticker")
    ('label', '', None)
    """
    return next((role for part, role in _MEANINGS.items() if part in column.lower()), None)


def _unused(roles: Mapping[str, str], shape: Shape) -> dict[str, str]:
    """Those of the roles that mean nothing in this shape."""
    used = {*training_columns(shape, list(roles)), *shape.extras, *OF_ANY_SHAPE}
    return {ours: theirs for ours, theirs in roles.items() if ours not in used}


def _way_to_use(unused: list[str], roles: Mapping[str, str]) -> str:
    """What to type so that columns are used that would be ignored."""
    meant = {theirs: _meaning_of(theirs) for theirs in unused}
    columns = {role: theirs for theirs, role in reversed(meant.items()) if role}
    if negatives := sorted(theirs for theirs, role in meant.items() if role == "negative_1"):
        negatives += [
            theirs for ours, theirs in roles.items() if ours.startswith("negative_") and theirs not in negatives
        ]
        columns |= {f"negative_{number}": theirs for number, theirs in enumerate(negatives, 1)}
    named = ", ".join(f"{role}: {theirs}" for role, theirs in columns.items())
    return f"'dataset.reader.columns={{{named}}}'" if named else _SAY_COLUMNS


def _needed_columns(shape: Shape, names: Iterable[str]) -> list[str]:
    """The columns without which rows are not of this shape: ranked rows may lack negatives."""
    return [name for name in training_columns(shape, list(names)) if name != "negatives"]
