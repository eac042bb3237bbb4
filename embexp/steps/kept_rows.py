"""Data sets with some rows left out, and the refusal of a step that empties a split."""

from collections.abc import Mapping

import numpy

from embexp.data.arrow import select_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError, listed


def keep_rows(dataset: EmbeddingDataset, step: str, keep: Mapping[str, numpy.ndarray], reason: str) -> EmbeddingDataset:
    """The data set with the rows where the mask of their split is true; a split without a mask keeps all.

    Raises:
        DataError: a split that had rows would have none.
    """
    splits = {name: select_rows(rows, keep[name]) if name in keep else rows for name, rows in dataset.splits.items()}
    return none_emptied(dataset, dataset.after(step, splits, reason))


def none_emptied(
    before: EmbeddingDataset, after: EmbeddingDataset, note: str = "Loosen the arguments of the step, or leave it out"
) -> EmbeddingDataset:
    """The data set `after` a step, in which every split that had rows still has some; `note` says what a user can do.

    Raises:
        DataError: a split lost all its rows.
    """
    emptied = [name for name, rows in before.splits.items() if rows.num_rows and not after.splits[name].num_rows]
    if emptied:
        step, reason = after.history[-1].step, after.history[-1].reason
        text = f"The step {step} leaves no row of {listed(emptied)} in {before.name} ({reason})"
        raise DataError(text, expected="at least one row in every split", note=note)
    return after
