"""Texts that stand where they do no good: ids in place of texts, copies, texts that are cut."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embexp.checks.findings import Findings, merged, named, of_rows
from embexp.checks.settings import batch_size_of, sampler_of
from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import text_columns
from embexp.losses.spec import LossSpec
from embexp.models.tokens import TokenLimit

if TYPE_CHECKING:
    from datasets import Dataset

SAMPLED = 2_000  # most texts of a column that are looked at one by one
ID = re.compile(
    r"[-+]?\d+(?:[.,]\d+)*"  # a bare number
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|(?:0x)?[0-9a-f]{16,64}",  # a hash in hex digits
    re.IGNORECASE,
)
IDS = 0.95  # share of ids in a column from which on it holds no texts
SOME_IDS = 0.2  # share of ids from which on it is worth a warning
COPIES = 0.95  # share of anchors that are their own positive from which on the columns are the same
CONTRADICTIONS = 0.05  # share of rows whose negative is no negative from which on training stops
NOTICED = 0.01  # share of texts that are cut, or of anchors that are their positive, that is worth a warning


def check_texts(
    dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any], limit: TokenLimit | None
) -> Findings:
    """The text columns of the training rows; `limit` is None where no model's tokenizer is at hand."""
    rows = dataset.training_rows()
    columns = text_columns(dataset.shape, rows.column_names)
    samples = {column: _sample(rows, column) for column in columns}
    return merged(
        (
            _ids(dataset, samples),
            Findings(warnings=tuple(_cut(dataset, samples, limit))),
            _copies(dataset, rows) if "positive" in columns else Findings(),
            _repeated(dataset, rows, spec, trainer) if "in_batch_negatives" in spec.traits else Findings(),
        )
    )


def _sample(rows: "Dataset", column: str) -> list[str]:
    """At most SAMPLED texts of a column, always the same ones."""
    places = range(rows.num_rows)
    chosen = places if len(places) <= SAMPLED else sorted(random.Random(0).sample(places, SAMPLED))
    return rows.select_columns([column]).select(chosen)[column][:]


def _ids(dataset: EmbeddingDataset, samples: Mapping[str, Sequence[str]]) -> Findings:
    """Columns of ids; where texts of several columns were put together, only some of them are."""
    errors, warnings = [], []
    for column, texts in samples.items():
        ids = [text for text in texts if ID.fullmatch(text.strip())]
        if len(ids) >= SOME_IDS * len(texts):
            (errors if len(ids) >= IDS * len(texts) else warnings).append(
                f"{named(column, dataset)} holds ids, not texts: {ids[0][:40]!r} and {len(ids) - 1:,} more of "
                f"{len(texts):,}. Expected texts: map the column that has them with "
                "'dataset.reader.columns={<column of the shape>: <your column>}'."
            )
    return Findings(tuple(errors), tuple(warnings))


def _cut(dataset: EmbeddingDataset, samples: Mapping[str, Sequence[str]], limit: TokenLimit | None) -> Iterator[str]:
    if limit is None:
        return
    for column, texts in samples.items():
        prompt = dataset.prompts.of(column) or ""
        cut = limit.num_cut([prompt + text for text in texts])
        if cut >= max(1, NOTICED * len(texts)):
            sampled = "sampled " if dataset.splits["train"].num_rows > len(texts) else ""
            yield (
                f"{named(column, dataset)}: {cut:,} of {len(texts):,} {sampled}texts ({100 * cut / len(texts):.1f} "
                f"%) are longer than the {limit.max_tokens} tokens that the model reads; their ends are cut off. "
                "Type model.max_seq_length=<more>, if the model can, or shorten them."
            )


def _copies(dataset: EmbeddingDataset, rows: "Dataset") -> Findings:
    """Anchors that are their own positive, negatives that are the anchor or the positive."""
    same, wrong = 0, 0
    for batch in batches_of(rows):
        columns = [batch[name].to_pylist() for name in text_columns(dataset.shape, rows.column_names)]
        for anchor, positive, *negatives in zip(*columns, strict=True):
            same += anchor == positive
            wrong += anchor in negatives or positive in negatives
    errors, warnings = [], []
    if same >= NOTICED * rows.num_rows:
        (errors if same >= COPIES * rows.num_rows else warnings).append(
            f"In {of_rows(same, rows.num_rows)} of {dataset.name} the positive is the anchor itself, which teaches "
            "nothing. Expected two texts: look at dataset.reader.columns; for a text with itself under dropout type "
            "loss=simcse, which reads twin_text."
        )
    if wrong:
        (errors if wrong >= CONTRADICTIONS * rows.num_rows else warnings).append(
            f"In {of_rows(wrong, rows.num_rows)} of {dataset.name} a negative is the anchor or the positive itself: "
            "what pulls them together also pushes them apart. Expected other texts: look at dataset.reader.columns, "
            "and leave the positives out where negatives are drawn."
        )
    return Findings(tuple(errors), tuple(warnings))


def _repeated(dataset: EmbeddingDataset, rows: "Dataset", spec: LossSpec, trainer: Mapping[str, Any]) -> Findings:
    """Texts that stand in several rows, where the other rows of a batch are negatives."""
    if rows.num_rows == 1:
        return Findings(
            errors=(
                f"{dataset.name} has one training row; loss={spec.name} takes its negatives from other rows. "
                "Expected two or more: give more data.",
            )
        )
    counts, sharing = Counter(), 0
    for texts in _rows_as_sets(rows):
        counts.update(texts)
    for texts in _rows_as_sets(rows):
        sharing += any(counts[text] > 1 for text in texts)
    (text, most), *_ = counts.most_common(1)
    num_batches = -(-rows.num_rows // batch_size_of(trainer))
    told = f"{of_rows(sharing, rows.num_rows)} of {dataset.name} share a text with another row"
    if sampler_of(spec, trainer) == "batch_sampler" and sharing:
        return Findings(warnings=(f"{told}: in one batch, they are each other's negatives.",))
    if most <= num_batches:  # no_duplicates finds a batch for each of them
        return Findings()
    return Findings(
        warnings=(
            f"{told} and are kept in different batches. {text[:60]!r} stands in {most:,} rows, but an epoch has "
            f"{num_batches:,} batches: at least {most - num_batches:,} rows are skipped. "
            "Type a smaller trainer.per_device_train_batch_size, or take repetitions out.",
        )
    )


def _rows_as_sets(rows: "Dataset") -> Iterator[set[str]]:
    for batch in batches_of(rows):
        yield from map(set, zip(*(column.to_pylist() for column in batch.columns), strict=True))
