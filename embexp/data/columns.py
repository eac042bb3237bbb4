"""Which column means what: the source's column for each column of a shape, and the shape that the columns fit."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embexp.data.cells import as_list, column_and_fields, has_path, values_at
from embexp.data.meaning import filled, mean_length, meaning_of, plain_name
from embexp.data.shapes import OF_ANY_SHAPE, SHAPES, Shape, shape_named, text_columns, training_columns
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
_BY_PLAIN_NAME = {plain_name(name): name for name in (*ROLES, *ALIASES)}
_MAY_HOLD_LISTS = ("positive", "positives", "negative_1", "negatives")  # then the rows are ranked
TAKEN = "columns taken by their names"  # what a note on it says
SAY_COLUMNS = "'dataset.reader.columns={<column of the shape>: <your column>}'"
_MOST_NEAR = 3  # shapes that are described when none fits
Samples = Mapping[str, Sequence[Any]]  # some values of each column


@dataclass(frozen=True)
class Match:
    """What the columns mean.

    Attributes:
        shape: of the rows.
        roles: the source's column for each column of the shape, and others under their own name.
        unused: the source's columns that the shape does not use.
        meaningful: those of them that seem to mean something, with the column of a shape that each may be.
        renamed: the source's name of each column that was taken although it differs in capitals, blanks or signs.
    """

    shape: Shape
    roles: dict[str, str]
    unused: list[str] = field(default_factory=list)
    meaningful: dict[str, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mismatch:
    """Columns that cannot be matched as they are.

    Attributes:
        shapes: names of the shapes that they could be; empty where none fits.
        ignored: columns that mean something and would be left out.
    """

    roles: dict[str, str]
    shapes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def match(samples: Samples, columns: Mapping[str, str], ignore: Iterable[str], shape: Shape | None) -> Match | Mismatch:
    """The meaning of the columns, as far as they have one.

    Without a shape it is the one whose columns are all there; the one with the most columns when several fit. Labels
    that only ever are 0 or 1 make a binary pair, but that is known once all rows are read: until then it is a class
    pair.

    Args:
        samples: some values of each of the source's columns.
        columns: the source's column for each column of the shape, as the user names them; a dot leads to a field of
            the objects in a column.
        ignore: the source's columns that are not to be used.
        shape: as the user names it; then other columns may be left out.
    """
    left = {name: values for name, values in samples.items() if name not in {*ignore}}
    roles, renamed = _roles(left, columns)
    has_lists = any(_holds_lists(_at(left, roles[ours])) for ours in _MAY_HOLD_LISTS if ours in roles)
    if has_lists and (shape is None or shape.text_lists):
        roles = _as_ranked(roles)
    if shape is None:
        names = list(roles)
        fitting = [shape for shape in SHAPES.values() if {*_needed_columns(shape, names)} <= set(names)]
        fitting = [shape for shape in fitting if not shape.negatives or len(text_columns(shape, names)) > 2]
        if not fitting:
            return Mismatch(roles)
        most = max(len(training_columns(shape, names)) for shape in fitting)
        best = {shape.name for shape in fitting if len(training_columns(shape, names)) == most}
        if best == {"binary_pair", "class_pair"}:
            best = {"class_pair"}
        if best == {"labelled_text", "embedded_text"}:
            best = {"embedded_text" if _holds_lists(_at(left, roles["label"])) else "labelled_text"}
        found = shape_named(sorted(best)[0])
    else:
        found, best = shape, {shape.name}
    unused = _unused(roles, found)
    texts = [mean_length(_at(left, roles[name])) for name in found.texts if name in roles]
    meaningful = {
        theirs: meaning or ""
        for ours, theirs in unused.items()
        if (meaning := meaning_of(theirs, left.get(theirs, ()), min(texts, default=0))) is not None
        or (shape is None and ours in ROLES and filled(left.get(theirs, ())))
    }
    if shape is None and (len(best) > 1 or meaningful):
        return Mismatch(roles, tuple(sorted(best)), tuple(meaningful))
    return Match(found, roles, [*unused.values()], meaningful, renamed)


def check_ignored(ignore: Sequence[str], samples: Samples) -> None:
    """Raise DataError for columns not to be used that no split has."""
    if missing := [name for name in ignore if name not in samples]:
        text, note = f"names {listed(missing)}, which is no column", _near(missing[0], samples)
        expected = f"some of: {listed(samples)}"
        raise DataError(text, key="dataset.reader.ignore", given=[*ignore], expected=expected, note=note)


def _near(name: str, samples: Samples) -> str:
    return did_you_mean(name, [other for other in samples if plain_name(other) == plain_name(name)] or samples)


def check_names(samples: Samples, columns: Mapping[str, str], source: Any, ways: Callable[[], list[str]]) -> None:
    """Raise DataError for names among `columns` that are not there, or that no shape has.

    Args:
        ways: what can be typed instead.
    """
    if missing := [theirs for theirs in columns.values() if not has_path(samples, theirs)]:
        text, note = f"there is no column {listed(missing)}", _near(missing[0], samples)
        expected = f"some of its columns: {listed(samples)}"
        raise DataError(text, file=source, expected=expected, note=note, fix=ways() or SAY_COLUMNS)
    unknown = [ours for ours in columns if ours not in ROLES and not ours.startswith("negative_")]
    if unknown:
        text, note = f"names {listed(unknown)}, which no shape has", did_you_mean(unknown[0], ROLES)
        expected = f"some of: {listed(sorted(ROLES))}"
        raise DataError(text, key="dataset.reader.columns", expected=expected, note=note, fix=ways() or SAY_COLUMNS)


def lacking(shape: Shape, roles: Mapping[str, str]) -> list[str]:
    """The columns without which rows are not of this shape, and that are not there."""
    return [name for name in _needed_columns(shape, [*roles, *shape.required_negatives]) if name not in roles]


def _roles(samples: Samples, columns: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The source's column for each column it can be under a shape's name, others under their own; and the renamed."""
    taken = {*columns, *columns.values(), *(column_and_fields(samples, theirs)[0] for theirs in columns.values())}
    roles = {name: name for name in samples if name not in taken} | dict(columns)
    renamed = {}
    for name in samples:
        usual = _BY_PLAIN_NAME.get(plain_name(name)) or _negative_number(name)
        if roles.get(name) == name and name not in {*ROLES, *ALIASES} and usual and usual not in {*roles, *samples}:
            renamed[usual] = name
            roles = {usual if ours == name else ours: theirs for ours, theirs in roles.items()}
    for usual, ours in ALIASES.items():
        if usual in roles and ours not in roles:
            roles = {ours if name == usual else name: theirs for name, theirs in roles.items()}
    return roles, renamed


