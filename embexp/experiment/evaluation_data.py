"""What is evaluated: the evaluators that evaluator=auto takes, and how files without dev and test are divided.

Where nobody typed how a file without dev and test is split, what no evaluator reads is not divided (`split_for_run`).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.core.run_folder import CONFIG, read_record
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import EmbexpError, Problem, ShapeError, listed
from embexp.experiment.datasets import DataBuilder, offered_shapes
from embexp.experiment.routing import fitting_evaluators
from embexp.models.tokens import scripts_of

_Node = Mapping[str, Any]
logger = logging.getLogger(__name__)
AUTO = "auto"  # the evaluator that stands for those which the data suit
_LOOKED_AT = 1_000  # rows of a file that show its shape


def with_evaluators(config: dict[str, Any], dataset_name: str, builder: DataBuilder) -> dict[str, Any]:
    """The resolved configuration with the evaluator that the data suit in place of `auto`.

    Evaluators with settings that were typed, such as data of their own, are taken, and so is that of primary_metric;
    else the first one that reads the data and needs nothing else.

    Raises:
        ShapeError: none does, such as for texts alone.
    """
    chosen = config["evaluator"] or {}
    if AUTO not in chosen:
        return config
    candidates = {name: node for name, node in chosen.items() if name in chosen[AUTO]["_among_"]}
    kept = {name: node for name, node in chosen.items() if name != AUTO and name not in candidates}
    taken = [name for name, node in candidates.items() if _is_typed(name, node)]
    of_metric = (config["primary_metric"] or "").partition("/")[0]
    if not taken and of_metric in candidates:
        taken = [of_metric]
    if not taken:
        shapes, names, rows = _shapes_of(config["dataset"], dataset_name, builder)
        fitting = [name for name in fitting_evaluators(shapes, builder.settings, names) if name in candidates]
        if not fitting and not kept:
            raise _none_fits(dataset_name, shapes, rows)
        taken = fitting[:1]
        if taken:
            logger.info("evaluator=auto: %s, because %s is %s.", taken[0], dataset_name, listed(shapes))
    return config | {"evaluator": {name: candidates[name] for name in candidates if name in taken} | kept}


def _is_typed(name: str, node: _Node) -> bool:
    """Whether an evaluator differs from what its YAML says."""
    path = option_files("evaluator").get(name)
    return path is not None and OmegaConf.to_container(OmegaConf.load(path)) != node


def _shapes_of(
    node: _Node, name: str, builder: DataBuilder
) -> tuple[list[str], Sequence[str] | None, EmbeddingDataset | None]:
    """The shapes that a data set offers, and the names of its classes and some rows where only these show it."""
    if offered := offered_shapes(node):
        return list(offered), None, None
    rows = looked_at(node, name, builder)
    return [rows.shape.name], rows.label_names, rows


def looked_at(node: _Node, name: str, builder: DataBuilder) -> EmbeddingDataset:
    """The first rows of each split of a data set; all where these cannot be read, so that all faults are named.

    Raises:
        EmbexpError: the data cannot be read.
    """
    reader = dict(node["reader"])
    if "max_rows" in reader:
        reader["max_rows"] = min(reader["max_rows"] or _LOOKED_AT, _LOOKED_AT)
    try:
        with _quiet("embexp.data"):
            return builder.read({**node, "reader": reader, "steps": {}}, name, None)
    except EmbexpError:
        return builder.read({**node, "steps": {}}, name, None)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the messages of a package, which come once more."""
    others, level = logging.getLogger(name), logging.getLogger(name).level
    others.setLevel(logging.ERROR)
    try:
        yield
    finally:
        others.setLevel(level)


def _none_fits(name: str, shapes: Sequence[str], rows: EmbeddingDataset | None) -> ShapeError:
    """The error where data show nothing to evaluate by: what to type to evaluate on others."""
    han = rows is not None and scripts_of(rows.texts(next(iter(rows.splits))))[:1] == ["han"]
    bundled = "finance_zh" if han else "finance"
    return ShapeError(
        Problem(
            f"{name} is {listed(shapes)}: it can be trained on, but shows nothing to evaluate a model by",
            expected="other data to evaluate on, such as a file of your own with pairs and their scores or labels",
            note=f"{bundled} comes with embexp: pairs on finance, so scores on it say little of other subjects",
            fix=(f"evaluator.sts.dataset={bundled}",),
        )
    )


SPLIT, _LEAKS = "embexp.steps.split.split", "embexp.steps.dedup.leaks.audit_leaks"
_ALL_TRAIN, _ALL_TEST = [1, 0, 0], [0, 0, 1]


