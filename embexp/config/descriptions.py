"""What the YAML files say of themselves: their comments, keys and defaults, read as text and without Hydra.

The first comment of a file describes its option. A comment behind a value, with the deeper lines that follow it, or
right above its key at the key's column, describes the key; one behind an entry of the defaults list describes a group.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from embexp.config.session import conf_dir, config_folders, option_files
from embexp.core.arguments import LegalValues
from embexp.errors import ConfigError, did_you_mean, listed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PACKAGE = re.compile(r"#\s*@package\s+(\S+)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z\u4e00-\u9fff])|(?<=[。！？])")
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as YAML counts lines
_BOUNDS = {each.name for each in fields(LegalValues)}
_ENTRY = re.compile(r"(?P<word>optional |override )?\s*(?P<group>[\w/.-]+)(?:@(?P<package>[\w.-]+))?")


@dataclass(frozen=True)
class Key:
    """A key of an option.

    Attributes:
        path: below the option's own place, such as `guards.margin`.
        value: as the file has it.
        comment: what the file says of it, in lines.
        legal: what it may be, where the file bounds it; else empty.
        file, line: where it stands.
    """

    path: str
    value: str
    comment: tuple[str, ...]
    legal: str
    file: Path
    line: int


@dataclass(frozen=True)
class Option:
    """An option of a group, or the configuration of a command, whose group is empty.

    Attributes:
        comment: the first comment of the file, in lines.
        place: the key that its own keys stand below, such as `dataset.steps.negatives`; empty at the top.
        chooses: options of other groups that come with it: (group, place or empty, option).
    """

    group: str
    name: str
    path: Path
    comment: tuple[str, ...]
    place: str
    chooses: tuple[tuple[str, str, str], ...]
    keys: tuple[Key, ...]
    describing: dict[str, Any]

    @property
    def summary(self) -> str:
        """The first sentence of the comment."""
        return summary_of(self.comment)

    def typed(self, key: Key) -> str:
        """The key as it is typed in an override."""
        return f"{self.place}.{key.path}" if self.place else key.path


@dataclass(frozen=True)
class Group:
    """A group of options as a command has it.

    Attributes:
        chosen: the options that are chosen where none is typed.
        options: the files of all options, by name.
        comment: what the command's file says of the group.
        several: whether a list of options is chosen.
    """

    name: str
    chosen: tuple[str, ...]
    options: dict[str, Path]
    comment: str
    several: bool


@dataclass(frozen=True)
class _Node:
    path: tuple[str, ...]
    value: Any  # a yaml.Node
    comment: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class _File:
    path: Path
    comment: tuple[str, ...]
    package: str
    nodes: tuple[_Node, ...]  # leaves, in the order of the file
    content: dict[str, Any]
    lines: tuple[str, ...]
    defaults: tuple[tuple[Any, str], ...]  # entries with their comments


def summary_of(comment: Sequence[str]) -> str:
    """The first sentence of a comment, whose first paragraph ends at a blank line.

    >>> summary_of(["By BM25 (Robertson et al. 1994), in", "English. Fast."]), summary_of(["中文句子。很快。"])
    ('By BM25 (Robertson et al. 1994), in English.', '中文句子。')
    """
    paragraph = itertools.takewhile(str.strip, comment)
    return _SENTENCE.split(" ".join(line.strip() for line in paragraph), maxsplit=1)[0]


def first_comment(path: Path) -> tuple[str, ...]:
    """The comment that a YAML file begins with, in lines, without Hydra's directive."""
    return _first_comment(path.read_text(encoding="utf-8-sig", errors="replace").splitlines())[0]


def _first_comment(lines: Sequence[str]) -> tuple[tuple[str, ...], int, str]:
    """The comment, how many lines it takes, and the package that it names."""
    found, package, place = [], "", 0
    for place, line in enumerate(lines):  # noqa: B007  # the place after the last line of the comment
        if directive := _PACKAGE.match(line):
            package = directive[1]
        elif line.startswith("#") and not line.startswith("#!"):
            found.append(line[1:].removeprefix(" ").rstrip())
        elif line.strip() not in ("", "---") or found:
            break
    else:
        place = len(lines)
    while found and not found[-1]:
        found.pop()
    return tuple(found), place, package


