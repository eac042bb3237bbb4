"""Arrays of numbers in files that are whole or not there, so that what was computed is not computed again."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

logger = logging.getLogger(__name__)


def keep_array(file: Path, array: "numpy.ndarray") -> None:
    """Write the file at once under its own name, so that one that is there is whole; a full disk is a warning."""
    import numpy

    unfinished = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as opened:
            numpy.save(opened, array)
        unfinished.replace(file)
    except OSError as error:
        logger.warning("The numbers were not kept in %s: %s", file.parent, error)


class KeptBlocks:
    """Arrays that are made one after the other, each kept as soon as it is there: whoever is killed goes on after it.

    Args:
        folder: of nothing but these blocks, whose number and content it stands for; None keeps none.

    Attributes:
        num_recalled: how many of the blocks so far were there.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.num_blocks, self.num_recalled = folder, 0, 0

    def next(self, make: Callable[[], "numpy.ndarray"]) -> "numpy.ndarray":
        """The next block: from its file where it is there, else made and kept."""
        import numpy

        self.num_blocks += 1
        file = self.folder / f"{self.num_blocks:06}.npy" if self.folder else None
        if file and file.is_file():
            self.num_recalled += 1
            return numpy.load(file)
        block = make()
        if file:
            keep_array(file, block)
        return block
