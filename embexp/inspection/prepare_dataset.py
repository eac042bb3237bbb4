"""What is written to keep: data sets with a manifest (`prepare`), and YAML files for data of one's own (`init`)."""

import logging
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from embexp.core.escaping import say

if TYPE_CHECKING:
    from embexp.data.dataset import EmbeddingDataset

logger = logging.getLogger(__name__)


def prepare_command() -> None:
    """`python -m embexp.prepare`: compose the configuration and prepare the data set that it describes."""
    from embexp.cli.app import run_command

    typed = sys.argv[1:]

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        prepare(config, choices, typed)

    run_command(task, "prepare")


def prepare(config: DictConfig, choices: dict[str, Any], typed: Sequence[str] = ()) -> Path:
    """Read, apply the steps, convert, write; returns the folder.

    Args:
        typed: the command line, for the command that is suggested.

    Raises:
        EmbexpError: the data cannot be prepared so, or something else is in the folder already.
    """
    from embexp.config.compose import resolve
    from embexp.data.storage import write_dataset
    from embexp.experiment.cache_size import bounded_cache
    from embexp.experiment.datasets import builder_of, dataset_name
    from embexp.experiment.routing import route_to_shape
    from embexp.inspection.suggestions import cannot_train, kept, training_command

    resolved = resolve(config)
    name = dataset_name(resolved["dataset"], choices)
    folder = Path(resolved["output"] or f"prepared/{name.replace(' (stand-in: ', '-').rstrip(')')}")
    _check_output(folder, resolved["format"], resolved["overwrite"])
    builder, shape = builder_of(resolved), resolved["shape"]
    with bounded_cache(resolved):
        dataset = builder.in_shape(
            resolved["dataset"],
            name,
            lambda offered: route_to_shape(offered, shape or offered[0], name, builder.settings),
        )
    for report in dataset.history:
        logger.info("%s", report)
    write_dataset(dataset, folder, resolved["format"], config={key: resolved[key] for key in ("dataset", "conversion")})
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in dataset.splits.items())
    say(f"{folder}/ holds {name} as {dataset.shape.name} ({rows} rows).")
    command = training_command(
        [f"dataset={folder}/", *kept(typed, ("conversion", "paths"))], dataset, [dataset.shape.name], builder.settings
    )
    say(f"Train on it: {command}" if command else f"Note: {cannot_train(dataset)}.")
    return folder


def _check_output(folder: Path, format: str, overwrite: bool) -> None:
    """Refuse, before anything is read, a format that cannot be written and a folder that holds something else."""
    from embexp.data.storage import check_format, is_prepared
    from embexp.errors import ConfigError

    check_format(format)
    if folder.exists() and not folder.is_dir():
        raise ConfigError("is a file", key="output", given=folder, expected="a folder", fix="output=<folder>")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not is_prepared(folder):
        text, fix = "holds files that embexp did not prepare", "output=<another folder>"
        raise ConfigError(text, key="output", given=folder, expected="a folder that is empty or new", fix=fix)
    if not overwrite:
        expected, fix = "another folder, or to overwrite it", ("overwrite=true", "output=<another folder>")
        raise ConfigError(f"{folder} holds a prepared data set", expected=expected, fix=fix)


def init_command() -> None:
    """`embexp init faq.csv test=graded.csv`: write YAML files for data of one's own."""
    from embexp.cli.app import run_command

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        say(init(config, choices))

    run_command(task, "init", _with_dataset)


def _with_dataset(arguments: Sequence[str]) -> list[str]:
    """The arguments, of which the first word is the data set."""
    words = [each for each in arguments if "=" not in each]
    return [f"dataset={each}" if words[:1] == [each] else each for each in arguments]


_SOURCES = {"file": "path", "hub": "id"}  # options whose data have no YAML of their own yet, and what names these data


