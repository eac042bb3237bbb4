"""Converting data from one shape to another: the route of conversions, and the report of each."""

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import COUNT_FROM_0, LegalValues, problems_with, refuse
from embexp.data.arrow import rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset, Prompts
from embexp.data.row_checks import check_rows
from embexp.data.shapes import ROW_PROMPT, Shape, shape_named
from embexp.errors import ConfigError, ShapeError, listed
from embexp.steps.augment.text_changes import TextChange, shown_change
from embexp.steps.conversions.conversion import (
    Conversion,
    ConversionInput,
    ConversionSettings,
    Row,
    default_settings,
    missing_numbers,
    prompt_of,
)
from embexp.steps.conversions.registry import CONVERSIONS, noised_texts
from embexp.steps.prompting import with_prompts_in_texts, with_row_prompts

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

Way = tuple[str, tuple[Conversion, ...]]  # the shape to start from, and the conversions that follow


def route(
    offered: Sequence[str], accepted: Sequence[str], most: int | None = None, settings: ConversionSettings | None = None
) -> Way | None:
    """The route from a shape that the data offer to an accepted one: where it starts, and its conversions.

    An accepted shape that is offered as it is comes first; then the fewest conversions; then the accepted order. None
    when there is no route, or none of at most `most` conversions. Conversions that need a number which the settings
    (None: the shipped ones) do not have are not used: `unmet_needs` names the number.

    >>> start, steps = route(["class_pair"], ["triplet", "positive_pair"])
    >>> start, [step.target for step in steps]
    ('class_pair', ['triplet'])
    """
    settings = settings or default_settings()
    return _shortest(offered, accepted, most, [each for each in CONVERSIONS if not settings.missing(each.needs)])


def unmet_needs(
    offered: Sequence[str], accepted: Sequence[str], most: int | None = None, settings: ConversionSettings | None = None
) -> list[str]:
    """The settings that would open a route if they were set; empty when none would."""
    settings = settings or default_settings()
    way = _shortest(offered, accepted, most, CONVERSIONS)
    return settings.missing(tuple(dict.fromkeys(need for step in (way[1] if way else ()) for need in step.needs)))


def _shortest(
    offered: Sequence[str], accepted: Sequence[str], most: int | None, conversions: Sequence[Conversion]
) -> Way | None:
    for shape in accepted:
        if shape in offered:
            return shape, ()
    ways = [way for start in offered for way in _ways_from(start, conversions) if way[-1].target in accepted]
    ways = [way for way in ways if most is None or len(way) <= most]
    if not ways:
        return None
    best = min(ways, key=lambda way: (len(way), accepted.index(way[-1].target)))
    return best[0].source, best


def _ways_from(start: str, conversions: Sequence[Conversion]) -> Iterator[tuple[Conversion, ...]]:
    waiting, seen = deque([()]), {start}
    while waiting:
        way = waiting.popleft()
        here = way[-1].target if way else start
        for conversion in conversions:
            if conversion.source == here and conversion.target not in seen:
                seen.add(conversion.target)
                waiting.append((*way, conversion))
                yield (*way, conversion)


def within_reach(start: str, settings: ConversionSettings) -> list[str]:
    """The shapes to which data of this shape can be converted under the settings."""
    usable = [conversion for conversion in CONVERSIONS if not settings.missing(conversion.needs)]
    return [way[-1].target for way in _ways_from(start, usable)]


def convert_to(dataset: EmbeddingDataset, shape: str, **settings: Any) -> EmbeddingDataset:
    """The data set in another shape, by the shortest route: the step `dataset.steps.convert`.

    Args:
        settings: those that differ from `conf/conversion/default.yaml`, such as min_score.

    Raises:
        ConfigError: a setting that does not exist or is invalid.
        ShapeError: no conversion leads there, or one that needs a number which was not given.
    """
    start = dataset.shape.name
    try:
        known = default_settings(**settings)
    except ConfigError as error:  # here the settings are arguments of the step
        own = [each.renamed(lambda key: f"dataset.steps.convert.{key.rpartition('.')[2]}") for each in error.problems]
        raise ConfigError(*own) from None
    way = route([start], [shape_named(shape).name], settings=known)
    if way is None:
        needs = unmet_needs([start], [shape], settings=known)
        reachable = {"expected": f"one of: {listed(within_reach(start, known))}"}
        fields = missing_numbers(needs, "dataset.steps.convert") if needs else reachable
        raise ShapeError(f"{dataset.name} is {start}, and no conversion leads to {shape}", **fields)
    for conversion in way[1]:
        dataset = convert(dataset, conversion, known)
    return dataset


