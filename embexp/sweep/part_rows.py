"""The parts of a run's train rows: groups by a column, or sets of a mixture; how many rows they have, how they go."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.cli.quoting import quoted
from embexp.config.compose import composed, resolve
from embexp.core.run_context import RunContext
from embexp.data.columns import ROLES
from embexp.data.shapes import PART
from embexp.errors import ConfigError, listed
from embexp.experiment.datasets import builder_of
from embexp.experiment.evaluation_data import looked_at
from embexp.experiment.plan import RunPlan, plan_run
from embexp.experiment.routing import route_to_loss, wanted_shapes
from embexp.experiment.sweep_record import ONLY, PARTS, WHOLE, WITHOUT
from embexp.steps.augment.provenance import parts_of
from embexp.training.trainer_values import batch_size_of

if TYPE_CHECKING:
    from embexp.data.dataset import EmbeddingDataset

logger = logging.getLogger("embexp.sweep")
OTHERS = "(others)"  # the parts beside the largest, as one
_MOST = 20  # parts, unless the largest are asked for
_STEP = "dataset.steps.keep_parts"


def rows_by_part(by: str, job: Sequence[str], name: str) -> tuple[tuple[str, ...], RunPlan, Counter[str]]:
    """How the column is read, the plan of the run as a whole, and how many train rows each part has, by its name."""
    if by in ROLES:
        plan, rows = planned(job, name)
        if by in rows.splits["train"].column_names:
            return (), plan, Counter(parts_of(rows, "train", by))
    read = (f"++dataset.reader.columns.{PART}={quoted(by)}",)
    _check_column(by, job, read, name)
    plan, rows = planned([*job, *read], name)
    return read, plan, Counter(parts_of(rows, "train", PART))


def _check_column(by: str, job: Sequence[str], read: Sequence[str], name: str) -> None:
    """Raise ConfigError where the data have no columns to choose from, or mean something else without this one."""
    config = resolve(composed(job, name)[0])
    builder, node = builder_of(config), config["dataset"]
    rows = looked_at(node, "dataset", builder)
    own = [
        each
        for each in next(iter(rows.splits.values())).column_names
        if each in ROLES and each not in rows.text_columns
    ]
    expected = "a column that says of what source or kind a row is"
    fix = tuple(f"by={each}" for each in own[:1])
    if "columns" not in node["reader"]:
        text = f"is no column of {rows.shape.name} rows whose data set has none of its own"
        raise ConfigError(text, key="by", given=by, expected=listed(own) or "a file of your own", fix=fix)
    other = looked_at(resolve(composed([*job, *read], name)[0])["dataset"], "dataset", builder)
    if other.shape != rows.shape or other.text_columns != rows.text_columns:
        text = f"is what makes the rows {rows.shape.name}: without it they are {other.shape.name}"
        raise ConfigError(text, key="by", given=by, expected=expected, fix=fix)


def planned(job: Sequence[str], name: str) -> tuple[RunPlan, "EmbeddingDataset"]:
    """The plan of a job, and its rows after all steps, before they are converted for the loss."""
    context = RunContext()
    with _silently():
        plan = plan_run(*composed(job, name), Path("never-written"), context=context)
    builder, spec = builder_of(plan.config, context.builders), plan.stages[-1].loss
    accepted = wanted_shapes(plan.config["shape"], spec)
    dataset = plan.choices["dataset"]

    def find_route(offered: list[str]) -> Any:
        return route_to_loss(offered, accepted, dataset, spec.name, builder.settings)

    return plan, builder.source(plan.config["dataset"], dataset, find_route)


def sets_in(config: Mapping[str, Any]) -> dict[str, str]:
    """The key of each set that a mixture trains on, by its name; empty for one data set."""
    sets = (config.get("mixture") or {}).get("sets") or {}
    return {str(each.get("name") or key): str(key) for key, each in sets.items() if each.get("weight", 1)}


def of_sets(rows: Counter[str], settings: Mapping[str, Any], plan: RunPlan) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The mixture as a whole, without each set, and on each alone that fills a batch; with the sets left out."""
    few = _too_few(rows, settings, plan)
    yield WHOLE, ()
    yield from ((f"{WITHOUT} {name}", (name,)) for name in rows)
    for name in rows if settings["alone"] and len(rows) > 2 else ():
        if name not in few:
            yield f"{ONLY} {name}", tuple(each for each in rows if each != name)


def _too_few(rows: Mapping[str, int], settings: Mapping[str, Any], plan: RunPlan) -> list[str]:
    """The parts that do not fill a batch, which are not trained on alone."""
    least = batch_size_of(plan.stages[-1].trainer)
    few = [name for name, number in rows.items() if number < least]
    if few and settings["alone"] and len(rows) > 2:
        logger.warning("No runs on %s alone, with fewer rows than a batch (%s).", listed(few), least)
    return few


def of_rows(
    rows: Counter[str], column: str, settings: Mapping[str, Any], plan: RunPlan
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The run as a whole, without each part, and on each alone that fills a batch; each with the overrides that do so.

    Of two parts each alone is the run without the other.

    Raises:
        ConfigError: one part only, or more than can be told apart.
    """
    by, largest = settings["by"], settings["largest"]
    if len(rows) < 2:
        text = f"is {next(iter(rows), 'nothing')!r} in all {rows.total():,} train rows"
        raise ConfigError(text, key="by", given=by, expected="a column with two values or more", fix="by=<column>")
    if len(rows) > _MOST and largest is None:
        text = f"has {len(rows):,} values in train, and each wants runs without it and on it alone"
        expected = f"at most {_MOST}, or the largest of them with all others as one part"
        raise ConfigError(text, key="by", given=by, expected=expected, fix=f"by={by} {PARTS}.largest=10")
    chosen = [name for name, _ in rows.most_common(largest)]
    parts = {name: [name] for name in sorted(chosen)}
    if rest := sorted({*rows} - {*chosen}):
        logger.info("The %s smallest parts by %s count as one, %s.", len(rest), by, OTHERS)
        parts[OTHERS] = rest
    sizes = {name: sum(rows[each] for each in several) for name, several in parts.items()}
    logger.info("Train rows by %s: %s.", by, listed(f"{name} {number:,}" for name, number in sizes.items()))
    few = _too_few(sizes, settings, plan)
    yield WHOLE, ()
    for name, several in parts.items():
        yield f"{WITHOUT} {name}", _choosing(column, WITHOUT, several)
    alone = settings["alone"] and len(parts) > 2 and by != "label"  # nothing is learned from one class
    for name, several in parts.items() if alone else ():
        if name not in few:
            yield f"{ONLY} {name}", _choosing(column, ONLY, several)


def _choosing(column: str, which: str, parts: Sequence[str]) -> tuple[str, ...]:
    named = () if column == PART else (f"{_STEP}.column={quoted(column)}",)
    return (f"+step@{_STEP}=keep_parts", *named, f"{_STEP}.{which}=[{','.join(map(quoted, parts))}]")


@contextmanager
def _silently() -> Iterator[None]:
    """Without what the first job says once more."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
