"""Checks of loss, modifier, trainer and models against each other, from YAML and model files alone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import EmbexpError, did_you_mean, listed
from embexp.losses.spec import LossSpec
from embexp.losses.yaml_keys import advice_for
from embexp.models.weights import LOCAL, fills_in_tokens, is_adapter, network_config
from embexp.protocols import BaseModel


@dataclass(frozen=True)
class Findings:
    """Errors stop the run before a model is loaded; warnings go with it and stand in its record.

    Attributes:
        errors, warnings: one message each: what was found, and what to type.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def merged(parts: Iterable[Findings]) -> Findings:
    """All findings together, each once.

    >>> merged([Findings(errors=("a",)), Findings(errors=("b", "a"), warnings=("c",))])
    Findings(errors=('a', 'b'), warnings=('c',))
    """
    parts = list(parts)
    return Findings(
        tuple(dict.fromkeys(error for part in parts for error in part.errors)),
        tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )


def of_rows(count: int, total: int) -> str:
    """A count with its share, for a message.

    >>> of_rows(412, 20000)
    '412 of 20,000 rows (2.1 %)'
    """
    return f"{count:,} of {total:,} rows ({100 * count / total:.1f} %)"


def named(column: str, dataset: EmbeddingDataset) -> str:
    """A column with its data set, and with the conversions that it went through: their columns have other names."""
    ways = [report.step.removeprefix("convert ") for report in dataset.history if report.step.startswith("convert ")]
    return f"{column} of {dataset.name}" + (f" (converted: {', '.join(ways)})" if ways else "")


# The names that sentence-transformers gives its batch samplers.
_SAMPLERS = ("batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label")
# Traits of losses that learn nothing from a batch of one row.
_NEEDS_OTHER_ROWS = {"in_batch_negatives", "compares_rows"}


def check_settings(spec: LossSpec, trainer: Mapping[str, Any], model: BaseModel | None) -> Findings:
    """Loss, modifier, trainer and model against each other; a model of None is not looked at."""
    return Findings(
        errors=(
            *_sampler_errors(spec, trainer),
            *_batch_size_errors(spec, trainer),
            *_transformer_errors(spec, model),
            *_adapter_errors(spec, model),
            *filter(None, [spec.modifier_problem(spec.traits)]),
            *spec.value_problems(),
        ),
        warnings=(
            *_sampler_warnings(spec, trainer),
            *_batch_size_warnings(spec, trainer),
            *_gradient_warnings(spec, trainer),
        ),
    )


def batch_size_of(trainer: Mapping[str, Any]) -> int:
    """Rows in a batch; where the trainer does not say, sentence-transformers takes 8."""
    return trainer.get("per_device_train_batch_size", 8)


def sampler_of(spec: LossSpec, trainer: Mapping[str, Any]) -> str:
    """How batches will be drawn: as the trainer says, else as the loss wants it."""
    return trainer.get("batch_sampler") or spec.batch_sampler


