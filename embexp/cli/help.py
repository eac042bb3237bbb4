"""`--help`: what there is to type. The YAML files are read as text, so that it comes before Hydra has started."""

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from rich.cells import cell_len

from embexp.config.descriptions import (
    Group,
    Key,
    Option,
    all_groups,
    first_comment,
    groups_of,
    read_command,
    read_option,
    summary_of,
)
from embexp.config.session import check_config_dir, conf_dir, option_files, remember_config_dir
from embexp.errors import ConfigError, did_you_mean, listed

COMMANDS = ("clean", "compare", "evaluate", "export", "gate", "init", "inspect", "leaderboard", "losses", "pairs")
COMMANDS += ("power", "prepare", "race", "sync", "tune")
# Commands without a module of that name: only `embexp <command>`.
FUNCTIONS = {"init": ("embexp.inspection.prepare_dataset", "init_command")}
_ROOT = Path(__file__).resolve().parent.parent
# Hydra's flags that take a value.
CONFIG_DIR = ("--config-dir", "-cd")
_WITH_VALUE = (*CONFIG_DIR, "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn")
_WITH_VALUE += ("--experimental-rerun",)
# Those of --info, whose value may be missing.
_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_WIDEST, _LEFT, _LONGEST_VALUE = 120, 34, 40
# What describing keys say that one wants to know of an option.
_SAID = {"_accepts_": "reads", "_reads_": "reads", "_makes_": "makes", "_scripts_": "letters", "_paper_": "paper"}


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and all other arguments: Hydra reads no override that follows a flag after one.

    >>> split_flags(["loss=mnrl", "-cd", "own", "model=tiny", "--cfg", "job"])
    (['--config-dir=own', '--cfg', 'job'], ['loss=mnrl', 'model=tiny'])
    """
    flags, others, rest = [], [], [*arguments]
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        if name in CONFIG_DIR and (sign or rest):
            flags.append(f"{CONFIG_DIR[0]}={value if sign else rest.pop(0)}")
        elif word in _WITH_VALUE or (word in ("--info", "-i") and rest[:1] and rest[0] in _TOPICS):
            flags += [word, *rest[:1]]
            del rest[:1]
        else:
            (flags if word.startswith("-") else others).append(word)
    return flags, others


def note_config_dir(flags: Sequence[str]) -> None:
    """Keep the folder of one's own that the flags name, for the commands that are suggested."""
    start = f"{CONFIG_DIR[0]}="
    for folder in (each.removeprefix(start) for each in flags if each.startswith(start)):
        check_config_dir(folder)
        remember_config_dir(folder)


def show_help(arguments: Sequence[str], config_name: str = "config") -> bool:
    """Print the page that the arguments ask for with --help; False where they ask for none.

    What else is typed are topics: commands, groups, options (`loss=mnrl`), keys.

    Raises:
        ConfigError: there is nothing of a topic's name.
    """
    flags, topics = split_flags(arguments)
    is_word = config_name == "config" and topics[:1] == ["help"] and not Path("help").exists()
    if not is_word and not any(map(_is_help, flags)):
        return False
    topics = topics[is_word:]
    if config_name == "config" and topics and topics[0] in COMMANDS:
        config_name = topics.pop(0)
    if not (conf_dir() / f"{config_name}.yaml").is_file():
        return False  # a command without a configuration answers itself
    note_config_dir(flags)
    pages = [page for topic in topics for page in _pages(topic, config_name)]
    _write("\n\n".join("\n".join(page) for page in pages or [_command_page(config_name)]))
    return True


def _is_help(flag: str) -> bool:
    return flag == "-h" or (flag.startswith("--he") and "--help".startswith(flag))


