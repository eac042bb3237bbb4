"""Which parts of the data help: the jobs of a sweep that leaves out one part after the other, and trains on each alone.

A part is a set of a mixture, a group of rows by a column (`by=source`), or a step or setting of the run
(`without=negatives`). A multirun varies the key `sweep.part`, an ordinary key of its grid; what the value stands for,
other overrides, is put into each job before it runs. So jobs are runs like any other, resumed and taken from elsewhere
by their fingerprints.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from embexp.cli.app import MISTAKES
from embexp.cli.quoting import quoted, unquoted
from embexp.config.compose import composed, resolve
from embexp.config.session import option_files
from embexp.core.arguments import LegalValues, problems_with
from embexp.data.shapes import PART
from embexp.errors import ConfigError, Problem, did_you_mean, listed
from embexp.experiment.plan import RunPlan
from embexp.experiment.sweep_record import PART_KEY, PARTS, WHOLE, WITHOUT
from embexp.sweep.part_rows import of_rows, of_sets, planned, rows_by_part, sets_in
from embexp.training.trainer_values import steps_of

_LEGAL = {
    "alone": (LegalValues(flag=True), True),
    "budget": (LegalValues(one_of=("steps", "epochs")), "steps"),
    "largest": (LegalValues(least=1, most=200, whole=True, optional=True), 10),
}
_USUAL = {"by": None, "without": None, "alone": True, "budget": "steps", "largest": None}  # as in sweep=leave_one_out
_GROUPS = {"negatives": "negatives", "silver": "silver", "modifier": "modifier", "adapter": "model/adapter"}
_OF_ROWS = ("negatives", "silver")  # groups that put steps into a data set: in a mixture each set has its own
_SUCH_AS = {"negatives": "negatives=random", "silver": "silver=bm25"}
_SUCH_AS |= {"modifier": "modifier=matryoshka", "adapter": "model.adapter=lora"}
_STEPS = "dataset.steps."
# Keys that say what is trained, scored and kept, which are not proposed as what a run may go without.
_NO_SETTING = re.compile(
    r"(dataset|model|mixture\.sets\.[^.]+)(\.dataset)?(\.reader)?(\.(path|id|url|name))?|trainer|step|adapt|seed|threads|name"
    r"|(test|dev|evaluator|guard|export|experiment|sweep|hydra|paths|tracking|verdict|profile|keep)\b.*"
)


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
    if not isinstance(settings, Mapping):
        fix = "sweep=leave_one_out by=source"
        raise ConfigError(key=PARTS, given=settings, expected="what sweep=leave_one_out has", fix=fix)
    settings = _USUAL | dict(settings)
    config, choices = composed(jobs[0], name)
    config = resolve(config)
    sets = sets_in(config)
    if problems := [*_problems(settings, sets)]:
        raise ConfigError(*problems)
    plan = None
    if settings["without"]:
        made = {name: _removal(name, config, choices, jobs[0], sets) for name in settings["without"]}
        found = {WHOLE: Variant()} | {f"{WITHOUT} {name}": each for name, each in made.items()}
    elif sets:
        plan = planned(jobs[0], name)[0]
        rows = Counter({each.name: each.dataset.splits["train"].num_rows for each in plan.stages[-1].sets})
        found = {each: _leaving(gone, sets) for each, gone in of_sets(rows, settings, plan)}
    else:
        read, plan, rows = rows_by_part(settings["by"], jobs[0], name)
        column = PART if read else settings["by"]
        found = {each: Variant((), (*read, *adds)) for each, adds in of_rows(rows, column, settings, plan)}
    budget = _budget(settings["budget"], config["trainer"], jobs, name, plan)
    return {key: Variant(each.drops, (*each.adds, *budget)) for key, each in found.items()}


def _problems(settings: Mapping[str, Any], sets: Mapping[str, str]) -> Iterator[Problem]:
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
    if by and sets:
        text, expected = "is of one data set, and several are mixed", "no column: the sets themselves are left out"
        yield Problem(text, key="by", given=by, expected=expected, fix=("by=null",))
    elif by and without:
        text, expected = "was given with without", "one of both: a column whose groups are left out, or steps"
        yield Problem(text, key="by", given=by, expected=expected, fix=("by=null", "without=null"))
    elif not (by or without or sets):
        text = "sweep=leave_one_out has nothing to leave out"
        expected = "a column whose values are the parts of the rows, steps, or several data sets"
        yield Problem(text, expected=expected, fix=("by=source", "without=[negatives]", "dataset=[nli,stsb,quora]"))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _removal(
    name: str, config: Mapping[str, Any], choices: Mapping[str, Any], job: Sequence[str], sets: Mapping[str, str]
) -> Variant:
    """What makes a run one without a step, a stage before the main one, an option of a group, or a typed key."""
    groups = {short: group for short, group in _GROUPS.items() if choices.get(group) not in (None, "none", "null")}
    groups = {short: group for short, group in groups.items() if not (sets and short in _OF_ROWS)}
    steps = _places_of_steps(config, sets)
    stages = [*(config["adapt"] or {})]
    short = name.removeprefix("model.").removeprefix("adapt.").removeprefix(_STEPS)
    if short in groups:
        group = groups[short]
        drops = (group, group.replace("/", "."), f"{_STEPS}{short}")
        return Variant(drops, (f"{group}=none",))
    if short in steps:
        typed = [] if sets else _list_in(job, "step")
        if short in typed:
            left = ",".join(each for each in typed if each != short)
            return Variant(("step", f"{_STEPS}{short}"), (f"step=[{left}]",))
        added = {_key_of(each).partition("@")[2] for each in job}
        plus = "++" if sets else ""
        return Variant(steps[short], tuple(f"{plus}{place}=null" for place in steps[short] if place not in added))
    if short in stages:
        left = ",".join(each for each in stages if each != short)
        return Variant(("adapt",) if len(stages) == 1 else ("adapt.__none__", f"adapt.{short}"), (f"adapt=[{left}]",))

    def has_effect(key: str) -> bool:
        return key != "seed" and not (sets and _is_below(key, "dataset"))

    if has_effect(name) and any(_is_below(each, name) for each in job):
        return Variant((name,))
    keys = [key for key in map(_key_of, job) if "@" not in key and has_effect(key) and not _NO_SETTING.fullmatch(key)]
    known = [*dict.fromkeys((*groups, *steps, *stages, *keys))]
    such = _such_as(short, sets)
    fix = (*filter(None, [such]), *(f"without=[{each}]" for each in known[:1]))
    raise ConfigError(
        "is no step or setting of this run",
        key="without",
        given=name,
        expected=f"some of: {listed(known)}" if known else f"what the run has, such as {such or 'negatives=random'}",
        note=did_you_mean(name, known),
        fix=fix or ("without=null" if sets else "without=null by=source",),
    )


def _places_of_steps(config: Mapping[str, Any], sets: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The keys at which each step of the data stands: in a mixture one for each set that has it."""
    nodes = {_STEPS: config["dataset"]}
    if sets:
        nodes = {f"mixture.sets.{key}.{_STEPS}": config["mixture"]["sets"][key]["dataset"] for key in sets.values()}
    found: dict[str, tuple[str, ...]] = {}
    for place, node in nodes.items():
        for name in (name for name, step in (node.get("steps") or {}).items() if step is not None):
            found[name] = (*found.get(name, ()), f"{place}{name}")
    return found


