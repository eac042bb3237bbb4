"""All that can be told of a data set without training on it, as plain values for people and programs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from embexp.data.dataset import EmbeddingDataset
from embexp.inspection.commands import cannot_train
from embexp.inspection.fits import fits_of
from embexp.inspection.labels_seen import labels_of
from embexp.inspection.lengths import Lengths, character_lengths, token_lengths
from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.deduplicate import deduplicate
from embexp.steps.leaks import find_leaks

CountTokens = Callable[[Sequence[str]], Sequence[int]]


def inspection_of(
    dataset: EmbeddingDataset,
    offered: Sequence[str],
    settings: ConversionSettings,
    count_tokens: CountTokens | None,
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
        "lengths": lengths_by_column(dataset, count_tokens),
        "labels": labels_of(dataset),
        "duplicates": duplicates_of(dataset),
        "leaks": find_leaks(dataset, examples=1).lines(),
        "examples": examples_of(dataset, num_examples),
        "losses": asdict(fits_of(offered, settings, dataset.label_names)),
    }


def lengths_by_column(dataset: EmbeddingDataset, count_tokens: CountTokens | None) -> dict[str, dict[str, Any]]:
    """For each text column its lengths in characters, and in tokens where they can be counted."""
    found = {}
    for column in dataset.text_columns:
        kinds = {"characters": character_lengths(dataset, column)}
        if count_tokens:
            kinds["tokens"] = token_lengths(dataset, column, count_tokens)
        found[column] = {kind: _plain(lengths) for kind, lengths in kinds.items() if lengths}
    return found


def _plain(lengths: Lengths) -> dict[str, Any]:
    return asdict(lengths) | {"histogram": lengths.histogram}


def duplicates_of(dataset: EmbeddingDataset) -> dict[str, str]:
    """How many rows repeat an earlier one of their split: word for word, and by their letters and digits only."""
    ways = {"word for word": False, "ignoring case and punctuation": True}
    return {
        way: deduplicate(dataset, ignore_case_and_punctuation=loosely).history[-1].reason
        for way, loosely in ways.items()
    }


def examples_of(dataset: EmbeddingDataset, num_rows: int) -> list[dict[str, Any]]:
    """The first rows of the first split."""
    rows = next(iter(dataset.splits.values()))
    return [rows[place] for place in range(min(num_rows, rows.num_rows))]
