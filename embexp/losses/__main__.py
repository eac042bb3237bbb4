"""`embexp losses <shape or name>`: the catalogue of losses and modifiers, from their YAML files."""

import argparse
import os
import sys
from collections.abc import Sequence

from embexp.config.session import check_config_dir, remember_config_dir
from embexp.data.shapes import SHAPES
from embexp.errors import EmbexpError
from embexp.losses.catalogue import as_markdown, as_text, entries_of, losses, modifiers

OF_A_SHAPE = "These read such data as they are; python -m embexp.inspect tells what yours can be converted for."


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the losses that accept a shape, a loss or modifier by name, or all of them."""
    parser = argparse.ArgumentParser(prog="embexp losses", description="The catalogue of losses.")
    parser.add_argument(
        "asked",
        nargs="?",
        metavar="shape or name",
        help="show only losses that accept this shape of data, such as triplet; or the loss or modifier of this name",
    )
    parser.add_argument("--markdown", action="store_true", help="print what docs/losses.md holds")
    parser.add_argument("-cd", "--config-dir", metavar="folder", help="a folder with YAML files of your own, too")
    options = parser.parse_args(arguments)
    if options.markdown and options.asked:
        sys.exit(f"Error: --markdown prints all of docs/losses.md; {options.asked} was given, too. Leave one out.")
    try:
        if options.config_dir:
            check_config_dir(options.config_dir)
            remember_config_dir(options.config_dir)
        _print(as_markdown() if options.markdown else _catalogue(options.asked))
    except EmbexpError as error:
        sys.exit(f"Error: {error}")


def _catalogue(asked: str | None) -> str:
    if asked is None:
        return f"{as_text(losses())}\n\nModifiers: modifier=<name> wraps around a loss.\n\n{as_text(modifiers())}\n"
    return f"{as_text(entries_of(asked))}\n" + (f"\n{OF_A_SHAPE}\n" if asked in SHAPES else "")


def _print(text: str) -> None:
    """Print to a reader who may stop before the end, as `head` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(141)  # as a shell tells SIGPIPE


if __name__ == "__main__":
    main()
