"""What is evaluated: data named by test= and dev=, what evaluator=auto takes, and how files are divided.

Where nobody typed how a file without dev and test is split, what no evaluator reads is not divided (`split_for_run`).
"""

import logging
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.config.session import option_files
from embexp.core.run_folder import CONFIG, read_config, read_record
from embexp.data.dataset import EmbeddingDataset
from embexp.data.proposals import quoted
from embexp.errors import ConfigError, DataError, EmbexpError, Problem, ShapeError, listed
from embexp.experiment.datasets import DataBuilder, dataset_name, for_evaluation, offered_shapes
from embexp.experiment.routing import fitting_evaluators
from embexp.models.tokens import scripts_of

_Node = Mapping[str, Any]
logger = logging.getLogger(__name__)
AUTO = "auto"  # the evaluator that stands for those which the data suit
_LOOKED_AT = 1_000  # rows of a file that show its shape


def with_evaluators(config: dict[str, Any], name_of_own: str, builder: DataBuilder) -> dict[str, Any]:
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
    taken = [name for name, node in candidates.items() if is_typed(name, node)]
    of_metric = (config["primary_metric"] or "").partition("/")[0]
    if not taken and of_metric in candidates:
        taken = [of_metric]
    if not taken:
        key, node = next(iter(given_data(config).items()), ("dataset", config["dataset"]))
        name = name_of_own if key == "dataset" else name_of_data(key, node)
        with at_place(key):
            shapes, names, rows = shapes_of(for_evaluation(node), name, builder)
        fitting = [each for each in fitting_evaluators(shapes, builder.settings, names) if each in candidates]
        if not fitting and not kept:
            raise _none_fits(name, shapes, rows)
        taken = fitting[:1]
        if taken and rows is not None:  # which no YAML says
            logger.info("evaluator=auto: %s, because %s is %s.", taken[0], name, listed(shapes))
    return config | {"evaluator": {name: candidates[name] for name in candidates if name in taken} | kept}


def is_typed(name: str, node: _Node) -> bool:
    """Whether an evaluator differs from what its YAML says."""
    path = option_files("evaluator").get(name)
    return path is not None and OmegaConf.to_container(OmegaConf.load(path)) != node


def shapes_of(
    node: _Node, name: str, builder: DataBuilder
) -> tuple[list[str], Sequence[str] | None, EmbeddingDataset | None]:
    """The shapes that a data set offers, and the names of its classes and some rows where only these show it."""
    if offered := offered_shapes(node):
        return list(offered), None, None
    rows = looked_at(node, name, builder)
    return [rows.shape.name], rows.label_names, rows


def looked_at(node: _Node, name: str, builder: DataBuilder, most: int | None = _LOOKED_AT) -> EmbeddingDataset:
    """The first rows of each split of a data set; all where these cannot be read, so that all faults are named.

    Raises:
        EmbexpError: the data cannot be read.
    """
    reader, shape = dict(node["reader"]), next(iter(node["shapes"] or ()), None)
    if "max_rows" in reader:
        reader["max_rows"] = min(filter(None, (reader["max_rows"], most)), default=None)
    try:
        with _quiet("embexp.data"):
            return builder.read({**node, "reader": reader, "steps": {}}, name, shape)
    except EmbexpError:
        return builder.read({**node, "steps": {}}, name, shape)


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
            fix=(f"test={bundled}",),
        )
    )


def given_data(config: _Node) -> dict[str, _Node]:
    """The data sets that were named by `test` and `dev`."""
    return {split: config[split] for split in ("test", "dev") if config.get(split)}


