"""The step `silver`: more labelled pairs to train on, labelled by a teacher that learned from those there are."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import rows_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import training_columns
from embexp.data.values import is_count, is_number
from embexp.errors import DataError, ShapeError, listed
from embexp.protocols import PairLabeller, PairTeacher
from embexp.steps.augment.provenance import Row, made_of, schema_with_sources, with_source, with_sources
from embexp.steps.negatives.report import EXAMPLES, histogram, shortened
from embexp.steps.refusals import count_faults, refuse
from embexp.steps.silver.labelling import SilverLabels, SilverSelection, chosen, labelled
from embexp.steps.silver.pool import Pair, PairPool, PairSampler, divided_gold, pair_pool

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

_MADE_BY_SILVER = "silver"
_PLAIN = ("sentence1", "sentence2", "label")  # how teachers read pairs, whatever their label is called


def _plain_pairs(dataset: EmbeddingDataset, rows: "Dataset") -> "Dataset":
    """Rows with the columns sentence1, sentence2 and label alone."""
    columns = training_columns(dataset.shape, rows.column_names)
    return rows.select_columns(columns).rename_columns(dict(zip(columns, _PLAIN, strict=True)))


def _labels_in(dataset: EmbeddingDataset, rows: "Dataset") -> "numpy.ndarray":
    """The labels of rows, `(num_rows,)`."""
    import numpy

    return numpy.array(rows[dataset.shape.label][:])


def _with_silver(dataset: EmbeddingDataset, gold: "Dataset", silver: SilverLabels) -> dict[str, "Dataset"]:
    """The splits with gold rows and, after them, silver rows in train."""
    columns = training_columns(dataset.shape, gold.column_names)
    labels = silver.labels.tolist()

    def train() -> Iterator[Row]:
        for row in rows_of(gold):
            yield with_source(row, columns)
        for pair, label in zip(silver.pairs, labels, strict=True):
            row = dict(zip(columns, (*pair, label), strict=True))
            yield made_of(with_source(row, columns), _MADE_BY_SILVER)

    others = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split != "train"}
    made = {"train": table_of_rows(train(), schema_with_sources(gold, dataset))} | others
    return {split: made[split] for split in dataset.splits}


_STEP = "dataset.steps.silver"
_LEAST_SPEARMAN = 0.1  # a teacher below has not learned to label


def _warnings_of(teacher: PairLabeller, choice: SilverSelection) -> Iterator[str]:
    """Why the silver pairs may be of no use: a teacher that has not learned, or none of its pairs kept."""
    for name, (before, after) in [*teacher.dev_scores.items()][:1]:
        if after <= before or (name == "spearman" and after < _LEAST_SPEARMAN):
            yield (
                f"The teacher of silver pairs has not learned to label them (on dev {name} {before:.4f} untrained, "
                f"{after:.4f} trained). Give it more gold, {_STEP}.teacher.trainer.num_train_epochs=<more>, or "
                f"another model: {_STEP}.teacher.model=bert_base."
            )
    if not choice.silver.pairs:
        gone = listed(f"{count:,} {why}" for why, count in choice.left_out.items() if count)
        yield (
            f"No silver pair is kept: the train rows are gold alone (left out: {gone}). Type {_STEP}.min_confidence="
            f"null, or a smaller number, or {_STEP}.like_gold=false, or choose a better {_STEP}.teacher.model."
        )


def _teacher_line(teacher: PairLabeller) -> str:
    """How well the teacher labels dev, untrained and trained."""
    if not teacher.dev_scores:
        return "the teacher was not judged: there are no dev rows"
    scores = (f"{name} {before:.4f} -> {after:.4f}" for name, (before, after) in teacher.dev_scores.items())
    return f"the teacher on dev, untrained -> trained: {', '.join(scores)}"


def _label_lines(kind: str, names: Sequence[str], **labels: "numpy.ndarray") -> list[str]:
    """How the labels of gold, of silver and so on are spread: a line for each.

    >>> import numpy
    >>> _label_lines("binary", (), gold=numpy.array([0, 1, 1]))
    ['gold: 0 33.3 %, 1 66.7 %']
    """
    if kind == "score":
        return [f"{side}: {histogram(values, (0, 1))}" for side, values in labels.items() if len(values)]
    return [f"{side}: {_shares(values, names)}" for side, values in labels.items() if len(values)]


def _shares(values: "numpy.ndarray", names: Sequence[str]) -> str:
    counts = Counter(values.tolist())
    return ", ".join(
        f"{names[label] if names else label} {100 * count / len(values):.1f} %"
        for label, count in sorted(counts.items())
    )


def _example_lines(silver: SilverLabels, names: Sequence[str]) -> list[str]:
    """Pairs with their labels, from the lowest label to the highest, evenly spread."""
    import numpy

    order = numpy.argsort(silver.labels, kind="stable")
    places = order[numpy.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int)]
    shown = ((silver.labels[place], *silver.pairs[place]) for place in places.tolist())
    return [f"{_shown(label, names)}: {shortened(first)} | {shortened(second)}" for label, first, second in shown]


def _shown(label: "numpy.generic", names: Sequence[str]) -> str:
    if label.dtype.kind == "f":
        return f"{label:.2f}"
    return names[int(label)] if names else str(label)


_LABELLED = ("scored_pair", "binary_pair", "class_pair")

logger = logging.getLogger(__name__)


def add_silver(
    dataset: EmbeddingDataset,
    gold_share: float,
    num_gold: int | None,
    sampler: PairSampler | None,
    num_pairs: int | None,
    teacher: PairTeacher | None,
    min_confidence: float | None,
    like_gold: bool,
    seed: int,
    cache: Path | None = None,
) -> EmbeddingDataset:
    """The gold train rows, and beside them silver ones that a teacher labelled: Augmented SBERT (Thakur et al. 2020).

    Silver rows have `made_by` silver: the step `leave_out` takes them out, the step `split` keeps them in train. Each
    has an id of its own in `made_from`, for it is made of texts of several rows. No pair is made that stands in gold,
    dev or test, in either order, none of a text with itself, and none twice; dev and test stay as they are.

    Args:
        gold_share: share of the train rows that are gold; the others go, or are pairs without labels to `sampler`.
        num_gold: how many are gold, in place of a share; None for the share.
        sampler: finds the pairs to label; None, and no teacher, for gold alone: the control of the others.
        num_pairs: most pairs that are labelled, the first ones that the sampler finds; None for all.
        teacher: learns from gold train rows, judged on dev rows where there are any.
        min_confidence: keep pairs of whose label the teacher is as sure (see `confidences_of`); None keeps all.
        like_gold: keep pairs so that their labels are spread as gold's are (see likeness).
        seed: of what is drawn: gold rows, and pairs that are kept like gold.
        cache: the folder that keeps the teacher's training; None for one that goes with the process.

    Raises:
        ConfigError: lists every argument that does not fit.
        ShapeError: rows that are not pairs with labels.
        DataError: there is no train split, or no pair to label.
    """
    _check_shape(dataset)
    counts = {"num_gold": num_gold, "num_pairs": num_pairs}
    num_rows = dataset.training_rows().num_rows
    refuse("silver", _faults(gold_share, min_confidence, counts, num_rows, (sampler, teacher), seed))
    gold, rest = divided_gold(dataset.splits["train"], gold_share, num_gold, seed)
    numbers = f"{gold.num_rows:,} of {gold.num_rows + rest.num_rows:,} train rows are gold"
    if sampler is None or teacher is None:
        return dataset.after("gold", {**dataset.splits, "train": gold}, numbers)
    pool = pair_pool(dataset, gold, rest)
    pairs, left_out = _pairs(sampler, pool)
    labeller = _taught(teacher, dataset, gold, cache)
    kind, of_gold = dataset.shape.label_kind, _labels_in(dataset, gold)
    silver = labelled(pairs[:num_pairs], labeller, kind)
    choice = chosen(silver, of_gold, kind, min_confidence, like_gold, seed)
    spread = {"gold": of_gold, "labelled": silver.labels, "kept": choice.silver.labels if choice.left_out else ()}
    remarks = "; ".join([numbers, *_remarks(len(silver.pairs), choice, left_out, pool), _teacher_line(labeller)])
    logger.info("%s: %s", dataset.name, remarks)
    for warning in _warnings_of(labeller, choice):
        logger.warning("%s: %s", dataset.name, warning)
    return dataset.after(
        "silver",
        _with_silver(dataset, gold, choice.silver),
        remarks,
        [*_label_lines(kind, dataset.label_names, **spread), *_example_lines(choice.silver, dataset.label_names)],
        [str(folder.resolve()) for folder in labeller.trainings],
    )


def _taught(teacher: PairTeacher, dataset: EmbeddingDataset, gold: "Dataset", cache: Path | None) -> PairLabeller:
    """The teacher once it has learned from gold."""
    kind, dev = dataset.shape.label_kind, dataset.splits.get("dev")
    judged_on = _plain_pairs(dataset, dev) if dev is not None else None
    num_classes = len(dataset.label_names) or int(_labels_in(dataset, gold).max()) + 1
    return teacher.fit(_plain_pairs(dataset, gold), judged_on, kind, num_classes, cache)


def _check_shape(dataset: EmbeddingDataset) -> None:
    if dataset.shape.name not in _LABELLED:
        raise ShapeError(
            f"No silver pairs can be made for {dataset.name}, which is {dataset.shape.name}. Expected pairs with "
            f"labels: {listed(_LABELLED)}. Where the data can be one of these, type dataset.shapes=[<shape>]; "
            "else leave the step out: silver=none."
        )


def _faults(
    share: Any, confidence: Any, counts: dict[str, Any], num_rows: int, parts: tuple[Any, Any], seed: Any
) -> Iterator[str]:
    if not is_number(share) or not 0 < share <= 1:
        yield f"gold_share={share} must be above 0 and at most 1, such as gold_share=0.2."
    for name, number in counts.items():
        if number is not None and not is_count(number):
            yield f"{name}={number} must be a whole number from 1, or null."
        elif name == "num_gold" and number is not None and number > num_rows:
            yield (
                f"num_gold={number:,} is more than the train rows, which are {num_rows:,}: type {_STEP}.num_gold=null."
            )
    if counts["num_gold"] is not None and share != 1:
        both = f"gold_share={share} and num_gold={counts['num_gold']}"
        yield f"{both}: give one; type {_STEP}.num_gold=null, or {_STEP}.gold_share=1."
    if confidence is not None and (not is_number(confidence) or not 0 < confidence < 1):
        yield f"min_confidence={confidence} must be a probability between 0 and 1, such as 0.8, or null."
    yield from count_faults(0, seed=seed)
    if parts.count(None) == 1:
        yield "sampler and teacher go together: give both, or neither (silver=gold)."


def _pairs(sampler: PairSampler, pool: PairPool) -> tuple[list[Pair], "Counter[str]"]:
    pairs, left_out = pool.free_pairs(sampler.sample(pool))
    if not pairs:
        found = f"those that the sampler found are left out ({_listed(left_out)})" if left_out else "none was found"
        raise DataError(
            f"There is no pair to label: {found}. Expected pairs that are not in gold, dev or test: type "
            f"silver=random, or silver=remaining {_STEP}.sampler.path=<file>."
        )
    return pairs, left_out


def _remarks(num_labelled: int, choice: SilverSelection, left_out: "Counter[str]", pool: PairPool) -> Iterator[str]:
    yield f"{len(choice.silver.pairs):,} of {num_labelled:,} labelled pairs are kept"
    if shared := pool.num_held_out(choice.silver.pairs):
        yield f"{shared:,} of them hold a text of dev or test"
    if gone := left_out + choice.left_out:
        yield f"left out: {_listed(gone)}"


def _listed(counts: "Counter[str]") -> str:
    return listed(f"{count:,} {why}" for why, count in counts.items())
