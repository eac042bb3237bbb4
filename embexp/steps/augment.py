"""More rows to train on: copies of rows with changed texts, made without a model."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from embexp.data.arrow import table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import training_columns
from embexp.data.values import is_number
from embexp.errors import listed
from embexp.protocols import Encoder
from embexp.steps.augmenting.copies import Copies
from embexp.steps.augmenting.filters import HeldOut, SimilarityBand
from embexp.steps.made_rows import schema_with_sources, with_sources
from embexp.steps.refusals import count_faults, refuse
from embexp.steps.rewording.rewording import Rewording, shown_change

SAY_ENCODER = "encoder={_target_: embexp.models.frozen_encoder.FrozenEncoder, model: minilm}"
BOUNDS = ("min_similarity", "max_similarity")
MADE_OF_TEXTS = ("twin_text", "noised_text")  # one column repeats the other: both would have to change alike

logger = logging.getLogger(__name__)


def augment(
    dataset: EmbeddingDataset,
    method: Rewording,
    made_by: str,
    columns: Sequence[str] | None = None,
    copies: int = 1,
    min_similarity: float | None = None,
    max_similarity: float | None = None,
    encoder: Encoder | None = None,
    seed: int = 42,
    examples: int = 3,
) -> EmbeddingDataset:
    """The data set with copies of its train rows beside them, in which a method changed texts; dev and test stay.

    A copy has the label of its source, its id in `made_from` and the method's name in `made_by`; the step `split` keeps
    it with its source, the step `leave_out` takes it out again. Copies are not copied: several such steps add up. Left
    out are copies that are like their source or another copy, or that have a text which stands in dev or test.

    Args:
        method: changes a text; one that it cannot change stays (see rewording.Rewording).
        columns: the text columns that are changed, all of them in each copy; None for all.
        copies: how many are made of each row.
        min_similarity, max_similarity: cosine of each changed text to its source, as `encoder` sees it, in [-1, 1].
        examples: how many changes are logged and kept in the report.

    Raises:
        ConfigError: lists every argument that does not fit.
    """
    given = {"made_by": made_by, "copies": copies, "examples": examples, "seed": seed}
    band = {"min_similarity": min_similarity, "max_similarity": max_similarity, "encoder": encoder}
    refuse("augment", [*augment_faults(dataset, columns, **given), *band_faults(**band)])
    filters = [HeldOut.of(dataset), *([SimilarityBand(*band.values())] if encoder else [])]
    names = list(columns or dataset.text_columns)
    making = Copies(method, made_by, names, copies, seed, filters, examples)
    splits = {}
    for split, rows in dataset.splits.items():
        if split == "train":
            ids = training_columns(dataset.shape, rows.column_names)
            splits[split] = table_of_rows(making.beside_sources(rows, ids), schema_with_sources(rows, dataset))
        else:
            splits[split] = with_sources(rows, dataset)
    return _reported(dataset, splits, making)


def _reported(dataset: EmbeddingDataset, splits: Any, making: Copies) -> EmbeddingDataset:
    shown = [shown_change(*change) for change in making.examples]
    for line in shown:
        logger.info("%s: %s: %s", dataset.name, making.made_by, line)
    if not making.num_made:
        logger.warning("%s: %s made no row: no text could be changed and kept.", dataset.name, making.made_by)
    counts = listed(f"{count:,} {reason}" for reason, count in making.left_out.items())
    reason = f"{making.num_made:,} made of train" + (f"; left out: {counts}" if making.left_out else "")
    return dataset.after(f"augment by {making.made_by}", splits, reason, shown)


def augment_faults(
    dataset: EmbeddingDataset, columns: Any, made_by: Any, copies: Any, examples: Any, seed: Any
) -> Iterator[str]:
    """What is wrong with the arguments of a step that adds copies of rows, whoever changes their texts."""
    if dataset.shape.name in MADE_OF_TEXTS:
        yield f"{dataset.name} is {dataset.shape.name}: augment its texts before they are brought to that shape."
    if isinstance(columns, str):
        yield f"columns={columns!r} must be a list, such as columns=[{columns}], or null for all text columns."
        columns = ()
    for column in columns or ():
        if column not in dataset.text_columns:
            yield f"columns: {column!r} is no text column. Expected some of: {listed(dataset.text_columns)}."
    if not isinstance(made_by, str) or not made_by.strip():
        yield f"made_by={made_by!r} must be a name, such as made_by=typos."
    yield from count_faults(1, copies=copies)
    yield from count_faults(0, examples=examples, seed=seed)


def band_faults(**band: Any) -> Iterator[str]:
    """What is wrong with bounds of similarity and the encoder that they need."""
    bounds = {name: band[name] for name in BOUNDS if band[name] is not None}
    for name, value in bounds.items():
        if not is_number(value) or not -1 <= value <= 1:
            yield f"{name}={value} must be a cosine, from -1 to 1, or null."
    if len(bounds) == 2 and all(map(is_number, bounds.values())) and bounds[BOUNDS[0]] >= bounds[BOUNDS[1]]:
        yield f"min_similarity={bounds[BOUNDS[0]]} must be below max_similarity={bounds[BOUNDS[1]]}."
    if bounds and band["encoder"] is None:
        yield f"{listed(bounds)} without an encoder: type {SAY_ENCODER}."
    if not bounds and band["encoder"] is not None:
        yield "encoder has no effect without min_similarity or max_similarity: set one of them, or encoder=null."
