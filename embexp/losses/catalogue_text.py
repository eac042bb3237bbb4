"""The catalogue of losses as text for the terminal and as tables for docs/losses.md."""

import textwrap
from collections.abc import Sequence

from embexp.losses.catalogue import Entry, losses, modifiers

COMMAND = "python -m embexp.losses --markdown > docs/losses.md"
HEADING = f"""# Losses and modifiers

What `loss=<name>` and `modifier=<name>` may be; `loss=auto` takes one that suits the data. The arguments, with
units, defaults and what else they may be (`_values_`), stand in `conf/loss/<name>.yaml` and
`conf/modifier/<name>.yaml`; the README explains the shapes of data.
`python -m embexp.losses [shape, loss or modifier]` prints the same on the terminal.

<!-- Made from these YAML files: do not edit, type {COMMAND} -->
"""
OF_LOSSES = ("loss", "shapes, best first", "label", "when to prefer it", "needs", "habits", "paper")
OF_MODIFIERS = ("modifier", "what for", "needs", "does not compose with", "paper")
WIDTH = 118  # of the terminal's lines
MARGIN = 32  # where the text of an entry begins


def as_text(entries: Sequence[Entry]) -> str:
    """One block for each entry: name and shapes, when to prefer it, what it needs, the paper."""
    return "\n\n".join(_block(entry) for entry in entries)


def as_markdown() -> str:
    """The content of docs/losses.md."""
    return "\n".join(
        (
            HEADING,
            _table(OF_LOSSES, [_loss_row(entry) for entry in losses()]),
            "",
            _table(OF_MODIFIERS, [_modifier_row(entry) for entry in modifiers()]),
            "",
        )
    )


def _loss_row(entry: Entry) -> tuple[str, ...]:
    shapes, labels = ", ".join(entry.shapes), " or ".join(entry.labels)
    return f"`{entry.name}`", shapes, labels, entry.when, "; ".join(entry.needs), "; ".join(entry.habits), entry.paper


def _modifier_row(entry: Entry) -> tuple[str, ...]:
    return f"`{entry.name}`", entry.when, "; ".join(entry.needs), ", ".join(entry.apart), entry.paper


def _block(entry: Entry) -> str:
    lines = [entry.when]
    if entry.shapes:
        lines.insert(0, f"{', '.join(entry.shapes)} · label: {' or '.join(entry.labels)}")
    lines += [f"needs: {'; '.join(entry.needs)}"] if entry.needs else []
    lines += [f"habits: {'; '.join(entry.habits)}"] if entry.habits else []
    lines += [f"not with: {', '.join(entry.apart)}"] if entry.apart else []
    lines.append(f"paper: {entry.paper}")
    indent = " " * MARGIN
    filled = [textwrap.fill(line, WIDTH, initial_indent=indent, subsequent_indent=indent) for line in lines]
    return "\n".join(filled).replace(indent, entry.name.ljust(MARGIN), 1)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
