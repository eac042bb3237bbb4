"""What a loss YAML says: which shapes it accepts, how batches must be drawn, what it is like, and how it is built."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from embexp.config.checks import read_keys
from embexp.config.compose import check_arguments, instantiate, model_named, option_names, option_of, parameters_of
from embexp.config.session import option_files
from embexp.config.yaml_keys import TRAITS, LossKeys, Needs
from embexp.core.arguments import LegalValues, problems_with
from embexp.data.dataset import EmbeddingDataset
from embexp.data.sources import hub_is_reachable
from embexp.errors import ConfigError, ModelError, Problem, Problems, as_typed
from embexp.losses.modifiers import Modifier
from embexp.protocols import BaseModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LossSpec:
    """A loss as its YAML describes it; nothing is imported before `build`.

    Attributes:
        accepts: names of the shapes it trains on, best first (`_accepts_`).
        batch_sampler: how sentence-transformers fills a batch (`_batch_sampler_`): batch_sampler,
            no_duplicates (for in-batch negatives) or group_by_label.
        max_negatives: most negatives that a row may have, None for any number (`_max_negatives_`).
        call: the YAML itself: `_target_` and the loss's own arguments.
        needs: what the check before training looks for (`_needs_`).
        values: what the arguments may be (`_values_`).
        trained_by: what trains a model with it (`_trained_by_`).
        modifier: what wraps around the loss, None for nothing.
    """

    name: str
    accepts: tuple[str, ...]
    batch_sampler: str
    max_negatives: int | None
    call: Mapping[str, Any]
    needs: Needs = field(default_factory=Needs)
    values: Mapping[str, LegalValues] = field(default_factory=dict)
    modifier: Modifier | None = None
    trained_by: str = LossKeys.trained_by

    @property
    def traits(self) -> tuple[str, ...]:
        """What the loss is like with these arguments (`_traits_`), in words that checks and modifiers look for.

        in_batch_negatives: the other rows of a batch are negatives. compares_rows: it learns from the order of a
        batch's rows. gradient_cache: it embeds a batch in parts, twice. owns_head, owns_decoder, owns_copy: it trains
        a layer, a decoder, or a second copy of the model, that goes after training. owns_temperature: it trains one.
        in_one_process: it reads more of a row than its embedding and label, or parts whose number depends on the rows.
        """
        return traits_of(self.call)

    def companions(self) -> dict[str, BaseModel]:
        """The models that the loss's arguments name (`_companions_`), by argument; nothing is loaded.

        An argument whose value is null is left out.

        Raises:
            ConfigError: a value is neither a model's name, nor a path, nor a Hub id.
        """
        named = [key for key in self.call.get("_companions_") or () if self.call.get(key) is not None]
        return {key: model_named(f"loss.{key}", self.call[key]) for key in named}

    def locate(self) -> dict[str, dict[str, str]]:
        """Where the weights of the companions come from, by argument, as `BaseModel.locate` gives it.

        Raises:
            ConfigError: a value is no model, none with a transformer, or one with random weights.
            ModelError: a model's weights are not there, or the Hub cannot be reached.
        """
        return {key: self._place_of(key, model) for key, model in self.companions().items()}

    def _place_of(self, key: str, model: BaseModel) -> dict[str, str]:
        where, given = f"loss.{key}", self.call[key]
        expected, fix = "a trained model with a transformer: an option, a folder or a Hub id", f"{where}=minilm"
        if key == self.needs.masked_language_model:
            expected = "a trained transformer with the base model's vocabulary, such as that of BERT for minilm"
            fix = f"{where}=google-bert/bert-base-uncased"
        try:
            place = model.locate()
        except ModelError as error:
            raise ModelError(f"{where}={given}: {error}") from error
        if place["source"] == "scratch":
            raise ConfigError("is a model with random weights", key=where, given=given, expected=expected, fix=fix)
        if not model.has_transformer:
            raise ConfigError("has no transformer", key=where, given=given, expected=expected, fix=fix)
        if place["source"] == "hub" and not hub_is_reachable():
            text = f"is on the Hugging Face Hub ({place['location']}), which does not answer"
            raise ModelError(text, key=where, given=given, expected="a connection, or weights on disk", fix=fix)
        return place

    def check(self) -> None:
        """Refuse what loss and modifier do not take, and what the run itself gives them; imports them.

        Raises:
            ConfigError: all such arguments.
        """
        of_run = ("model",) if self.trained_by == LossKeys.trained_by else ("model", "tokenizer")
        calls = [("loss", self.call, of_run)]
        calls += [("modifier", self.modifier.call, ("model", "loss"))] if self.modifier else []
        problems = Problems()
        for key, call, names in calls:
            given = {name: None for name in names if call.get(name) is not None}
            problems.attempt(check_arguments, dict(call), given, key)
        problems.raise_if_any()

    def build(self, model: Any, dataset: EmbeddingDataset) -> Any:
        """The loss as a torch module for this model and data, with its modifier around it.

        A loss gets the arguments of its signature that only a run knows: `model`, `embedding_dimension`, `num_labels`,
        and the `_projection_dim` of teacher embeddings that are not as wide as the model's. Arguments that name another
        model (`_companions_`) become that model, not yet loaded.

        Raises:
            ConfigError: an argument does not fit, or the modifier does not compose with what the data ask for.
        """
        width = model.get_embedding_dimension()
        on_demand = {"model": model, "embedding_dimension": width, "num_labels": _num_labels(dataset)}
        on_demand["projection_dim"] = _projection_dim(dataset, width)
        wanted = parameters_of(self.call["_target_"]) or ()
        runtime = {key: value for key, value in on_demand.items() if key in wanted and self.call.get(key) is None}
        runtime |= self.companions()
        if problem := self.modifier_problem(traits_of(self.call | runtime)):
            raise ConfigError(problem)
        try:
            loss = instantiate({key: value for key, value in self.call.items() if key not in runtime}, **runtime)
        except ValueError as error:
            expected = f"arguments that fit: conf/loss/{self.name}.yaml says what each may be"
            text, fix = f"does not fit: {error}", ("loss.<argument>=<value>", "loss=<another>")
            raise ConfigError(text, key="loss", given=self.name, expected=expected, fix=fix) from error
        return self.modifier.wrap(loss, model) if self.modifier else loss

    def value_problems(self) -> list[Problem]:
        """What is wrong with the values of the loss's and the modifier's arguments, and what to type."""
        wrapper = self.modifier
        of_modifier = _value_problems("modifier", wrapper.name, wrapper.call, wrapper.values) if wrapper else ()
        return [*_value_problems("loss", self.name, self.call, self.values), *of_modifier]

    def modifier_problem(self, traits: tuple[str, ...]) -> Problem | None:
        """Why the modifier does not compose with a loss of these traits, and what to type; None when it does."""
        refused = [trait for trait in traits if trait in self.modifier.refuses] if self.modifier else []
        if not refused:
            return None
        like = " and ".join(TRAITS.get(trait, f"has the trait {trait}") for trait in refused)
        switches = [f"loss.{switch}=false" for trait in refused if (switch := switch_of(self.call, trait))]
        return Problem(
            f"does not compose with the loss {self.name}, which {like}",
            "modifier",
            self.modifier.name,
            expected="a modifier that does, or another loss",
            fix=(*switches, *(f"modifier={name}" for name in _composing_modifiers(traits))),
        )

    def arguments(self) -> dict[str, Any]:
        """The loss's own arguments as they stand in the configuration."""
        return {key: value for key, value in self.call.items() if not key.startswith("_")}

    def public_call(self) -> dict[str, Any]:
        """The call without what only describes it: `_target_` and the arguments."""
        return {"_target_": self.call["_target_"], **self.arguments()}


