"""The catalogue of losses and modifiers: what their YAML files say, as text and as Markdown, and its command."""

import argparse
import importlib
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.config.session import check_config_dir, option_files, remember_config_dir
from embexp.config.yaml_keys import TRAITS
from embexp.data.shapes import SHAPES, shape_named
from embexp.errors import ConfigError, EmbexpError, did_you_mean, listed
from embexp.losses.spec import switch_of, traits_of

_LABELS = {
    None: "none",
    "score": "score (0 to 1)",
    "binary": "0/1",
    "class": "class",
    "scores": "teacher scores",
    "embedding": "teacher's embedding",
}
SAMPLERS = {"no_duplicates": "batches without duplicates", "group_by_label": "batches grouped by class"}


@dataclass(frozen=True)
class _Entry:
    """A loss or a modifier as the catalogue shows it, in words."""

    name: str
    when: str  # to prefer it: the comment that opens its YAML
    paper: str  # who proposed it
    shapes: tuple[str, ...]  # what a loss accepts, best first; empty for modifiers
    labels: tuple[str, ...]  # the kinds of label of these shapes
    needs: tuple[str, ...]  # what it cannot do without
    habits: tuple[str, ...]  # its traits
    apart: tuple[str, ...] = ()  # the losses that a modifier does not compose with


def _losses(shape: str | None = None) -> list[_Entry]:
    """The losses by name; those that accept a shape, where one is given.

    Raises:
        ShapeError: there is no such shape.
    """
    accepted = shape_named(shape).name if shape else None
    entries = [_entry(path, node) for path, node in _yamls("loss") if node.get("_accepts_")]
    return [entry for entry in entries if accepted is None or accepted in entry.shapes]


def _entries_of(choice: str) -> list[_Entry]:
    """The losses that accept a shape, or else the loss or modifier of that name.

    Raises:
        ConfigError: there is neither.
    """
    if choice in SHAPES:
        return _losses(choice)
    every = [*_losses(), *_modifiers()]
    if not (found := [entry for entry in every if entry.name == choice]):
        known = dict.fromkeys([*SHAPES, *(entry.name for entry in every)])
        raise ConfigError(
            f"{choice!r} is not a shape, a loss or a modifier",
            expected=f"a shape ({listed(SHAPES)}), or a name that python -m embexp.losses prints",
            note=did_you_mean(choice, known),
        )
    return found


def _modifiers() -> list[_Entry]:
    """The modifiers by name, without the one that does nothing."""
    return [_entry(path, node) for path, node in _yamls("modifier") if node]