def convert(
    dataset: EmbeddingDataset, conversion: Conversion, settings: ConversionSettings | None = None
) -> EmbeddingDataset:
    """The data set with all splits in the conversion's target shape; the report counts what was left out and why.

    A row's own prompt stays with its first text, or is written into the texts where they change places.

    Raises:
        ShapeError: labels that the conversion cannot read, a number that it needs and that is not set, or no row
            is left to train on.
    """
    settings, target = settings or default_settings(), shape_named(conversion.target)
    if missing := settings.missing(conversion.needs):
        raise ShapeError(f"{conversion.source} -> {target.name} needs a number", **missing_numbers(missing))
    dataset = _with_prompts_for(dataset, conversion)
    left_out: Counter[str] = Counter()
    splits = {
        split: _table(conversion.rows(ConversionInput(dataset, split, settings, left_out)), target)
        for split in dataset.splits
    }
    splits = {split: rows for split, rows in splits.items() if rows.num_rows}
    counts = ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count)
    reason = conversion.reason_with(settings) + (f"; left out: {counts}" if counts else "")
    if "train" in dataset.splits and "train" not in splits:
        text = f"No row of {dataset.name} is left after {dataset.shape.name} -> {target.name} ({reason})"
        raise ShapeError(text, expected="another shape, or other data", fix=_ways_to_rows(dataset, conversion))
    made = dataset.after(
        f"convert {dataset.shape.name} -> {target.name}",
        splits,
        reason,
        shape=target,
        label_names=dataset.label_names if target.label_kind == "class" else (),
        prompts=_prompts_after(dataset, target),
    )
    return check_rows(made)


def _ways_to_rows(dataset: EmbeddingDataset, conversion: Conversion) -> tuple[str, ...]:
    """What to type where a conversion leaves no row to train on."""
    rows, ends = dataset.splits["train"], (conversion.source, conversion.target)
    if ends == ("ranked", "triplet"):
        return ("negatives=bm25",)
    if "min_score" in conversion.needs and rows.num_rows:
        return (f"conversion.min_score={int(max(rows[dataset.shape.label][:]) * 1000) / 1000:g}",)
    return ()


def _with_prompts_for(dataset: EmbeddingDataset, conversion: Conversion) -> EmbeddingDataset:
    """The data set with prompts written into the texts where the conversion would separate the two."""
    columns = dataset.text_columns
    if len(columns) == 1:  # the conversion puts texts of other rows next to the first one
        return with_row_prompts(dataset)
    has_own = any(ROW_PROMPT in rows.column_names for rows in dataset.splits.values())
    if conversion.target == "text" and (has_own or len({dataset.prompts.prompt_for(column) for column in columns}) > 1):
        return with_prompts_in_texts(dataset)
    return dataset


def _prompts_after(dataset: EmbeddingDataset, target: Shape) -> Prompts:
    columns = dataset.text_columns
    if len(columns) > 1 and target.name != "text":
        return dataset.prompts
    return dataset.prompts.moved(columns[0], (*target.texts, *target.required_negatives))


def limit_negatives(dataset: EmbeddingDataset, most: int | None) -> EmbeddingDataset:
    """Triplets with at most `most` negatives a row; further ones get rows of their own."""
    if most is None or not dataset.shape.negatives or dataset.shape.label:
        return dataset
    names = dataset.text_columns[2:]
    if len(names) <= most:
        return dataset
    # The last rows repeat a negative, so that all have as many.
    groups = [names[min(start, len(names) - most) :][:most] for start in range(0, len(names), most)]
    splits = {split: _table(_in_groups(rows, groups), dataset.shape) for split, rows in dataset.splits.items()}
    return dataset.after(f"at most {most} negative(s) a row", splits, "one row for each further negative")


def _in_groups(rows: "Dataset", groups: Sequence[Sequence[str]]) -> Iterator[Row]:
    for row in rows_of(rows):
        for group in groups:
            negatives = {f"negative_{place}": row[name] for place, name in enumerate(group, 1)}
            yield {"anchor": row["anchor"], "positive": row["positive"], **negatives, **prompt_of(row)}


def _table(rows: Iterator[Row], shape: Shape) -> "Dataset":
    first = list(islice(rows, 1))
    columns = list(first[0]) if first else list(shape.required_negatives)
    return table_of_rows(chain(first, rows), schema_of(shape, columns))


_NOISED = "noised_text"


def add_noise(
    dataset: EmbeddingDataset, noise: TextChange, shape: str = _NOISED, seed: int = 42, examples: int = 3
) -> EmbeddingDataset:
    """The distinct texts of the data set, each damaged and whole, in all splits; labels are left out.

    Without this step a loss that reads noised texts gets those of the conversion (conf/conversion: words deleted).

    Args:
        noise: damages a text (see `TextChange`): Deletion as TSDAE has it, Swap, Mask, or one of your own.
        shape: noised_text; says in the YAML what the step makes.
        examples: how many texts the report shows.

    Raises:
        ConfigError: lists every invalid argument.
        ShapeError: the data are twin or noised texts already.
    """
    problems = problems_with("shape", shape, LegalValues(one_of=(_NOISED,)), such_as=_NOISED)
    refuse([*problems, *problems_with("examples", examples, COUNT_FROM_0, such_as=3)])
    texts = dataset if dataset.shape.name == "text" else convert_to(dataset, "text")

    def noised(source: ConversionInput) -> Iterator[Row]:
        return noised_texts(source, noise, seed)

    made = convert(texts, Conversion("text", _NOISED, noised, repr(noise).replace("{", "{{").replace("}", "}}")))
    first_rows = islice(chain.from_iterable(map(rows_of, made.splits.values())), examples)
    shown = tuple(shown_change(row["original"], row["damaged"]) for row in first_rows)
    for line in shown:
        logger.info("%s: %s", made.name, line)
    return replace(made, history=(*made.history[:-1], replace(made.history[-1], step="noise", examples=shown)))
