"""Shell completion for `embexp`: `eval "$(embexp -sc install=bash)"`, or zsh, or fish.

The flag is Hydra's, the answers are ours, from the text of the YAML files: commands, options of one's own, lists and
sweeps after a comma, files. Hydra takes a second for each press of the key and knows none of these.
"""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from embexp.cli.help import COMMANDS, CONFIG_DIR, note_config_dir, split_flags
from embexp.config.descriptions import Option, groups_of, read_command, read_option
from embexp.config.session import conf_dir, option_files
from embexp.errors import ConfigError, did_you_mean, listed

_FLAG = ("-sc", "--shell-completion")
_FLAGS = ("--help", "--config-dir", "--multirun", "--cfg", "--resolve", "--info", "--version")
_SHOWN = ("job", "hydra", "all")  # by --cfg
_FILES = ("dataset", "model", "test", "dev", "run", "runs", "resume", "sweep", "output")  # take paths
_SCRIPTS = {
    "bash": """_embexp_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        "$1" -sc query=bash 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != *[=./] ]]; then compopt +o nospace; fi
}
complete -o nospace -F _embexp_complete embexp
""",
    "zsh": """_embexp_complete() {
    local -a found
    found=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" "${words[1]}" -sc query=zsh 2>/dev/null)"})
    compadd -Q -S '' -- ${(M)found:#*[=./]}
    compadd -Q -- ${found:#*[=./]}
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _embexp_complete embexp
""",
    "fish": """function __embexp_complete
    set -lx COMP_LINE (commandline -cp)
    set -l words (commandline -opc)
    $words[1] -sc query=fish 2>/dev/null
end
complete -c embexp -f -a '(__embexp_complete)'
""",
}
_UNINSTALL = {
    "bash": "complete -r embexp; unset -f _embexp_complete\n",
    "zsh": "compdef -d embexp; unfunction _embexp_complete\n",
    "fish": "complete -e -c embexp; functions -e __embexp_complete\n",
}
_TO_ESCAPE = re.compile(r"([\s'\"()&;|<>$`\\*?!#])")


def answer_shell(arguments: Sequence[str]) -> bool:
    """Print a shell's script or the candidates that it wants; False where the arguments are for something else.

    Raises:
        ConfigError: a shell that is not known.
    """
    if not {*_FLAG} & {*arguments}:
        return False
    what = next((each for each in arguments if re.match("install=|uninstall=|query=", each)), "")
    action, _, shell = what.partition("=")
    if shell not in _SCRIPTS:
        near = did_you_mean(shell, _SCRIPTS)
        expected = f"install=<shell>, and one of: {listed(_SCRIPTS)}"
        fix = 'eval "$(embexp -sc install=bash)"'
        raise ConfigError("is no shell with completion", key="-sc", given=what, expected=expected, note=near, fix=fix)
    if action == "query":
        print(*_query(os.environ, shell), sep="\n")
    else:
        print((_SCRIPTS if action == "install" else _UNINSTALL)[shell], end="")
    return True


def _query(given: os._Environ | dict[str, str], shell: str) -> list[str]:
    """The candidates for the word at the cursor; for bash without what it keeps of the word."""
    line = given.get("COMP_LINE", "")
    word = re.search(r"(?:[^\s\\]|\\.)*$", line)[0]
    with suppress(ValueError, ConfigError):  # an open quote; no such folder
        before = shlex.split(line[: len(line) - len(word)])[1:]
        plain = shlex.split(word)[0] if word else ""
        found = [each for each in dict.fromkeys(_candidates(before, plain)) if each.startswith(plain)]
        escaped = [each if shell == "fish" else _TO_ESCAPE.sub(r"\\\1", each) for each in found]
        kept = max((word.rfind(each) + 1 for each in given.get("COMP_WORDBREAKS", "") if each in "=:"), default=0)
        return [each[kept if shell == "bash" else 0 :] for each in escaped]
    return []


