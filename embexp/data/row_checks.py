"""Checks of rows against the shape of their data set: columns, texts, labels."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of, holds_lists
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named, text_columns, training_columns
from embexp.data.values import are_texts, is_number
from embexp.errors import DataError, Problem, as_typed, listed

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


def dataset_of(
    name: str,
    shape: str,
    splits: Mapping[str, Mapping[str, list[Any]]],
    label_names: tuple[str, ...] = (),
    provenance: Mapping[str, Any] | None = None,
) -> EmbeddingDataset:
    """A data set from plain columns: `{"train": {"anchor": [...], "positive": [...]}}`.

    Raises:
        DataError: columns, texts or labels do not fit the shape.
    """
    from datasets import Dataset

    tables = {split: Dataset.from_dict(dict(columns)) for split, columns in splits.items()}
    return check_rows(EmbeddingDataset(name, shape_named(shape), tables, tuple(label_names), dict(provenance or {})))


def check_rows(dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set itself, once its columns, texts and labels are known to fit its shape.

    Raises:
        DataError: one problem for each column of each split, with the first faulty row.
    """
    problems = [problem for split, rows in dataset.splits.items() for problem in _problems(dataset, split, rows)]
    if problems:
        raise DataError(*problems)
    return dataset


def _problems(dataset: EmbeddingDataset, split: str, rows: "Dataset") -> Iterator[Problem]:
    shape = dataset.shape
    where = f"Data set {dataset.name} is not a {shape.name}: {split}"
    expected = training_columns(shape, [*rows.column_names, *shape.required_negatives])
    missing = [name for name in expected if name not in rows.column_names]
    if missing:
        text = f"{where} has the columns {listed(rows.column_names)}; missing: {listed(missing)}"
        others = [name for name in rows.column_names if name not in expected]
        pairs = ", ".join(f"{column}: {as_typed(name)}" for column, name in zip(missing, others, strict=False))
        yield Problem(text, fix=(f"'dataset.reader.columns={{{pairs}}}'",) if others else ())
        return
    for column in text_columns(shape, rows.column_names):
        wanted = "list of texts" if column in shape.text_lists else "text"
        count, first = _count(rows, column, _are_lists if column in shape.text_lists else are_texts)
        if count:
            text = f"{where}.{column}: {count:,} of {rows.num_rows:,} rows hold no {wanted}, "
            yield Problem(f"{text}first in row {first[0] + 1}: {first[1]!r}.")
    if shape.label:
        yield from _label_problems(dataset, f"{where}.{shape.label}", rows)


def _count(rows: "Dataset", column: str, fits: Any) -> tuple[int, tuple[int, Any]]:
    """How many values of a column do not fit, and the place and value of the first of them."""
    import pyarrow

    count, first, start = 0, (-1, None), 0
    for batch in batches_of(rows.select_columns([column])):
        values = batch[column].combine_chunks()
        wrong = pyarrow.compute.invert(fits(values).fill_null(False))
        if found := wrong.true_count:
            place = wrong.index(True).as_py()
            first = first if count else (start + place, values[place].as_py())
            count += found
        start += batch.num_rows
    return count, first


def _are_lists(values: "pyarrow.Array") -> "pyarrow.Array":
    """A boolean mask: which values are lists of nothing but texts; an empty list is one."""
    import numpy
    import pyarrow

    if not holds_lists(values.type):
        return pyarrow.array([False] * len(values))
    fits = numpy.asarray(values.is_valid())
    if not pyarrow.types.is_null(values.type.value_type):  # nothing but empty lists
        parents = numpy.asarray(pyarrow.compute.list_parent_indices(values))
        fits[parents[~numpy.asarray(are_texts(values.flatten()))]] = False
    return pyarrow.array(fits)


def _label_problems(dataset: EmbeddingDataset, where: str, rows: "Dataset") -> Iterator[Problem]:
    shape, names = dataset.shape, dataset.label_names
    num_negatives = len(text_columns(shape, rows.column_names)) - 2
    expected, allowed = {
        "score": ("numbers from 0 to 1, or the range of yours", lambda value: is_number(value) and 0 <= value <= 1),
        "binary": ("0 or 1", lambda value: value in (0, 1)),
        "class": (
            f"whole numbers below {len(names)}" if names else "whole numbers from 0",
            lambda value: isinstance(value, int) and 0 <= value < (len(names) or value + 1),
        ),
        "scores": (
            f"a list of {num_negatives + 1} teacher scores (of the positive, then of each negative), "
            f"or of {num_negatives} margins",
            lambda value: _are_numbers(value) and len(value) in (num_negatives, num_negatives + 1),
        ),
        "embedding": ("a list of numbers, as long in every row", _are_numbers),
    }[shape.label_kind]

    def fits(values: "pyarrow.Array") -> "pyarrow.Array":
        import pyarrow

        return pyarrow.array([value is not None and bool(allowed(value)) for value in values.to_pylist()])

    count, first = _count(rows, shape.label, fits)
    if count:
        text = f"{where}: {count:,} of {rows.num_rows:,} labels do not fit, first in row {first[0] + 1}: {first[1]!r}"
        fix = ("dataset.reader.score_range=[0,5]",) if shape.label_kind == "score" else ()
        yield Problem(text, expected=expected, fix=fix)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(is_number(number) for number in value)
