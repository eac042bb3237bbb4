"""A look at a data set before anything is trained on it, as text or JSON."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from embexp.data.dataset import EmbeddingDataset
    from embexp.models.tokens import UnknownTokens

_FORMATS = ("text", "json")


def inspect_command() -> None:
    """`python -m embexp.inspect`: compose the configuration and show the data set that it describes."""
    from embexp.cli.app import run_command

    typed = sys.argv[1:]

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        print(inspect(config, choices, typed))

    run_command(task, "inspect")


def inspect(config: DictConfig, choices: dict[str, Any], typed: Sequence[str] = ()) -> str:
    """What the data set shows without training, as text or JSON.

    Args:
        typed: the command line, for the commands that are suggested.

    Raises:
        EmbexpError: the data cannot be read at all; rows that cannot be used are counted and shown instead.
    """
    from embexp.config.compose import instantiate, resolve
    from embexp.config.session import shell_command
    from embexp.core.arguments import COUNT_FROM_0, LegalValues, problems_with, refuse
    from embexp.experiment.datasets import DataBuilder, dataset_name, offered_shapes
    from embexp.experiment.evaluators import SPLIT
    from embexp.inspection.collect import inspection_of
    from embexp.inspection.render import rendered
    from embexp.inspection.suggestions import MODEL_KEYS, kept, training_command, with_reader

    resolved = resolve(config)
    refuse(
        (
            *problems_with("format", resolved["format"], LegalValues(one_of=_FORMATS), such_as="text"),
            *problems_with("examples", resolved["examples"], COUNT_FROM_0, such_as=3),
        )
    )
    node, steps = dict(resolved["dataset"]), resolved["steps"]
    name, settings = dataset_name(node, choices), instantiate(resolved["conversion"])
    start = node["shapes"][0] if node["shapes"] else None
    reader = node["reader"] | ({"on_fault": "drop"} if "on_fault" in node["reader"] else {})  # faulty rows are counted
    as_it_is = node | {"reader": reader, "steps": node["steps"] if steps else {}}
    dataset = DataBuilder(settings, None).read(as_it_is, name, start)
    offered = (offered_shapes(node) if steps else node["shapes"]) or [dataset.shape.name]
    found = inspection_of(dataset, offered, settings, _token_counter(resolved["model"]), resolved["examples"])
    model = str(choices.get("model") or "")
    unknown = _unknown_tokens(resolved["model"], dataset)
    found["tokens_of"] = Path(resolved["model"]["path"]).name if model == "pretrained" else model
    found["unknown_tokens"] = {split: each.share for split, each in unknown.items()}
    others = _better_readers(unknown, dataset, found["tokens_of"])
    found["models"] = others
    lenient = ["dataset.reader.on_fault=drop"] if found["faults"] and node["reader"]["on_fault"] == "stop" else []
    is_split = any((step or {}).get("_target_") == SPLIT for step in (node["steps"] or {}).values())
    typed_for_run = [*with_reader(kept(typed, MODEL_KEYS), others), *lenient]
    commands = {
        "train": training_command(typed_for_run, dataset, offered, settings, is_split),
        "prepare": shell_command("prepare", map(shlex.quote, [*kept(typed), *lenient])),
    }
    if resolved["format"] == "json":
        return json.dumps(found | {"commands": commands}, ensure_ascii=False, indent=2)
    return rendered(found, commands)


def _unknown_tokens(model_node: dict[str, Any], dataset: "EmbeddingDataset") -> dict[str, "UnknownTokens"]:
    """What a local model does not know of each split; empty where only loading it shows that."""
    from embexp.config.compose import instantiate
    from embexp.experiment.unknown_tokens import sampled_texts
    from embexp.models.tokens import unknown_by_files

    model = instantiate(model_node)
    count = unknown_by_files(model, model.locate())
    return {split: count(sampled_texts(dataset, split)) for split in dataset.splits} if count else {}


def _better_readers(unknown: dict[str, "UnknownTokens"], dataset: "EmbeddingDataset", name: str) -> list[str]:
    """Models that read the texts, where a run would refuse this one; those that need no network first."""
    from omegaconf import OmegaConf

    from embexp.config.session import conf_dir
    from embexp.experiment.unknown_tokens import sampled_texts
    from embexp.models.tokens import models_for, scripts_of

    most = OmegaConf.load(conf_dir() / "config.yaml")["max_unknown_tokens"]
    if not any(each.share > most for each in unknown.values()):
        return []
    texts = (text for split in unknown for text in sampled_texts(dataset, split))
    return [other for other in models_for(scripts_of(texts)) if other != name]


def _token_counter(model_node: dict[str, Any]) -> Callable[[Sequence[str]], list[int]] | None:
    """A function that counts tokens with the tokenizer of a local model; None if there is none."""
    from embexp.config.compose import instantiate
    from embexp.models.tokens import token_limit

    model = instantiate(model_node)
    limit = token_limit(model, model.locate())
    return (lambda texts: limit.num_tokens(texts)) if limit else None
