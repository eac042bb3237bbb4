"""Gold and silver rows in one table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embexp.data.arrow import rows_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import training_columns
from embexp.steps.made_rows import Row, made_of, schema_with_sources, with_source, with_sources
from embexp.steps.silver.labelling import Silver

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

MADE_BY_SILVER = "silver"
PLAIN = ("sentence1", "sentence2", "label")  # how teachers read pairs, whatever their label is called


def plain_pairs(dataset: EmbeddingDataset, rows: "Dataset") -> "Dataset":
    """Rows with the columns sentence1, sentence2 and label alone."""
    columns = training_columns(dataset.shape, rows.column_names)
    return rows.select_columns(columns).rename_columns(dict(zip(columns, PLAIN, strict=True)))


def labels_in(dataset: EmbeddingDataset, rows: "Dataset") -> "numpy.ndarray":
    """The labels of rows, `(num_rows,)`."""
    import numpy

    return numpy.array(rows[dataset.shape.label][:])


def with_silver(dataset: EmbeddingDataset, gold: "Dataset", silver: Silver) -> dict[str, "Dataset"]:
    """The splits with gold rows and, after them, silver rows in train."""
    columns = training_columns(dataset.shape, gold.column_names)
    labels = silver.labels.tolist()

    def train() -> Iterator[Row]:
        for row in rows_of(gold):
            yield with_source(row, columns)
        for pair, label in zip(silver.pairs, labels, strict=True):
            row = dict(zip(columns, (*pair, label), strict=True))
            yield made_of(with_source(row, columns), MADE_BY_SILVER)

    others = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split != "train"}
    made = {"train": table_of_rows(train(), schema_with_sources(gold, dataset))} | others
    return {split: made[split] for split in dataset.splits}