def _write(text: str) -> None:
    """Print to a reader who may stop before the end, as `head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)  # as a shell reports SIGPIPE


def _pages(topic: str, config_name: str) -> list[list[str]]:
    """What there is of a topic; nothing where it is a path, such as that of a run to compare."""
    key, sign, value = topic.lstrip("+~").partition("=")
    key = key.partition("@")[0]
    group = key if option_files(key) else key.replace(".", "/")
    if group and option_files(group):
        names = [each.strip() for each in value.strip("[]").split(",") if each.strip()]
        options = [found for each in names for found in _options_named(group, each)]
        return [*map(_option_page, options)] if options else [_group_page(_group(group, config_name))]
    found = [(each, name) for each in _groups() for name in option_files(each) if name == key and not sign]
    pages = [_option_page(read_option(*each)) for each in found]
    pages += [_key_page(keys)] if (keys := _keys_named(key, config_name, with_those_below=not found)) else []
    if pages:
        return pages
    if "/" in topic or Path(topic).exists():
        return []
    known = [each.typed(found) for each in _all_options(config_name) for found in each.keys]
    known += [*COMMANDS, *_groups(), *(name for each in _groups() for name in option_files(each))]
    expected = "a command, a group, an option or a key: embexp --help lists them"
    near = get_close_matches(key, known, n=2, cutoff=0.5)
    fix = [f"embexp --help {each}" for each in near]
    raise ConfigError(f"--help knows no {key}", expected=expected, note=did_you_mean(key, known), fix=fix)


def _options_named(group: str, name: str) -> list[Option]:
    """The option that a value of its group means: paths and ids, too."""
    options = option_files(group)
    if name == "null":
        return [read_option(group, "none")] if "none" in options else []
    if name not in options and group in ("dataset", "model"):
        from embexp.cli.overrides import expand_paths

        name = expand_paths([f"{group}={name}"])[0].partition("=")[2]
    return [read_option(group, name)]


def _group(name: str, config_name: str) -> Group:
    """The group as the command has it, else as a run has it."""
    for each in (*groups_of(config_name), *groups_of()):
        if each.name == name:
            return each
    return Group(name, (), option_files(name), "", several=False)


def _groups() -> list[str]:
    """The groups that options are chosen from, of all commands and of one's own; not those of parts of options."""
    chosen = {group.name for path in conf_dir().glob("*.yaml") for group in groups_of(path.stem)}
    return [name for name in all_groups() if name in chosen or not (conf_dir() / name).is_dir()]


def _all_options(config_name: str) -> Iterator[Option]:
    """Everything that has keys, what the command has first; files that are no YAML are left out."""
    for name in dict.fromkeys((config_name, "config", *(path.stem for path in sorted(conf_dir().glob("*.yaml"))))):
        yield read_command(name)
    for group in _groups():
        for name in option_files(group) if group != "experiment" else ():
            with suppress(ConfigError):  # its own page says what is wrong with it
                yield read_option(group, name)


def _keys_named(name: str, config_name: str, with_those_below: bool) -> list[tuple[Option, Key]]:
    """The keys of that name, else those below it, else those that end with it; those of the usual options first."""
    keys = [(option.typed(key), option, key) for option in _all_options(config_name) for key in option.keys]
    chosen = {(group.name, each) for group in groups_of() for each in group.chosen}
    keys.sort(key=lambda each: each[1].group != "" and (each[1].group, each[1].name) not in chosen)
    for pattern in ("{}$", r"{}\.", r".*\.{}$", r".*\.{}\.") if with_those_below else ("{}$", r".*\.{}$"):
        found = [each for each in keys if re.match(pattern.format(re.escape(name)), each[0])]
        if found:  # of several commands with such a key the first
            own = next((option.name for _, option, _ in found if not option.group), "")
            return [(option, key) for _, option, key in found if option.group or option.name == own]
    return []


