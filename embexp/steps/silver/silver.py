"""The step `silver`: more pairs to train on, labelled by a teacher that learned from the labelled ones."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import COUNT_FROM_0, SHARE, LegalValues, problems_with, refuse
from embexp.data.arrow import rows_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import training_columns
from embexp.errors import DataError, Problem, ShapeError, listed
from embexp.protocols import PairLabeller, PairTeacher
from embexp.steps.augment.provenance import Row, made_of, schema_with_sources, with_source, with_sources
from embexp.steps.negatives.mine import EXAMPLES, histogram, shortened
from embexp.steps.silver.labelling import SilverLabels, label_pairs, select_pairs
from embexp.steps.silver.sampling import Pair, PairPool, PairSampler, make_pair_pool, split_gold

if TYPE_CHECKING:
    from datasets import Dataset

_PLAIN = ("sentence1", "sentence2", "label")  # the columns that teachers read, whatever the label is called


def _plain_pairs(dataset: EmbeddingDataset, rows: "Dataset") -> "Dataset":
    """Rows with only the columns sentence1, sentence2 and label."""
    columns = training_columns(dataset.shape, rows.column_names)
    return rows.select_columns(columns).rename_columns(dict(zip(columns, _PLAIN, strict=True)))


def _labels_in(dataset: EmbeddingDataset, rows: "Dataset") -> numpy.ndarray:
    """The labels of rows, `(num_rows,)`."""
    return numpy.array(rows[dataset.shape.label][:])


def _with_silver(dataset: EmbeddingDataset, gold: "Dataset", silver: SilverLabels) -> dict[str, "Dataset"]:
    """The splits, with the silver rows after the gold ones in train."""
    columns = training_columns(dataset.shape, gold.column_names)
    labels = silver.labels.tolist()

    def train() -> Iterator[Row]:
        for row in rows_of(gold):
            yield with_source(row, columns)
        for pair, label in zip(silver.pairs, labels, strict=True):
            row = dict(zip(columns, (*pair, label), strict=True))
            yield made_of(with_source(row, columns), "silver")

    others = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split != "train"}
    made = {"train": table_of_rows(train(), schema_with_sources(gold, dataset))} | others
    return {split: made[split] for split in dataset.splits}


_STEP = "dataset.steps.silver"
_LEAST_SPEARMAN = 0.1  # a teacher below has not learned to label


def _warnings(teacher: PairLabeller, kept: SilverLabels, left_out: "Counter[str]") -> Iterator[str]:
    """Why the silver pairs may be of no use: the teacher has not learned, or none of its pairs is kept."""
    for name, (before, after) in [*teacher.dev_scores.items()][:1]:
        if after <= before or (name == "spearman" and after < _LEAST_SPEARMAN):
            yield (
                f"The teacher of silver pairs has not learned to label them (on dev {name} {before:.4f} untrained, "
                f"{after:.4f} trained). Give it more gold, {_STEP}.teacher.trainer.num_train_epochs=<more>, or "
                f"another model: {_STEP}.teacher.model=bert_base."
            )
    if not kept.pairs:
        yield (
            f"No silver pair is kept: the train rows are gold alone (left out: {_listed(+left_out)}). "
            f"Type {_STEP}.min_confidence=null, or a smaller number, or {_STEP}.like_gold=false, or choose a better "
            f"{_STEP}.teacher.model."
        )


def _teacher_line(teacher: PairLabeller) -> str:
    """How well the teacher labels dev, untrained and trained."""
    if not teacher.dev_scores:
        return "the teacher was not evaluated: there are no dev rows"
    scores = (f"{name} {before:.4f} -> {after:.4f}" for name, (before, after) in teacher.dev_scores.items())
    return f"the teacher on dev, untrained -> trained: {', '.join(scores)}"


def _label_lines(kind: str, names: Sequence[str], **labels: numpy.ndarray) -> list[str]:
    """The distribution of the labels of gold, of silver and so on: a line for each.

    >>> import numpy
    >>> _label_lines("binary", (), gold=numpy.array([0, 1, 1]))
    ['gold: 0 33.3 %, 1 66.7 %']
    """
    given = {side: values for side, values in labels.items() if len(values)}
    if kind == "score":
        return [f"{side}: {histogram(values, (0, 1))}" for side, values in given.items()]
    lines = []
    for side, values in given.items():
        shares = ((label, 100 * count / len(values)) for label, count in sorted(Counter(values.tolist()).items()))
        lines.append(
            f"{side}: " + ", ".join(f"{names[label] if names else label} {share:.1f} %" for label, share in shares)
        )
    return lines


def _example_lines(silver: SilverLabels, names: Sequence[str]) -> list[str]:
    """Pairs with their labels, from the lowest label to the highest, evenly spread."""
    order = numpy.argsort(silver.labels, kind="stable")
    places = order[numpy.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int)]
    shown = ((silver.labels[place], *silver.pairs[place]) for place in places.tolist())
    return [f"{_shown(label, names)}: {shortened(first)} | {shortened(second)}" for label, first, second in shown]


def _shown(label: numpy.generic, names: Sequence[str]) -> str:
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
    """The gold train rows, then silver ones that a teacher labelled: Augmented SBERT (Thakur et al. 2020).

    Silver rows have `made_by` silver: the step `leave_out` takes them out, the step `split` keeps them in train. Each
    has its own id in `made_from`, because its texts come from several rows. No pair is made that is in gold, dev or
    test, in either order, none of a text with itself, and none twice; dev and test stay as they are.

    Args:
        gold_share: share of the train rows that are gold; `sampler` may take the others as pairs without labels.
        num_gold: how many are gold, in place of a share; None for the share.
        sampler: finds the pairs to label; None, and no teacher, for gold alone, as a control.
        num_pairs: most pairs that are labelled, the first ones that the sampler finds; None for all.
        teacher: learns from gold train rows, evaluated on dev rows where there are any.
        min_confidence: keep pairs whose label has this probability or more (see `SilverLabels`); None keeps all.
        like_gold: sample the pairs to keep so that their labels have the distribution of gold's.
        seed: of the sampling of gold rows, and of pairs to keep.
        cache: the folder that keeps the teacher's training; None for a temporary one.

    Raises:
        ConfigError: lists every invalid argument.
        ShapeError: rows that are not pairs with labels.
        DataError: there is no train split, or no pair to label.
    """
    _check_shape(dataset)
    problems = [*_gold_problems(gold_share, num_gold, dataset.training_rows().num_rows)]
    refuse([*problems, *_problems(num_pairs, min_confidence, seed, sampler, teacher)], under=_STEP)
    gold, rest = split_gold(dataset.splits["train"], gold_share, num_gold, seed)
    numbers = f"{gold.num_rows:,} of {gold.num_rows + rest.num_rows:,} train rows are gold"
    if sampler is None or teacher is None:
        return dataset.after("gold", {**dataset.splits, "train": gold}, numbers)
    pool = make_pair_pool(dataset, gold, rest)
    pairs, not_made = _pairs(sampler, pool)
    labeller = _train_teacher(teacher, dataset, gold, cache)
    kind, of_gold = dataset.shape.label_kind, _labels_in(dataset, gold)
    silver = label_pairs(pairs[:num_pairs], labeller, kind)
    kept, left_out = select_pairs(silver, of_gold, kind, min_confidence, like_gold, seed)
    labels = {"gold": of_gold, "labelled": silver.labels, "kept": kept.labels if left_out else ()}
    remarks = _remarks(len(silver.pairs), kept, not_made + left_out, pool)
    reason = "; ".join([numbers, *remarks, _teacher_line(labeller)])
    logger.info("%s: %s", dataset.name, reason)
    for warning in _warnings(labeller, kept, left_out):
        logger.warning("%s: %s", dataset.name, warning)
    return dataset.after(
        "silver",
        _with_silver(dataset, gold, kept),
        reason,
        [*_label_lines(kind, dataset.label_names, **labels), *_example_lines(kept, dataset.label_names)],
        [str(folder.resolve()) for folder in labeller.trainings],
    )


def _train_teacher(
    teacher: PairTeacher, dataset: EmbeddingDataset, gold: "Dataset", cache: Path | None
) -> PairLabeller:
    dev = _plain_pairs(dataset, dataset.splits["dev"]) if "dev" in dataset.splits else None
    num_classes = len(dataset.label_names) or int(_labels_in(dataset, gold).max()) + 1
    return teacher.fit(_plain_pairs(dataset, gold), dev, dataset.shape.label_kind, num_classes, cache)


def _check_shape(dataset: EmbeddingDataset) -> None:
    if dataset.shape.name not in _LABELLED:
        text = f"No silver pairs can be made for {dataset.name}, which is {dataset.shape.name}"
        note = "Read the data in one of these shapes if they have labels; else leave the step out"
        expected = f"pairs with labels: {listed(_LABELLED)}"
        fix = (*(f"dataset.shapes=[{shape}]" for shape in _LABELLED), "silver=none")
        raise ShapeError(text, expected=expected, note=note, fix=fix)


_COUNT_OR_NULL = LegalValues(least=1, whole=True, optional=True)


def _gold_problems(share: Any, number: Any, num_rows: int) -> Iterator[Problem]:
    yield from problems_with("gold_share", share, SHARE, such_as=0.2)
    yield from problems_with("num_gold", number, _COUNT_OR_NULL, such_as="null")
    if number is not None and _COUNT_OR_NULL.allow(number) and number > num_rows:
        expected = f"at most {num_rows:,}, the number of train rows"
        yield Problem(key="num_gold", given=number, expected=expected, fix=("num_gold=null",))
    if number is not None and share != 1:
        text = f"was given, and so was gold_share={share}"
        yield Problem(text, key="num_gold", given=number, expected="one of them", fix=("num_gold=null", "gold_share=1"))


def _problems(num_pairs: Any, min_confidence: Any, seed: Any, sampler: Any, teacher: Any) -> Iterator[Problem]:
    yield from problems_with("num_pairs", num_pairs, _COUNT_OR_NULL, such_as="null")
    confidence = LegalValues(above=0, below=1, optional=True)
    yield from problems_with("min_confidence", min_confidence, confidence, such_as=0.8)
    yield from problems_with("seed", seed, COUNT_FROM_0, such_as=42)
    if (sampler is None) != (teacher is None):
        missing = "sampler" if sampler is None else "teacher"
        yield Problem("is missing", key=missing, expected="a sampler and a teacher, or neither")


def _pairs(sampler: PairSampler, pool: PairPool) -> tuple[list[Pair], "Counter[str]"]:
    pairs, left_out = pool.free_pairs(sampler.sample(pool))
    if not pairs:
        found = f"those that the sampler found are left out ({_listed(left_out)})" if left_out else "none was found"
        fix = ("silver=random", f"silver=remaining {_STEP}.sampler.path=<file>")
        expected = "pairs that are not in gold, dev or test"
        raise DataError(f"There is no pair to label: {found}", expected=expected, fix=fix)
    return pairs, left_out


def _remarks(num_labelled: int, kept: SilverLabels, left_out: "Counter[str]", pool: PairPool) -> Iterator[str]:
    yield f"{len(kept.pairs):,} of {num_labelled:,} labelled pairs are kept"
    if shared := pool.num_held_out(kept.pairs):
        yield f"{shared:,} of them hold a text of dev or test"
    if left_out:
        yield f"left out: {_listed(left_out)}"


def _listed(counts: "Counter[str]") -> str:
    return listed(f"{count:,} {why}" for why, count in counts.items())
