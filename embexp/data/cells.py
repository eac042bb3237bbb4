"""Single values as people write them: lists as text in a cell, numbers with a decimal comma, objects with a text."""

import ast
import io
import itertools
import json
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_PERCENT = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*[%％]\s*")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*%?\s*")
DECIMAL_COMMA = "'dataset.reader.decimal=\",\"'"  # what to type for such numbers
_NEIGHBOURS = re.compile(r"""['"]\s+[rRbBuUfF]*['"]""")  # two texts without a comma between
_LONGEST = 1_000_000  # characters of a cell that may be a list


def as_list(value: Any) -> list[Any] | None:
    """The list that a value is or spells, as JSON or as Python writes it; None for any other value.

    >>> as_list(["a"]), as_list("['a', 'b']"), as_list('["a"]'), as_list("[0.5, 1]"), as_list("[see note]")
    (['a'], ['a', 'b'], ['a'], [0.5, 1], None)
    """
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return [*value]
    text = value.strip() if isinstance(value, str) and len(value) <= _LONGEST else ""
    if text[:1] not in ("[", "(") or text[-1:] not in ("]", ")"):
        return None
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if found is None and not _has_neighbours(text):
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
    return [*found] if isinstance(found, list | tuple) else None


def _has_neighbours(text: str) -> bool:
    """Whether two texts stand side by side without a comma, as numpy writes lists: Python would join them."""
    if not _NEIGHBOURS.search(text):
        return False
    try:
        kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return True
    return any(pair == (tokenize.STRING, tokenize.STRING) for pair in itertools.pairwise(kinds))


def number_in(value: Any) -> float | None:
    """The number that a value is or spells, with a percent sign too; None for another value, true and false.

    >>> [number_in(value) for value in (1, "0.5", "85 %", True, "high", "0,5")]
    [1.0, 0.5, 85.0, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (percent := _PERCENT.fullmatch(value)):
        return float(percent[1])
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def is_percent(value: Any) -> bool:
    """Whether a value is a number with a percent sign."""
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def has_decimal_comma(value: Any) -> bool:
    """Whether a value is a number such as `0,85`."""
    return isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value) is not None


def usual_range(low: float, high: float) -> tuple[float, float]:
    """The range that scores seem to have whose lowest and highest are these.

    >>> usual_range(0, 4), usual_range(0.2, 4.8), usual_range(-0.3, 0.9), usual_range(1, 87.5)
    ((0, 4), (0, 5), (-1, 1), (0, 100))
    """
    if not (float(low).is_integer() and float(high).is_integer()):
        for least, most in ((0, 1), (-1, 1), (0, 5), (0, 10), (0, 100)):
            if least <= low and high <= most:
                return least, most
    return low, high


def range_override(low: float, high: float) -> str:
    """That range as it is typed.

    >>> range_override(0, 4)
    '[0,4]'
    """
    return "[{:g},{:g}]".format(*usual_range(low, high))


def values_at(columns: Mapping[str, Any], path: str) -> Any:
    """The values of a column, or of fields of the objects in it: `passages.text`, `passages.title+text`.

    Objects in a list become their texts; of several fields those that are filled are joined with a blank.

    >>> values_at({"p": [[{"title": "T", "text": "x"}, {"title": "", "text": "y"}]]}, "p.title+text")
    [['T x', 'y']]
    """
    name, fields = column_and_fields(columns, path)
    given = columns.get(name)
    if given is None or not fields:
        return given
    values = given if isinstance(given, list | tuple) else given.to_pylist()
    return [_fields_of(value, fields) for value in values]


def _fields_of(value: Any, fields: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        found = [value.get(field) for field in fields]
        if len(fields) == 1:
            return found[0]
        return " ".join(str(each) for each in found if each not in (None, ""))
    items = as_list(value)
    return value if items is None else [_fields_of(item, fields) for item in items]


def has_path(columns: Mapping[str, Any], path: str) -> bool:
    """Whether a column is there, or objects in it have the fields.

    >>> has_path({"p": [None, [{"text": "x"}]]}, "p.text"), has_path({"p": [["x"]]}, "p.text"), has_path({}, "p")
    (True, False, False)
    """
    name, fields = column_and_fields(columns, path)
    return name in columns and {*fields} <= {*(fields_in(columns[name]) if fields else ())}


def column_and_fields(columns: Iterable[str], path: str) -> tuple[str, list[str]]:
    """The column that a path begins with, and the fields that it names; a column's own name may hold dots.

    >>> column_and_fields(["a", "a.b"], "a.b.title+text"), column_and_fields(["a", "a.b"], "a.b")
    (('a.b', ['title', 'text']), ('a.b', []))
    """
    if path in columns:
        return path, []
    name = max((name for name in columns if path.startswith(f"{name}.")), key=len, default="")
    return (name, path[len(name) + 1 :].split("+")) if name else (path, [])


def fields_in(values: Any) -> list[str]:
    """The fields of the objects among values, or in the lists among them."""
    found: dict[str, None] = {}
    for value in values if isinstance(values, list | tuple) else values.to_pylist():
        items = [value] if isinstance(value, Mapping) else as_list(value) or []
        for item in items:
            found |= dict.fromkeys(item) if isinstance(item, Mapping) else {}
    return [*found]
