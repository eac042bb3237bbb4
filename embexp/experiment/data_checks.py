"""The check before training: labels and texts against loss, trainer and model, before a model is loaded."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import text_columns
from embexp.errors import Problem
from embexp.experiment.settings_checks import (
    Findings,
    batch_size_of,
    check_companions,
    check_settings,
    merged,
    named,
    of_rows,
    sampler_of,
)
from embexp.experiment.template_checks import check_templates
from embexp.losses.spec import LossSpec
from embexp.models.tokens import TokenLimit, token_limit
from embexp.protocols import BaseModel
from embexp.training.stages import StagePlan
from embexp.training.trainer_values import steps_of, warmup_problems

if TYPE_CHECKING:
    from datasets import Dataset

_MOST_COLUMNS = 3  # that are proposed in place of another one
_NOTICED = 0.01  # share of the rows from which on it is worth a warning that they are left out


def _check_labels(dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any]) -> Findings:
    rows, label, kind = dataset.training_rows(), dataset.shape.label, dataset.shape.label_kind
    if kind in ("scores", "embedding"):
        return Findings(errors=tuple(_list_errors(dataset, spec)))
    if kind not in ("score", "binary", "class"):
        return Findings()
    counts: Counter[Any] = Counter()
    for batch in batches_of(rows.select_columns([label])):
        counts.update(batch[label].to_pylist())
        if kind == "score" and len(counts) > 1:  # there may be as many as rows
            return Findings()
    if len(counts) == 1:
        (value,) = counts
        problem = Problem(
            f"{named(label, dataset)} is {value} in all {rows.num_rows:,} training rows: the loss {spec.name} has "
            "nothing to tell apart",
            expected="two values or more: map another column, or choose a loss without labels",
            fix=_column_fixes(dataset, label),
        )
        return Findings(errors=(problem,))
    return _classes(dataset, spec, trainer, counts) if spec.batch_sampler == "group_by_label" else Findings()


def _classes(dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any], counts: Counter[int]) -> Findings:
    """Whether enough classes have enough texts, and which rows no batch will take."""
    least, total = spec.needs.texts_per_class, sum(counts.values())
    usable = {label: count for label, count in counts.items() if count >= least}
    if len(usable) < spec.needs.classes:
        problem = Problem(
            f"{len(usable)} of {len(counts)} classes of {dataset.name} have {least} texts or more in train; "
            f"the loss {spec.name} needs {spec.needs.classes} such classes",
            expected="more texts of each: give more rows, or map a column with coarser classes",
            fix=_column_fixes(dataset, dataset.shape.label),
        )
        return Findings(errors=(problem,))
    few = len(counts) - len(usable)
    small = f"{few} of {len(counts)} classes have fewer than {least} texts, and " if few else ""
    left_out = total - _rows_grouped_by_label([*usable.values()], batch_size_of(trainer))
    text = (
        f"{of_rows(left_out, total)} of {dataset.name} are left out of every epoch: batches are made of pairs of at "
        f"least two classes, {small}"
        f"the largest class ends with the second largest ({sorted(counts.values())[-2]:,} texts)"
    )
    return Findings(warnings=(Problem(text),) if left_out >= _NOTICED * total else ())


def _column_fixes(dataset: EmbeddingDataset, column: str) -> tuple[str, ...]:
    """What to type so that another column of the source is read for this one: each of those that are not used."""
    unused = dataset.provenance.get("ignored_columns") or ()
    names = unused.split(", ") if isinstance(unused, str) else [*unused]
    if any(report.step.startswith("convert ") for report in dataset.history):
        return ()  # the source has other columns than what is trained on
    return tuple(f"'dataset.reader.columns={{{column}: {name}}}'" for name in names[:_MOST_COLUMNS])


def _rows_grouped_by_label(counts: list[int], batch_size: int) -> int:
    """Rows in an epoch of sentence-transformers' GroupByLabelBatchSampler.

    Classes take turns in giving pairs until only one has some left; a last batch of fewer than 4 rows is dropped.

    >>> _rows_grouped_by_label([7, 4, 2], batch_size=6)
    10
    >>> _rows_grouped_by_label([7, 4, 2], batch_size=8)
    8
    """
    pairs = sorted((count // 2 for count in counts), reverse=True)
    stream = 2 * sum(min(number, pairs[1]) for number in pairs)
    rest = stream % batch_size
    return stream - rest + (rest if rest >= 4 else 0)


def _list_errors(dataset: EmbeddingDataset, spec: LossSpec) -> Iterator[Problem]:
    import pyarrow.compute

    rows, label = dataset.training_rows(), dataset.shape.label
    batches = batches_of(rows.select_columns([label]))
    lengths = Counter(
        length for batch in batches for length in pyarrow.compute.list_value_length(batch[label]).to_pylist()
    )
    if len(lengths) > 1:
        found = ", ".join(f"{length} ({count:,} rows)" for length, count in sorted(lengths.items()))
        yield Problem(
            f"{named(label, dataset)} holds lists of different lengths: {found}",
            expected="one length: take the other rows out, or give them the numbers that they lack",
        )
    num_texts = len(text_columns(dataset.shape, rows.column_names)) - 1
    if spec.needs.teacher_scores == "raw" and (margins := rows.num_rows - lengths[num_texts]):
        yield Problem(
            f"{named(label, dataset)} holds margins in {of_rows(margins, rows.num_rows)}; the loss {spec.name} reads "
            f"the teacher's {num_texts} raw scores, one for the positive and one for each negative",
            expected="the scores themselves, or a loss that reads margins",
            fix=("loss=margin_mse",),
        )


_SAMPLED = 2_000  # most texts of a column that are looked at one by one
_ID = re.compile(
    r"[-+]?\d+(?:[.,]\d+)*"  # a bare number
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
    r"|(?:0x)?[0-9a-f]{16,64}",  # a hash in hex digits
    re.IGNORECASE,
)
_IDS = 0.95  # share of ids in a column from which on it holds no texts
_SOME_IDS = 0.2  # share of ids from which on it is worth a warning
_COPIES = 0.95  # share of anchors that are their own positive from which on the columns are the same
_CONTRADICTIONS = 0.05  # share of rows whose negative is no negative from which on training stops


def _check_texts(
    dataset: EmbeddingDataset, spec: LossSpec, trainer: Mapping[str, Any], limit: TokenLimit | None
) -> Findings:
    """The text columns of the training rows; `limit` is None where no model's tokenizer is at hand."""
    rows = dataset.training_rows()
    columns = text_columns(dataset.shape, rows.column_names)
    places = range(rows.num_rows)
    chosen = places if len(places) <= _SAMPLED else sorted(random.Random(0).sample(places, _SAMPLED))
    samples = {column: rows.select_columns([column]).select(chosen)[column][:] for column in columns}
    return merged(
        (
            _ids(dataset, samples),
            _cut(dataset, samples, limit) if limit else Findings(),
            _copies(dataset, rows) if "positive" in columns else Findings(),
            _repeated(dataset, rows, spec, trainer) if "in_batch_negatives" in spec.traits else Findings(),
        )
    )


