"""The evaluators of a run with their data, which of their rows were seen in training, and the primary metric.

Those of the group `guard` are evaluators, too: they see test alone, and neither pick a checkpoint nor give the verdict.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy

from embexp.config.compose import check_arguments, instantiate, parameters_of
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, DataError, EmbexpError, Problem, Problems, did_you_mean, listed
from embexp.evaluation.example_evaluator import NO_LEAKS
from embexp.evaluation.library_evaluators import LibraryEvaluator, is_library_evaluator
from embexp.evaluation.scores import Evaluator
from embexp.experiment.data_checks import reading_notes
from embexp.experiment.datasets import DataBuilder, for_evaluation, is_costly, offered_shapes
from embexp.experiment.evaluation_data import at_place, check_given_data, given_data, joined, name_of_data, typed_at
from embexp.experiment.routing import route_to_evaluator
from embexp.experiment.settings_checks import of_rows
from embexp.steps.dedup.leaks import leaked_rows
from embexp.steps.split import ways_to_divide

_Node = Mapping[str, Any]
_Leaked = dict[str, "numpy.ndarray"]  # by split: which rows are also in the training data


def check_data_of_evaluators(config: _Node) -> None:
    """Raise ConfigError, with all problems, where the data of an evaluator are not what a dataset's YAML holds."""
    problems = [*_guard_problems(config)]
    for name, node in evaluator_nodes(config).items():
        data, key = node.get("dataset"), f"{_key_of(name, config)}.dataset"
        if data is not None and not (isinstance(data, Mapping) and "reader" in data):
            fix = (f"{key}={data}",) if isinstance(data, str) else ()
            problems.append(Problem("is no data set", key, data, "what the YAML of one holds", fix=fix))
    if problems:
        raise ConfigError(*problems)
    check_given_data(config)


def evaluator_nodes(config: _Node) -> dict[str, _Node]:
    """The YAML of each evaluator by its name, those of the guard last."""
    return {**(config["evaluator"] or {}), **guard_nodes(config)}


def guard_nodes(config: _Node) -> _Node:
    """The YAML of each task of the guard; none in the configuration of a run of before."""
    return config.get("guard") or {}


def ways_to_dev(config: _Node, name: str) -> str:
    """What to type so that the data of an evaluator have a dev split; one file for both is halved."""
    own, test = config["evaluator"][name].get("dataset"), config.get("test")
    if test and not own:
        return f"dev={shlex.quote(str(test['reader'].get('path') or '<dataset>'))}"
    place, ratios = (f"evaluator.{name}.dataset", "[0,1,1]") if own else ("dataset", "[8,1,1]")
    is_split = "split" in ((own or config["dataset"]).get("steps") or {})
    ratio = f"{place}.steps.split.ratios={ratios}"
    return ratio if is_split else f"+step@{place}.steps.split=split {ratio}"


def _key_of(name: str, config: _Node) -> str:
    """Where an evaluator stands in the configuration."""
    return f"guard.{name}" if name in guard_nodes(config) else f"evaluator.{name}"


def _name_argument(call: _Node) -> tuple[str, ...]:
    """`name` where a callable takes it and it was not typed: evaluators of sentence-transformers may not."""
    parameters = parameters_of(call["_target_"])
    return ("name",) if (parameters is None or "name" in parameters) and "name" not in call else ()


def _guard_problems(config: _Node) -> Iterator[Problem]:
    """Tasks of the guard that are evaluators of the run as well, or that would read the run's own data."""
    for name, node in guard_nodes(config).items():
        if name in (config["evaluator"] or {}):
            text = "has the name of an evaluator of the run, so that their metrics would have one name"
            yield Problem(text, "guard", [name], "names of their own", fix=("guard=[]",))
        if node.get("_reads_") and not node.get("dataset"):
            fix = (f"guard.{name}.dataset=finance", "guard=general")
            yield Problem("has no data of its own", f"guard.{name}.dataset", expected="data of another task", fix=fix)


def check_evaluator(name: str, config: _Node, dataset_name: str, builder: DataBuilder) -> None:
    """Raise if, according to the YAML files, an evaluator does not take its arguments or cannot read its data.

    Raises:
        ConfigError: its arguments.
        ShapeError: its data.
    """
    builder = _own_builder(evaluator_nodes(config)[name], builder)
    reads = tuple(evaluator_nodes(config)[name]["_reads_"])  # empty if it loads its data itself
    of_run = ("name", "dataset", "leaked") if reads else _name_argument(_call_of(name, config))
    check_arguments(_call_of(name, config), dict.fromkeys(of_run), _key_of(name, config))
    node, label = _data_of(name, config, dataset_name)
    if reads and (offered := offered_shapes(node)):
        route_to_evaluator(offered, reads, label, name, builder.settings)