def spec_of(name: str, node: Mapping[str, Any], modifier: Modifier | None = None) -> LossSpec:
    """The specification in a loss YAML, with a modifier for it.

    Raises:
        ConfigError: the YAML names no callable or no accepted shape, or has a describing key that is not known.
    """
    if missing := [key for key in ("_target_", "_accepts_") if not node.get(key)]:
        text = f"has no {' and no '.join(missing)}"
        raise ConfigError(text, key="loss", given=name, expected="both: see conf/loss/mnrl.yaml")
    keys = read_keys(LossKeys, node, "loss")
    described = {"accepts": keys.accepts, "batch_sampler": keys.batch_sampler, "max_negatives": keys.max_negatives}
    more = {"needs": keys.needs, "values": keys.values, "trained_by": keys.trained_by}
    return LossSpec(name=name, call=dict(node), modifier=modifier, **described, **more)


def traits_of(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The traits of a loss with these arguments.

    A trait may hang on an argument: `{gradient_cache: use_mini_batched_version}` counts where that one is on.

    >>> traits_of({"_traits_": ["in_batch_negatives", {"gradient_cache": "cached"}], "cached": False})
    ('in_batch_negatives',)
    """
    traits = []
    for entry in node.get("_traits_") or ():
        traits += [entry] if isinstance(entry, str) else [trait for trait in entry if node.get(entry[trait])]
    return tuple(traits)


def switch_of(node: Mapping[str, Any], trait: str) -> str | None:
    """The argument that switches a trait on and off, None where the loss always has it.

    >>> switch_of({"_traits_": [{"gradient_cache": "cached"}], "cached": True}, "gradient_cache")
    'cached'
    """
    switches = [entry[trait] for entry in node.get("_traits_") or () if isinstance(entry, Mapping) and trait in entry]
    return switches[-1] if switches and node.get(switches[-1]) is True else None


def _num_labels(dataset: EmbeddingDataset) -> int | None:
    """Number of classes of a data set with class or binary labels, None for other shapes."""
    if dataset.shape.label_kind == "binary":
        return 2
    if dataset.shape.label_kind != "class":
        return None
    return len(dataset.label_names) or 1 + max(dataset.splits["train"][dataset.shape.label])


def _projection_dim(dataset: EmbeddingDataset, width: int) -> int | None:
    """How wide the teacher's embeddings are, None where they are as wide as the model's or there are none."""
    if dataset.shape.label_kind != "embedding":
        return None
    teacher = len(dataset.splits["train"][0][dataset.shape.label])
    return teacher if teacher != width else None


def is_auto(node: Mapping[str, Any]) -> bool:
    """Whether a loss YAML leaves the choice to the data: it holds a table (`_by_shape_`) in place of a call."""
    return "_by_shape_" in node


def loss_for(
    name: str, node: Mapping[str, Any], shape: str, label_names: Sequence[str] = ()
) -> tuple[str, dict[str, Any]]:
    """Name and YAML of the loss that the table gives a shape; which one and why is logged.

    Args:
        name: what the table's own YAML is called.
        label_names: the names of the classes, where the data have some.

    Raises:
        ConfigError: the YAML has arguments besides the table, or no row for the shape.
    """
    if arguments := [key for key in node if not key.startswith("_")]:
        raise ConfigError(*(Problem(key=f"loss.{key}", given=node[key], note=node["_hint_"]) for key in arguments))
    fitting = (row for row in node["_by_shape_"] if row["shape"] == shape)
    row = next((row for row in fitting if set(row.get("label_names") or label_names) == {*label_names}), None)
    if row is None:
        raise ConfigError(f"has no loss for {shape}", key="loss", given=name, expected="a named one", fix="loss=<name>")
    logger.info("loss=%s took loss=%s: %s", name, row["loss"], row["because"])
    return row["loss"], option_of("loss", row["loss"])


def _composing_modifiers(traits: Iterable[str]) -> list[str]:
    """Names of the shipped modifiers that compose with a loss of these traits."""
    traits = set(traits)
    nodes = {name: OmegaConf.load(path) for name, path in sorted(option_files("modifier").items())}
    return [name for name, node in nodes.items() if not traits & set(node.get("_refuses_") or ())]


def _value_problems(
    group: str, name: str, call: Mapping[str, Any], values: Mapping[str, LegalValues]
) -> Iterator[Problem]:
    """The problems with the arguments of a YAML in the group `loss` or `modifier`; the default is what to type."""
    for argument, legal in values.items():
        if argument in call and not legal.allow(call[argument]):
            default = as_typed(option_of(group, name)[argument]) if name in option_names(group) else None
            yield from problems_with(f"{group}.{argument}", call[argument], legal, such_as=default)
