"""What to type where columns cannot be matched: mappings of the user's own columns that are known to work."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from embexp.data.cells import (
    DECIMAL_COMMA,
    as_list,
    fields_in,
    has_decimal_comma,
    is_percent,
    number_in,
    usual_range,
)
from embexp.data.columns import ALIASES, ROLES, SAY_COLUMNS, Match, Mismatch, Samples, match
from embexp.data.meaning import (
    PAIRS,
    TEXTS,
    UNRELATED,
    are_truths,
    are_worded,
    filled,
    is_asked,
    is_neutral,
    mean_length,
    meaning_of,
    plain_name,
    role_by_name,
)
from embexp.data.shapes import SHAPES, described, training_columns
from embexp.errors import Problem, listed

_MOST = 3  # alternatives


def no_match(
    mismatch: Mismatch,
    samples: Samples,
    typed: Mapping[str, str],
    typed_ignore: Sequence[str],
    source: Any,
    header_fix: str,
) -> Problem:
    """The problem with columns that fit no shape, several, or one that would leave out what means something.

    Args:
        samples: some values of each of the source's columns.
        typed, typed_ignore: the columns of the shape, and those not to be used, as the user named them.
        header_fix: what to type where the file may have no header line.
    """
    found = ways(mismatch, samples, typed, typed_ignore)
    theirs = listed(mismatch.roles.values())
    if not mismatch.shapes:
        names = list(mismatch.roles)
        near = [shape.name for shape in sorted(SHAPES.values(), key=lambda shape: _distance(shape, names))]
        return Problem(
            f"the columns {theirs} fit no shape",
            file=str(source),
            expected="the columns of a shape" + (", or a header line that names columns" if header_fix else ""),
            note=""
            if found
            else f"The nearest shapes are {'; '.join(map(described, near[:3]))}; the others {listed(near[3:])}",
            fix=(*([header_fix] if header_fix else []), *(found or [SAY_COLUMNS])),
        )
    ignored = f", but then {listed(mismatch.ignored)} would be ignored" if mismatch.ignored else ""
    has_split = "split" in map(str.lower, mismatch.ignored)
    return Problem(
        f"the columns {theirs} can be {listed(mismatch.shapes)}{ignored}",
        file=str(source),
        expected="a file for each split, in a folder" if has_split else "",
        fix=(*found, *([] if mismatch.ignored else [f"dataset.shapes=[{shape}]" for shape in mismatch.shapes])),
    )


def _distance(shape: Any, names: Sequence[str]) -> tuple[int, int]:
    columns = [name for name in training_columns(shape, ["negative_1"]) if name != "negatives"]
    return -len({*columns} & {*names}), abs(len(columns) - len(names))


def ways(mismatch: Mismatch, samples: Samples, typed: Mapping[str, str], ignore: Sequence[str]) -> list[str]:
    """What to type, each alternative tried on the columns."""
    found: dict[str, None] = {}
    left = {name: values for name, values in samples.items() if name not in ignore}
    candidates = [*_mappings(left, typed), *([dict(typed)] if mismatch.shapes else [])]
    for columns in candidates:
        contradicts = any(theirs != typed.get(ours, theirs) for ours, theirs in columns.items())
        if not contradicts and (way := _way(columns, samples, tuple(ignore))):
            found[way] = None
    return [*found][: _MOST + 1]


def likely(samples: Samples, ignore: Sequence[str]) -> dict[str, str] | None:
    """The only mapping of columns that their names suggest and that leaves out none that means something; else None.

    Names are known ones (question and answer, 问题 and 答案); scores and labels are called so. Of two texts with other
    names it is not known which is the question and which the answer, which matters unless there is a score or label.

    >>> likely({"q": ["how to pay"], "a": ["by card or cash"], "grade": [4, 0, 5]}, [])
    {'sentence1': 'q', 'sentence2': 'a', 'score': 'grade'}
    >>> likely({"one": ["how to pay", "is it open"], "two": ["by card or cash", "until ten or so"]}, [])
    """
    left = {name: values for name, values in samples.items() if name not in ignore}
    matches = [(columns, match(samples, columns, ignore, None)) for columns in _mappings(left, {})]
    able = [(columns, found) for columns, found in matches if isinstance(found, Match) or found.ignored]
    if len(able) != 1 or not isinstance(able[0][1], Match) or not _are_named(able[0][0]):
        return None
    return able[0][0]


def _are_named(columns: Mapping[str, str]) -> bool:
    """Whether names say what the columns mean."""
    texts = [theirs for ours, theirs in columns.items() if ours not in ("label", "score")]
    labels = [theirs for ours, theirs in columns.items() if ours in ("label", "score")]
    negatives = [theirs for ours, theirs in columns.items() if ours.startswith("negative")]
    if any(not role_by_name(name) for name in (*labels, *negatives)):
        return False
    if len(texts) == 1:
        return bool(labels)
    pair = tuple(plain_name(name.partition(".")[0]) for name in texts[:2])
    if pair in UNRELATED and not labels:
        return False
    return bool(labels) or pair in PAIRS


def settings_for(columns: Mapping[str, str], samples: Samples) -> dict[str, Any]:
    """The settings of the reader that these columns need: `columns`, `score_range` and `decimal`."""
    return {
        "columns": dict(columns),
        **(_score_settings(samples.get(columns["score"], ())) if "score" in columns else {}),
    }


def as_overrides(settings: Mapping[str, Any]) -> str:
    """The settings of a reader as they are typed.

    >>> print(as_overrides({"columns": {"anchor": "q", "positive": "a"}, "score_range": [0.0, 5.0], "decimal": ","}))
    'dataset.reader.columns={anchor: q, positive: a}' 'dataset.reader.decimal=","' dataset.reader.score_range=[0,5]
    """
    return " ".join([_mapping_override(settings["columns"]), *_score_overrides(settings)])


def _score_overrides(settings: Mapping[str, Any]) -> list[str]:
    decimal = [DECIMAL_COMMA] if "decimal" in settings else []
    scale = settings.get("score_range")
    return [*decimal, *([f"dataset.reader.score_range=[{scale[0]:g},{scale[1]:g}]"] if scale else [])]


def _way(columns: Mapping[str, str], samples: Samples, ignore: tuple[str, ...]) -> str | None:
    """The overrides that make the columns fit, those that are still unused named; None where they do not fit."""
    found = match(samples, columns, ignore, None)
    if isinstance(found, Mismatch) and found.ignored:
        ignore = (*ignore, *found.ignored)
        found = match(samples, columns, ignore, None)
    if not isinstance(found, Match):
        return None
    short = {ours: theirs for ours, theirs in columns.items() if ours != theirs}
    if short and match(samples, short, ignore, None) != found:
        short = dict(columns)
    parts = [_mapping_override(short)] if short else []
    if ignore:
        parts.append(override("dataset.reader.ignore", f"[{','.join(map(quoted, ignore))}]"))
    if found.shape.label_kind == "score":
        parts += _score_overrides(_score_settings(samples.get(found.roles["score"], ())))
    return " ".join(parts) or None


def corrected(samples: Samples, columns: Mapping[str, str]) -> list[str]:
    """What to type where columns that are not there are called nearly as those that are; empty where some are not."""
    near = {ours: theirs for ours, theirs in columns.items() if theirs in samples}
    for ours, theirs in columns.items():
        others = [name for name in samples if name not in near.values()]
        if ours not in near and (found := get_close_matches(theirs, others, n=1)):
            near[ours] = found[0]
    return [_mapping_override({ours: near[ours] for ours in columns})] if {*columns} == {*near} else []


def _score_settings(values: Sequence[Any]) -> dict[str, Any]:
    """What scores need besides their column: the range that they seem to have, and a decimal comma."""
    values = filled(values)
    comma = any(map(has_decimal_comma, values))
    given = [value.replace(",", ".") if comma and isinstance(value, str) else value for value in values]
    numbers = [number for value in given if (number := number_in(value)) is not None]
    settings: dict[str, Any] = {"decimal": ","} if comma else {}
    if numbers and not any(map(is_percent, given)) and (min(numbers) < 0 or max(numbers) > 1):
        settings["score_range"] = usual_range(min(numbers), max(numbers))
    return settings


def quoted(name: str) -> str:
    """A column's name as it is typed in a list or a mapping of an override.

    >>> quoted("My question"), quoted("问题"), quoted("a,b"), quoted("1"), quoted("null")
    ('My question', '问题', '"a,b"', '"1"', '"null"')
    """
    plain = re.fullmatch(r"[^\W\d](?:[\w .+-]*[\w])?", name)
    if plain and name.lower() not in ("null", "true", "false", "nan", "inf"):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def override(key: str, value: str) -> str:
    """An override in the quotes that a shell needs.

    >>> override("ignore", "[id]"), override("ignore", "[my id]")
    ('ignore=[id]', "'ignore=[my id]'")
    """
    typed = f"{key}={value}"
    return typed if re.fullmatch(r"[\w.=\[\],-]+", typed) else shlex.quote(typed)


def _mapping_override(columns: Mapping[str, str]) -> str:
    named = ", ".join(f"{ours}: {quoted(theirs)}" for ours, theirs in columns.items())
    return shlex.quote(f"dataset.reader.columns={{{named}}}")


def _mappings(samples: Samples, typed: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Possible mappings, the likeliest first."""
    pair = _pair(samples, typed)
    others = [name for name in samples if name not in pair]
    texts = [samples[name] for name in pair if name in samples]
    first, second = (_text_path(samples, name) for name in pair)
    length = min(map(mean_length, texts), default=0.0)
    meant = {name: meaning_of(name, samples[name], length) for name in others}
    by_role: dict[str | None, list[str]] = {}
    for name, role in meant.items():
        by_role.setdefault(role, []).append(name)
    negatives, lists = by_role.get("negative_1", []), [*_list_paths(samples, others)]
    if first and lists and not any(_rates_lists(name, samples[name]) for name in others):
        yield from _ranked(first, second, lists)
    if first and second:
        if negatives:
            numbered = {f"negative_{number}": theirs for number, theirs in enumerate(negatives, 1)}
            yield {"anchor": first, "positive": second, **numbered}
        for score in by_role.get("score", []):
            yield {"sentence1": first, "sentence2": second, "score": score}
        for label in by_role.get("label", []):
            yield {"sentence1": first, "sentence2": second, "label": label}
            if is_asked(first) and not are_truths(samples[label]):  # a topic of both, more likely
                yield {"anchor": first, "positive": second}
        if not negatives and not by_role.get("score") and not by_role.get("label"):
            yield {"anchor": first, "positive": second}
    elif first and not lists:
        for label in by_role.get("label", []):
            yield {"text": first, "label": label}
        if not by_role.get("label"):
            yield {"text": first}


