"""Dividing rows among train, dev and test; drawing rows anew."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import SEED, LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, select_rows
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import MADE_FROM, Shape
from embexp.data.values import is_number
from embexp.errors import DataError, Problem, as_typed
from embexp.steps.augment.provenance import methods_of
from embexp.steps.dedup.row_keys import text_hashes
from embexp.steps.split_groups import (
    Division,
    RowGroups,
    connected_rows,
    divided,
    identical_rows,
    tying_columns,
    without_negatives_of,
)

if TYPE_CHECKING:
    from datasets import Dataset


_BY = {"texts": connected_rows, "rows": identical_rows}
_SCORE_BINS = 5
_USUAL = (8, 1, 1)


def split(
    dataset: EmbeddingDataset,
    ratios: Sequence[float] | None = None,
    by: str = "texts",
    stratify: bool = False,
    seed: int = 42,
) -> EmbeddingDataset:
    """The data set with the splits dev and test it lacks, taken from train; given ones stay as they are.

    Case, spaces and punctuation of texts do not count, as in the leak audit. Rows that are added later leave the
    others in their splits (`split_groups.divided` says when). Copies of rows stay in train with their source; copies of
    rows that go to dev or test, or that share a text with these, are left out. So are negatives in train that are
    queries or positives of dev or test (`split_groups.without_negatives_of`).

    Args:
        ratios: train, dev and test in proportion; only those of the splits that are made count. 0 makes no such split;
            without train its rows go to the others. None is 8 : 1 : 1 (a run decides otherwise where nobody reads dev
            and test: `experiment.evaluation_data.split_for_run`).
        by: "texts" keeps rows together that share a text, directly or through other rows, so that no text is in two
            of the splits made here (negatives aside, which may be shared); "rows" keeps only identical rows together,
            and says how many texts are in two.
        stratify: every label (class, 0 or 1, or a fifth of the range of scores) has the same share in every split.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: too few groups of rows to give each split one, or only copies of rows.
    """
    ratios = _USUAL if ratios is None else ratios
    refuse(_problems(dataset, ratios, by, stratify, seed))
    wanted = {name: ratio for name, ratio in zip(SPLITS, ratios, strict=True) if ratio and name not in dataset.splits}
    if "train" not in dataset.splits or not dataset.splits["train"].num_rows:
        return dataset
    rest = [*wanted][-1] if wanted and not ratios[0] else "train"  # gets what the others leave
    if {*wanted} <= {rest}:
        return _undivided(dataset, rest)
    total = ratios[0] + sum(wanted.values())
    shares = {name: ratio / total for name, ratio in wanted.items() if name != rest}
    rows = dataset.splits["train"]
    are_sources = _are_sources(dataset)
    sources = select_rows(rows, are_sources)
    labels = _labels(sources, dataset.shape) if stratify else None
    groups = _groups(dataset, sources, by)
    try:
        division = divided(groups, shares, seed, labels, dataset.name, rest)
    except DataError as error:
        raise DataError(replace(error.problems[0], fix=tuple(_ways_out(dataset, sources, ratios, by, seed)))) from None
    part_of_row = division.parts[groups.of_rows]
    made = {name: select_rows(sources, part_of_row == part) for part, name in enumerate(division.names)}
    if not are_sources.all() and rest == "train":
        made["train"] = _with_followers(dataset, are_sources, part_of_row == len(shares), made)
    remarks = [*_remarks(groups, division, by, rows.num_rows - sum(part.num_rows for part in made.values()))]
    splits = {name: made.get(name, dataset.splits.get(name)) for name in SPLITS if name in {*made, *dataset.splits}}
    if rest != "train":
        del splits["train"]
    elif by == "texts":
        splits, removed = without_negatives_of(dataset.shape, splits)
        remarks += removed
    return dataset.after("split", splits, "; ".join([_sizes(splits), *remarks]))


def draw_rows(dataset: EmbeddingDataset, splits: Sequence[str] = ("train",), seed: int = 42) -> EmbeddingDataset:
    """As many rows of these splits as there are, drawn with replacement: with another seed another sample of the data.

    The bootstrap of training data with which Bouthillier et al. (2021, "Accounting for variance in machine learning
    benchmarks", MLSys) measure how much of a result is owed to its data. 63 % of the rows are in it, some often.

    Raises:
        ConfigError: a split or a seed that is none.
    """
    words = LegalValues(one_of=SPLITS, many=True)
    refuse((*problems_with("splits", splits, words, "[train]"), *problems_with("seed", seed, SEED, 42)))
    random, drawn, remarks = numpy.random.default_rng(seed), dict(dataset.splits), []
    for name in (name for name in splits if name in drawn and drawn[name].num_rows):
        places = numpy.sort(random.integers(0, drawn[name].num_rows, drawn[name].num_rows))
        drawn[name] = drawn[name].select(places)
        remarks.append(f"{name}: {len(numpy.unique(places)):,} different ones")
    return dataset.after("draw_rows", drawn, ", ".join(remarks))


UNDIVIDED = "all rows are train"  # what is said of a split that changes nothing


def _undivided(dataset: EmbeddingDataset, name: str) -> EmbeddingDataset:
    """The data set with all its train rows in one split."""
    if name == "train":
        is_whole = [*dataset.splits] == ["train"]
        return dataset.after("split", dataset.splits, UNDIVIDED) if is_whole else dataset
    splits = {**dataset.splits, name: dataset.splits["train"]}
    splits = {each: splits[each] for each in SPLITS if each in splits and each != "train"}
    return dataset.after("split", splits, f"nothing to train on, all rows are {name}")


def _sizes(splits: Mapping[str, "Dataset"]) -> str:
    return ", ".join(f"{name} {part.num_rows:,}" for name, part in splits.items())


def _are_sources(dataset: EmbeddingDataset) -> numpy.ndarray:
    """Which rows of train are no copies of others, bool `(num_rows,)`; DataError where all are."""
    found = numpy.array([method is None for method in methods_of(dataset.splits["train"])], dtype=bool)
    if not found.any():
        expected, note = "the sources of the copies among them", "Put the step split before the step that makes copies"
        text = f"Every row of {dataset.name} is a copy of another one"
        raise DataError(text, expected=expected, note=note, fix="step=[split,augment_typos]")
    return found


def _groups(dataset: EmbeddingDataset, rows: "Dataset", by: str) -> RowGroups:
    return _BY[by](rows, tying_columns(dataset.shape) if by == "texts" else dataset.text_columns)


def _ways_out(dataset: EmbeddingDataset, rows: "Dataset", ratios: Sequence[float], by: str, seed: int) -> Iterator[str]:
    """What to type for rows that cannot be divided so: other ratios or groups, each tried; or no division."""
    wanted = [bool(ratio) for ratio in ratios]
    for other, way in (((2, 1, 1), by), ((1, 1, 1), by), (ratios, "rows"), ((1, 1, 1), "rows")):
        tried = [each * is_wanted for each, is_wanted in zip(other, wanted, strict=True)]
        names = [name for name, each in zip(SPLITS, tried, strict=True) if each and name not in dataset.splits]
        rest = "train" if tried[0] else names[-1]
        shares = {name: tried[SPLITS.index(name)] / sum(tried) for name in names if name != rest}
        try:
            divided(_groups(dataset, rows, way), shares, seed, None, dataset.name, rest)
        except DataError:
            continue
        changes = [f"ratios={as_typed(tried)}"] if [*other] != [*ratios] else []
        yield " ".join(f"dataset.steps.split.{each}" for each in [*changes, *([f"by={way}"] if way != by else [])])
        break
    yield "dataset.steps.split.ratios=[1,0,0]"


def ways_to_divide(dataset: EmbeddingDataset) -> tuple[str, ...]:
    """What to type so that rows which are all train are divided, in the usual ratios or as can be; none where nothing
    divides them.
    """
    usual = f"dataset.steps.split.ratios={as_typed([*_USUAL])}"
    try:
        split(replace(dataset, splits={"train": dataset.splits["train"]}), _USUAL)
    except DataError as error:
        ways = [way for way in error.problems[0].fix if "split.ratios=[1,0,0]" not in way]
        return tuple(way if "ratios" in way else f"{usual} {way}" for way in ways)
    return (usual,)


def _with_followers(
    dataset: EmbeddingDataset, are_sources: numpy.ndarray, in_train: numpy.ndarray, made: Mapping[str, "Dataset"]
) -> "Dataset":
    """The train rows: the sources of the mask `in_train`, and copies without a source or text in the other splits."""
    rows, stay = dataset.splits["train"], ~are_sources
    held_out = [part for name, part in made.items() if name != "train"]
    for names, loosely in (([MADE_FROM], False), (tying_columns(dataset.shape), True)):
        keys, counts = text_hashes(rows, names, loosely)
        taken = numpy.concatenate([text_hashes(others, names, loosely)[0] for others in held_out])
        of_rows = numpy.repeat(numpy.arange(rows.num_rows), counts)
        stay[of_rows[numpy.isin(keys, taken)]] = False
    stay[are_sources] = in_train
    return select_rows(rows, stay)


def _problems(dataset: EmbeddingDataset, ratios: Any, by: Any, stratify: Any, seed: Any) -> Iterator[Problem]:
    numbers = [ratio for ratio in ratios if is_number(ratio)] if isinstance(ratios, list | tuple) else []
    if not (len(numbers) == 3 == len(ratios) and max(numbers) > 0 and min(numbers) >= 0):
        expected = "three numbers for train, dev and test, none below 0 and one or more above 0"
        yield Problem(key="ratios", given=ratios, expected=expected, fix=("ratios=[8,1,1]", "ratios=[0,0,1]"))
    yield from problems_with("by", by, LegalValues(one_of=(*_BY,)), such_as="texts")
    if stratify is not True and stratify is not False:
        yield Problem(key="stratify", given=stratify, expected="true or false", fix=("stratify=false",))
    if stratify is True and dataset.shape.label_kind not in ("score", "binary", "class"):
        text = f"needs classes or scores, which {dataset.name} ({dataset.shape.name}) does not have"
        yield Problem(text, key="stratify", given=True, fix=("stratify=false",))
    yield from problems_with("seed", seed, LegalValues(whole=True), such_as=42)


def _labels(rows: "Dataset", shape: Shape) -> numpy.ndarray:
    """The label of each row as a whole number; scores by the fifth of their range."""
    batches = batches_of(rows.select_columns([shape.label]))
    values = numpy.concatenate([batch[shape.label].to_numpy() for batch in batches])
    if shape.label_kind == "score":
        values = numpy.minimum(values * _SCORE_BINS, _SCORE_BINS - 1)
    return values.astype("int64")


def _remarks(groups: RowGroups, division: Division, by: str, num_gone: int) -> Iterator[str]:
    if num_gone:
        yield f"{num_gone:,} made of rows in other splits, or like them, left out"
    if division.large.any():
        sizes, what = (
            groups.sizes[division.large],
            f"are larger than the smallest split and stay in {division.names[-1]}",
        )
        yield f"{len(sizes):,} group(s) of connected rows, the largest of {sizes.max():,}, {what}"
    if by == "rows":
        yield f"{_texts_in_two(groups, division):,} texts are in two splits"


def _texts_in_two(groups: RowGroups, division: Division) -> int:
    """How many texts are in more than one split."""
    part_of_text = numpy.repeat(division.parts[groups.of_rows], groups.counts)
    num_parts = sum(
        numpy.bincount(groups.texts[part_of_text == part], minlength=groups.texts.max() + 1) > 0
        for part in range(len(division.names))
    )
    return int((num_parts > 1).sum())
