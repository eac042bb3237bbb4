"""The step `silver`: more labelled pairs to train on, labelled by a teacher that learned from those there are."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import EmbeddingDataset
from embexp.data.values import is_count, is_number
from embexp.errors import DataError, ShapeError, listed
from embexp.protocols import PairLabeller, PairTeacher
from embexp.steps.refusals import count_faults, refuse
from embexp.steps.silver.choosing import Choice, chosen
from embexp.steps.silver.gold import divided_gold
from embexp.steps.silver.joining import labels_in, plain_pairs, with_silver
from embexp.steps.silver.labelling import labelled
from embexp.steps.silver.pair_pool import Pair, PairPool, PairSampler, pair_pool
from embexp.steps.silver.silver_report import STEP, example_lines, label_lines, teacher_line, warnings_of

if TYPE_CHECKING:
    from collections import Counter

    from datasets import Dataset

LABELLED = ("scored_pair", "binary_pair", "class_pair")

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
    kind, of_gold = dataset.shape.label_kind, labels_in(dataset, gold)
    silver = labelled(pairs[:num_pairs], labeller, kind)
    choice = chosen(silver, of_gold, kind, min_confidence, like_gold, seed)
    spread = {"gold": of_gold, "labelled": silver.labels, "kept": choice.silver.labels if choice.left_out else ()}
    remarks = "; ".join([numbers, *_remarks(len(silver.pairs), choice, left_out, pool), teacher_line(labeller)])
    logger.info("%s: %s", dataset.name, remarks)
    for warning in warnings_of(labeller, choice):
        logger.warning("%s: %s", dataset.name, warning)
    return dataset.after(
        "silver",
        with_silver(dataset, gold, choice.silver),
        remarks,
        [*label_lines(kind, dataset.label_names, **spread), *example_lines(choice.silver, dataset.label_names)],
        [str(folder.resolve()) for folder in labeller.trainings],
    )


def _taught(teacher: PairTeacher, dataset: EmbeddingDataset, gold: "Dataset", cache: Path | None) -> PairLabeller:
    """The teacher once it has learned from gold."""
    kind, dev = dataset.shape.label_kind, dataset.splits.get("dev")
    judged_on = plain_pairs(dataset, dev) if dev is not None else None
    num_classes = len(dataset.label_names) or int(labels_in(dataset, gold).max()) + 1
    return teacher.fit(plain_pairs(dataset, gold), judged_on, kind, num_classes, cache)


def _check_shape(dataset: EmbeddingDataset) -> None:
    if dataset.shape.name not in LABELLED:
        raise ShapeError(
            f"No silver pairs can be made for {dataset.name}, which is {dataset.shape.name}. Expected pairs with "
            f"labels: {listed(LABELLED)}. Where the data can be one of these, type dataset.shapes=[<shape>]; "
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
            yield f"num_gold={number:,} is more than the train rows, which are {num_rows:,}: type {STEP}.num_gold=null."
    if counts["num_gold"] is not None and share != 1:
        both = f"gold_share={share} and num_gold={counts['num_gold']}"
        yield f"{both}: give one; type {STEP}.num_gold=null, or {STEP}.gold_share=1."
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
            f"silver=random, or silver=remaining {STEP}.sampler.path=<file>."
        )
    return pairs, left_out


def _remarks(num_labelled: int, choice: Choice, left_out: "Counter[str]", pool: PairPool) -> Iterator[str]:
    yield f"{len(choice.silver.pairs):,} of {num_labelled:,} labelled pairs are kept"
    if shared := pool.num_held_out(choice.silver.pairs):
        yield f"{shared:,} of them hold a text of dev or test"
    if gone := left_out + choice.left_out:
        yield f"left out: {_listed(gone)}"


def _listed(counts: "Counter[str]") -> str:
    return listed(f"{count:,} {why}" for why, count in counts.items())
