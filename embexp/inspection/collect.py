"""What a data set shows without training: labels, lengths, fitting losses, as plain values."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.experiment.routing import routes_to_losses, shipped_losses
from embexp.inspection.suggestions import cannot_train
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.conversions.convert import Way, unmet_needs
from embexp.steps.dedup.deduplicate import deduplicate
from embexp.steps.dedup.leaks import find_leaks

_SCORE_BINS = 10
_MOST_CLASSES = 30  # further classes are counted together


def _labels_of(dataset: EmbeddingDataset) -> dict[str, dict[str, int]]:
    """For each split the rows of each class, or of each tenth of the score's range; empty without such labels."""
    if dataset.shape.label_kind == "score":
        return {split: _score_counts(dataset, split) for split in dataset.splits}
    if dataset.shape.label_kind in ("binary", "class"):
        return {split: _class_counts(dataset, split) for split in dataset.splits}
    return {}


def _values(dataset: EmbeddingDataset, split: str) -> numpy.ndarray:
    batches = batches_of(dataset.splits[split])
    return numpy.concatenate([batch[dataset.shape.label].to_numpy() for batch in batches] or [numpy.array([])])


def _score_counts(dataset: EmbeddingDataset, split: str) -> dict[str, int]:
    counts, edges = numpy.histogram(_values(dataset, split), bins=_SCORE_BINS, range=(0, 1))
    return {f"{low:.1f} to {low + 1 / _SCORE_BINS:.1f}": int(count) for low, count in zip(edges, counts, strict=False)}


def _class_counts(dataset: EmbeddingDataset, split: str) -> dict[str, int]:
    numbers, counts = numpy.unique(_values(dataset, split).astype(int), return_counts=True)
    named = {_name(dataset.label_names, number): int(count) for number, count in zip(numbers, counts, strict=True)}
    if len(named) <= _MOST_CLASSES:
        return named
    kept: dict[str, Any] = dict(list(named.items())[:_MOST_CLASSES])
    return kept | {f"{len(named) - _MOST_CLASSES} more classes": sum(named.values()) - sum(kept.values())}


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)


# By which settings pairs with classes are brought to a shape.
_READS = {
    "triplet": ("positive_labels", "negative_labels"),
    "binary_pair": ("positive_labels", "negative_labels"),
    "positive_pair": ("positive_labels",),
    "scored_pair": ("label_scores",),
}


@dataclass(frozen=True)
class _Fits:
    """Names of losses, each in one of the three.

    Attributes:
        directly: losses that read the data as they are.
        converted: losses after a conversion, with the shapes of the route.
        given: losses for which a setting is missing, with its keys.
    """

    directly: tuple[str, ...]
    converted: dict[str, str]
    given: dict[str, str]


def _fits_of(offered: Sequence[str], settings: ConversionSettings, label_names: Sequence[str] = ()) -> _Fits:
    """The losses that data of one of these shapes can be brought to.

    Args:
        label_names: the names of the data's classes, by which pairs with classes are converted.
    """
    directly, converted, given = [], {}, {}
    for name, found in routes_to_losses(offered, settings).items():
        if found and not found[1]:
            directly.append(name)
        elif found and (keys := _missing_names(found, settings, label_names)):
            given[name] = keys
        elif found:
            converted[name] = " -> ".join([found[0], *(step.target for step in found[1])])
        elif needs := unmet_needs(offered, shipped_losses()[name], settings=settings):
            given[name] = " ".join(f"conversion.{need}=..." for need in needs)
    return _Fits(tuple(directly), converted, given)


def _missing_names(found: Way, settings: ConversionSettings, label_names: Sequence[str]) -> str:
    """What to type so that a conversion of classes knows what they mean; empty if it does, or needs none."""
    first = found[1][0]
    if first.source != "class_pair" or first.target not in _READS:
        return ""
    if not label_names:
        return "dataset.reader.label_names=[...]"
    unknown = [key for key in _READS[first.target] if not _knows(settings, key, label_names)]
    return " ".join(
        f"conversion.{key}={{...}}" if key == "label_scores" else f"conversion.{key}=[...]" for key in unknown
    )


def _knows(settings: ConversionSettings, key: str, label_names: Sequence[str]) -> bool:
    """Whether a setting covers the classes: all have a score, or some are positives or negatives."""
    covered = set(getattr(settings, key))
    return set(label_names) <= covered if key == "label_scores" else bool(covered & set(label_names))


_BARS = " ▁▂▃▄▅▆▇█"
_NUM_BINS = 16
_TOKEN_SAMPLE = 5_000  # texts of each column whose tokens are counted


@dataclass(frozen=True)
class _Lengths:
    """Lengths of many texts.

    Attributes:
        counts: texts in each of NUM_BINS bins of equal width from `shortest` to `longest`.
    """

    shortest: int
    median: float
    percentile_95: float
    longest: int
    counts: tuple[int, ...]

    @property
    def histogram(self) -> str:
        """A bar for each bin; one that holds any text is never empty."""
        return bars_of(self.counts)


