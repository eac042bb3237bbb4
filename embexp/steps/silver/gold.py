"""The gold rows: those whose labels people gave, all of them or a share."""

from typing import TYPE_CHECKING

from embexp.data.arrow import selected

if TYPE_CHECKING:
    from datasets import Dataset


def divided_gold(rows: "Dataset", share: float, number: int | None, seed: int) -> tuple["Dataset", "Dataset"]:
    """The rows that keep their labels, and the rest, both in the order they had.

    Args:
        share: of the rows that stay gold, above 0 and at most 1.
        number: how many stay gold, in place of a share; None for the share.
    """
    import numpy

    wanted = min(number or max(1, round(share * rows.num_rows)), rows.num_rows)
    is_gold = numpy.zeros(rows.num_rows, bool)
    is_gold[numpy.random.default_rng(seed).permutation(rows.num_rows)[:wanted]] = True
    return selected(rows, is_gold), selected(rows, ~is_gold)