def _yamls(group: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for _, path in sorted(option_files(group).items()):
        yield path, OmegaConf.to_container(OmegaConf.load(path)) or {}


def _entry(path: Path, node: Mapping[str, Any]) -> _Entry:
    shapes = tuple(node.get("_accepts_") or ())
    opening = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return _Entry(
        name=path.stem,
        when=" ".join(line.removeprefix("#").strip() for line in opening),
        paper=node.get("_paper_", ""),
        shapes=shapes,
        labels=tuple(dict.fromkeys(_LABELS[SHAPES[shape].label_kind] for shape in shapes)),
        needs=tuple(_needs(node)),
        habits=tuple(_habits(node)),
        apart=_apart(node.get("_refuses_") or ()),
    )


def _apart(refused: list[str]) -> tuple[str, ...]:
    """The losses that have one of these traits as their YAML stands, and the argument that takes it away."""
    found = []
    for path, node in _yamls("loss"):
        if traits := [trait for trait in traits_of(node) if trait in refused]:
            switches = [switch_of(node, trait) for trait in traits]
            off = f" (unless {listed(f'{switch}=false' for switch in switches)})" if all(switches) else ""
            found.append(f"{path.stem}{off}")
    return tuple(found)


def _needs(node: Mapping[str, Any]) -> Iterator[str]:
    needs = node.get("_needs_") or {}
    if needs.get("transformer"):
        yield "a transformer"
    if needs.get("classes"):
        yield f"{needs['classes']} classes with {needs['texts_per_class']} texts each"
    if needs.get("batch_size"):
        yield f"batches of {needs['batch_size']} rows"
    if needs.get("teacher_scores"):
        yield f"{needs['teacher_scores']} teacher scores"
    if sampler := node.get("_batch_sampler_"):
        yield SAMPLERS[sampler]
    yield from (f"a second model ({key})" for key in node.get("_companions_") or ())


def _habits(node: Mapping[str, Any]) -> Iterator[str]:
    if negatives := node.get("_max_negatives_"):
        yield f"reads {negatives} negative of a row"
    for trait in node.get("_traits_") or ():
        if isinstance(trait, str):
            yield TRAITS[trait]
        else:
            yield from (f"{TRAITS[name]} (with {argument})" for name, argument in trait.items())


COMMAND = "python -m embexp.losses --markdown > docs/losses.md"
_HEADING = f"""# Losses and modifiers

What `loss=<name>` and `modifier=<name>` may be; `loss=auto` takes one that suits the data. The arguments, with
units, defaults and what else they may be (`_values_`), stand in `conf/loss/<name>.yaml` and
`conf/modifier/<name>.yaml`. [Shapes of data](data/shapes.md) explains the shapes.
`python -m embexp.losses [shape, loss or modifier]` prints the same on the terminal.

<!-- Made from these YAML files: do not edit, type {COMMAND} -->
"""
_OF_LOSSES = ("loss", "shapes, best first", "label", "when to prefer it", "needs", "habits", "paper")
_OF_MODIFIERS = ("modifier", "what for", "needs", "does not compose with", "paper")
_WIDTH = 118  # of a line at most, and where there is no terminal
_MARGIN = 32  # where the text of an entry begins


def _as_text(entries: Sequence[_Entry]) -> str:
    """One block for each entry: name and shapes, when to prefer it, what it needs, the paper."""
    return "\n\n".join(_block(entry) for entry in entries)


def _as_markdown() -> str:
    """The content of docs/losses.md."""
    of_losses, of_modifiers = [_OF_LOSSES, ["---"] * len(_OF_LOSSES)], [_OF_MODIFIERS, ["---"] * len(_OF_MODIFIERS)]
    for entry in _losses():
        shapes, labels, needs = ", ".join(entry.shapes), " or ".join(entry.labels), "; ".join(entry.needs)
        of_losses.append((f"`{entry.name}`", shapes, labels, entry.when, needs, "; ".join(entry.habits), entry.paper))
    for entry in _modifiers():
        needs, apart = "; ".join(entry.needs), ", ".join(entry.apart)
        of_modifiers.append((f"`{entry.name}`", entry.when, needs, apart, entry.paper))
    return f"{_HEADING}\n{_table(of_losses)}\n\n{_table(of_modifiers)}\n"


def _block(entry: _Entry) -> str:
    lines = [entry.when]
    if entry.shapes:
        lines.insert(0, f"{', '.join(entry.shapes)} · label: {' or '.join(entry.labels)}")
    lines += [f"needs: {'; '.join(entry.needs)}"] if entry.needs else []
    lines += [f"habits: {'; '.join(entry.habits)}"] if entry.habits else []
    lines += [f"not with: {', '.join(entry.apart)}"] if entry.apart else []
    lines.append(f"paper: {entry.paper}")
    indent = " " * _MARGIN
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns)
    filled = [
        textwrap.fill(line, max(width, 2 * _MARGIN), initial_indent=indent, subsequent_indent=indent) for line in lines
    ]
    return "\n".join(filled).replace(indent, entry.name.ljust(_MARGIN), 1)


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_OF_A_SHAPE = "These read such data as they are; python -m embexp.inspect shows what yours can be converted to."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the losses that accept a shape, a loss or modifier by name, or all of them."""
    parser = argparse.ArgumentParser(prog="embexp losses", description="The catalogue of losses.")
    parser.add_argument(
        "choice",
        nargs="?",
        metavar="shape or name",
        help="show only losses that accept this shape of data, such as triplet; or the loss or modifier of this name",
    )
    parser.add_argument("--markdown", action="store_true", help="print what docs/losses.md holds")
    parser.add_argument("-cd", "--config-dir", metavar="folder", help="a folder with YAML files of your own, too")
    options = parser.parse_args(arguments)
    if options.markdown and options.choice:
        sys.exit(f"Error: --markdown prints all of docs/losses.md; {options.choice} was given, too. Leave one out.")
    try:
        if options.config_dir:
            check_config_dir(options.config_dir)
            remember_config_dir(options.config_dir)
        _print(_as_markdown() if options.markdown else _catalogue(options.choice))
    except EmbexpError as error:
        sys.exit(f"Error: {error}")


def _catalogue(choice: str | None) -> str:
    if choice is None:
        return f"{_as_text(_losses())}\n\nModifiers: modifier=<name> wraps around a loss.\n\n{_as_text(_modifiers())}\n"
    group = "loss" if choice in option_files("loss") else "modifier"
    below = _OF_A_SHAPE if choice in SHAPES else f"Its arguments: python -m embexp --help {group}={choice}"
    return f"{_as_text(_entries_of(choice))}\n\n{below}\n"


def _print(text: str) -> None:
    """Print to a reader who may stop before the end, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)  # as a shell reports SIGPIPE