def check_evaluators(config: _Node, dataset_name: str, builder: DataBuilder, problems: Problems) -> None:
    """Check evaluators before costly steps run; of those that read what such a step makes, only the arguments."""
    chosen = evaluator_nodes(config)
    waiting = [
        name for name, node in chosen.items() if node["_reads_"] and is_costly(_data_of(name, config, dataset_name)[0])
    ]
    if not waiting:
        plan_evaluators(config, dataset_name, (), builder, problems)
        return
    for name in chosen:
        if name not in waiting:
            problems.attempt(_plan_evaluator, name, config, dataset_name, (), builder)
    given = config["primary_metric"]
    own = config["evaluator"] or {}
    if given is not None and (evaluator := given.rpartition("/")[0]) not in own:
        expected, near = f"<evaluator>/<metric> of one of: {listed(own)}", did_you_mean(evaluator, own)
        fix = ("primary_metric=null",)
        problems.add([Problem("is not measured", "primary_metric", given, expected, near, fix)], ConfigError)


def plan_evaluators(
    config: _Node, dataset_name: str, trained_on: Sequence[EmbeddingDataset], builder: DataBuilder, problems: Problems
) -> tuple[tuple[Evaluator, ...], tuple[str, str] | None, tuple[Problem, ...]]:
    """The evaluators, those of the guard last, the primary evaluator and metric, and warnings: of rows seen in
    training, of doubtful data.

    The primary metric is not checked if an evaluator could not be planned.
    """
    evaluators, warnings = [], []
    for name in evaluator_nodes(config):
        planned = problems.attempt(_plan_evaluator, name, config, dataset_name, trained_on, builder)
        if planned:
            evaluators.append(planned[0])
            own_data = _place_of(name, config) != "dataset"
            warnings += _leak_warnings(planned[0], planned[1], own_data)
            warnings += getattr(planned[0], "doubts", list)()
            if own_data and "_set_" not in evaluator_nodes(config)[name]:
                warnings += reading_notes(planned[2])
    if len(evaluators) < len(evaluator_nodes(config)):
        return (), None, ()
    own = tuple(each for each in evaluators if each.name not in guard_nodes(config))
    primary = problems.attempt(_primary_of, config["primary_metric"], own)
    return tuple(evaluators), primary, tuple(warnings)


def _plan_evaluator(
    name: str, config: _Node, dataset_name: str, trained_on: Sequence[EmbeddingDataset], builder: DataBuilder
) -> tuple[Evaluator, _Leaked, EmbeddingDataset | None]:
    """An evaluator, which of its rows are in the training data, and its data; of one that brings its own no data."""
    try:
        return _planned(name, config, dataset_name, trained_on, builder)
    except EmbexpError as error:
        place = _key_of(name, config)
        changed = (
            each.renamed(lambda key: re.sub(rf"^evaluator\.{name}(?=\.|$)", place, key)) for each in error.problems
        )
        raise type(error)(*changed) from error


def _planned(
    name: str, config: _Node, dataset_name: str, trained_on: Sequence[EmbeddingDataset], builder: DataBuilder
) -> tuple[Evaluator, _Leaked, EmbeddingDataset | None]:
    builder = _own_builder(evaluator_nodes(config)[name], builder)
    reads = tuple(evaluator_nodes(config)[name]["_reads_"])
    call, place = _call_of(name, config), _place_of(name, config)
    if not reads:
        made = instantiate(call, **dict.fromkeys(_name_argument(call), name))
        return (LibraryEvaluator(name, made) if is_library_evaluator(made) else made), {}, None
    node, label = _data_of(name, config, dataset_name)
    if place in given_data(config):
        dataset = _given_data_for(name, config, dataset_name, reads, builder)
    else:
        dataset = _read_for(name, place, node, label, reads, builder)
    if name in guard_nodes(config):
        dataset = _without_dev(dataset, name)
    leaked = {
        split: numpy.logical_or.reduce([leaked_rows(train, dataset, split) for train in trained_on])
        for split in ("dev", "test")
        if split in dataset.splits and trained_on
    }
    with _own_keys(place, dataset):
        return instantiate(call, name=name, dataset=dataset, leaked=leaked), leaked, dataset


def _own_builder(node: _Node, builder: DataBuilder) -> DataBuilder:
    """The builder with the conversion of the set of a mixture that an evaluator reads."""
    own = node.get("_conversion_")
    return builder.with_settings(instantiate(own)) if own else builder


def _read_for(
    name: str, place: str, node: _Node, label: str, reads: Sequence[str], builder: DataBuilder
) -> EmbeddingDataset:
    """Data in a shape that an evaluator reads; problems have the keys of their place."""
    with _own_keys(place):
        return builder.in_shape(
            node, label, lambda offered: route_to_evaluator(offered, tuple(reads), label, name, builder.settings)
        )


def _without_dev(dataset: EmbeddingDataset, name: str) -> EmbeddingDataset:
    """The data of a task of the guard, which nothing is picked by."""
    if "test" not in dataset.splits:
        raise DataError(
            f"guard={name} reads {dataset.name}, which has no test split (it has: {listed(dataset.splits)})",
            expected="data with one: a file of rows, all of which are test, or a data set that is divided",
        )
    return replace(dataset, splits={split: rows for split, rows in dataset.splits.items() if split != "dev"})


_PROMPTS = "embexp.steps.prompting.set_prompts"