def _as_ranked(roles: Mapping[str, str]) -> dict[str, str]:
    """The roles of rows with lists of positives or negatives, whatever they call the query and single texts."""
    names = {"anchor": "query", "positive": "positives", "negative_1": "negatives"}
    return {ours if names.get(ours, ours) in roles else names.get(ours, ours): theirs for ours, theirs in roles.items()}


def _negative_number(name: str) -> str | None:
    """The n-th negative that a name means: `Negative 2` is negative_2."""
    found = re.fullmatch(r"negative([1-9]\d*)", plain_name(name))
    return f"negative_{found[1]}" if found else None


def _at(samples: Samples, column: str) -> Sequence[Any]:
    return values_at(samples, column) or ()


def _holds_lists(values: Sequence[Any]) -> bool:
    some = filled(values)[:20]
    return bool(some) and 2 * sum(as_list(value) is not None for value in some) >= len(some)


def _unused(roles: Mapping[str, str], shape: Shape) -> dict[str, str]:
    """Those of the roles that mean nothing in this shape."""
    used = {*training_columns(shape, list(roles)), *shape.extras, *OF_ANY_SHAPE}
    return {ours: theirs for ours, theirs in roles.items() if ours not in used}


def _needed_columns(shape: Shape, names: Iterable[str]) -> list[str]:
    """The columns without which rows are not of this shape: ranked rows may lack negatives."""
    return [name for name in training_columns(shape, list(names)) if name != "negatives"]