def _candidates(before: Sequence[str], word: str) -> Iterator[str]:
    """Whole words that could stand where `word` is typed, after those before it."""
    last = before[-1] if before else ""
    if last in CONFIG_DIR or word.startswith("--config-dir="):
        start = "--config-dir=" if word.startswith("--config-dir=") else ""
        yield from (f"{start}{each}" for each in _paths(word.removeprefix(start)) if each.endswith("/"))
        return
    if last in ("--cfg", "-c"):
        yield from _SHOWN
        return
    flags, others = split_flags(before)
    note_config_dir(flags)
    command = next((each for each in others if each in COMMANDS), "config")
    asks_help = others[:1] == ["help"] or "--help" in flags
    if not (conf_dir() / f"{command}.yaml").is_file():  # losses
        yield from (each for group in ("loss", "modifier") for each in option_files(group))
        return
    sign = re.match(r"[+~]*", word)[0]
    key, equals, value = word[len(sign) :].partition("=")
    if equals:
        yield from (f"{sign}{key}={each}" for each in _values(command, key, value, others))
        return
    if not others:
        yield from COMMANDS
    yield from _FLAGS if word.startswith("-") else ()
    groups = [group.name for group in groups_of(command)]
    yield from groups if asks_help else ()
    yield from (f"{sign}{each.replace('model/adapter', 'model.adapter')}=" for each in groups)
    yield from (f"{sign}{each}" for each in _next_parts(key, _keys(command, others)))
    if others and command != "config" and not word.startswith("-"):
        yield from _paths(word)


def _chosen(command: str, typed: Sequence[str]) -> Iterator[Option]:
    """The options that the words before choose, and the usual ones of the other groups."""
    given: dict[str, list[str]] = {}
    for key, sign, value in (each.lstrip("+~").partition("=") for each in typed):
        if sign:
            given[key.replace("model.adapter", "model/adapter")] = value.strip("[]").split(",")
    for group in groups_of(command):
        for name in given.get(group.name, group.chosen):
            with suppress(ConfigError):  # a path, or a file that is no YAML
                yield read_option(group.name, name)


def _keys(command: str, typed: Sequence[str]) -> dict[str, str]:
    """What may be set, with what it may be."""
    options = [read_command(command), *_chosen(command, typed)]
    return {option.typed(key): key.legal or key.value for option in options for key in option.keys}


def _next_parts(start: str, keys: Iterable[str]) -> Iterator[str]:
    """The keys up to the next dot: `trainer.` before `trainer.max_steps=`."""
    for key in keys:
        if key.startswith(start):
            part, dot, _ = key[len(start) :].partition(".")
            yield f"{start}{part}{dot or '='}"


def _values(command: str, key: str, value: str, typed: Sequence[str]) -> Iterator[str]:
    """Values of a key: options of a group, words that are legal, files; after a comma or bracket the next one."""
    start = value[: max(value.rfind(each) for each in ",[") + 1]
    group = key.partition("@")[0].replace("model.adapter", "model/adapter")
    place = re.search(r"\.(dataset|loss|trainer|step|scorer|modifier)$|^(test|dev)$", key)
    if place and not option_files(group):
        name = place[0].lstrip(".")
        group = {"test": "dataset", "dev": "dataset", "scorer": "step/scorer"}.get(name, name)
    options = option_files(group) if group else {}
    yield from (f"{start}{each}" for each in options if each not in start.strip("[").split(","))
    legal = _keys(command, typed).get(key, "")
    if legal in ("true", "false", "true or false"):
        yield from ("true", "false")
    for words in re.findall(r"one of: ([^.]*)", legal):
        yield from (f"{start}{each.removeprefix('or ')}" for each in words.split(", "))
    if key.rpartition(".")[2] in (*_FILES, "path", "folder", "corpus") or group in _FILES or place:
        yield from (f"{start}{each}" for each in _paths(value[len(start) :]))


def _paths(start: str) -> Iterator[str]:
    """Files and folders whose path begins so; a folder ends with a slash."""
    folder, slash, name = start.rpartition("/")
    with suppress(OSError):
        for each in sorted(Path(f"{folder}{slash}" or ".").expanduser().iterdir()):
            if each.name.startswith(name) and (name or not each.name.startswith(".")):
                yield f"{folder}{slash}{each.name}{'/' if each.is_dir() else ''}"