def _given_data_for(
    name: str, config: _Node, dataset_name: str, reads: Sequence[str], builder: DataBuilder
) -> EmbeddingDataset:
    """What `test` and `dev` name for an evaluator; prompts of the run's data go before these texts, too."""
    run_data = for_evaluation(config["dataset"])
    prompts = {key: step for key, step in run_data["steps"].items() if step.get("_target_") == _PROMPTS}
    parts: dict[str, EmbeddingDataset] = {}
    for split, node in given_data(config).items():
        node = {**node, "steps": prompts | dict(node.get("steps") or {})}
        parts[split] = _read_for(name, split, node, name_of_data(split, node), reads, builder)
        reads = (parts[split].shape.name,)
    own = None
    if not is_costly(run_data):
        with suppress(EmbexpError):  # another shape; faults are reported where they are trained on
            own = _read_for(name, "dataset", run_data, dataset_name, reads, builder)
    with at_place("test"):
        return joined(parts, own, evaluator_nodes(config)[name].get("fit_on") == "train")


@contextmanager
def _own_keys(place: str, read: EmbeddingDataset | None = None) -> Iterator[None]:
    """Problems with the data of an evaluator; those of data at a place of their own have the keys of that place.

    Args:
        read: the data, where they could be read; ratios to divide them by are tried.
    """
    try:
        yield
    except EmbexpError as error:
        has_own_data = place != "dataset"
        tried = (_with_ways(problem, read) if read else problem for problem in error.problems)
        changed = (problem.renamed(typed_at(place)) if has_own_data else problem for problem in tried)
        raise type(error)(*(_for_evaluator(problem, has_own_data) for problem in changed)) from error


def _with_ways(problem: Problem, dataset: EmbeddingDataset) -> Problem:
    """The problem with ratios that divide these rows; without any that do, other data are left."""
    if "dataset.steps.split.ratios=[8,1,1]" not in problem.fix or "train" not in dataset.splits:
        return problem
    return replace(problem, fix=ways_to_divide(dataset))


def _for_evaluator(problem: Problem, has_own_data: bool) -> Problem:
    """The problem without choices that change nothing for an evaluator; its own data are all test, not all train."""
    for group in ("loss", "shape", *(("step",) if has_own_data else ())):
        problem = problem.without_choice(group)
    if not has_own_data:
        return problem
    return replace(
        problem, fix=tuple(fix.replace("split.ratios=[1,0,0]", "split.ratios=[0,0,1]") for fix in problem.fix)
    )


def _call_of(name: str, config: _Node) -> dict[str, Any]:
    left_out = ("dataset", "_set_", "_conversion_")
    return {key: value for key, value in evaluator_nodes(config)[name].items() if key not in left_out}


def _data_of(name: str, config: _Node, dataset_name: str) -> tuple[_Node, str]:
    """An evaluator's own dataset, that named by `test` or `dev`, or the run's; and its name."""
    place = _place_of(name, config)
    if place == "dataset":
        return for_evaluation(config["dataset"]), dataset_name
    given = given_data(config)
    return (
        (given[place], name_of_data(place, given[place]))
        if place in given
        else (evaluator_nodes(config)[name]["dataset"], name)
    )


def _place_of(name: str, config: _Node) -> str:
    """The key of the data that an evaluator reads."""
    node = evaluator_nodes(config)[name]
    if node.get("dataset") or name in guard_nodes(config):
        return f"dataset.{node['_set_']}" if "_set_" in node else f"{_key_of(name, config)}.dataset"
    return next(iter(given_data(config)), "dataset")


def _leak_warnings(evaluator: Evaluator, leaked: _Leaked, own_data: bool) -> Iterator[Problem]:
    """Warn of rows seen in training; the step `leaks` removes them only if the evaluator reads the run's data set."""
    fix = () if own_data else ("step=[leaks] dataset.steps.leaks.remove=train",)
    is_measured = any(metric.endswith(f"_{NO_LEAKS}") for metric in evaluator.metric_names)
    without = "The metrics that end in _no_leaks leave them out." if is_measured else "Too few are left without them."
    for split, mask in leaked.items():
        if mask.any():
            found = f"{of_rows(int(mask.sum()), len(mask))} of {split} of the evaluator {evaluator.name}"
            yield Problem(f"{found} are also in the training data", note=without, fix=fix)


def _primary_of(requested: str | None, evaluators: tuple[Evaluator, ...]) -> tuple[str, str]:
    """The evaluator and metric that pick the checkpoint and give the verdict."""
    if not evaluators:
        raise ConfigError("No evaluator is chosen", expected="at least one", fix="evaluator=auto")
    if requested is None:
        return evaluators[0].name, evaluators[0].primary_metric
    known = [f"{evaluator.name}/{metric}" for evaluator in evaluators for metric in evaluator.metric_names]
    if requested not in known:
        expected, near = f"one of: {listed(known)}", did_you_mean(requested, known)
        fix = tuple(f"primary_metric={metric}" for metric in get_close_matches(requested, known, n=2) or ["null"])
        raise ConfigError(Problem("is not measured", "primary_metric", requested, expected, near, fix))
    evaluator, _, metric = requested.rpartition("/")
    return evaluator, metric
