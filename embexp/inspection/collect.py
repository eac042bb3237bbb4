"""What a data set shows without training: labels, lengths, fitting losses, as plain values."""

import random
from collections.abc import Callable, Sequence
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

_MOST_CLASSES = 30  # further classes are counted together


def _labels_of(dataset: EmbeddingDataset) -> dict[str, dict[str, int]]:
    """For each split the rows of each class, or of each tenth of the score's range; empty without such labels."""
    if dataset.shape.label_kind == "score":
        names = [f"{tenth / 10:.1f} to {(tenth + 1) / 10:.1f}" for tenth in range(10)]
        counts = {split: numpy.histogram(_values(dataset, split), bins=10, range=(0, 1))[0] for split in dataset.splits}
        return {split: dict(zip(names, found.tolist(), strict=True)) for split, found in counts.items()}
    if dataset.shape.label_kind in ("binary", "class"):
        return {split: _class_counts(dataset, split) for split in dataset.splits}
    return {}


def _values(dataset: EmbeddingDataset, split: str) -> numpy.ndarray:
    batches = batches_of(dataset.splits[split])
    return numpy.concatenate([batch[dataset.shape.label].to_numpy() for batch in batches] or [numpy.array([])])


def _class_counts(dataset: EmbeddingDataset, split: str) -> dict[str, int]:
    numbers, counts = numpy.unique(_values(dataset, split).astype(int), return_counts=True)
    names = dict(enumerate(dataset.label_names))
    named = {names.get(number, str(number)): int(count) for number, count in zip(numbers, counts, strict=True)}
    if len(named) <= _MOST_CLASSES:
        return named
    kept: dict[str, Any] = dict(list(named.items())[:_MOST_CLASSES])
    return kept | {f"{len(named) - _MOST_CLASSES} more classes": sum(named.values()) - sum(kept.values())}


# By which settings pairs with classes are brought to a shape.
_READS = {
    "triplet": ("positive_labels", "negative_labels"),
    "binary_pair": ("positive_labels", "negative_labels"),
    "positive_pair": ("positive_labels",),
    "scored_pair": ("label_scores",),
}


def _fits_of(offered: Sequence[str], settings: ConversionSettings, label_names: Sequence[str] = ()) -> dict[str, Any]:
    """The losses that data of one of these shapes, with these names of its classes, can be brought to.

    They are in one of three: `directly` those that read the data as they are, `converted` with the shapes of the route,
    and `given` with the keys of the settings that are missing.
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
    return {"directly": directly, "converted": converted, "given": given}


def _missing_names(found: Way, settings: ConversionSettings, label_names: Sequence[str]) -> str:
    """What to type so that a conversion of classes knows what they mean; empty if it does, or needs none."""
    first = found[1][0]
    if first.source != "class_pair" or first.target not in _READS:
        return ""
    if not label_names:
        return "dataset.reader.label_names=[...]"
    if first.target == "scored_pair":  # all classes need a score
        return "" if {*label_names} <= {*settings.label_scores} else "conversion.label_scores={...}"
    lacking = [key for key in _READS[first.target] if not {*getattr(settings, key)} & {*label_names}]
    return " ".join(f"conversion.{key}=[...]" for key in lacking)


_BARS = " ▁▂▃▄▅▆▇█"
_NUM_BINS = 16
_TOKEN_SAMPLE = 5_000  # texts of each column whose tokens are counted


def bars_of(counts: Sequence[int]) -> str:
    """A bar for each count, as high as its share of the highest; a count above 0 is never empty.

    >>> bars_of([0, 1, 50, 100])
    ' ▁▄█'
    """
    most = max(*counts, 1)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)


def _lengths_of(values: numpy.ndarray) -> dict[str, Any]:
    """The distribution of lengths given one by one; `counts` has bins of equal width from the shortest to the longest.

    >>> import numpy
    >>> _lengths_of(numpy.array([1, 1, 2, 17]))["histogram"]
    '█▄             ▄'
    """
    shortest, longest = int(values.min()), int(values.max())
    counts, _ = numpy.histogram(values, bins=_NUM_BINS, range=(shortest, max(longest, shortest + 1)))
    return {
        "shortest": shortest,
        "median": float(numpy.median(values)),
        "percentile_95": float(numpy.percentile(values, 95)),
        "longest": longest,
        "counts": counts.tolist(),
        "histogram": bars_of(counts.tolist()),
    }


def _num_characters(dataset: EmbeddingDataset, column: str) -> numpy.ndarray:
    """Lengths in characters of all texts of a column, in all splits."""
    import pyarrow.compute

    values = [batch[column] for rows in dataset.splits.values() for batch in batches_of(rows)]
    if column in dataset.shape.text_lists:
        values = map(pyarrow.compute.list_flatten, values)
    parts = [numpy.asarray(pyarrow.compute.utf8_length(texts)) for texts in values]
    return numpy.concatenate(parts or [numpy.array([])])


def _sample_of(dataset: EmbeddingDataset, column: str, most: int) -> list[str]:
    """A seeded sample of at most `most` texts of a column, from all splits in proportion to their rows."""
    generator, texts = random.Random(0), []
    for rows in dataset.splits.values():
        share = min(rows.num_rows, -(-most * rows.num_rows // dataset.num_rows))
        places = sorted(generator.sample(range(rows.num_rows), share))
        for value in rows.select(places)[column][:]:
            texts += value if isinstance(value, list) else [value]
    return texts[:most]


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
    first = next(iter(dataset.splits.values()))
    return {
        "name": dataset.name,
        "shape": dataset.shape.name,
        "offered_shapes": list(offered),
        "columns": first.column_names,
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
        "examples": [first[place] for place in range(min(num_examples, first.num_rows))],
        "losses": _fits_of(offered, settings, dataset.label_names),
    }


def _lengths_by_column(dataset: EmbeddingDataset, count_tokens: _CountTokens | None) -> dict[str, dict[str, Any]]:
    """For each text column its lengths in characters, and in tokens where they can be counted."""
    found = {}
    for column in dataset.text_columns:
        kinds = {"characters": _num_characters(dataset, column)}
        if count_tokens and (texts := _sample_of(dataset, column, _TOKEN_SAMPLE)):
            kinds["tokens"] = numpy.asarray(count_tokens(texts))
        found[column] = {kind: _lengths_of(lengths) for kind, lengths in kinds.items() if len(lengths)}
    return found


def _duplicates_of(dataset: EmbeddingDataset) -> dict[str, str]:
    """How many rows repeat an earlier one of their split: word for word, and by their letters and digits only."""
    comparisons = {"word for word": False, "ignoring case and punctuation": True}
    return {
        comparison: deduplicate(dataset, ignore_case_and_punctuation=loosely).history[-1].reason
        for comparison, loosely in comparisons.items()
    }