def _command_page(config_name: str) -> list[str]:
    """What a command does, how it is typed, its groups and keys; of `embexp` itself the commands, too."""
    option, groups = read_command(config_name), groups_of(config_name)
    lines = [*_paragraphs(option.comment), ""]
    if config_name == "config":
        lines += _wrapped("Commands: embexp <command> ..., each with a --help of its own", 0, hang=2)
        lines += [*_rows(summaries()), ""]
    if groups:
        room = _width() - max(len(group.name) for group in groups) - 5
        lines += _wrapped("Groups: <group>=<option>, in brackets what is chosen where none is typed", 0, hang=2)
        lines += [*_rows([(group.name, _first_options(group, room)) for group in groups]), ""]
    lines += ["Keys: <key>=<value>"]
    if config_name == "config":
        lines += [*_wrapped(", ".join(key.path for key in option.keys), 2), "", "More:"]
        more = {"loss": "a group: its options", "loss=mnrl": "an option: its keys", "seed": "a key"}
        more |= {"compare": "a command"}
        return [*lines, *_rows([(f"embexp --help {topic}", said) for topic, said in more.items()])]
    own = [key for key in option.keys if key.file == option.path]  # tune has those of a run besides
    command = f"embexp {config_name}" if config_name in COMMANDS else f"python -m results.{config_name}"
    more = [f"More: {command} --help {group.name}" for group in groups[:1]]
    return [*lines, *_key_rows(option, own), "", *more]


def summaries() -> list[tuple[str, str]]:
    """The commands with what their modules' docstrings say of them.

    >>> summaries()[1]
    ('compare', 'two finished runs, or two configurations with several seeds')
    """
    found = []
    for name in COMMANDS:
        path = _ROOT / f"{name}.py" if (_ROOT / f"{name}.py").is_file() else _ROOT / name / "__main__.py"
        if name in FUNCTIONS:
            said = summary_of(first_comment(conf_dir() / f"{name}.yaml"))
        else:
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            said = docstring.partition("`: ")[2].splitlines()[0]
        found.append((name, said.rstrip(".")))
    return found


def _first_options(group: Group, room: int) -> str:
    """The usual option and as many others as there is room for, those of one's own first."""
    own = [name for name, path in group.options.items() if not path.is_relative_to(conf_dir())]
    others = [name for name in dict.fromkeys((*own, *group.options)) if name not in group.chosen]
    shown = len(others)
    while len(line := f"[{', '.join(group.chosen)}] {', '.join(others[:shown])}") > room - 8 * (shown < len(others)):
        shown -= 1
    return line if shown == len(others) else f"{line}, ... ({len(group.options)})"


def _group_page(group: Group) -> list[str]:
    """The options of a group, a line each, and the keys of the usual one."""
    typed = f"{group.name}=[<option>,...]" if group.several else f"{group.name.replace('/', '.')}=<option>"
    lines = _wrapped(typed + (f": {group.comment}" if group.comment else ""), 0, hang=4)
    lines += [f"where none is typed: {listed(group.chosen)}", ""]
    lines += _rows([(name, summary_of(first_comment(path))) for name, path in group.options.items()], is_cut=True)
    for option in (read_option(group.name, name) for name in group.chosen):
        if option.keys:
            lines += ["", f"Keys of {group.name}={option.name}", *_key_rows(option, option.keys)]
    others = [name for name in group.options if name not in (*group.chosen, "none")]
    return [*lines, *(line for name in others[:1] for line in ("", f"More: embexp --help {group.name}={name}"))]


def _option_page(option: Option) -> list[str]:
    """What an option is, its keys with their values and comments, and what comes with it."""
    path = option.path.relative_to(conf_dir().parent) if option.path.is_relative_to(conf_dir()) else option.path
    lines = [f"{option.group}={option.name}    {path}", *_paragraphs(option.comment)]
    said = [(word, option.describing[key]) for key, word in _SAID.items() if option.describing.get(key)]
    said = [(word, listed(value) if isinstance(value, list) else str(value)) for word, value in said]
    with_it = [
        f"{group}@{option.place}.{place}={name}" if place else f"{group}={name}"
        for group, place, name in option.chooses
    ]
    said += [("with it", listed(with_it))] if with_it else []
    lines += ["", *_rows(said)] if said else []
    return [*lines, "", *(_key_rows(option, option.keys) if option.keys else ["It has no keys."])]