def _ranked(first: str, second: str | None, lists: Sequence[str]) -> Iterator[dict[str, str]]:
    """Mappings of a query, what answers it and what does not, where one of them is a list."""
    negatives = [path for path in lists if re.search(r"neg|负|反例|distract", path.casefold())]
    positives = [path for path in lists if path not in negatives] or ([second] if second else [])
    by_fields: dict[str, dict[str, str]] = {}
    for role, paths in (("positives", positives), ("negatives", negatives)):
        for path in paths:
            fields = path.rpartition(".")[2] if "." in path else ""
            by_fields.setdefault(fields, {"query": first}).setdefault(role, path)
    for columns in by_fields.values():
        if "positives" not in columns and positives:
            columns["positives"] = positives[0]
        yield columns


def _rates_lists(name: str, values: Sequence[Any]) -> bool:
    """Whether a column says which texts of a list are right: such lists are neither positives nor negatives."""
    is_rating = role_by_name(name) in ("label", "score") and not re.search("pos|neg", name.casefold())
    return is_rating and any(as_list(value) for value in filled(values)[:20])


def _text_field(fields: Sequence[str]) -> str:
    return next((field for field in ("text", "contents", "content", "passage", "body") if field in fields), "")


def _text_path(samples: Samples, name: str | None) -> str | None:
    """The column, or the text in it where it holds objects."""
    some = filled(samples.get(name, ()))[:20] if name else []
    if name and some and all(isinstance(value, Mapping) for value in some) and (text := _text_field(fields_in(some))):
        return f"{name}.{text}"
    return name