def _such_as(name: str, sets: Mapping[str, str]) -> str | None:
    """What to type so that a run has what it was to go without; None where there is no such option."""
    if name in _SUCH_AS:
        return f"dataset.{next(iter(sets))}.{_SUCH_AS[name]}" if sets and name in _OF_ROWS else _SUCH_AS[name]
    return next((f"{group}=[{name}]" for group in ("step", "adapt") if name in option_files(group)), None)


def _list_in(job: Sequence[str], key: str) -> list[str]:
    """The names in a list that was typed, such as those of step=[split,clean]."""
    values = [each.partition("=")[2] for each in job if _key_of(each) == key]
    return [name.strip() for name in values[-1].strip("[]").split(",")] if values else []


def _leaving(names: Sequence[str], sets: Mapping[str, str]) -> Variant:
    """A mixture in which some sets are not trained on; they are evaluated as before, so that runs can be compared."""
    weights = [f"mixture.sets.{sets[name]}.weight" for name in names]
    return Variant(tuple(weights), tuple(f"++{each}=0" for each in weights))


# Keys that may change how many steps a run as a whole has.
_SIZES = re.compile(
    r"trainer(\.(num_train_epochs|per_device_train_batch_size|gradient_accumulation_steps|processes))?"
    r"|(loss|shape|step|silver|negatives)(@.*)?|(dataset|conversion|mixture)\b.*"
)


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
    steps = _steps_in(plan or planned(jobs[0], name)[0])
    unlike = []
    for job in jobs[1:]:
        swept = [key for key in (_key_of(each) for each in job if each not in jobs[0]) if _SIZES.fullmatch(key)]
        with suppress(*MISTAKES):  # a job that does not fit is reported when its turn comes
            if swept and _steps_in(planned(job, name)[0]) != steps:
                unlike += swept
    if unlike:
        text = (
            f"{listed(dict.fromkeys(unlike))} is swept, and the run as a whole has no one number of steps for all parts"
        )
        fix = (f"trainer.max_steps={steps}", f"{PARTS}.budget=epochs")
        raise ConfigError(text, expected="a number of steps for all, or epochs", fix=fix)
    return (f"trainer.max_steps={steps}",)


def _steps_in(plan: RunPlan) -> int:
    return steps_of(plan.stages[-1].trainer, plan.stages[-1].num_rows)