def _key_page(keys: Sequence[tuple[Option, Key]]) -> list[str]:
    """The keys of a name: each value and comment once, with the options that have it."""
    found: dict[tuple[str, str, tuple[str, ...], str], list[str]] = {}
    for option, key in keys:
        name = f"{option.group}={option.name}" if option.group else f"embexp {option.name}".removesuffix(" config")
        found.setdefault((option.typed(key), key.value, key.comment, key.legal), []).append(name)
    lines = []
    for (typed, value, comment, legal), names in found.items():
        lines += [*_wrapped(f"{typed}={value} ({listed(names)})", 0, hang=4)]
        lines += [*_paragraphs(_with_legal(comment, legal), 4)]
    return lines


def _key_rows(option: Option, keys: Iterable[Key]) -> list[str]:
    rows = []
    for key in keys:
        value = "${...}" if key.value.startswith("${") else _cut(key.value, _LONGEST_VALUE)
        rows.append((f"{option.typed(key)}={value}", _with_legal(key.comment, key.legal)))
    left = max((wide for name, _ in rows if (wide := cell_len(name)) <= _LEFT), default=0)
    lines = []
    for name, comment in rows:
        line = f"  {name}{' ' * (left - cell_len(name))}  {' '.join(comment)}".rstrip()
        is_short = cell_len(line) <= _width() and len(comment) < 3
        lines += [line] if is_short else [f"  {name}", *_paragraphs(comment, 6)]
    return lines


def _with_legal(comment: Sequence[str], legal: str) -> tuple[str, ...]:
    """A comment and what the key may be, unless this is all among its words."""
    if not legal or {*re.findall(r"\w+", legal.removeprefix("one of"))} <= {*re.findall(r"\w+", " ".join(comment))}:
        return tuple(comment)
    return (*comment, f"({legal})")


def _width() -> int:
    return max(40, min(shutil.get_terminal_size().columns, _WIDEST))


def _rows(rows: Iterable[tuple[str, str]], is_cut: bool = False) -> list[str]:
    """Two columns: names, and what is said of each, in as many lines as it takes, or cut to one."""
    rows = [*rows]
    left = max((cell_len(name) for name, _ in rows), default=0) + 4
    lines = []
    for name, text in rows:
        first, *rest = [_cut(text, _width() - left)] if is_cut else [line[left:] for line in _wrapped(text, left)]
        lines += [f"  {name}{' ' * (left - 2 - cell_len(name))}{first}".rstrip(), *(" " * left + line for line in rest)]
    return lines


def _paragraphs(comment: Sequence[str], indent: int = 0) -> list[str]:
    """A comment in lines of the width there is; lines that are set in stay lines, what is behind a gap moves down."""
    lines, prose = [], []
    for line in (*comment, None):
        if line is not None and line and not line.startswith("  "):
            prose.append(line)
            continue
        lines += _wrapped(" ".join(prose), indent) if prose else []
        prose = []
        if line is None:
            break
        if cell_len(line) + indent <= _width():
            lines.append(f"{' ' * indent}{line}".rstrip())
        else:
            first, _, behind = (part.strip() for part in re.match(r"(\s*\S.*?)(\s{2,}|$)(.*)", line).groups())
            lines += [f"{' ' * (indent + 2)}{first}", *(_wrapped(behind, indent + 8) if behind else [])]
    return lines


def _wrapped(text: str, indent: int, hang: int = 0) -> list[str]:
    """Text in lines of the width there is; Chinese may break between any two characters."""
    lines, line, room = [], "", _width() - indent
    for word in re.findall(
        r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+|\s+", text
    ):
        if line and cell_len(line + word.rstrip()) > room:
            lines.append(line.rstrip())
            line, room = ("" if word.isspace() else word), _width() - indent - hang
        else:
            line += " " if word.isspace() else word
    lines.append(line.rstrip())
    return [f"{' ' * (indent + (hang if place else 0))}{each}" for place, each in enumerate(lines)]


def _cut(text: str, width: int) -> str:
    """Text that is not wider; what is missing is shown as three dots."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 4:
        text = text[:-1]
    return f"{text.rstrip(' ,')} ..."
