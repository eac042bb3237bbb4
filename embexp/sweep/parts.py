"""Which parts of the data help: the jobs of a sweep that leaves out one part after the other, and trains on each alone.

A part is a group of rows by a column (`by=source`), or a step or setting of the run (`without=negatives`). A multirun
varies the key `sweep.part`, an ordinary key of its grid; what the value stands for, other overrides, is put into each
job before it runs. So jobs are runs like any other, resumed and taken from elsewhere by their fingerprints.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.cli.quoting import quoted, unquoted
from embexp.config.compose import composed, resolve
from embexp.core.arguments import LegalValues, problems_with
from embexp.core.run_context import RunContext
from embexp.data.columns import ROLES
from embexp.data.shapes import PART
from embexp.errors import ConfigError, Problem, did_you_mean, listed
from embexp.experiment.datasets import builder_of
from embexp.experiment.evaluation_data import looked_at
from embexp.experiment.plan import RunPlan, plan_run
from embexp.experiment.routing import route_to_loss, wanted_shapes
from embexp.experiment.sweep_record import ONLY, PART_KEY, PARTS, WHOLE, WITHOUT
from embexp.steps.augment.provenance import parts_of
from embexp.training.trainer_values import batch_size_of, steps_of

if TYPE_CHECKING:
    from embexp.data.dataset import EmbeddingDataset

logger = logging.getLogger("embexp.sweep")
OTHERS = "(others)"  # the parts beside the largest, as one
_MOST = 20  # parts, unless the largest are asked for
_LEGAL = {
    "alone": (LegalValues(flag=True), True),
    "budget": (LegalValues(one_of=("steps", "epochs")), "steps"),
    "largest": (LegalValues(least=1, most=200, whole=True, optional=True), 10),
}
_GROUPS = {"negatives": "negatives", "silver": "silver", "modifier": "modifier", "adapter": "model/adapter"}
_STEPS = "dataset.steps."


@dataclass(frozen=True)
class Variant:
    """What a value of `sweep.part` stands for: overrides that a job goes without, and those that it gets.

    Attributes:
        drops: keys; those below them go, too.
    """

    drops: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()

    def of(self, job: Sequence[str]) -> tuple[str, ...]:
        """The overrides of a job in this variant."""
        return (*(each for each in job if not any(_is_below(each, key) for key in self.drops)), *self.adds)


def _is_below(override: str, key: str) -> bool:
    """Whether an override is of a key or of what is below it, also where it puts an option there.

    >>> [_is_below(each, "dataset.steps.typos") for each in ("+step@dataset.steps.typos=x", "dataset.steps.typo=1")]
    [True, False]
    """
    group, _, place = _key_of(override).partition("@")
    return any(each == key or each.startswith(f"{key}.") for each in (group, place))


def _key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def expanded(job: Sequence[str], variants: Mapping[str, Variant]) -> tuple[str, ...]:
    """The overrides of a job with those that its `sweep.part` stands for."""
    given = next((each.partition("=")[2] for each in job if _key_of(each) == PART_KEY), None)
    return variants[unquoted(given)].of(job) if given is not None and variants else tuple(job)


def as_override(variants: Mapping[str, Variant]) -> tuple[str, ...]:
    """The override that varies the parts; none without any."""
    return (f"{PART_KEY}={','.join(map(quoted, variants))}",) if variants else ()


def variants_of(settings: Mapping[str, Any] | None, jobs: Sequence[Sequence[str]], name: str) -> dict[str, Variant]:
    """What `sweep.part` may be, and what each value stands for; nothing where no parts are asked for.

    Args:
        settings: `sweep.parts`.
        jobs: in which every swept value occurs once, the usual ones first.
        name: of the configuration.

    Raises:
        EmbexpError: settings that are none, a column or a step that is not there, or a run that cannot be as a whole.
    """
    if settings is None:
        return {}
    problems = [*_problems(settings)]
    if problems:
        raise ConfigError(*problems)
    config, choices = composed(jobs[0], name)
    found = _without_steps(settings["without"], resolve(config), choices, jobs[0]) if settings["without"] else None
    plan = None
    if found is None:
        read, plan, rows = _rows_by_part(settings["by"], jobs[0], name)
        column = PART if read else settings["by"]
        found = {each: Variant((), (*read, *adds)) for each, adds in _of_rows(rows, column, settings, plan)}
    budget = _budget(settings["budget"], resolve(config)["trainer"], jobs, name, plan)
    return {key: Variant(each.drops, (*each.adds, *budget)) for key, each in found.items()}


def _problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    for key, (legal, usual) in _LEGAL.items():
        yield from problems_with(f"{PARTS}.{key}", settings[key], legal, usual)
    known = [*_LEGAL, "by", "without"]
    for key in (each for each in settings if each not in known):
        yield Problem(
            "is not known", f"{PARTS}.{key}", settings[key], f"one of: {listed(known)}", fix=(f"~{PARTS}.{key}",)
        )
    by, without = settings["by"], settings["without"]
    if by is not None and not isinstance(by, str):
        yield Problem(key="by", given=by, expected="a column of the data", fix=("by=source",))
    if without is not None and not (isinstance(without, list) and without and all(map(_is_name, without))):
        steps = f"[{without}]" if _is_name(without) else "[negatives]"
        yield Problem(key="without", given=without, expected="a list of steps", fix=(f"without={steps}",))
    if bool(by) == bool(without):
        both = "were given together" if by else "neither was given"
        text, expected = f"by and without: {both}", "one of both: a column whose groups are left out, or steps"
        yield Problem(text, expected=expected, fix=("by=source", "without=[negatives]"))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _without_steps(
    names: Sequence[str], config: Mapping[str, Any], choices: Mapping[str, Any], job: Sequence[str]
) -> dict[str, Variant]:
    """The run as a whole, and without each of the steps or settings."""
    return {WHOLE: Variant()} | {f"{WITHOUT} {name}": _removal(name, config, choices, job) for name in names}


def _removal(name: str, config: Mapping[str, Any], choices: Mapping[str, Any], job: Sequence[str]) -> Variant:
    """What makes a run one without a step, a stage before the main one, an option of a group, or a typed key."""
    groups = {short: group for short, group in _GROUPS.items() if choices.get(group) not in (None, "none", "null")}
    steps = [key for key, step in (config["dataset"]["steps"] or {}).items() if step is not None]
    stages = [*(config["adapt"] or {})]
    short = name.removeprefix("model.").removeprefix("adapt.").removeprefix(_STEPS)
    if short in groups:
        group = groups[short]
        drops = (group, group.replace("/", "."), f"{_STEPS}{short}")
        return Variant(drops, (f"{group}=none",))
    if short in steps:
        typed = _list_in(job, "step")
        if short in typed:
            left = ",".join(each for each in typed if each != short)
            return Variant(("step", f"{_STEPS}{short}"), (f"step=[{left}]",))
        is_added = any(_key_of(each).partition("@")[2] == f"{_STEPS}{short}" for each in job)
        return Variant((f"{_STEPS}{short}",), () if is_added else (f"{_STEPS}{short}=null",))
    if short in stages:
        left = ",".join(each for each in stages if each != short)
        return Variant(("adapt",) if len(stages) == 1 else ("adapt.__none__", f"adapt.{short}"), (f"adapt=[{left}]",))
    keys = [_key_of(each) for each in job]
    if any(_is_below(each, name) for each in job):
        return Variant((name,))
    known = [
        *groups,
        *steps,
        *stages,
        *(key for key in keys if "@" not in key and key not in ("step", "adapt", "seed")),
    ]
    known = [*dict.fromkeys(each for each in known if not each.startswith(("sweep", "hydra", "paths", "tracking")))]
    raise ConfigError(
        "is no step or setting of this run",
        key="without",
        given=name,
        expected=f"some of: {listed(known)}",
        note=did_you_mean(name, known),
        fix=f"without=[{known[0]}]",
    )


def _list_in(job: Sequence[str], key: str) -> list[str]:
    """The names in a list that was typed, such as those of step=[split,clean]."""
    values = [each.partition("=")[2] for each in job if _key_of(each) == key]
    return [name.strip() for name in values[-1].strip("[]").split(",")] if values else []


def _rows_by_part(by: str, job: Sequence[str], name: str) -> tuple[tuple[str, ...], RunPlan, Counter[str]]:
    """How the column is read, the plan of the run as a whole, and how many train rows each part has, by its name."""
    if by in ROLES:
        plan, rows = _planned(job, name)
        if by in rows.splits["train"].column_names:
            return (), plan, Counter(parts_of(rows, "train", by))
    read = (f"++dataset.reader.columns.{PART}={quoted(by)}",)
    _check_column(by, job, read, name)
    plan, rows = _planned([*job, *read], name)
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


def _planned(job: Sequence[str], name: str) -> tuple[RunPlan, "EmbeddingDataset"]:
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


def _of_rows(
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
    least = batch_size_of(plan.stages[-1].trainer)
    few = [name for name, several in parts.items() if sum(rows[each] for each in several) < least]
    sizes = listed(f"{name} {sum(rows[each] for each in several):,}" for name, several in parts.items())
    logger.info("Train rows by %s: %s.", by, sizes)
    if few and settings["alone"] and len(parts) > 2:
        logger.warning("No runs on %s alone, with fewer rows than a batch (%s).", listed(few), least)
    yield WHOLE, ()
    for name, several in parts.items():
        yield f"{WITHOUT} {name}", _choosing(column, WITHOUT, several)
    for name, several in parts.items() if settings["alone"] and len(parts) > 2 else ():
        if name not in few:
            yield f"{ONLY} {name}", _choosing(column, ONLY, several)


def _choosing(column: str, which: str, parts: Sequence[str]) -> tuple[str, ...]:
    step = f"{_STEPS}keep_parts"
    named = () if column == PART else (f"{step}.column={quoted(column)}",)
    return (f"+step@{step}=keep_parts", *named, f"{step}.{which}=[{','.join(map(quoted, parts))}]")


_SIZES = ("trainer", "trainer.num_train_epochs", "dataset")  # keys that change how many steps a run as a whole has


def _budget(
    chosen: str, trainer: Mapping[str, Any], jobs: Sequence[Sequence[str]], name: str, plan: RunPlan | None
) -> tuple[str, ...]:
    """What gives all jobs as many steps as the run as a whole has; nothing where they have a budget, or want epochs.

    Raises:
        ConfigError: the run as a whole has other numbers of steps in other cells of the grid.
    """
    has_one = trainer.get("max_steps", -1) > 0 or trainer.get("max_examples") or trainer.get("max_seconds")
    if chosen == "epochs" or has_one:
        return ()
    plan = plan or _planned(jobs[0], name)[0]
    stage = plan.stages[-1]
    steps = steps_of(stage.trainer, stage.dataset.splits["train"].num_rows)
    swept = {_key_of(each) for job in jobs[1:] for each in job if each not in jobs[0]}
    if unlike := [key for key in swept if key in _SIZES]:
        text = f"{listed(unlike)} is swept, so that the run as a whole has no one number of steps for all parts"
        fix = (f"trainer.max_steps={steps}", f"{PARTS}.budget=epochs")
        raise ConfigError(text, expected="a number of steps for all, or epochs", fix=fix)
    return (f"trainer.max_steps={steps}",)


@contextmanager
def _silently() -> Iterator[None]:
    """Without what the first job says once more."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