def bars_of(counts: Sequence[int]) -> str:
    """A bar for each count, as high as its share of the highest; a count above 0 is never empty.

    >>> bars_of([0, 1, 50, 100])
    ' ▁▄█'
    """
    most = max(*counts, 1)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)


def _lengths_of(values: numpy.ndarray) -> _Lengths:
    """The distribution of lengths given one by one.

    >>> import numpy
    >>> _lengths_of(numpy.array([1, 1, 2, 17])).histogram
    '█▄             ▄'
    """
    shortest, longest = int(values.min()), int(values.max())
    counts, _ = numpy.histogram(values, bins=_NUM_BINS, range=(shortest, max(longest, shortest + 1)))
    return _Lengths(
        shortest,
        float(numpy.median(values)),
        float(numpy.percentile(values, 95)),
        longest,
        tuple(int(count) for count in counts),
    )


def _character_lengths(dataset: EmbeddingDataset, column: str) -> _Lengths | None:
    """Lengths in characters of all texts of a column, in all splits; None when there is none."""
    import pyarrow.compute

    parts = [
        numpy.asarray(pyarrow.compute.utf8_length(_flat(batch[column], column in dataset.shape.text_lists)))
        for rows in dataset.splits.values()
        for batch in batches_of(rows)
    ]
    values = numpy.concatenate(parts) if parts else numpy.array([])
    return _lengths_of(values) if len(values) else None


def _token_lengths(
    dataset: EmbeddingDataset, column: str, count_tokens: Callable[[Sequence[str]], Sequence[int]]
) -> _Lengths | None:
    """Lengths in tokens of a seeded sample of a column's texts; None when there is none."""
    texts = _sample_of(dataset, column, _TOKEN_SAMPLE)
    return _lengths_of(numpy.asarray(count_tokens(texts))) if texts else None


def _sample_of(dataset: EmbeddingDataset, column: str, most: int, seed: int = 0) -> list[str]:
    """A seeded sample of at most `most` texts of a column, from all splits in proportion to their rows."""
    draw = random.Random(seed)
    texts: list[str] = []
    for rows in dataset.splits.values():
        share = min(rows.num_rows, -(-most * rows.num_rows // dataset.num_rows))
        places = sorted(draw.sample(range(rows.num_rows), share))
        for value in rows.select(places)[column][:]:
            texts += value if isinstance(value, list) else [value]
    return texts[:most]


def _flat(values, is_list: bool):
    import pyarrow.compute

    return pyarrow.compute.list_flatten(values) if is_list else values


_CountTokens = Callable[[Sequence[str]], Sequence[int]]


def inspection_of(
    dataset: EmbeddingDataset,
    offered: Sequence[str],
    settings: ConversionSettings,
    count_tokens: _CountTokens | None,
    num_examples: int,
) -> dict[str, Any]:
    """Shape, counts, lengths, labels, faults, duplicates, leaks, examples and fitting losses.

    Args:
        offered: the shapes in which the data can be read.
        count_tokens: lengths of texts in tokens; None where no tokenizer is at hand.
        num_examples: rows to show.
    """
    return {
        "name": dataset.name,
        "shape": dataset.shape.name,
        "offered_shapes": list(offered),
        "columns": next(iter(dataset.splits.values())).column_names,
        "label_names": list(dataset.label_names),
        "rows": {split: rows.num_rows for split, rows in dataset.splits.items()},
        "source": dict(dataset.provenance),
        "steps": [str(report) for report in dataset.history],
        "cannot_train": cannot_train(dataset),
        "faults": dataset.provenance.get("faults", ""),
        "lengths": _lengths_by_column(dataset, count_tokens),
        "labels": _labels_of(dataset),
        "duplicates": _duplicates_of(dataset),
        "leaks": find_leaks(dataset, examples=1).lines(),
        "examples": _examples_of(dataset, num_examples),
        "losses": asdict(_fits_of(offered, settings, dataset.label_names)),
    }


def _lengths_by_column(dataset: EmbeddingDataset, count_tokens: _CountTokens | None) -> dict[str, dict[str, Any]]:
    """For each text column its lengths in characters, and in tokens where they can be counted."""
    found = {}
    for column in dataset.text_columns:
        kinds = {"characters": _character_lengths(dataset, column)}
        if count_tokens:
            kinds["tokens"] = _token_lengths(dataset, column, count_tokens)
        found[column] = {kind: _plain(lengths) for kind, lengths in kinds.items() if lengths}
    return found


def _plain(lengths: _Lengths) -> dict[str, Any]:
    return asdict(lengths) | {"histogram": lengths.histogram}


def _duplicates_of(dataset: EmbeddingDataset) -> dict[str, str]:
    """How many rows repeat an earlier one of their split: word for word, and by their letters and digits only."""
    comparisons = {"word for word": False, "ignoring case and punctuation": True}
    return {
        comparison: deduplicate(dataset, ignore_case_and_punctuation=loosely).history[-1].reason
        for comparison, loosely in comparisons.items()
    }


def _examples_of(dataset: EmbeddingDataset, num_rows: int) -> list[dict[str, Any]]:
    """The first rows of the first split."""
    rows = next(iter(dataset.splits.values()))
    return [rows[place] for place in range(min(num_rows, rows.num_rows))]
