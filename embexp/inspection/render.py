"""An inspection as text for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from embexp.inspection.collect import bars_of

_SHOWN_CHARS = 100  # of each text of an example
_KEY_WIDTH = 11


def rendered(found: Mapping[str, Any], commands: Mapping[str, str]) -> str:
    """The inspection as paragraphs.

    Args:
        commands: what to type next, by what it does.
    """
    faults = [_line("faults", found["faults"])] if found["faults"] else []
    parts = (_head(found), faults, _lengths(found), _labels(found), _repeats(found), _examples(found))
    return "\n\n".join("\n".join(lines) for part in (*parts, _losses(found, commands)) if (lines := list(part)))


def _line(key: str, text: str) -> str:
    return f"{key:<{_KEY_WIDTH}}{text}"


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    others = [shape for shape in found["offered_shapes"] if shape != found["shape"]]
    yield f"{found['name']} is {found['shape']}: {', '.join(found['columns'])}"
    if others:
        yield _line("also as", ", ".join(others))
    yield _line("rows", ", ".join(f"{split} {count:,}" for split, count in found["rows"].items()))
    if found["label_names"]:
        yield _line("classes", _shortened(", ".join(found["label_names"])))
    yield _line("source", str(found["source"].get("source", "")))
    if ignored := found["source"].get("ignored_columns"):
        yield _line("ignored", ignored if isinstance(ignored, str) else ", ".join(ignored))
    for step in found["steps"]:
        yield _line("step", step)


def _lengths(found: Mapping[str, Any]) -> Iterator[str]:
    width = max(len(column) for column in found["lengths"]) + 2
    header = f"{'':<{width}}{'shortest':>18}{'median':>9}{'95 %':>9}{'longest':>9}"
    for column, kinds in found["lengths"].items():
        for kind, lengths in kinds.items():
            if header:
                yield header
                header = ""
            yield (
                f"{column:<{width}}{kind:<10}{lengths['shortest']:>8,}{lengths['median']:>9,.0f}"
                f"{lengths['percentile_95']:>9,.0f}{lengths['longest']:>9,}  |{lengths['histogram']}|"
            )
    if any("tokens" in kinds for kinds in found["lengths"].values()):
        yield f"tokens as {found['tokens_of']} counts them"
    if found["unknown_tokens"]:
        shares = ", ".join(f"{split} {100 * share:.1f} %" for split, share in found["unknown_tokens"].items())
        yield f"unknown to {found['tokens_of']}: {shares} of the tokens"
    if found["models"]:
        yield f"models that read them: {', '.join(found['models'])}"


def _labels(found: Mapping[str, Any]) -> Iterator[str]:
    for split, counts in found["labels"].items():
        key = "labels" if split == next(iter(found["labels"])) else ""
        if found["shape"] == "scored_pair":
            yield _line(key, f"{split:<5} 0 |{bars_of(list(counts.values()))}| 1")
        else:
            total = max(sum(counts.values()), 1)
            parts = (f"{label} {count:,} ({count / total:.0%})" for label, count in counts.items())
            yield _line(key, f"{split}: {', '.join(parts)}")


def _repeats(found: Mapping[str, Any]) -> Iterator[str]:
    for comparison, reason in found["duplicates"].items():
        yield _line("duplicates" if comparison == "word for word" else "", f"{comparison}: {reason}")
    if len(found["rows"]) > 1 and not found["leaks"]:
        yield _line("leaks", f"none: {', '.join(found['rows'])} share no text")
    for place, line in enumerate(found["leaks"]):
        yield _line("" if place else "leaks", line)


def _examples(found: Mapping[str, Any]) -> Iterator[str]:
    names = found["label_names"]
    for place, row in enumerate(found["examples"]):
        for column, value in row.items():
            key = f"row {place + 1}" if column == next(iter(row)) else ""
            is_class = column == "label" and isinstance(value, int) and value < len(names)
            yield _line(key, f"{column}: {_shown(value)}" + (f" ({names[value]})" if is_class else ""))


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], str):
        more = f" (and {len(value) - 1} more)" if len(value) > 1 else ""
        return f"{_shortened(value[0])!r}{more}"
    return repr(_shortened(value)) if isinstance(value, str) else _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"


def _losses(found: Mapping[str, Any], commands: Mapping[str, str]) -> Iterator[str]:
    fits = found["losses"]
    yield _line("losses", f"as it is: {', '.join(fits['directly']) or 'none'}")
    for route in dict.fromkeys(fits["converted"].values()):
        yield _line("", f"{route}: {', '.join(name for name, other in fits['converted'].items() if other == route)}")
    for keys in dict.fromkeys(fits["given"].values()):
        yield _line("", f"with {keys}: {', '.join(name for name, other in fits['given'].items() if other == keys)}")
    for what, command in commands.items():
        yield _line(what, command or found["cannot_train"])
