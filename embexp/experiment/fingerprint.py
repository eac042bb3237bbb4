"""The fingerprint of a run: a hash of all that its result depends on; the same run need not be done twice.

And in what two runs differ.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.compose import describes, option_names, option_of, packages_of
from embexp.core.environment import PACKAGES, code_of, versions
from embexp.core.run_folder import LAYOUT_TAG, changes, read_config, read_record
from embexp.data.cache import files_named_in
from embexp.errors import ConfigError
from embexp.evaluation.stats.verdicts import margins_in
from embexp.tracking.mlflow_runs import SWEEP_TAG

if TYPE_CHECKING:
    from embexp.experiment.plan import RunPlan

logger = logging.getLogger(__name__)
# Keys of a configuration that change no result: where things go, and how the computer does it.
CHANGE_NOTHING = (
    "hydra",
    "paths",
    "sweep",
    "verdict",
    "experiment",
    "resume",
    "trust",
    "name",
    "profile",
    "keep",
    "threads",
    "max_unknown_tokens",
)
NOT_RESULTS = (*CHANGE_NOTHING, "tracking", "export", "merge")


def fingerprints(plan: "RunPlan") -> dict[str, str]:
    """Hashes of the rows of all stages' splits."""
    return {
        f"{name}/{split}": value for name, part in _parts(plan) for split, value in part.dataset.fingerprints().items()
    }


def _parts(plan: "RunPlan") -> Iterator[tuple[str, Any]]:
    """The stages, and in place of a mixture its sets, with their names."""
    for stage in plan.stages:
        yield from ((f"{stage.name}.{part.name}" if stage.sets else stage.name, part) for part in stage.parts)


def evaluated_rows(plan: "RunPlan") -> dict[str, str]:
    """Hashes of the rows that the evaluators read."""
    return {
        f"{evaluator.name}/{split}": value
        for evaluator in plan.evaluators
        if getattr(evaluator, "dataset", None)
        for split, value in evaluator.dataset.fingerprints().items()
    }


def prompts(plan: "RunPlan") -> dict[str, str]:
    """Hashes of what a prepared data set says besides its rows: prompts, and names of classes."""
    read = {name: part.dataset for name, part in _parts(plan)}
    read |= {f"evaluator {each.name}": each.dataset for each in plan.evaluators if getattr(each, "dataset", None)}
    return {
        f"prompts of {name}": digest(asdict(dataset.prompts), dataset.label_names) for name, dataset in read.items()
    }


def weights(plan: "RunPlan") -> dict[str, str]:
    """Hashes (or revisions on the Hub) of all files of the base model and of other models that a loss reads."""
    places = {"base model": plan.model_place}
    for name, part in _parts(plan):
        places |= {f"{name} loss.{key}": place for key, place in part.loss.locate().items()}
    return {name: place["files"] or place["revision"] for name, place in places.items()}


_SHA256 = 64  # characters


def rows_and_weights(plan: "RunPlan") -> dict[str, str]:
    """Hashes of what a run reads; not of models that are on the Hub still, which it may fetch."""
    here = {name: found for name, found in weights(plan).items() if len(found) == _SHA256}
    return fingerprints(plan) | prompts(plan) | evaluated_rows(plan) | here


def check_same(what: str, record: Mapping[str, Any], plan: "RunPlan", fix: str) -> None:
    """Raise ConfigError if runs to come would have other rows or models than those before; warn of other code.

    Args:
        what: of which they are, such as `The study`.
        record: its `rows_and_weights` and `code` of then, as `began` and `code`.
    """
    if changed := changes(record.get("began", {}), rows_and_weights(plan)):
        raise ConfigError(
            f"{what} cannot go on, because what it began with has changed: {'; '.join(changed)}",
            expected="the same rows and model files: put them back, or begin another one",
            fix=fix,
        )
    for change in changes(record.get("code", {}), code(plan)):
        logger.warning("%s: earlier runs of it were done by the earlier code.", change)


def code(plan: "RunPlan") -> dict[str, str]:
    """Hashes of embexp's code and of that of other packages that the configuration names."""
    others = {*packages_of(plan.config), *_packages_of_tasks(plan.config)}
    others -= {name.replace("-", "_") for name in PACKAGES}
    return {f"code of {package}": code_of(package) for package in sorted({"embexp", *others})}