def init(config: DictConfig, choices: Mapping[str, Any]) -> str:
    """Write a YAML for the data set, for those named by `test` and `dev`, and for an experiment; says what to type.

    Raises:
        EmbexpError: the data cannot be read, or a file is there already.
    """
    from embexp.config.compose import instantiate, resolve
    from embexp.config.session import option_files
    from embexp.experiment.evaluation_data import given_data
    from embexp.inspection.inspect_dataset import readers_of

    resolved = resolve(config)
    folder, nodes = Path(resolved["output"]), {"dataset": resolved["dataset"], **given_data(resolved)}
    name = resolved["name"] or _option_name(nodes["dataset"], choices, [*option_files("dataset")])
    settings, files, rows = instantiate(resolved["conversion"]), {}, {}
    for key, node in nodes.items():
        option = name if key == "dataset" else f"{name}_{key}"
        base = str(choices.get("dataset" if key == "dataset" else f"dataset@{key}"))
        if base in _SOURCES:
            rows[key] = _read_to_describe(key, node, option, settings)
            files[f"dataset/{option}.yaml"] = _dataset_yaml(node, base, rows[key])
            nodes[key] = option
        elif key == "dataset":
            _refuse_known(base)
        else:
            nodes[key] = base
    model = next(iter(readers_of(resolved["model"], rows["dataset"], str(choices["model"]))), choices["model"])
    typed = f"--config-dir {shlex.quote(str(folder))}"
    files[f"experiment/{name}.yaml"] = _experiment_yaml(name, nodes, str(model), typed)
    _write_new(folder, files, resolved["overwrite"])
    given = "".join(f" {key}={option}" for key, option in nodes.items() if key != "dataset")
    lines = [
        *(f"wrote      {folder / file}" for file in files),
        f"train      python -m embexp {typed} experiment={name}",
    ]
    return "\n".join([*lines, f"or         python -m embexp {typed} dataset={name}{given} loss=auto model={model}"])


def _option_name(node: Mapping[str, Any], choices: Mapping[str, Any], known: Sequence[str]) -> str:
    """The data set's name in letters that need no quotes; one that embexp ships gets another end."""
    from embexp.experiment.datasets import dataset_name

    name = re.sub(r"[^A-Za-z0-9]+", "_", dataset_name(node, choices)).strip("_").lower()
    name = name if re.match("[a-z]", name) else f"own_{name}".rstrip("_")
    return f"{name}_own" if name in known else name


def _refuse_known(option: str) -> None:
    from embexp.errors import ConfigError

    raise ConfigError(
        "has a YAML already", key="dataset", given=option, expected="data of your own", fix="dataset=<file>"
    )


def _read_to_describe(key: str, node: Mapping[str, Any], name: str, settings: Any) -> "EmbeddingDataset":
    from embexp.experiment.datasets import DataBuilder
    from embexp.experiment.evaluation_data import at_place, looked_at

    with at_place(key):
        return looked_at(node, name, DataBuilder(settings, None), most=None)


def _dataset_yaml(node: Mapping[str, Any], base: str, rows: "EmbeddingDataset") -> str:
    """The YAML of a data set: what was typed, and what was found, over that of `file` or `hub`."""
    from embexp.cli.overrides import expand_paths
    from embexp.cli.quoting import quote_texts
    from embexp.config.compose import composed, option_of

    taken = quote_texts(expand_paths(shlex.split(rows.provenance.get("columns_taken", ""))))
    found = composed([f"dataset={base}", *taken], "prepare", check=False)[0]["dataset"]["reader"]
    usual = option_of("dataset", base)["reader"]
    typed = {key: value for key, value in node["reader"].items() if value != usual[key]}
    reader = {key: value for key, value in OmegaConf.to_container(found).items() if value != usual[key]} | typed
    if base == "file":
        reader["path"] = os.path.abspath(Path(reader["path"]).expanduser())
    counts = ", ".join(f"{split} {each.num_rows:,}" for split, each in rows.splits.items())
    source = reader[_SOURCES[base]]
    text = OmegaConf.to_yaml({"reader": reader}).rstrip()
    columns = ", ".join(next(iter(rows.splits.values())).column_names)
    return f"""# {source}: {rows.shape.name} ({columns}), rows {counts}.
# Written by embexp init.
defaults:
  - {base}   # all other keys of the reader, with comments: conf/dataset/{base}.yaml
  - _self_
shapes: [{rows.shape.name}]
{text}
"""


def _experiment_yaml(name: str, nodes: Mapping[str, Any], model: str, typed: str) -> str:
    given = "".join(f"  - /dataset@{key}: {option}\n" for key, option in nodes.items() if key != "dataset")
    return f"""# @package _global_
# Written by embexp init. One run:      python -m embexp {typed} experiment={name}
# Losses and seeds compared, one table: python -m embexp {typed} -m experiment={name} loss=<a>,<b> seed=1,2,3
defaults:
{given}  - override /dataset: {name}
  - override /model: {model}       # a base model: conf/model/, a folder, or an id of the Hub by model=org/name
  - override /loss: auto          # by the data; or one of conf/loss/
  - override /evaluator: [auto]   # by the data that are evaluated on; or some of conf/evaluator/

trainer:
  num_train_epochs: 1             # conf/trainer/default.yaml has all keys
"""


def _write_new(folder: Path, files: Mapping[str, str], overwrite: bool) -> None:
    from embexp.errors import ConfigError, listed

    if (there := [file for file in files if (folder / file).exists()]) and not overwrite:
        text = f"holds {listed(there)} already"
        raise ConfigError(text, key="output", given=folder, fix=("overwrite=true", "name=<another name>"))
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