def _list_paths(samples: Samples, names: Iterable[str]) -> Iterator[str]:
    """The columns among these that hold lists of texts, or of objects with texts: then with the fields."""
    for name in names:
        if role_by_name(name) in ("label", "score"):  # several labels
            continue
        items = [item for value in filled(samples[name])[:20] for item in as_list(value) or []]
        if items and all(isinstance(item, str) for item in items):
            yield name
        elif items and all(isinstance(item, Mapping) for item in items):
            fields = fields_in(samples[name])
            if text := _text_field(fields):
                if "title" in fields and any(item.get("title") for item in items):
                    yield f"{name}.title+{text}"
                yield f"{name}.{text}"


def _pair(samples: Samples, typed: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The two texts that go together, or the only one: as typed, by their names, by what they hold."""
    given = [theirs for ours, theirs in typed.items() if ours in ("anchor", "positive", "sentence1", "sentence2")]
    if len(given) == 2:
        return given[0], given[1]
    plain = {plain_name(name): name for name, values in samples.items() if not _are_numbers(values)}
    for first, second in PAIRS:
        if first in plain and second in plain:
            return plain[first], plain[second]
    worded = [name for name in samples if _may_be_text(name, samples[name])]
    strings = [name for name in samples if name in worded or _holds_strings(name, samples[name])]
    if not worded or (worded in (["positive"], ["anchor"], ["sentence1"], ["sentence2"]) and len(strings) > 1):
        worded = strings  # single words, then
    known = [plain[name] for name in TEXTS if name in plain]
    if len(worded) > 2 and known:
        return known[0], None
    if first := next((plain[name] for name in ("query", "question", "anchor", "问题", "查询") if name in plain), None):
        return first, next((name for name in worded if name != first), None)
    if not worded and len(known) == 1:
        return known[0], None
    return (*worded[:2], None, None)[:2]


def _are_numbers(values: Sequence[Any]) -> bool:
    values = filled(values)
    return bool(values) and all(isinstance(value, bool) or number_in(value) is not None for value in values)


def _holds_strings(name: str, values: Sequence[Any]) -> bool:
    """Whether a column holds strings that no name calls something else."""
    values = filled(values)
    are_strings = bool(values) and all(isinstance(value, str) and number_in(value) is None for value in values)
    return (
        are_strings and role_by_name(name) is None and not is_neutral(name) and name not in ROLES and bool(name.strip())
    )


def _may_be_text(name: str, values: Sequence[Any]) -> bool:
    """Whether a column seems to hold texts for training: no id, no class, no negative."""
    known = name in ROLES and name not in ("label", "score", "type", "prompt") and name not in ALIASES
    return known or (not is_neutral(name) and are_worded(values) and meaning_of(name, values, 1e9) is None)