def all_groups() -> list[str]:
    """All groups that there are, nested ones too (`model/adapter`); Hydra's own are left out."""
    found = dict.fromkeys(
        path.parent.relative_to(folder).as_posix()
        for folder in config_folders()
        for path in sorted(folder.glob("*/**/*.yaml"))
    )
    return sorted(name for name in found if name.partition("/")[0] != "hydra")


def groups_of(config_name: str = "config") -> list[Group]:
    """The groups of a command, in the order of its defaults list."""
    return [*_groups_of(conf_dir() / f"{config_name}.yaml").values()]


def _groups_of(path: Path) -> dict[str, Group]:
    found: dict[str, Group] = {}
    for entry, comment in _read(path).defaults:
        if isinstance(entry, str) and (path.parent / f"{entry}.yaml").is_file():
            found |= _groups_of(path.parent / f"{entry}.yaml")
        if not isinstance(entry, dict):
            continue
        ((key, chosen),) = entry.items()
        parts = _ENTRY.fullmatch(key)
        if parts and not parts["word"] and option_files(parts["group"]):
            group, several = parts["group"], isinstance(chosen, list)
            names = tuple(chosen if several else [chosen] if chosen else ())
            found[group] = Group(group, names, option_files(group), comment, several)
    return found


def read_command(config_name: str = "config") -> Option:
    """The configuration of a command: its own keys, without those of the groups."""
    return _option("", config_name, conf_dir() / f"{config_name}.yaml")


def read_option(group: str, name: str) -> Option:
    """An option with its keys, those of the files that it is made of included.

    Raises:
        ConfigError: there is no such file, or it is no YAML.
    """
    if path := option_files(group).get(name):
        return _option(group, name, path)
    near, known = did_you_mean(name, option_files(group)), listed(option_files(group))
    raise ConfigError("is not known", key=group, given=name, expected=f"one of: {known}", note=near)


def _option(group: str, name: str, path: Path) -> Option:
    file = _read(path)
    place = file.package or group.replace("/", ".")
    place = "" if place == "_global_" else place
    chooses: list[tuple[str, str, str]] = []
    keys: dict[str, Key] = {}
    for key in _keys(file, group, "", chooses):
        before = keys.get(key.path)  # which it replaces; the comment stays where it has none
        keys[key.path] = replace(key, comment=before.comment) if before and not key.comment else key
    describing = {key: value for key, value in _described(file, group).items() if key.startswith("_")}
    shown = [_legal(key, describing.get("_values_") or {}) for key in keys.values()]
    return Option(group, name, path, file.comment, place, tuple(chooses), tuple(shown), describing)


def _described(file: _File, group: str) -> dict[str, Any]:
    """The keys at the top of a file, and of those whose place it takes."""
    found: dict[str, Any] = {}
    for entry, _ in file.defaults:
        if isinstance(entry, str) and entry != "_self_" and "schema" not in entry:
            found |= _described(_read(_file_of(entry.partition("@")[0], group, file.path)), group)
    return found | file.content


def _legal(key: Key, values: dict[str, Any]) -> Key:
    bounds = values.get(key.path)
    is_known = isinstance(bounds, dict) and bounds.keys() <= _BOUNDS
    return replace(key, legal=str(LegalValues(**bounds))) if is_known else key


def _keys(file: _File, group: str, prefix: str, chooses: list[tuple[str, str, str]]) -> Iterator[Key]:
    """The keys of a file and of the parts that its defaults list names, where they are set below `prefix`."""
    entries = [entry for entry, _ in file.defaults]
    for entry in entries if "_self_" in entries else [*entries, "_self_"]:
        if entry == "_self_":
            yield from _own_keys(file, prefix)
        elif isinstance(entry, str) and "schema" not in entry:
            name, _, package = entry.partition("@")
            below = prefix if package in ("", "_here_") else _below(prefix, package)
            yield from _keys(_read(_file_of(name, group, file.path)), _parent(name, group), below, chooses)
        elif isinstance(entry, dict):
            ((key, chosen),) = entry.items()
            parts = _ENTRY.fullmatch(key)
            names = chosen if isinstance(chosen, list) else [chosen]
            for name in names if parts and group else ():
                if name is None or "$" in str(name):
                    continue
                other, package = parts["group"], parts["package"] or ""
                if other.startswith("/"):
                    chooses.append((other[1:], package, str(name)))
                    continue
                below = prefix if package == "_here_" else _below(prefix, package or other.replace("/", "."))
                part = _file_of(f"{other}/{name}", group, file.path)
                yield from _keys(_read(part), f"{group}/{other}", below, chooses)


