"""How often which label occurs, in each split."""

from typing import TYPE_CHECKING, Any

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset

if TYPE_CHECKING:
    import numpy

SCORE_BINS = 10
MOST_CLASSES = 30  # further classes are counted together


def labels_of(dataset: EmbeddingDataset) -> dict[str, dict[str, int]]:
    """For each split the rows of each class, or of each tenth of the score's range; empty without such labels."""
    if dataset.shape.label_kind == "score":
        return {split: _score_counts(dataset, split) for split in dataset.splits}
    if dataset.shape.label_kind in ("binary", "class"):
        return {split: _class_counts(dataset, split) for split in dataset.splits}
    return {}


def _values(dataset: EmbeddingDataset, split: str) -> "numpy.ndarray":
    import numpy

    batches = batches_of(dataset.splits[split])
    return numpy.concatenate([batch[dataset.shape.label].to_numpy() for batch in batches] or [numpy.array([])])


def _score_counts(dataset: EmbeddingDataset, split: str) -> dict[str, int]:
    import numpy

    counts, edges = numpy.histogram(_values(dataset, split), bins=SCORE_BINS, range=(0, 1))
    return {f"{low:.1f} to {low + 1 / SCORE_BINS:.1f}": int(count) for low, count in zip(edges, counts, strict=False)}


def _class_counts(dataset: EmbeddingDataset, split: str) -> dict[str, int]:
    import numpy

    numbers, counts = numpy.unique(_values(dataset, split).astype(int), return_counts=True)
    named = {_name(dataset.label_names, number): int(count) for number, count in zip(numbers, counts, strict=True)}
    if len(named) <= MOST_CLASSES:
        return named
    kept: dict[str, Any] = dict(list(named.items())[:MOST_CLASSES])
    return kept | {f"{len(named) - MOST_CLASSES} more classes": sum(named.values()) - sum(kept.values())}


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)
