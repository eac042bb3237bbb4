"""`python -m embexp.losses`: the catalogue of losses and modifiers, from their YAML files."""

import argparse
import sys
from collections.abc import Sequence

from embexp.errors import EmbexpError
from embexp.losses.catalogue import losses, modifiers
from embexp.losses.catalogue_text import as_markdown, as_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the losses that accept a shape, or all losses and modifiers."""
    parser = argparse.ArgumentParser(prog="python -m embexp.losses", description="The catalogue of losses.")
    parser.add_argument("shape", nargs="?", help="show only losses that accept this shape of data, such as triplet")
    parser.add_argument("--markdown", action="store_true", help="print what docs/losses.md holds")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(as_markdown(), end="")
        return
    try:
        found = losses(options.shape)
    except EmbexpError as error:
        sys.exit(f"Error: {error}")
    print(as_text(found))
    if options.shape is None:
        print(f"\nModifiers: modifier=<name> wraps around a loss.\n\n{as_text(modifiers())}")
    else:
        print("\nThese read such data as they are; python -m embexp.inspect tells what yours can be converted for.")


if __name__ == "__main__":
    main()