def _ids(dataset: EmbeddingDataset, samples: Mapping[str, Sequence[str]]) -> Findings:
    """Columns of ids; where texts of several columns were put together, only some of them are."""
    errors, warnings = [], []
    for column, texts in samples.items():
        ids = [text for text in texts if _ID.fullmatch(text.strip())]
        if len(ids) >= _SOME_IDS * len(texts):
            problem = Problem(
                f"{named(column, dataset)} holds ids, not texts: {ids[0][:40]!r} and {len(ids) - 1:,} more of "
                f"{len(texts):,}",
                expected="texts: map the column that has them",
                fix=_column_fixes(dataset, column),
            )
            (errors if len(ids) >= _IDS * len(texts) else warnings).append(problem)
    return Findings(tuple(errors), tuple(warnings))


def _cut(dataset: EmbeddingDataset, samples: Mapping[str, Sequence[str]], limit: TokenLimit) -> Findings:
    """Texts longer than the model reads; an error where nothing is left in which they differ."""
    errors, warnings = [], []
    for column, texts in samples.items():
        prompt = dataset.prompts.prompt_for(column) or ""
        texts = [prompt + text for text in texts]
        cut = limit.num_cut(texts)
        if cut < max(1, _NOTICED * len(texts)):
            continue
        sampled = "sampled " if dataset.splits["train"].num_rows > len(texts) else ""
        problem = Problem(
            f"{named(column, dataset)}: {cut:,} of {len(texts):,} {sampled}texts ({100 * cut / len(texts):.1f} "
            f"%) are longer than the {limit.max_tokens} tokens that the model reads; their ends are cut off",
            expected="shorter texts" + (", or a longer limit" if limit.can_grow else ""),
            fix=(f"model.max_seq_length={limit.enough_for(texts)}",) if limit.can_grow else (),
        )
        is_equal = len({*texts}) > 1 and limit.num_different(texts) == 1
        if is_equal:
            signs = f" ({limit.num_special} of them signs of begin and end)" if limit.num_special else ""
            problem = replace(problem, text=f"{problem.text}, and what is left{signs} is the same for all")
        (errors if is_equal else warnings).append(problem)
    return Findings(tuple(errors), tuple(warnings))