def _packages_of_tasks(config: Mapping[str, Any]) -> Iterator[str]:
    """The packages of task classes of the user's own, which evaluators of mteb name by dotted paths."""
    for node in ({**(config.get("evaluator") or {}), **(config.get("guard") or {})}).values():
        if str(node.get("_target_")).endswith(".mteb_evaluator"):
            names = {str(task).partition(".")[0] for task in node.get("tasks") or () if "." in str(task)}
            yield from (name for name in names if name in sys.modules or (name.isidentifier() and find_spec(name)))


def _loss_models(plan: "RunPlan") -> dict[str, Any]:
    """The YAML of each option of the group `model` that a loss names, such as its guide."""
    named = {f"{name} loss.{key}": part.loss.call[key] for name, part in _parts(plan) for key in part.loss.companions()}
    options = {*option_names("model")} if named else set()
    return {key: option_of("model", name) for key, name in named.items() if isinstance(name, str) and name in options}


def run_fingerprint(plan: "RunPlan") -> str:
    """A hash of the configuration (less what changes no result), rows, prompts, weights, code and versions.

    Two runs with the same one end with the same numbers, in the same tracker: the second need not be done.
    """
    settings = _canonical({key: value for key, value in plan.config.items() if key not in CHANGE_NOTHING})
    if any("margins" in export.needs for export in plan.exports):
        settings["margins"] = margins_in(plan.config)
    groups = ("adapt", "evaluator", "guard", "loss", "modifier", "mixture")
    calls = {key: settings[key] for key in groups if key in settings}
    return digest(
        settings,
        files_named_in(calls),
        dict(plan.choices),
        fingerprints(plan),
        evaluated_rows(plan),
        prompts(plan),
        weights(plan),
        _loss_models(plan),
        versions() | code(plan),
        str(Path.cwd()),  # where a store without a uri lies
    )


def _canonical(node: Any, key: str = "") -> Any:
    """The same settings whichever way a path was typed, and without how often a trainer logs."""
    if isinstance(node, Mapping):
        left_out = _LOGGING if key == "trainer" else ()
        return {name: _canonical(value, str(name)) for name, value in node.items() if name not in left_out}
    if isinstance(node, list | tuple):
        return [_canonical(each, key) for each in node]
    if isinstance(node, str) and key in _PATHS and (path := Path(node).expanduser()).exists():
        return str(path.resolve())
    return node


_LOGGING = ("logging_steps", "logging_strategy", "logging_first_step")
_PATHS = ("path", "model", "guide", "generator", "folder")  # keys of what is read


def identity_tags(record: Mapping[str, Any], folder: Path, sweep: str | None) -> dict[str, str]:
    """What the tracker shows of a run's record: by which runs are found, and where their folders are."""
    tags = {"embexp.fingerprint": record["fingerprint"], "embexp.folder": str(folder.resolve())}
    tags |= {LAYOUT_TAG: str(record["layout"])}
    return tags | ({SWEEP_TAG: sweep} if sweep else {})


def digest(*parts: Any) -> str:
    """A short hash of plain values; the order of keys in tables does not count."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def config_differences(first: Path, second: Path) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both; those of where things go and of what only describes a call are left out."""
    flat = [dict(_flat(OmegaConf.to_container(read_config(folder)), "")) for folder in (first, second)]
    return [
        (key, flat[0].get(key), flat[1].get(key))
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key)
        and key.partition(".")[0] not in NOT_RESULTS
        and not any(map(describes, key.split(".")))
    ]


def _flat(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, None if node == [] else node  # as of a run of an earlier version, which had no such key


_PARTS = {
    "data": "rows of ",
    "weights": "files of ",
    "evaluated": "evaluated rows of ",
    "code": "",
    "versions": "version of ",
}


def data_differences(first: Path, second: Path, parts: Iterable[str] = tuple(_PARTS)) -> list[str]:
    """What differs in rows, models, code and versions, a line for each."""
    before, after = read_record(first), read_record(second)
    return [
        f"{_PARTS[part]}{key}: {before[part].get(key)} and {after[part].get(key)}"
        for part in parts
        if part in before and part in after
        for key in dict.fromkeys([*before[part], *after[part]])
        if before[part].get(key) != after[part].get(key)
    ]
