"""Rows as ranked ones, whose lists of negatives may have any length, and ranked rows with other negatives."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import LegalValues, problems_with
from embexp.data.arrow import batches_of, schema_of, table_of_batches
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.errors import Problem, ShapeError, listed
from embexp.steps.conversions.conversion import ConversionSettings, missing_numbers
from embexp.steps.conversions.convert import convert, route, unmet_needs

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

MINED = ("ranked", "triplet", "positive_pair")  # shapes of which each row becomes a ranked one
PAIRS_FIRST = ("ranked", "positive_pair", "triplet")  # where given negatives go: what has none need not be left out
_SAMPLED = "labelled_text"  # converted to pairs at random, so that a text's other positives would not be known


def problems_with_splits(splits: Any, dataset: EmbeddingDataset) -> Iterator[Problem]:
    """The problem with the argument `splits` of a step that makes ranked rows of some splits."""
    some_splits = LegalValues(one_of=SPLITS, many=True)
    yield from problems_with("splits", splits, some_splits, such_as="[train]")
    if some_splits.allow(splits) and (missing := [split for split in splits if split not in dataset.splits]):
        there = f"some of those that {dataset.name} has: {listed(dataset.splits)}"
        yield Problem(f"names {listed(missing)}, which {dataset.name} has not", "splits", splits, there)


def to_ranked(
    dataset: EmbeddingDataset,
    settings: ConversionSettings,
    cannot: str = "Negatives cannot be mined for",
    accepted: Sequence[str] = MINED,
) -> EmbeddingDataset:
    """The data set as ranked rows, one for each row of its pairs or triplets, to which others are converted first.

    Args:
        cannot: the beginning of the error message.
        accepted: the shapes that are not converted first, the preferred one before the others.

    Raises:
        ShapeError: no conversion leads there, or one that needs a number that is not set.
    """
    start = dataset.shape.name
    way = None if start == _SAMPLED else route([start], accepted, settings=settings)
    if way is None:
        needs = [] if start == _SAMPLED else unmet_needs([start], accepted, settings=settings)
        fields = missing_numbers(needs) if needs else {"fix": "negatives=none"}
        expected = f"rows whose positives are known: {listed(MINED)}, or data that can be converted to these"
        expected += f", which here needs {fields['expected']}" if needs else ""
        raise ShapeError(f"{cannot} {dataset.name}, which is {start}", **fields | {"expected": expected})
    for conversion in way[1]:
        dataset = convert(dataset, conversion, settings)
    if dataset.shape.name == "ranked":
        return dataset
    splits = {split: _ranked(rows, dataset.text_columns[2:]) for split, rows in dataset.splits.items()}
    return replace(dataset, shape=shape_named("ranked"), splits=splits)


def replace_negatives(rows: "Dataset", negatives: Sequence[Sequence[str]]) -> "Dataset":
    """Ranked rows with other negatives; the teacher scores of the former ones are dropped."""
    import pyarrow

    schema = schema_of(shape_named("ranked"), [name for name in rows.column_names if name != "negative_scores"])

    def replaced() -> Iterator["pyarrow.Table"]:
        start = 0
        for batch in batches_of(rows):
            lists = pyarrow.array(negatives[start : start + batch.num_rows], schema.field("negatives").type)
            place = batch.column_names.index("negatives")
            yield batch.set_column(place, "negatives", lists).select(schema.names).cast(schema)
            start += batch.num_rows

    return table_of_batches(replaced(), schema)


def _ranked(rows: "Dataset", negatives: Sequence[str]) -> "Dataset":
    """Pairs or triplets as ranked rows with one positive each."""
    import pyarrow

    schema = schema_of(shape_named("ranked"), rows.column_names)

    def lists(columns: Sequence["pyarrow.ChunkedArray"], num_rows: int) -> "pyarrow.Array":
        texts = zip(*(column.to_pylist() for column in columns), strict=True) if columns else [()] * num_rows
        return pyarrow.array([list(row) for row in texts], pyarrow.list_(pyarrow.string()))

    def ranked() -> Iterator["pyarrow.Table"]:
        for batch in batches_of(rows):
            made = {
                "query": batch["anchor"],
                "positives": lists([batch["positive"]], batch.num_rows),
                "negatives": lists([batch[name] for name in negatives], batch.num_rows),
            }
            others = {name: batch[name] for name in schema.names if name not in made}
            yield pyarrow.table(made | others).select(schema.names).cast(schema)

    return table_of_batches(ranked(), schema)