def _copies(dataset: EmbeddingDataset, rows: "Dataset") -> Findings:
    """Anchors that are their own positive, negatives that are the anchor or the positive."""
    same, wrong = 0, 0
    for batch in batches_of(rows):
        columns = [batch[name].to_pylist() for name in text_columns(dataset.shape, rows.column_names)]
        for anchor, positive, *negatives in zip(*columns, strict=True):
            same += anchor == positive
            wrong += anchor in negatives or positive in negatives
    errors, warnings = [], []
    if same >= _NOTICED * rows.num_rows:
        problem = Problem(
            f"In {of_rows(same, rows.num_rows)} of {dataset.name} the positive is the anchor itself, from which "
            "nothing is learned",
            expected="two different texts: map another column; for a text with itself under dropout take simcse, which "
            "reads twin_text",
            fix=(*_column_fixes(dataset, "positive"), "loss=simcse"),
        )
        (errors if same >= _COPIES * rows.num_rows else warnings).append(problem)
    if wrong:
        problem = Problem(
            f"In {of_rows(wrong, rows.num_rows)} of {dataset.name} a negative is the anchor or the positive itself: "
            "what pulls them together also pushes them apart",
            expected="other texts: map another column, and leave the positives out where negatives are sampled",
            fix=_column_fixes(dataset, "negative_1"),
        )
        (errors if wrong >= _CONTRADICTIONS * rows.num_rows else warnings).append(problem)
    return Findings(tuple(errors), tuple(warnings))


def _repeated(dataset: EmbeddingDataset, rows: "Dataset", spec: LossSpec, trainer: Mapping[str, Any]) -> Findings:
    """Texts that occur in several rows, for losses that take the other rows of a batch as negatives."""
    if rows.num_rows == 1:
        text = f"{dataset.name} has one training row; the loss {spec.name} takes its negatives from other rows"
        return Findings(errors=(Problem(text, expected="two rows or more"),))
    keys, values, counts = _keys_of_texts(rows)
    sharing, most = int(numpy.isin(keys, values[counts > 1]).any(axis=1).sum()), int(counts.max())
    num_batches = -(-rows.num_rows // batch_size_of(trainer))
    shared = f"{of_rows(sharing, rows.num_rows)} of {dataset.name} share a text with another row"
    alone = ("loss=own_negatives",) if "negative_1" in rows.column_names else ()
    if sampler_of(spec, trainer) == "batch_sampler" and sharing:
        return Findings(warnings=(Problem(f"{shared}: in one batch, they are each other's negatives", fix=alone),))
    if most <= num_batches:  # no_duplicates finds a batch for each of them
        return Findings()
    row, column = numpy.argwhere(numpy.isin(keys, values[counts == most]))[0]
    smaller, text = rows.num_rows // most, rows[int(row)][rows.column_names[column]]
    problem = Problem(
        f"{shared} and are kept in different batches. {text[:60]!r} is in {most:,} rows, but an epoch has "
        f"{num_batches:,} batches: at least {most - num_batches:,} rows are skipped",
        expected="smaller batches, or fewer repetitions" + ", or a loss without in-batch negatives" * bool(alone),
        fix=(*((f"trainer.per_device_train_batch_size={smaller}",) if smaller > 1 else ()), *alone),
    )
    return Findings(warnings=(problem,))


def _keys_of_texts(rows: "Dataset") -> tuple["numpy.ndarray", "numpy.ndarray", "numpy.ndarray"]:
    """A key of each text, int64 `(rows, columns)`, the different ones, and in how many rows each of these is.

    Keys in place of texts: of millions of rows they take a fraction of the memory.
    """
    keys = numpy.concatenate(
        [
            numpy.stack([numpy.fromiter(map(hash, each.to_pylist()), numpy.int64) for each in batch.columns], axis=1)
            for batch in batches_of(rows)
        ]
    )
    ordered = numpy.sort(keys, axis=1)
    is_first = numpy.ones(keys.shape, dtype=bool)  # a text that is twice in a row counts once
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    values, counts = numpy.unique(ordered[is_first], return_counts=True)
    return keys, values, counts


def reading_notes(dataset: EmbeddingDataset | None) -> list[Problem]:
    """What was left out, or taken otherwise than it is written, when the data were read."""
    notes = dataset.provenance.get("reading", "") if dataset else ""
    return [Problem(note) for note in notes.splitlines()]


def check_steps_of(stage: StagePlan) -> Iterator[Problem]:
    """The problem with a learning rate that still rises when a stage ends."""
    return warmup_problems(stage.trainer, steps_of(stage.trainer, stage.num_rows))


def check_stage(stage: StagePlan, model: BaseModel | None, place: Mapping[str, str] | None) -> Findings:
    """What is wrong with a stage or a set (errors), and what may be (warnings); neither torch nor the model is loaded.

    Args:
        stage: its dataset is read and converted.
        model, place: the base model and where its weights come from (`BaseModel.locate`); None where not known.
    """
    limit = token_limit(model, place) if model and place else None
    return merged(
        (
            Findings(warnings=tuple(reading_notes(stage.dataset))),
            check_settings(stage.loss, stage.trainer, model, stage.dataset.splits["train"].num_rows),
            check_companions(stage.loss, place),
            _check_labels(stage.dataset, stage.loss, stage.trainer),
            _check_texts(stage.dataset, stage.loss, stage.trainer, limit),
            check_templates(stage.dataset, model, place),
        )
    )
