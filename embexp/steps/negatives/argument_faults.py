"""What cannot be meant by the arguments of the step `negatives`, each with its full key."""

from collections.abc import Iterator, Sequence
from typing import Any

from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.errors import listed
from embexp.steps.negatives.candidates import Retriever
from embexp.steps.negatives.guards import Guards

KEY = "dataset.steps.negatives"
GIVEN = ("replace", "keep")
TOO_FEW = ("keep", "drop")


def faults_of_search(retriever: Retriever, guards: Guards, num_negatives: Any) -> Iterator[str]:
    """Those of the retriever and of the guards, a line each."""
    yield from retriever.faults(f"{KEY}.retriever")
    fewest = num_negatives if isinstance(num_negatives, int) else 1
    yield from guards.faults(f"{KEY}.guards", retriever.has_scores, fewest)


def faults_of_rows(
    dataset: EmbeddingDataset, given: str, too_few: str, splits: Sequence[str], corpus: Any
) -> Iterator[str]:
    """Those that say which rows get negatives, and from where, a line each."""
    if given not in GIVEN:
        yield f"{KEY}.given={given} is none of: {listed(GIVEN)}."
    if too_few not in TOO_FEW:
        yield f"{KEY}.too_few={too_few} is none of: {listed(TOO_FEW)}."
    if isinstance(splits, str) or not splits or not {*splits} <= {*SPLITS}:
        yield f"{KEY}.splits={splits} must be a list of some of: {listed(SPLITS)}; type {KEY}.splits=[train]."
    elif missing := [split for split in splits if split not in dataset.splits]:
        yield f"{KEY}.splits={listed(splits)}: {dataset.name} has no {listed(missing)}, only {listed(dataset.splits)}."
    if corpus is not None and not isinstance(corpus, str):
        yield f"{KEY}.corpus={corpus} was given. Expected one file or null: type {KEY}.corpus=<file>."
