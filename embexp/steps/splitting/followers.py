"""Rows made of others go with their source to train, and nowhere else."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embexp.data.shapes import MADE_FROM
from embexp.steps.comparing.text_hashes import text_hashes

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset


def may_stay_in_train(rows: "Dataset", held_out: Sequence["Dataset"], columns: list[str]) -> "numpy.ndarray":
    """Which rows have neither a source nor a text in the splits that are held out, bool `(num_rows,)`.

    Case, spaces and punctuation of texts do not count.
    """
    import numpy

    stay = numpy.ones(rows.num_rows, dtype=bool)
    for names, loosely in (([MADE_FROM], False), (columns, True)):
        keys, counts = text_hashes(rows, names, loosely)
        taken = numpy.concatenate([text_hashes(others, names, loosely)[0] for others in held_out])
        of_rows = numpy.repeat(numpy.arange(rows.num_rows), counts)
        stay[of_rows[numpy.isin(keys, taken)]] = False
    return stay
