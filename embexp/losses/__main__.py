"""`embexp losses <shape or name>`: the catalogue of losses and modifiers, from their YAML files."""

import argparse
import os
import sys
from collections.abc import Sequence

from embexp.config.session import check_config_dir, remember_config_dir
from embexp.data.shapes import SHAPES
from embexp.errors import EmbexpError
from embexp.losses.catalogue import as_markdown, as_text, entries_of, losses, modifiers

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
        _print(as_markdown() if options.markdown else _catalogue(options.choice))
    except EmbexpError as error:
        sys.exit(f"Error: {error}")


def _catalogue(choice: str | None) -> str:
    if choice is None:
        return f"{as_text(losses())}\n\nModifiers: modifier=<name> wraps around a loss.\n\n{as_text(modifiers())}\n"
    return f"{as_text(entries_of(choice))}\n" + (f"\n{_OF_A_SHAPE}\n" if choice in SHAPES else "")


def _print(text: str) -> None:
    """Print to a reader who may stop before the end, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)  # as a shell reports SIGPIPE


if __name__ == "__main__":
    main()