def class_name(loss: Mapping[str, Any]) -> str:
    """The class of a loss's YAML; functions of ours that make one begin their docstring with its name."""
    module, _, name = loss["_target_"].rpartition(".")
    made = getattr(importlib.import_module(module), name, None) if module.startswith("embexp.losses.") else None
    return made.__doc__.split()[0].strip(":,.") if made and not isinstance(made, type) else name


def citations_of(losses: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """BibTeX by the names of losses: sentence-transformers' own entries, and other papers that their YAMLs name."""
    from sentence_transformers.sentence_transformer import losses as library
    from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData

    card, made = SentenceTransformerModelCardData(), []
    for loss in losses:
        if isinstance(found := getattr(library, class_name(loss), None), type):
            made.append(found.__new__(found))  # only its citation is read, which may depend on the arguments
            vars(made[-1]).update(loss)
    card.set_losses(made)
    entries = dict(card.citations)
    for loss in losses:
        name = class_name(loss)
        own = next((key for key in entries if name in re.split(", | and ", key)), name)
        for author, number, entry in _papers(loss):
            is_there = re.search(rf"\b{author}\b", entries.get(own, ""), re.IGNORECASE)
            if not is_there and not any(number and number in known for known in entries.values()):
                entries[own] = f"{entries.get(own, '').strip()}\n\n{entry}".strip()
    return entries


_PAPER = re.compile(r"(?!none)(.+?) (\d{4}) ?(?:\(([^,)]+).*?\))?,? ?(?:arXiv:([\d.]+))?$")


def _papers(loss: Mapping[str, Any]) -> Iterator[tuple[str, str | None, str]]:
    """First author, number on arXiv and BibTeX of the papers that a YAML names.

    >>> ((_, _, entry),) = _papers({"_paper_": "Reimers & Gurevych 2019 (SBERT, eq. 1), arXiv:1908.10084"})
    >>> print(entry)
    @misc{reimers-2019,
        title = {SBERT},
        author = {Reimers and Gurevych},
        year = {2019},
        eprint = {1908.10084},
        archivePrefix = {arXiv},
    }
    """
    for found in filter(None, map(_PAPER.match, re.split("; *", loss.get("_paper_") or ""))):
        authors, year, title, number = found.groups()
        author = re.findall(r"[\w-]+", authors.partition(" et al")[0].partition("&")[0] or "anonymous")[-1]
        names = authors.replace(" et al.", " and others").replace("&", "and")
        fields = {"title": title, "author": names, "year": year, "eprint": number, "archivePrefix": number and "arXiv"}
        lines = [f"    {name} = {{{value}}}," for name, value in fields.items() if value]
        yield author, number, "\n".join([f"@misc{{{author.lower()}-{year},", *lines, "}"])