def name_of_data(key: str, node: _Node) -> str:
    """What a person calls such a data set: by its file or id, else `test` or `dev`."""
    option = next((option for option, given in (("file", "path"), ("hub", "id")) if node["reader"].get(given)), "")
    return dataset_name(node, {"dataset": option or key})


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Problems with data that stand under another key than `dataset`, with the keys that are typed for them."""
    try:
        yield
    except EmbexpError as error:
        raise type(error)(*(problem.renamed(typed_at(place)) for problem in error.problems)) from error


def typed_at(place: str) -> Callable[[str], str]:
    """The change of keys of a data set to those of the place where it stands.

    >>> typed_at("test")("dataset.reader.columns"), typed_at("evaluator.sts.dataset")("step@dataset.steps.x")
    ('test.reader.columns', 'step@evaluator.sts.dataset.steps.x')
    """
    return lambda key: re.sub(r"^(step@)?dataset(?=\.|$)", rf"\1{place}", key)


def check_given_data(config: _Node) -> None:
    """Raise ConfigError where `test` or `dev` is no data set, or no evaluator reads it."""
    problems = []
    for key, node in given_data(config).items():
        if not (isinstance(node, Mapping) and "reader" in node):
            fix = (f"{key}={node}",) if isinstance(node, str) else ()
            problems.append(Problem("is no data set", key, node, "what the YAML of one holds", fix=fix))
        elif (chosen := config["evaluator"] or {}) and not _reads_run_data(config):
            text = f"has no effect: {listed(chosen)} {'brings its' if len(chosen) == 1 else 'bring their'} own data"
            problems.append(Problem(text, key, fix=(f"{key}=null", "evaluator=auto")))
    if problems:
        raise ConfigError(*problems)


def joined(parts: Mapping[str, EmbeddingDataset], own: EmbeddingDataset | None, has_train: bool) -> EmbeddingDataset:
    """One data set of those named by `test` and `dev`, in one shape.

    A data set without the split that it was named for, and with only one, is that split. Dev and test that were not
    named are those of the test data, else of the run's own.

    Args:
        own: the run's data in that shape, where they can be brought to it.
        has_train: whether the evaluator fits something on the run's train.

    Raises:
        DataError: a split is not there, or columns or classes are not the same in all.
    """
    rows = {split: (data, split if split in data.splits else _only_split(split, data)) for split, data in parts.items()}
    for data in (*parts.values(), *([own] if own else [])):
        for split in ("test", "dev"):
            if split in data.splits and split not in rows:
                rows[split] = (data, split)
    if has_train and own and "train" in own.splits:
        rows["train"] = (own, "train")
    first = next(iter(parts.values()))
    for split, (data, _) in rows.items():
        _check_alike(split, data, first, next(iter(parts)))
    provenance = {**first.provenance, **{f"{key}.source": data.provenance.get("source") for key, data in parts.items()}}
    provenance |= {f"{split}.name": data.name for split, (data, _) in rows.items()}
    notes = [note for key, data in parts.items() for note in _notes_of(key, data)]
    provenance["reading"] = "\n".join(notes)
    return replace(
        first, splits={split: data.splits[theirs] for split, (data, theirs) in rows.items()}, provenance=provenance
    )


def _only_split(split: str, data: EmbeddingDataset) -> str:
    if len(data.splits) > 1:
        text = f"has the splits {listed(data.splits)}, and none is {split}"
        raise DataError(
            Problem(text, split, expected=f"data with a split {split}, or with only one", fix=(f"{split}=<file>",))
        )
    return next(iter(data.splits))


def _notes_of(key: str, data: EmbeddingDataset) -> list[str]:
    return [
        note.replace("dataset.reader.", f"{key}.reader.") for note in data.provenance.get("reading", "").splitlines()
    ]


def _check_alike(split: str, data: EmbeddingDataset, first: EmbeddingDataset, named: str) -> None:
    """Raise DataError unless both have the same columns of texts, and the same classes by number."""
    if data.text_columns != first.text_columns:
        text = f"{split} has the texts {listed(data.text_columns)}, and {named} {listed(first.text_columns)}"
        raise DataError(text, expected="the same columns in both")
    if data.label_names != first.label_names:
        names = ",".join(map(quoted, dict.fromkeys((*first.label_names, *data.label_names))))
        keys = [key if key in ("test", "dev") else "dataset" for key in (named, split)]
        fix = " ".join(shlex.quote(f"{key}.reader.label_names=[{names}]") for key in dict.fromkeys(keys))
        raise DataError(
            f"{split} and {named} number their classes differently", expected="the same classes in both", fix=fix
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
    sets = [each["dataset"] for each in ((config.get("mixture") or {}).get("sets") or {}).values()]
    trained = [source_of(node) for node in (config["dataset"], *stages.values(), *sets)]
    own = dict(_own_data(config))
    evaluated = [source_of(node) for node in own.values()]
    given = given_data(config)
    evaluated += [*map(source_of, given.values())] or (
        [source_of(config["dataset"])] if _reads_run_data(config) else []
    )

    def of_training(node: _Node) -> _Node:
        why = "no evaluator reads parts of it, so all its rows are train"
        return node if source_of(node) in evaluated else with_ratios(node, _ALL_TRAIN, why)

    adapt = dict(config.get("adapt") or {})
    adapt |= {name: {**adapt[name], "dataset": of_training(node)} for name, node in stages.items()}
    evaluator, guard = (dict(config.get(group) or {}) for group in ("evaluator", "guard"))
    for nodes, data in ((evaluator, own), (guard, dict(_own_data(config, "guard")))):
        for name, node in data.items():
            if source_of(node) not in trained:
                nodes[name] = {**nodes[name], "dataset": with_ratios(node, _ALL_TEST, _own_file(name))}
    others = _given_as_a_whole(given, trained) | {
        key: each for key, each in (("adapt", adapt), ("guard", guard)) if each
    }
    return {
        **config,
        **others,
        "dataset": of_training(config["dataset"]),
        "evaluator": evaluator or config["evaluator"],
    }


def _given_as_a_whole(given: Mapping[str, _Node], trained: Sequence[str]) -> dict[str, _Node]:
    """The data named by `test` and `dev`, all rows of a file in its split; one file for both is halved."""
    is_one = len(given) == 2 and len({*map(source_of, given.values())}) == 1
    ratios = {"test": [0, 1, 1] if is_one else _ALL_TEST, "dev": [0, 1, 1] if is_one else [0, 1, 0]}
    return {
        split: node if source_of(node) in trained else with_ratios(node, ratios[split], f"it was named for {split}")
        for split, node in given.items()
    }


def split_for_evaluation(config: _Node, models: Sequence[_Node]) -> dict[str, Any]:
    """The resolved configuration of an evaluation without training, in which all rows of a file are test.

    It is divided as it was in training where one of the models is that of a run that read it.
    """
    trained = set().union(*map(_trained_on, models))

    def of_evaluation(node: _Node, why: str) -> _Node:
        if source_of(node) in trained:
            logger.info("%s is divided as it was in the run of the model.", source_of(node))
            return node
        return with_ratios(node, _ALL_TEST, why)

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


def _own_data(config: _Node, group: str = "evaluator") -> Iterator[tuple[str, _Node]]:
    """The data sets that evaluators bring, by the evaluator's name, but for those that also fit something on train."""
    for name, node in (config.get(group) or {}).items():
        if node.get("dataset") and node.get("fit_on") != "train":
            yield name, node["dataset"]


