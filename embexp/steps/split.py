"""Dividing rows among train, dev and test."""

import random
from collections.abc import Sequence

from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import text_columns
from embexp.errors import ConfigError, DataError


def split_missing(dataset: EmbeddingDataset, dev: float, test: float, seed: int) -> EmbeddingDataset:
    """The data set with the splits dev and test it lacks, taken from train; given ones stay as they are.

    Rows that share a text, directly or through other rows, stay together, so no text gets into two of the
    splits made here.

    Args:
        dev, test: share of the train rows, each in [0, 1), together below 1; 0 makes no such split.

    Raises:
        ConfigError: shares that are out of range.
        DataError: too few rows to give each split one.
    """
    shares = {name: share for name, share in (("dev", dev), ("test", test)) if name not in dataset.splits and share}
    if not 0 <= sum(shares.values()) < 1 or any(share < 0 for share in shares.values()):
        raise ConfigError(f"dev={dev} and test={test} must be 0 or more and add up to less than 1.")
    if not shares or "train" not in dataset.splits:
        return dataset
    rows = dataset.splits["train"]
    groups = connected_rows([rows[column][:] for column in text_columns(dataset.shape, rows.column_names)])
    random.Random(seed).shuffle(groups)
    places: dict[str, list[int]] = {name: [] for name in (*shares, "train")}
    for group in groups:
        fits = (name for name, share in shares.items() if len(places[name]) + len(group) <= share * rows.num_rows)
        places[next(fits, "train")].extend(group)
    empty = [name for name, chosen in places.items() if not chosen]
    if empty:
        raise DataError(
            f"{rows.num_rows} rows of {dataset.name}, {len(groups)} groups without a common text, leave nothing for "
            f"{' and '.join(empty)}. Type larger shares, such as dataset.steps.split.dev=0.2, or 0 to do without."
        )
    made = {name: rows.select(sorted(chosen)) for name, chosen in places.items()}
    splits = {name: made.get(name, dataset.splits.get(name)) for name in SPLITS if name in {*made, *dataset.splits}}
    return dataset.after("split", splits, ", ".join(f"{name} {split.num_rows:,}" for name, split in splits.items()))


def connected_rows(columns: Sequence[Sequence[str | list[str]]]) -> list[list[int]]:
    """Rows that share a text, directly or through others, as groups of row numbers.

    >>> connected_rows([["a", "b", "c"], ["x", "y", "x"]])
    [[0, 2], [1]]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number: dict[str, int] = {}
    row_numbers, text_numbers = [], []
    for column in columns:
        for row, value in enumerate(column):
            for text in (value,) if isinstance(value, str) else value:
                row_numbers.append(row)
                text_numbers.append(number.setdefault(text, len(number)))
    num_rows = len(columns[0])
    size = num_rows + len(number)
    edges = coo_array(
        ([True] * len(row_numbers), (row_numbers, [num_rows + text for text in text_numbers])), shape=(size, size)
    )
    _, label = connected_components(edges, directed=False)
    groups: dict[int, list[int]] = {}
    for row in range(num_rows):
        groups.setdefault(int(label[row]), []).append(row)
    return list(groups.values())
