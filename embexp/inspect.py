"""`python -m embexp.inspect`: a look at a data set before anything is trained on it."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

FORMATS = ("text", "json")
DATA_KEYS = ("dataset", "conversion", "paths")


def main() -> None:
    """Compose the configuration and show the data set that it describes."""
    from embexp.command import run_command

    typed = sys.argv[1:]

    def task(config: DictConfig, choices: dict[str, Any], _folder: Path) -> None:
        print(inspect(config, choices, typed))

    run_command(task, "inspect")


def inspect(config: DictConfig, choices: dict[str, Any], typed: Sequence[str] = ()) -> str:
    """What can be told of the data set, as text or JSON.

    Args:
        typed: the command line, for the commands that are suggested.

    Raises:
        EmbexpError: the data cannot be read at all; rows that cannot be used are counted and shown instead.
    """
    from embexp.building import DataBuilder, dataset_name, offered_shapes
    from embexp.config import instantiate, resolve
    from embexp.errors import ConfigError
    from embexp.inspection.collect import inspection_of
    from embexp.inspection.render import rendered

    resolved = resolve(config)
    if resolved["format"] not in FORMATS:
        raise ConfigError(f"format={resolved['format']} is not known. Expected text or json.")
    node, steps = dict(resolved["dataset"]), resolved["steps"]
    name, settings = dataset_name(node, choices), instantiate(resolved["conversion"])
    start = node["shapes"][0] if node["shapes"] else None
    dataset = DataBuilder(settings, None).read(_as_it_is(node, steps), name, start)
    offered = (offered_shapes(node) if steps else node["shapes"]) or [dataset.shape.name]
    found = inspection_of(dataset, offered, settings, token_counter(resolved["model"]), resolved["examples"])
    commands = commands_for(found, [text for text in typed if text.partition(".")[0].partition("=")[0] in DATA_KEYS])
    if resolved["format"] == "json":
        return json.dumps(found | {"commands": commands}, ensure_ascii=False, indent=2)
    return rendered(found, commands)


def _as_it_is(node: dict[str, Any], with_steps: bool) -> dict[str, Any]:
    """The dataset's YAML so that faulty rows are counted, without its steps unless asked for."""
    reader = node["reader"] | ({"on_fault": "drop"} if "on_fault" in node["reader"] else {})
    return node | {"reader": reader, "steps": node["steps"] if with_steps else {}}


def token_counter(model_node: dict[str, Any]) -> Callable[[Sequence[str]], list[int]] | None:
    """Counts the tokens of texts with the tokenizer of a model that is here; None where there is none."""
    from embexp.config import instantiate
    from embexp.models.tokens import token_limit

    model = instantiate(model_node)
    limit = token_limit(model, model.locate())
    return (lambda texts: limit.num_tokens(texts)) if limit else None


def commands_for(found: dict[str, Any], typed: Sequence[str]) -> dict[str, str]:
    """What to type next: to train, and to prepare."""
    import shlex

    from embexp.steps.routes import route

    data = " ".join(shlex.quote(text) for text in typed)
    judged = "" if route(found["offered_shapes"], ["scored_pair"], most=1) else " evaluator=[stsb]"
    return {
        "train": f"python -m embexp {data} loss=auto{judged}".replace("  ", " "),
        "prepare": f"python -m embexp.prepare {data}".rstrip(),
    }


if __name__ == "__main__":
    main()
