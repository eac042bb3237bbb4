"""Labels against what a loss can learn from them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from embexp.checks.findings import Findings, named, of_rows
from embexp.checks.settings import batch_size_of
from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import text_columns
from embexp.losses.spec import LossSpec

if TYPE_CHECKING:
    from datasets import Dataset

NOTICED = 0.01  # share of the rows from which on it is worth a warning that they are left out


def check_labels(dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any]) -> Findings:
    """The labels of the training rows; nothing to find in a shape without them."""
    kind = dataset.shape.label_kind
    if kind in ("score", "binary", "class"):
        return _values(dataset, spec, trainer)
    if kind in ("scores", "embedding"):
        return Findings(errors=tuple(_list_errors(dataset, spec)))
    return Findings()


def _values(dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any]) -> Findings:
    rows, label = dataset.training_rows(), dataset.shape.label
    counts = Counter(value for batch in batches_of(rows.select_columns([label])) for value in batch[label].to_pylist())
    if len(counts) == 1:
        (value,) = counts
        return Findings(
            errors=(
                f"{named(label, dataset)} is {value} in all {rows.num_rows:,} training rows: loss={spec.name} has "
                f"nothing to tell apart. Expected two values or more: look at 'dataset.reader.columns={{{label}: <your "
                "column>}', or choose data or a loss without labels.",
            )
        )
    return _classes(dataset, spec, trainer, counts) if spec.batch_sampler == "group_by_label" else Findings()


def _classes(dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any], counts: Counter[int]) -> Findings:
    """Whether enough classes have enough texts, and which rows no batch will take."""
    least, total = spec.needs.texts_per_class, sum(counts.values())
    usable = {label: count for label, count in counts.items() if count >= least}
    if len(usable) < spec.needs.classes:
        return Findings(
            errors=(
                f"{len(usable)} of {len(counts)} classes of {dataset.name} have {least} texts or more in train; "
                f"loss={spec.name} needs {spec.needs.classes} such classes. Expected more texts of each: give more "
                f"rows, or coarser classes with 'dataset.reader.columns={{{dataset.shape.label}: <your column>}}'.",
            )
        )
    left_out = total - rows_grouped_by_label([*usable.values()], batch_size_of(trainer))
    if left_out < NOTICED * total:
        return Findings()
    small = len(counts) - len(usable)
    return Findings(
        warnings=(
            f"{of_rows(left_out, total)} of {dataset.name} are left out of every epoch: batches are made of pairs of "
            f"at least two classes, {small} of {len(counts)} classes have fewer than {least} texts, and the largest "
            f"class ends with the second largest ({sorted(counts.values())[-2]:,} texts).",
        )
    )


def rows_grouped_by_label(counts: list[int], batch_size: int) -> int:
    """How many rows an epoch of sentence-transformers' GroupByLabelBatchSampler has.

    Classes take turns in giving pairs until only one has some left; a last batch of fewer than 4 rows is dropped.

    >>> rows_grouped_by_label([7, 4, 2], batch_size=6)
    10
    >>> rows_grouped_by_label([7, 4, 2], batch_size=8)
    8
    """
    pairs = sorted((count // 2 for count in counts), reverse=True)
    stream = 2 * sum(min(number, pairs[1]) for number in pairs)
    rest = stream % batch_size
    return stream - rest + (rest if rest >= 4 else 0)


def _list_errors(dataset: EmbeddingDataset, spec: LossSpec) -> Iterator[str]:
    rows, label = dataset.training_rows(), dataset.shape.label
    lengths = Counter(_lengths(rows, label))
    if len(lengths) > 1:
        found = ", ".join(f"{length} ({count:,} rows)" for length, count in sorted(lengths.items()))
        yield (
            f"{named(label, dataset)} holds lists of different lengths: {found}. Expected one length: "
            "take the other rows out, or give them the numbers that they lack."
        )
    num_texts = len(text_columns(dataset.shape, rows.column_names)) - 1
    if spec.needs.teacher_scores == "raw" and (margins := rows.num_rows - lengths[num_texts]):
        yield (
            f"{named(label, dataset)} holds margins in {of_rows(margins, rows.num_rows)}; loss={spec.name} reads the "
            f"teacher's {num_texts} raw scores, one for the positive and one for each negative. "
            "Type loss=margin_mse, which reads margins, too, or give the scores themselves."
        )


def _lengths(rows: "Dataset", label: str) -> Iterator[int]:
    import pyarrow.compute

    for batch in batches_of(rows.select_columns([label])):
        yield from pyarrow.compute.list_value_length(batch[label]).to_pylist()
