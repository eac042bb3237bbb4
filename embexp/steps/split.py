"""Dividing rows among train, dev and test."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, select_rows
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import MADE_FROM, Shape
from embexp.data.values import is_number
from embexp.errors import DataError, Problem
from embexp.steps.augment.provenance import methods_of
from embexp.steps.dedup.row_keys import text_hashes
from embexp.steps.split_groups import Division, RowGroups, connected_rows, divided, identical_rows

if TYPE_CHECKING:
    from datasets import Dataset


_BY = {"texts": connected_rows, "rows": identical_rows}
_SCORE_BINS = 5


def split(
    dataset: EmbeddingDataset,
    ratios: Sequence[float] = (8, 1, 1),
    by: str = "texts",
    stratify: bool = False,
    seed: int = 42,
) -> EmbeddingDataset:
    """The data set with the splits dev and test it lacks, taken from train; given ones stay as they are.

    Case, spaces and punctuation of texts do not count, as in the leak audit. Rows that are added later leave the
    others in their splits (`split_groups.divided` says when). Copies of rows stay in train with their source; copies of
    rows that go to dev or test, or that share a text with these, are left out.

    Args:
        ratios: train, dev and test in proportion; only those of train and of the splits that are made count. 0 makes
            no such split. With the only number above 0 not that of train, all rows go to that split.
        by: "texts" keeps rows together that share a text, directly or through other rows, so that no text is in two
            of the splits made here; "rows" keeps only identical rows together, and says how many texts are in two.
        stratify: every label (class, 0 or 1, or a fifth of the range of scores) has the same share in every split.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: too few groups of rows to give each split one, or only copies of rows.
    """
    refuse(_problems(dataset, ratios, by, stratify, seed))
    wanted = {name: ratio for name, ratio in zip(SPLITS, ratios, strict=True) if ratio and name not in dataset.splits}
    if not wanted or "train" not in dataset.splits or not dataset.splits["train"].num_rows:
        return dataset
    if not ratios[0]:
        (only,) = wanted
        splits = {**dataset.splits, only: dataset.splits["train"]}
        splits = {name: splits[name] for name in SPLITS if name in splits and name != "train"}
        return dataset.after("split", splits, f"nothing to train on, all rows are {only}")
    shares = {name: ratio / (ratios[0] + sum(wanted.values())) for name, ratio in wanted.items()}
    rows = dataset.splits["train"]
    are_sources = numpy.array([method is None for method in methods_of(rows)], dtype=bool)
    if not are_sources.any():
        expected, note = "the sources of the copies among them", "Put the step split before the step that makes copies"
        text = f"Every row of {dataset.name} is a copy of another one"
        raise DataError(text, expected=expected, note=note, fix="step=[split,augment_typos]")
    sources = select_rows(rows, are_sources)
    groups = _BY[by](sources, dataset.text_columns)
    division = divided(groups, shares, seed, _labels(sources, dataset.shape) if stratify else None, dataset.name)
    part_of_row = division.parts[groups.of_rows]
    made = {name: select_rows(sources, part_of_row == part) for part, name in enumerate(division.names)}
    if not are_sources.all():
        made["train"] = _with_followers(dataset, are_sources, part_of_row == len(shares), made)
    splits = {name: made.get(name, dataset.splits.get(name)) for name in SPLITS if name in {*made, *dataset.splits}}
    sizes = ", ".join(f"{name} {part.num_rows:,}" for name, part in splits.items())
    num_gone = rows.num_rows - sum(part.num_rows for part in made.values())
    gone = [f"{num_gone:,} made of rows in other splits, or like them, left out"] if num_gone else []
    return dataset.after("split", splits, "; ".join([sizes, *gone, *_remarks(groups, division, by)]))


def _with_followers(
    dataset: EmbeddingDataset, are_sources: numpy.ndarray, in_train: numpy.ndarray, made: Mapping[str, "Dataset"]
) -> "Dataset":
    """The train rows: the sources of the mask `in_train`, and copies without a source or text in the other splits."""
    rows, stay = dataset.splits["train"], ~are_sources
    held_out = [part for name, part in made.items() if name != "train"]
    for names, loosely in (([MADE_FROM], False), (dataset.text_columns, True)):
        keys, counts = text_hashes(rows, names, loosely)
        taken = numpy.concatenate([text_hashes(others, names, loosely)[0] for others in held_out])
        of_rows = numpy.repeat(numpy.arange(rows.num_rows), counts)
        stay[of_rows[numpy.isin(keys, taken)]] = False
    stay[are_sources] = in_train
    return select_rows(rows, stay)


def _problems(dataset: EmbeddingDataset, ratios: Any, by: Any, stratify: Any, seed: Any) -> Iterator[Problem]:
    numbers = [ratio for ratio in ratios if is_number(ratio)] if isinstance(ratios, list | tuple) else []
    in_one = sum(number > 0 for number in numbers) == 1
    if not (len(numbers) == 3 == len(ratios) and (numbers[0] > 0 or in_one) and min(numbers) >= 0):
        expected = "three numbers for train, dev and test, none below 0 and the first above 0, or one above 0"
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


def _remarks(groups: RowGroups, division: Division, by: str) -> Iterator[str]:
    if division.large.any():
        sizes, what = groups.sizes[division.large], "are larger than the smallest split and stay in train"
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