def _sampler_errors(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[str]:
    given = sampler_of(spec, trainer)
    if given not in _SAMPLERS:
        yield (
            f"trainer.batch_sampler={given} is not known. Expected one of: {listed(_SAMPLERS)}. "
            f"{did_you_mean(given, _SAMPLERS)}".strip()
        )
    elif "group_by_label" in (given, spec.batch_sampler) and given != spec.batch_sampler:
        why = "each batch needs texts of several classes" if given != "group_by_label" else "it groups no classes"
        yield (
            f"trainer.batch_sampler={given} was given; loss={spec.name} needs {spec.batch_sampler}: {why}. "
            "Leave trainer.batch_sampler out: the loss brings its own."
        )


def _sampler_warnings(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[str]:
    given = sampler_of(spec, trainer)
    if spec.batch_sampler == "no_duplicates" and given == "batch_sampler":
        yield (
            f"trainer.batch_sampler={given} may put a text into a batch twice, where loss={spec.name} takes it for "
            "its own negative. Leave trainer.batch_sampler out: the loss brings no_duplicates."
        )


def _batch_size_errors(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[str]:
    size = batch_size_of(trainer)
    if size < 2 and _NEEDS_OTHER_ROWS & {*spec.traits}:
        yield (
            f"trainer.per_device_train_batch_size={size}: loss={spec.name} learns from the other rows of a batch, and "
            "there are none. Type trainer.per_device_train_batch_size=32, or as many as fit."
        )
    if spec.batch_sampler == "group_by_label" and (size < 4 or size % 2):
        yield (
            f"trainer.per_device_train_batch_size={size}: loss={spec.name} draws two texts of each class into a batch. "
            f"Expected an even number of 4 or more: type trainer.per_device_train_batch_size={max(4, size + size % 2)}."
        )


def _batch_size_warnings(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[str]:
    size = batch_size_of(trainer)
    if size < spec.needs.batch_size:
        yield (
            f"loss={spec.name} takes the hardest negative of a batch and wants {spec.needs.batch_size} rows or more; "
            f"a batch has {size}. Type trainer.per_device_train_batch_size={spec.needs.batch_size}."
        )


def _transformer_errors(spec: LossSpec, model: BaseModel | None) -> Iterator[str]:
    if model and not model.has_transformer:
        if spec.needs.transformer or "gradient_cache" in spec.traits:
            yield _no_transformer(f"loss={spec.name}", "another loss, such as loss=mnrl")
        if spec.modifier and spec.modifier.needs.transformer:
            yield _no_transformer(f"modifier={spec.modifier.name}", "modifier=none")


def _adapter_errors(spec: LossSpec, model: BaseModel | None) -> Iterator[str]:
    if model and model.trains_adapter and "owns_decoder" in spec.traits:
        yield (
            f"loss={spec.name} was given with an adapter; its decoder shares the weights of the model, which the "
            "adapter leaves as they are. Type model.adapter=null, or another loss for plain texts, such as loss=simcse."
        )


def _no_transformer(who: str, instead: str) -> str:
    return f"{who} needs a transformer; the model has none. Type model=minilm, or {instead}."


def _gradient_warnings(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[str]:
    steps, size = trainer.get("gradient_accumulation_steps", 1), batch_size_of(trainer)
    if steps > 1 and "in_batch_negatives" in spec.traits:
        yield (
            f"trainer.gradient_accumulation_steps={steps} adds no negatives: each batch of {size} is its own. For more "
            f"of them type trainer.gradient_accumulation_steps=1 trainer.per_device_train_batch_size={steps * size}"
            + ("." if "gradient_cache" in spec.traits else ", with loss=cached_mnrl where memory is short.")
        )
    if trainer.get("gradient_checkpointing") and "gradient_cache" in spec.traits:
        yield (
            f"trainer.gradient_checkpointing=true: sentence-transformers advises against it with loss={spec.name}, "
            "which saves that memory itself. Type trainer.gradient_checkpointing=false and a smaller "
            "loss.mini_batch_size."
        )


def check_companions(spec: LossSpec, base: Mapping[str, str] | None) -> Findings:
    """A guide without a transformer, and a generator without a trained layer that fills in tokens.

    Args:
        base: where the base model's weights come from, which generate where no other model is named; None if unknown.
    """
    try:
        places = spec.locate()
    except EmbexpError as error:
        return Findings(errors=(str(error),))
    return Findings(errors=tuple(_guide_errors(spec, places)), warnings=tuple(_generator_warnings(spec, places, base)))


def _guide_errors(spec: LossSpec, places: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for key, place in places.items():
        folder = Path(place["location"])
        if place["source"] in LOCAL and not network_config(folder) and not is_adapter(folder):
            yield (
                f"loss.{key}={spec.call[key]} holds no transformer: no config.json there has a model_type. Expected a "
                f"model with one: {advice_for(key, spec.call)}"
            )


def _generator_warnings(
    spec: LossSpec, places: Mapping[str, Mapping[str, str]], base: Mapping[str, str] | None
) -> Iterator[str]:
    key = spec.needs.masked_language_model
    place = places.get(key, base) if key else None
    if place is None or place["source"] == "hub":
        return
    if place["source"] == "scratch" or fills_in_tokens(Path(place["location"])) is False:
        given = f"loss.{key}={spec.call[key]}" if key in places else f"loss.{key}=null, so the base model generates:"
        yield (
            f"{given} has no trained layer that fills in masked tokens, so loss={spec.name} trains on random "
            f"replacements, which are easy to detect. Expected a masked-language model: {advice_for(key, spec.call)}"
        )
