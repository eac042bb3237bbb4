"""The evaluators of a run with their data, which of their rows were seen in training, and the primary metric."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy

from embexp.config.compose import check_arguments, instantiate
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, EmbexpError, Problem, Problems, did_you_mean, listed
from embexp.evaluation.example_evaluator import NO_LEAKS
from embexp.evaluation.scores import Evaluator
from embexp.experiment.data_checks import reading_notes
from embexp.experiment.datasets import DataBuilder, for_evaluation, is_costly, offered_shapes
from embexp.experiment.routing import route_to_evaluator
from embexp.experiment.settings_checks import of_rows
from embexp.steps.dedup.leaks import leaked_rows
from embexp.steps.split import ways_to_divide

_Node = Mapping[str, Any]
_Leaked = dict[str, "numpy.ndarray"]  # by split: which rows are also in the training data


def check_data_of_evaluators(config: _Node) -> None:
    """Raise ConfigError, with all problems, where the data of an evaluator are not what a dataset's YAML holds."""
    problems = []
    for name, node in (config["evaluator"] or {}).items():
        data, key = node.get("dataset"), f"evaluator.{name}.dataset"
        if data is not None and not (isinstance(data, Mapping) and "reader" in data):
            fix = (f"{key}={data}",) if isinstance(data, str) else ()
            problems.append(Problem("is no data set", key, data, "what the YAML of one holds", fix=fix))
    if problems:
        raise ConfigError(*problems)


def check_evaluator(name: str, config: _Node, dataset_name: str, builder: DataBuilder) -> None:
    """Raise if, according to the YAML files, an evaluator does not take its arguments or cannot read its data.

    Raises:
        ConfigError: its arguments.
        ShapeError: its data.
    """
    reads = tuple(config["evaluator"][name]["_reads_"])  # empty if it loads its data itself
    of_run = ("name", "dataset", "leaked") if reads else ("name",)
    check_arguments(_call_of(name, config), dict.fromkeys(of_run), f"evaluator.{name}")
    node, label = _data_of(name, config, dataset_name)
    if reads and (offered := offered_shapes(node)):
        route_to_evaluator(offered, reads, label, name, builder.settings)


def check_evaluators(config: _Node, dataset_name: str, builder: DataBuilder, problems: Problems) -> None:
    """Check evaluators before costly steps run; of those that read what such a step makes, only the arguments."""
    chosen = config["evaluator"] or {}
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
    if given is not None and (evaluator := given.rpartition("/")[0]) not in chosen:
        expected, near = f"<evaluator>/<metric> of one of: {listed(chosen)}", did_you_mean(evaluator, chosen)
        fix = ("primary_metric=null",)
        problems.add([Problem("is not measured", "primary_metric", given, expected, near, fix)], ConfigError)


def plan_evaluators(
    config: _Node, dataset_name: str, trained_on: Sequence[EmbeddingDataset], builder: DataBuilder, problems: Problems
) -> tuple[tuple[Evaluator, ...], tuple[str, str] | None, tuple[Problem, ...]]:
    """The evaluators, the primary evaluator and metric, and warnings: of rows seen in training, of doubtful data.

    The primary metric is not checked if an evaluator could not be planned.
    """
    evaluators, warnings = [], []
    for name in config["evaluator"] or {}:
        planned = problems.attempt(_plan_evaluator, name, config, dataset_name, trained_on, builder)
        if planned:
            evaluators.append(planned[0])
            own_data = bool(config["evaluator"][name].get("dataset"))
            warnings += _leak_warnings(planned[0], planned[1], own_data)
            warnings += getattr(planned[0], "doubts", list)()
            if own_data:
                warnings += reading_notes(planned[2])
    if len(evaluators) < len(config["evaluator"] or {}):
        return (), None, ()
    primary = problems.attempt(_primary_of, config["primary_metric"], tuple(evaluators))
    return tuple(evaluators), primary, tuple(warnings)


def _plan_evaluator(
    name: str, config: _Node, dataset_name: str, trained_on: Sequence[EmbeddingDataset], builder: DataBuilder
) -> tuple[Evaluator, _Leaked, EmbeddingDataset | None]:
    reads = tuple(config["evaluator"][name]["_reads_"])
    call = _call_of(name, config)
    if not reads:
        return instantiate(call, name=name), {}, None
    node, label = _data_of(name, config, dataset_name)
    has_own_data = node is config["evaluator"][name].get("dataset")
    with _own_keys(name, has_own_data):
        dataset = builder.in_shape(
            node, label, lambda offered: route_to_evaluator(offered, reads, label, name, builder.settings)
        )
    leaked = {
        split: numpy.logical_or.reduce([leaked_rows(train, dataset, split) for train in trained_on])
        for split in ("dev", "test")
        if split in dataset.splits and trained_on
    }
    with _own_keys(name, has_own_data, dataset):
        return instantiate(call, name=name, dataset=dataset, leaked=leaked), leaked, dataset


@contextmanager
def _own_keys(name: str, has_own_data: bool, read: EmbeddingDataset | None = None) -> Iterator[None]:
    """Problems with the data of an evaluator, those that it brings under the keys of these data.

    Args:
        read: the data, where they could be read; ratios to divide them by are tried.
    """

    def typed(key: str) -> str:
        return re.sub(r"^(step@)?dataset(?=\.|$)", rf"\1evaluator.{name}.dataset", key)

    try:
        yield
    except EmbexpError as error:
        tried = (_with_ways(problem, read) if read else problem for problem in error.problems)
        changed = (problem.renamed(typed) if has_own_data else problem for problem in tried)
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
    return {key: value for key, value in config["evaluator"][name].items() if key != "dataset"}


def _data_of(name: str, config: _Node, dataset_name: str) -> tuple[_Node, str]:
    """An evaluator's own dataset or the run's, and its name."""
    own = config["evaluator"][name].get("dataset")
    return (own, name) if own else (for_evaluation(config["dataset"]), dataset_name)


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
