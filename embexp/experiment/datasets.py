"""Build a data set from its YAML: read it, apply its steps, convert it. Runs and commands share this."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from embexp.config.compose import check_arguments, instantiate, model_named, option_names, option_of, parameters_of
from embexp.config.yaml_keys import describes
from embexp.core.file_contents import cached_snapshot, model_hash
from embexp.data.cache import cached_step, dataset_key, rename_entry, step_key, unfinished_folder
from embexp.data.dataset import EmbeddingDataset
from embexp.data.formats import SUFFIXES
from embexp.data.readers import BUNDLED
from embexp.errors import ConfigError, EmbexpError, ModelError, Problem, listed
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.conversions.convert import Way, convert

_Node = Mapping[str, Any]


def _steps_of(node: _Node) -> dict[str, _Node]:
    """The steps in the order in which they are applied: as they are typed, but those that are `_last_` after all.

    Raises:
        ConfigError: arguments were given to a step that is not there.
    """
    steps = [(key, step) for key, step in (node["steps"] or {}).items() if step is not None]
    if bare := [key for key, step in steps if "_target_" not in step]:
        text, expected = f"has arguments of {listed(bare)} only", "the step that they are for"
        fix = f"step=[{','.join(bare)}]" if {*bare} <= {*option_names("step")} else ()
        raise ConfigError(text, key="dataset.steps", expected=expected, fix=fix)
    return dict(sorted(steps, key=lambda step: bool(step[1].get("_last_"))))


def offered_shapes(node: _Node) -> list[str] | None:
    """The shapes that a dataset YAML offers: the one that its last converting step makes, else those of its reader.

    None if only reading shows them. A step names the shape that it makes by its argument `shape` or by `_makes_`.
    """
    made = [shape for step in _steps_of(node).values() if (shape := step.get("shape") or step.get("_makes_"))]
    return made[-1:] or node["shapes"]


def for_evaluation(node: _Node) -> _Node:
    """A dataset YAML as evaluators read it: without steps that have `splits=[train]` or the mark `_trains_only_`."""
    steps = {
        key: step
        for key, step in _steps_of(node).items()
        if list(step.get("splits") or ()) != ["train"] and not step.get("_trains_only_")
    }
    return {**node, "steps": steps}


def is_costly(node: _Node) -> bool:
    """Whether a step of a dataset YAML is marked `_costly_`, such as one that trains a model."""
    return any(step.get("_costly_") for step in _steps_of(node).values())


def costly_steps(node: _Node) -> list[tuple[str, _Node]]:
    """The steps of a dataset YAML that are marked `_costly_`, with their keys."""
    return [(key, step) for key, step in _steps_of(node).items() if step.get("_costly_")]


def without_costly_steps(node: _Node) -> _Node:
    """A dataset YAML without its costly steps, for checks that come before these."""
    return {**node, "steps": {key: step for key, step in _steps_of(node).items() if not step.get("_costly_")}}


def check_steps(node: _Node) -> None:
    """Check the arguments of all steps and create their parts (a teacher, a server) before any step runs.

    Raises:
        EmbexpError: an argument that a step does not take, or a part that cannot be created; its key names the step.
    """
    for key, step in _steps_of(node).items():
        check_arguments(dict(step), _known_of(step, dict.fromkeys(("dataset", *_FOLDERS))), f"dataset.steps.{key}")
        _check_parts(step, f"dataset.steps.{key}")


def _known_of(step: _Node, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the step takes of what the run gives."""
    known = parameters_of(step["_target_"]) or ("dataset",)
    return {name: value for name, value in given.items() if name in known}


def _check_parts(node: _Node, place: str) -> None:
    """Make each part of a step once, the innermost first, so that a problem has the key of its part."""
    for name, part in node.items():
        if isinstance(part, Mapping) and not describes(name):
            _check_parts(part, f"{place}.{name}")
            if "_target_" in part:
                with _located_at(f"{place}.{name}"):
                    instantiate(part)


def _with_models(step: _Node) -> _Node:
    """The step's call with the YAML and the files of the models that it names by option or Hub id."""
    named = {*_models_in(step)} & {*option_names("model")}
    models = {name: [option_of("model", name), model_named("model", name).locate()["files"]] for name in named}
    return {**step, "_models_": models, _FETCHED: _fetched_models(step)}


_FETCHED = "_fetched_"
_FOLDERS = ("cache", "unfinished")  # that the run gives to steps which have such arguments


def _fetched_models(step: _Node) -> dict[str, str]:
    """Hashes of the files of models that a step names by their Hub ids, as far as they have been fetched."""
    ids = [name for name in {*_models_in(step)} if name.count("/") == 1 and not Path(name).exists()]
    return {name: model_hash(folder) for name in ids if (folder := cached_snapshot(name, None))}


def _models_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from [value] if key in ("model", "path") and isinstance(value, str) else _models_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _models_in(value)