def source_of(node: _Node, directory: Path | None = None) -> str:
    """What is read, whatever its columns are called: a file's or folder's path, or an id with its subset."""
    reader = node["reader"]
    if path := reader.get("path"):
        return str((directory or Path.cwd()).joinpath(str(path)).resolve())
    return "/".join(str(reader[key]) for key in ("id", "hub", "subset", "corpus", "folder") if reader.get(key))


def with_ratios(node: _Node, ratios: Sequence[int], why: str) -> _Node:
    """The dataset YAML with these ratios where its split was left to us and is not audited."""
    steps = node.get("steps") or {}
    targets = {key: step.get("_target_") for key, step in steps.items() if step}
    open_ones = [key for key, target in targets.items() if target == SPLIT and steps[key].get("ratios") is None]
    if not open_ones or _LEAKS in targets.values():
        return node
    logger.info("%s is not divided: %s.", source_of(node), why)
    return {**node, "steps": {**steps, **{key: {**steps[key], "ratios": [*ratios]} for key in open_ones}}}


def _trained_on(model: _Node) -> set[str]:
    """What the run read, of which a model is; empty for other models."""
    path = Path(str(model.get("path") or ""))
    if path.parts[-3:] != ("stages", "main", "model") or not (path.parents[2] / CONFIG).is_file():
        return set()
    folder = path.parents[2]
    config: Any = OmegaConf.to_container(read_config(folder))
    stages = [stage for stage in (config.get("adapt") or {}).values() if _has_reader(stage)]
    sets = ((config.get("mixture") or {}).get("sets") or {}).values()
    directory = Path(read_record(folder)["directory"])
    nodes = (config["dataset"], *(each["dataset"] for each in (*stages, *sets)))
    return {source_of(node, directory) for node in nodes}
