"""The describing keys of a loss or modifier YAML: `_traits_`, `_needs_`, `_values_` and its companion models."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embexp.config.compose import model_named, option_names, option_of
from embexp.data.sources import hub_is_reachable
from embexp.errors import ConfigError, ModelError, Problem, as_typed, did_you_mean, listed
from embexp.protocols import BaseModel

# The words for them in the catalogue and in messages.
TRAITS = {
    "in_batch_negatives": "takes the other rows of a batch as negatives",
    "compares_rows": "compares the rows of a batch",
    "gradient_cache": "embeds a batch twice",
    "owns_head": "trains a layer of its own",
    "owns_decoder": "trains a decoder",
    "owns_copy": "trains a copy of the model",
    "owns_temperature": "trains a temperature",
}


def traits_of(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The traits of a loss with these arguments.

    A trait may hang on an argument: `{gradient_cache: use_mini_batched_version}` counts where that one is on.

    >>> traits_of({"_traits_": ["in_batch_negatives", {"gradient_cache": "cached"}], "cached": False})
    ('in_batch_negatives',)
    """
    traits = []
    for entry in node.get("_traits_") or ():
        if isinstance(entry, str):
            traits.append(entry)
        else:
            traits += [trait for trait, argument in entry.items() if node.get(argument)]
    return tuple(traits)


def switch_of(node: Mapping[str, Any], trait: str) -> str | None:
    """The argument that switches a trait on and off, None where the loss always has it.

    >>> switch_of({"_traits_": [{"gradient_cache": "cached"}], "cached": True}, "gradient_cache")
    'cached'
    """
    switches = {}
    for entry in node.get("_traits_") or ():
        if not isinstance(entry, str):
            switches |= entry
    argument = switches.get(trait)
    return argument if node.get(argument) is True else None


@dataclass(frozen=True)
class Needs:
    """What the check before training looks for; what is left out is not needed.

    Attributes:
        transformer: the base model must be a transformer, not a table of token vectors.
        classes: least number of classes that have `texts_per_class` rows.
        texts_per_class: rows that a class must have to be of use.
        batch_size: rows that a batch should have (advised: fewer are a warning).
        masked_language_model: the argument that names one; null stands for the base model.
        teacher_scores: "raw": the label must hold a score for each text, not the margins between them.
    """

    transformer: bool = False
    classes: int = 0
    texts_per_class: int = 0
    batch_size: int = 0
    masked_language_model: str | None = None
    teacher_scores: str | None = None


def needs_of(name: str, node: Mapping[str, Any]) -> Needs:
    """The needs in a YAML.

    Raises:
        ConfigError: `_needs_` names something that is not known.
    """
    given, known = node.get("_needs_") or {}, [field.name for field in dataclasses.fields(Needs)]
    if unknown := [key for key in given if key not in known]:
        raise ConfigError(
            f"{name} has _needs_ {listed(unknown)}. Expected some of: {listed(known)}. "
            f"{did_you_mean(unknown[0], known)}".strip()
        )
    return Needs(**given)


def companions_of(call: Mapping[str, Any]) -> dict[str, BaseModel]:
    """The models that a loss's arguments name, by argument; nothing is loaded.

    Which arguments name models stands in `_companions_`; one whose value is null is left out.

    Raises:
        ConfigError: a value is neither a model's name, nor a path, nor a Hub id.
    """
    return {key: model_named(f"loss.{key}", call[key]) for key in _named_in(call)}