def _apply(key: str, step: _Node, folders: Mapping[str, Path | None], dataset: EmbeddingDataset) -> EmbeddingDataset:
    """The data set after a step; a problem with its arguments or models has the step's key.

    A step with an argument `cache` keeps there what must not be computed twice even if it is interrupted. One with an
    argument `unfinished` has that folder for itself until its result is in the cache.
    """
    given = _known_of(step, {"dataset": dataset, **folders})
    check_arguments(dict(step), given, f"dataset.steps.{key}")
    _check_parts(step, f"dataset.steps.{key}")
    with _located_at(f"dataset.steps.{key}"):
        return instantiate(step, **given)


@contextmanager
def _located_at(place: str) -> Iterator[None]:
    """Problems in a step or a part with its key in front, which it does not know itself."""
    try:
        yield
    except EmbexpError as error:
        raise type(error)(*(_located(problem, place, type(error)) for problem in error.problems)) from error


@contextmanager
def _keeping_other_steps(typed: Sequence[str]) -> Iterator[None]:
    """Advice that names several steps in their order keeps the others that were typed, in theirs."""
    try:
        yield
    except EmbexpError as error:
        fixes = [tuple(_with_other_steps(fix, typed) for fix in problem.fix) for problem in error.problems]
        raise type(error)(*map(lambda problem, fix: replace(problem, fix=fix), error.problems, fixes)) from error


def _with_other_steps(fix: str, typed: Sequence[str]) -> str:
    """The advice with all steps.

    >>> _with_other_steps("step=[split,leaks]", ["clean", "leaks", "augment_typos"])
    'step=[clean,split,leaks,augment_typos]'
    """
    named = fix.removeprefix("step=[").removesuffix("]").split(",")
    if not fix.startswith("step=[") or len(named) < 2 or not {*named} & {*typed}:
        return fix
    place = min(typed.index(name) for name in named if name in typed)
    others = [[name for name in part if name not in named] for part in (typed[:place], typed[place:])]
    return f"step=[{','.join([*others[0], *named, *others[1]])}]"


def _located(problem: Problem, place: str, kind: type[EmbexpError]) -> Problem:
    if problem.key:
        own = place.rpartition(".")[2]  # a part may call itself by its usual name: encoder.model
        if problem.key.startswith(f"{own}."):
            place = place.removesuffix(f".{own}")
        return problem if problem.key.startswith("dataset.") else problem.under(place)
    if place in problem.text or not issubclass(kind, ConfigError | ModelError):
        return problem
    return replace(problem, text=f"{place}: {problem.text}")


_MOST_BUILT = 8  # data sets that a builder holds on to


def dataset_name(node: _Node, choices: Mapping[str, Any]) -> str:
    """The name of a dataset for people: the YAML's name, or the last part of its path without ending, or of its id.

    Rows that stand in for those of a public data set are named: `qqp (stand-in: finance_en)`.

    >>> paths = ("a/pairs.csv.gz", "v1.5/", "q.v2.CSV")
    >>> [dataset_name({"reader": {"path": path}}, {"dataset": "file"}) for path in paths]
    ['pairs', 'v1.5', 'q.v2']
    """
    reader = node["reader"]
    given = {"file": reader.get("path"), "hub": reader.get("id")}.get(str(choices["dataset"]))
    if given and choices["dataset"] == "file":
        path = Path(given)
        path = path if path.name not in ("", "..") else path.resolve()
        ending = re.search(rf"({'|'.join(map(re.escape, SUFFIXES))})?(\.gz)?$", path.name, re.IGNORECASE)
        name = path.name[: ending.start()] or path.name
    else:
        name = str(given or choices["dataset"]).rpartition("/")[2]
    return with_stand_in(name, _stand_in_of(node))


def _stand_in_of(node: _Node) -> str:
    """The bundled corpus whose rows are read in place of a data set's own; empty where there is none."""
    reader = node["reader"]
    return reader["stand_in"] if reader.get("stand_in") and reader.get("root") == BUNDLED else ""


def stand_ins(config: _Node) -> dict[str, str]:
    """The bundled corpus for each data set of a run or an evaluation that it stands in for: by stage, by evaluator."""
    sets = (config.get("mixture") or {}).get("sets") or {}
    nodes = {f"dataset.{name}": each["dataset"] for name, each in sets.items()}
    nodes |= {
        key: config[key] for key in ("dataset", "test", "dev") if config.get(key) and not (sets and key == "dataset")
    }
    for group in ("adapt", "evaluator"):
        parts = ((name, part.get("dataset")) for name, part in (config.get(group) or {}).items() if "_set_" not in part)
        nodes |= {f"{group}.{name}.dataset": node for name, node in parts if isinstance(node, Mapping)}
    return {key: found for key, node in nodes.items() if "reader" in node and (found := _stand_in_of(node))}