def _below(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _parent(name: str, group: str) -> str:
    folder = name.rpartition("/")[0]
    return f"{group}/{folder}" if folder else group


def _file_of(name: str, group: str, near: Path) -> Path:
    """The file of a part: in the group, or beside the file that names it."""
    place = (f"{group}/{name}" if group and not name.startswith("/") else name).lstrip("/")
    for folder in reversed(config_folders()):
        if (path := folder / f"{place}.yaml").is_file():
            return path
    raise ConfigError(f"names {name}, and there is no {place}.yaml", file=near)


def _own_keys(file: _File, prefix: str) -> Iterator[Key]:
    for node in file.nodes:
        if node.path[0] in ("defaults", "hydra") or any(part.startswith("_") for part in node.path):
            continue
        path = _below(prefix, ".".join(node.path))
        yield Key(path, _value(node.value, file.lines), node.comment, "", file.path, node.line)


def _value(node: Any, lines: Sequence[str]) -> str:
    """A value as the file has it, in one line."""
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return f"[{', '.join(_value(each, lines) for each in node.value)}]"
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return f"{{{', '.join(f'{key.value}: {_value(value, lines)}' for key, value in node.value)}}}"
    start, end = node.start_mark, node.end_mark
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        return node.value.strip().replace("\n", " ")
    parts = [*lines[start.line : end.line], lines[end.line][: end.column]]
    parts[0] = parts[0][start.column :]
    plain = (part if re.search(r"[\"'].*#", part) else re.sub(r"(^|\s)#.*", "", part) for part in parts)
    return " ".join(part.strip() for part in plain).strip() or "null"


def _read(path: Path) -> _File:
    return _read_once(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _read_once(path: Path, _changed: int) -> _File:
    try:
        text = path.read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=_LOADER)
        content = yaml.load(text, Loader=_LOADER)  # a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"is no YAML: {reason}", file=path, line=mark.line + 1 if mark else 0) from error
    lines = tuple(_LINE_END.split(text))
    comment, taken, package = _first_comment(lines)
    nodes = tuple(_nodes(root, (), lines, taken)) if isinstance(root, yaml.MappingNode) else ()
    defaults = _defaults(root, content, lines)
    return _File(path, comment, package, nodes, content if isinstance(content, dict) else {}, lines, defaults)


def _defaults(root: Any, content: Any, lines: Sequence[str]) -> tuple[tuple[Any, str], ...]:
    entries = root.value if isinstance(root, yaml.MappingNode) else ()
    node = next((value for key, value in entries if key.value == "defaults"), None)
    if not isinstance(node, yaml.SequenceNode):
        return ()
    comments = [re.sub(r"^.*?\s#\s?|^[^#]*$", "", lines[each.start_mark.line]).strip() for each in node.value]
    return tuple(zip(content["defaults"], comments, strict=True))


def _nodes(node: Any, above: tuple[str, ...], lines: Sequence[str], taken: int) -> Iterator[_Node]:
    """The leaves of a mapping: values that are no block mappings, or empty."""
    for key, value in node.value:
        path = (*above, str(key.value))
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            yield from _nodes(value, path, lines, taken)
        else:
            yield _Node(path, value, _comment(key, value, lines, taken), key.start_mark.line + 1)


def _comment(key: Any, value: Any, lines: Sequence[str], taken: int) -> tuple[str, ...]:
    """What stands right above a key, and behind its value and in the deeper lines that follow it."""
    column, first = key.start_mark.column, key.start_mark.line
    above = first
    while above > taken and re.match(rf"\s{{{column}}}#", lines[above - 1]):
        above -= 1
    found = [line.strip()[1:].removeprefix(" ") for line in lines[above:first]]
    is_block = not isinstance(value, yaml.ScalarNode) and not value.flow_style
    is_block = is_block or getattr(value, "style", None) in ("|", ">")
    end = key.end_mark if is_block or not value.value else value.end_mark
    last = end.line
    behind = re.search(r"(?:^|\s)#(.*)", lines[last][end.column :])
    if behind:
        found.append(behind[1].strip())
        for line in lines[last + 1 :]:
            deeper = re.match(r"(\s*)#(.*)", line)
            if not deeper or len(deeper[1]) <= column:
                break
            found.append(deeper[2].strip())
    return tuple(found)