def places_of(call: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Where the weights of a loss's companions come from, by argument, as `BaseModel.locate` tells it.

    Raises:
        ConfigError: a value is no model, none with a transformer, or one whose weights are drawn at random.
        ModelError: a model's weights are not there, and the Hub does not answer.
    """
    return {
        key: _place_of(f"loss.{key}={call[key]}", model, advice_for(key, call))
        for key, model in companions_of(call).items()
    }


def advice_for(key: str, call: Mapping[str, Any]) -> str:
    """What to type for the companion that an argument names: the end of a message."""
    if key == (call.get("_needs_") or {}).get("masked_language_model"):
        return (
            f"type loss.{key}=<folder or Hub id> of one with the base model's vocabulary, such as "
            "google-bert/bert-base-uncased for minilm."
        )
    return f"type loss.{key}=minilm, or give a folder or a Hub id."


def _named_in(call: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in call.get("_companions_") or () if call.get(key) is not None)


def _place_of(given: str, model: BaseModel, advice: str) -> dict[str, str]:
    try:
        place = model.locate()
    except ModelError as error:
        raise ModelError(f"{given}: {error}") from error
    if place["source"] == "scratch":
        raise ConfigError(f"{given} is a model with random weights. Expected a trained one: {advice}")
    if not model.has_transformer:
        raise ConfigError(f"{given} has no transformer. Expected a model with one: {advice}")
    if place["source"] == "hub" and not hub_is_reachable():
        raise ModelError(
            f"{given} is on the Hugging Face Hub ({place['location']}), which does not answer. Expected a connection, "
            f"or weights on disk: {advice}"
        )
    return place


@dataclass(frozen=True)
class LegalValues:
    """What an argument may be; what is left out bounds nothing.

    Attributes:
        one_of: words.
        many: a list, each of whose members must be so, and which has one at least.
        holds: a word that the list must have.
        above, least, below, most: bounds of a number: > above, >= least, < below, <= most.
        whole: a number without a fraction.
        optional: null is a value, too; else it is refused.
    """

    one_of: tuple[str, ...] = ()
    many: bool = False
    holds: str | None = None
    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None
    whole: bool = False
    optional: bool = False

    def allow(self, value: Any) -> bool:
        """Whether an argument may be this.

        >>> [LegalValues(above=0).allow(value) for value in (0.1, 0, None, True, "0.1")]
        [True, False, False, False, False]
        """
        if value is None:
            return self.optional
        if not self.many:
            return self._allow_one(value)
        is_filled = isinstance(value, list) and len(value) > 0 and self.holds in (None, *value)
        return is_filled and all(self._allow_one(member) for member in value)

    def _allow_one(self, value: Any) -> bool:
        if self.one_of:
            return value in self.one_of
        bounds = [bound for bound in (self.above, self.least, self.below, self.most) if bound is not None]
        if not bounds:
            return True
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return not (
            (self.above is not None and not value > self.above)
            or (self.least is not None and not value >= self.least)
            or (self.below is not None and not value < self.below)
            or (self.most is not None and not value <= self.most)
        )

    def in_words(self) -> str:
        """What is expected, for a message.

        >>> LegalValues(above=0, below=1, optional=True).in_words()
        'a number above 0 and below 1, or null'
        """
        parts = [
            f"{word} {bound}"
            for word, bound in (
                ("above", self.above),
                ("of at least", self.least),
                ("below", self.below),
                ("of at most", self.most),
            )
            if bound is not None
        ]
        expected = (
            f"a {'whole ' if self.whole else ''}number {' and '.join(parts)}" if parts else "a value other than null"
        )
        expected = f"one of: {listed(self.one_of)}" if self.one_of else expected
        if self.many:
            expected = f"a list, {f'{self.holds} in it, ' if self.holds else ''}each of it {expected}"
        return f"{expected}, or null" if self.optional else expected


def values_of(name: str, node: Mapping[str, Any]) -> dict[str, LegalValues]:
    """The `_values_` of a YAML, by argument.

    Raises:
        ConfigError: one is described by a word that is not known.
    """
    known = [field.name for field in dataclasses.fields(LegalValues)]
    found = {}
    for argument, given in (node.get("_values_") or {}).items():
        if unknown := [key for key in given if key not in known]:
            raise ConfigError(
                f"{name} has _values_ of {argument} with {listed(unknown)}. Expected some of: {listed(known)}. "
                f"{did_you_mean(unknown[0], known)}".strip()
            )
        found[argument] = LegalValues(**{**given, "one_of": tuple(given.get("one_of") or ())})
    return found


def value_problems(
    group: str, name: str, call: Mapping[str, Any], values: Mapping[str, LegalValues]
) -> Iterator[Problem]:
    """What is wrong with the arguments of a YAML in the group `loss` or `modifier`, and what to type."""
    for argument, legal in values.items():
        if argument in call and not legal.allow(call[argument]):
            default = option_of(group, name)[argument] if name in option_names(group) else "<value>"
            yield _problem(f"{group}.{argument}", call[argument], legal, default)


def _problem(key: str, value: Any, legal: LegalValues, default: Any) -> Problem:
    unknown = [word for word in (value if isinstance(value, list) else [value]) if word not in legal.one_of]
    hint = did_you_mean(str(unknown[0]), legal.one_of) if legal.one_of and unknown else ""
    return Problem(key=key, given=value, expected=legal.in_words(), note=hint, fix=(f"{key}={as_typed(default)}",))