def stand_in_warning(found: Mapping[str, str]) -> Problem:
    """The warning that the scores are not those of the data that were chosen."""
    listing = listed(f"{corpus} for {key}" for key, corpus in found.items())
    return Problem(f"Rows of a bundled corpus stand in: {listing}. The scores say nothing of the data that were chosen")


def with_stand_in(name: str, stand_in: str | None) -> str:
    """A name with what stands in for it, once.

    >>> with_stand_in(with_stand_in("qqp", "finance_en"), "finance_en"), with_stand_in("qqp", "")
    ('qqp (stand-in: finance_en)', 'qqp')
    """
    suffix = f" (stand-in: {stand_in})" if stand_in else ""
    return name.removesuffix(suffix) + suffix if suffix else name


class DataBuilder:
    """Builds the data sets of a run, a sweep or a command, and remembers the latest ones.

    Args:
        settings: what conversions need to know.
        cache: the folder for results of steps; None computes everything anew.
    """

    def __init__(self, settings: ConversionSettings, cache: str | Path | None) -> None:
        self.settings = settings
        self.cache = Path(cache) if cache else None
        self._built: dict[str, EmbeddingDataset] = {}

    def with_settings(self, settings: ConversionSettings) -> "DataBuilder":
        """A builder with other settings, which shares what this one has read."""
        other = DataBuilder(settings, self.cache)
        other._built = self._built
        return other

    def read(self, node: _Node, name: str, shape: str | None) -> EmbeddingDataset:
        """The rows of a dataset YAML in one of its shapes, after its steps.

        Raises:
            EmbexpError: the data cannot be read, or a step refuses them; the message names the step.
        """
        key = json.dumps([node["reader"], node["steps"], name, shape], default=str)
        if key not in self._built:
            of_run = {"name": name, "shape": shape}
            check_arguments(node["reader"], of_run, "dataset.reader")
            self._built[key] = self._stepped(node, instantiate(node["reader"], **of_run))
            for oldest in [*self._built][:-_MOST_BUILT]:
                del self._built[oldest]
        return self._built[key]

    def _stepped(self, node: _Node, dataset: EmbeddingDataset) -> EmbeddingDataset:
        steps = _steps_of(node)
        with _keeping_other_steps([key for key in steps if key in option_names("step")]):
            return self._after_steps(dataset, steps)

    def _after_steps(self, dataset: EmbeddingDataset, steps: Mapping[str, _Node]) -> EmbeddingDataset:
        identity = dataset_key(dataset) if self.cache and steps else ""
        for key, step in steps.items():
            if self.cache:
                call, given = _with_models(step), identity
                identity = step_key(given, call)
                folders = {"cache": self.cache, "unfinished": unfinished_folder(self.cache, identity)}
                dataset = cached_step(self.cache, identity, dataset, partial(_apply, key, step, folders))
                if call[_FETCHED].items() < (now := _fetched_models(step)).items():  # by the step itself
                    identity = rename_entry(self.cache, identity, step_key(given, {**call, _FETCHED: now}))
            else:
                dataset = _apply(key, step, dict.fromkeys(_FOLDERS), dataset)
        return dataset

    def source(self, node: _Node, name: str, find_route: Callable[[list[str]], Way]) -> EmbeddingDataset:
        """The data set as it is read for the route that `find_route` returns for the shapes it offers.

        Raises:
            EmbexpError: whatever reading or steps refuse.
        """
        offered = offered_shapes(node)
        start = find_route(offered)[0] if offered else None
        if start not in (node["shapes"] or []):  # a step makes that shape
            start = node["shapes"][0] if node["shapes"] else None
        return self.read(node, name, start)

    def in_shape(self, node: _Node, name: str, find_route: Callable[[list[str]], Way]) -> EmbeddingDataset:
        """The data set, read and converted by that route.

        Raises:
            EmbexpError: whatever reading, steps or conversions refuse.
        """
        dataset = self.source(node, name, find_route)
        return self.converted(dataset, find_route([dataset.shape.name]))

    def converted(self, dataset: EmbeddingDataset, way: Way) -> EmbeddingDataset:
        """The data set after the conversions of a route.

        Raises:
            ShapeError: what these refuse.
        """
        for conversion in way[1]:
            dataset = convert(dataset, conversion, self.settings)
        return dataset


def builder_of(config: Mapping[str, Any], others: dict[str, DataBuilder] | None = None) -> DataBuilder:
    """The builder for the group `conversion` and `paths.cache` of a resolved configuration.

    Args:
        others: builders by their settings; a fitting one is reused, and a new one is added.

    Raises:
        ConfigError: conversion settings out of range.
    """
    key = json.dumps([config["conversion"], config["paths"]["cache"]], default=str)
    others = {} if others is None else others
    if key not in others:
        others[key] = DataBuilder(instantiate(config["conversion"]), config["paths"]["cache"])
    return others[key]
