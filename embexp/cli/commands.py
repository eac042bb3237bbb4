"""The command line as a whole: `embexp <command>`, flags at any place, and the list of the commands."""

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from embexp.config.session import check_config_dir, remember_config_dir
from embexp.errors import ConfigError, did_you_mean, listed

COMMANDS = ("compare", "evaluate", "export", "inspect", "leaderboard", "losses", "prepare", "tune")
_ROOT = Path(__file__).resolve().parent.parent
# Hydra's flags that take a value.
_CONFIG_DIR = ("--config-dir", "-cd")
_WITH_VALUE = (*_CONFIG_DIR, "--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn")
_WITH_VALUE += ("--experimental-rerun",)
# Those of --info, whose value may be missing.
_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def summaries() -> str:
    """The commands, a line each: what their modules' docstrings say of them.

    >>> print(summaries().splitlines()[0])
    compare      two finished runs, or two configurations with several seeds, on one page
    """
    lines = []
    for name in COMMANDS:
        path = _ROOT / f"{name}.py"
        path = path if path.is_file() else _ROOT / name / "__main__.py"
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"{name:12} {docstring.partition('`: ')[2].splitlines()[0].rstrip('.')}")
    return "\n".join(lines)


OmegaConf.register_new_resolver("embexp.commands", summaries, replace=True)  # for conf/hydra/help/embexp.yaml


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hydra's flags with their values, and all other arguments: Hydra reads no override that follows a flag after one.

    >>> split_flags(["loss=mnrl", "-cd", "own", "model=tiny", "--cfg", "job"])
    (['--config-dir=own', '--cfg', 'job'], ['loss=mnrl', 'model=tiny'])
    """
    flags, others, rest = [], [], [*arguments]
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        if name in _CONFIG_DIR and (sign or rest):
            flags.append(f"{_CONFIG_DIR[0]}={value if sign else rest.pop(0)}")
        elif word in _WITH_VALUE or (word in ("--info", "-i") and rest[:1] and rest[0] in _TOPICS):
            flags += [word, *rest[:1]]
            del rest[:1]
        else:
            (flags if word.startswith("-") else others).append(word)
    return flags, others


def note_config_dir(flags: Sequence[str]) -> None:
    """Keep the folder of one's own that the flags name, for the commands that are suggested."""
    start = f"{_CONFIG_DIR[0]}="
    for folder in (each.removeprefix(start) for each in flags if each.startswith(start)):
        check_config_dir(folder)
        remember_config_dir(folder)


def run_named_command(arguments: Sequence[str]) -> bool:
    """Run the command that the arguments name, as `python -m embexp.<command>` does; False where they name none.

    Raises:
        ConfigError: a word that is neither a command nor an override.
    """
    flags, others = split_flags(arguments)
    words = [each for each in others if "=" not in each and not each.startswith(("~", "+"))]
    if not words:
        return False
    if (name := words[0]) not in COMMANDS:
        text, near = f"{name} is neither a command nor an override", did_you_mean(name, COMMANDS)
        expected = f"an override (<key>=<value>) or one of the commands: {listed(COMMANDS)}"
        raise ConfigError(text, expected=expected, note=near)
    others.remove(name)
    sys.argv[1:] = [*flags, *others]
    runpy.run_module(f"embexp.{name}", run_name="__main__", alter_sys=True)
    return True
