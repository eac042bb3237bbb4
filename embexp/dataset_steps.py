"""The steps of a dataset YAML: which there are, in which order, what they make and need, and how each is applied."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embexp.config import check_arguments, describes, instantiate, option_names, option_of, parameters_of
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, ModelError
from embexp.named_models import model_named

Node = Mapping[str, Any]


def steps_of(node: Node) -> dict[str, Node]:
    """The steps in the order in which they are applied: as they are typed, but those that are `_last_` after all."""
    steps = [(key, step) for key, step in (node["steps"] or {}).items() if step is not None]
    return dict(sorted(steps, key=lambda step: bool(step[1].get("_last_"))))


def offered_shapes(node: Node) -> list[str] | None:
    """The shapes that a dataset YAML offers: that of its last step which makes one, else those of its reader.

    None when only reading can tell. A step says by its argument `shape`, or by `_makes_`, which one it makes.
    """
    made = [step.get("shape") or step.get("_makes_") for step in steps_of(node).values()]
    made = [shape for shape in made if shape]
    return made[-1:] or node["shapes"]


def as_judged(node: Node) -> Node:
    """A dataset YAML as evaluators read it: without steps that are for training alone.

    A step says so by its argument `splits`, where that names train alone, or by `_trains_only_`.
    """
    steps = {
        key: step
        for key, step in steps_of(node).items()
        if list(step.get("splits") or ()) != ["train"] and not step.get("_trains_only_")
    }
    return {**node, "steps": steps}


def is_costly(node: Node) -> bool:
    """Whether a step of a dataset YAML says by `_costly_` that it takes long, such as one that trains a model."""
    return any(step.get("_costly_") for step in steps_of(node).values())


def without_costly_steps(node: Node) -> Node:
    """A dataset YAML without its costly steps: what can be told of the data before these are worth their time."""
    return {**node, "steps": {key: step for key, step in steps_of(node).items() if not step.get("_costly_")}}


def check_steps(node: Node) -> None:
    """Raise what the arguments of the steps tell, and the making of their parts (a teacher, a server), before any runs.

    Raises:
        EmbexpError: an argument that a step does not take, or a part that cannot be; the message names the step.
    """
    for key, step in steps_of(node).items():
        with _told_under(key):
            check_arguments({name: value for name, value in step.items() if not describes(name)}, {})
            for part in step.values():
                if isinstance(part, Mapping) and "_target_" in part:
                    instantiate(part)


def with_models(step: Node) -> Node:
    """The step's call with what the models that it names by option are: their YAML, and which weights."""
    named = sorted({*_models_in(step)} & {*option_names("model")})
    return {
        **step,
        "_models_": {name: [option_of("model", name), model_named("model", name).locate()] for name in named},
    }


def _models_in(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from [value] if key == "model" and isinstance(value, str) else _models_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _models_in(value)


def applying(
    key: str, step: Node, folders: Mapping[str, Path | None]
) -> Callable[[EmbeddingDataset], EmbeddingDataset]:
    """A step as a function of the data set; a mistake in its arguments or models is told under the step's name.

    A step that takes a `cache` keeps there what must not be made twice even when the step itself is interrupted; one
    that takes `unfinished` has that folder for itself, until its result is in the cache.
    """
    known = parameters_of(step["_target_"]) or ()
    given = {name: folder for name, folder in folders.items() if name in known}

    def apply(dataset: EmbeddingDataset) -> EmbeddingDataset:
        with _told_under(key):
            return instantiate(step, dataset=dataset, **given)

    return apply


@contextmanager
def _told_under(key: str) -> Iterator[None]:
    """Mistakes told with the step that they are in: its parts, such as a teacher, know not where they stand."""
    try:
        yield
    except (ConfigError, ModelError) as error:
        place = f"dataset.steps.{key}"
        said = str(error) if place in str(error) else f"{place} (its keys begin so): {error}"
        raise type(error)(said) from error