def split_for_run(config: _Node) -> dict[str, Any]:
    """The resolved configuration of a run, in which what nobody reads is not split.

    Of the run's file, or that of a stage, all rows are train where no evaluator reads it; of an evaluator's own file
    all rows are test, unless its probe is fitted on train. A file that is trained on and evaluated, under whatever
    keys, is divided in the same way for all. Ratios that were typed stay, and so does a split that is audited.
    """
    stages = {name: stage["dataset"] for name, stage in (config.get("adapt") or {}).items() if _has_reader(stage)}
    trained = [_source(node) for node in (config["dataset"], *stages.values())]
    own = dict(_own_data(config))
    evaluated = [_source(node) for node in own.values()]
    evaluated += [_source(config["dataset"])] if _reads_run_data(config) else []

    def of_training(node: _Node) -> _Node:
        why = "no evaluator reads parts of it, so all its rows are train"
        return node if _source(node) in evaluated else _with_ratios(node, _ALL_TRAIN, why)

    adapt = dict(config.get("adapt") or {})
    adapt |= {name: {**adapt[name], "dataset": of_training(node)} for name, node in stages.items()}
    evaluator = dict(config["evaluator"] or {})
    for name, node in own.items():
        if _source(node) not in trained:
            evaluator[name] = {**evaluator[name], "dataset": _with_ratios(node, _ALL_TEST, _own_file(name))}
    others = {"adapt": adapt} if adapt else {}
    return {
        **config,
        **others,
        "dataset": of_training(config["dataset"]),
        "evaluator": evaluator or config["evaluator"],
    }


def split_for_evaluation(config: _Node, models: Sequence[_Node]) -> dict[str, Any]:
    """The resolved configuration of an evaluation without training, in which all rows of a file are test.

    It is divided as it was in training where one of the models is that of a run which was trained on it.
    """
    trained = set().union(*map(_trained_on, models))

    def of_evaluation(node: _Node, why: str) -> _Node:
        if _source(node) in trained:
            logger.info("%s is divided as it was when the model was trained on it.", _source(node))
            return node
        return _with_ratios(node, _ALL_TEST, why)

    evaluator = dict(config["evaluator"] or {})
    for name, node in _own_data(config):
        evaluator[name] = {**evaluator[name], "dataset": of_evaluation(node, _own_file(name))}
    dataset, why = config["dataset"], "nothing is trained, so all its rows are test"
    if dataset and all(node.get("fit_on") != "train" for node in evaluator.values()):
        dataset = of_evaluation(dataset, why)
    return {**config, "dataset": dataset, "evaluator": evaluator or config["evaluator"]}


def _own_file(name: str) -> str:
    return f"all its rows are test for the evaluator {name}"


def _has_reader(stage: _Node) -> bool:
    return isinstance(stage.get("dataset"), Mapping) and "reader" in stage["dataset"]


def _reads_run_data(config: _Node) -> bool:
    return any(node["_reads_"] and not node.get("dataset") for node in (config["evaluator"] or {}).values())


def _own_data(config: _Node) -> Iterator[tuple[str, _Node]]:
    """The data sets that evaluators bring, by the evaluator's name, but for those that also fit something on train."""
    for name, node in (config["evaluator"] or {}).items():
        if node.get("dataset") and node.get("fit_on") != "train":
            yield name, node["dataset"]


def _source(node: _Node, directory: Path | None = None) -> str:
    """What is read, whatever its columns are called: a file's or folder's path, or an id with its subset."""
    reader = node["reader"]
    if path := reader.get("path"):
        return str((directory or Path.cwd()).joinpath(str(path)).resolve())
    return "/".join(str(reader[key]) for key in ("id", "hub", "subset", "corpus", "folder") if reader.get(key))


def _with_ratios(node: _Node, ratios: Sequence[int], why: str) -> _Node:
    """The dataset YAML with these ratios where its split was left to us and is not audited."""
    steps = node.get("steps") or {}
    targets = {key: step.get("_target_") for key, step in steps.items() if step}
    open_ones = [key for key, target in targets.items() if target == SPLIT and steps[key].get("ratios") is None]
    if not open_ones or _LEAKS in targets.values():
        return node
    logger.info("%s is not divided: %s.", _source(node), why)
    return {**node, "steps": {**steps, **{key: {**steps[key], "ratios": [*ratios]} for key in open_ones}}}


def _trained_on(model: _Node) -> set[str]:
    """What the run read, of which a model is; empty for other models."""
    path = Path(str(model.get("path") or ""))
    if path.parts[-3:] != ("stages", "main", "model") or not (path.parents[2] / CONFIG).is_file():
        return set()
    folder = path.parents[2]
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / CONFIG))
    stages = [stage for stage in (config.get("adapt") or {}).values() if _has_reader(stage)]
    directory = Path(read_record(folder)["directory"])
    return {_source(node, directory) for node in (config["dataset"], *(stage["dataset"] for stage in stages))}
