"""What steps refuse: arguments that cannot be meant, and a split that they would leave without a row."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import selected
from embexp.data.dataset import EmbeddingDataset
from embexp.data.values import is_count
from embexp.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy


def refuse(step: str, faults: Iterable[str]) -> None:
    """Raise when there are faults, with all of them in one message.

    Raises:
        ConfigError: there are faults.
    """
    found = list(faults)
    if found:
        raise ConfigError("\n  ".join([f"The step {step} cannot work with its arguments:", *found]))


def count_faults(least: int, **counts: Any) -> Iterator[str]:
    """What is wrong with arguments, by their names, that are to be whole numbers from `least`.

    >>> list(count_faults(1, copies=0, examples=3))
    ['copies=0 must be a whole number from 1.']
    """
    yield from (
        f"{name}={value} must be a whole number from {least}."
        for name, value in counts.items()
        if not is_count(value, least)
    )


def keep_rows(
    dataset: EmbeddingDataset, step: str, keep: Mapping[str, "numpy.ndarray"], reason: str
) -> EmbeddingDataset:
    """The data set with the rows where the mask of their split is true; a split without a mask stays as it is.

    Raises:
        DataError: a split that had rows would have none.
    """
    splits = {name: selected(rows, keep[name]) if name in keep else rows for name, rows in dataset.splits.items()}
    return none_emptied(dataset, dataset.after(step, splits, reason))


def none_emptied(before: EmbeddingDataset, after: EmbeddingDataset) -> EmbeddingDataset:
    """The data set `after` a step, once it is sure that each split that had rows still has some.

    Raises:
        DataError: a split lost all its rows.
    """
    emptied = [name for name, rows in before.splits.items() if rows.num_rows and not after.splits[name].num_rows]
    if emptied:
        report = after.history[-1]
        raise DataError(
            f"The step {report.step} leaves no row of {' and '.join(emptied)} in {before.name} ({report.reason}). "
            "Expected at least one: loosen its arguments under dataset.steps, or take the step out."
        )
    return after
