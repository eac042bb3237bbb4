"""What can be told from the YAML files alone: loss, modifier, trainer and model against each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from embexp.checks.findings import Findings
from embexp.errors import did_you_mean, listed
from embexp.losses.spec import LossSpec
from embexp.protocols import BaseModel

# The names that sentence-transformers gives its batch samplers.
SAMPLERS = ("batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label")
# Traits of losses that learn nothing from a batch of one row.
NEEDS_OTHER_ROWS = {"in_batch_negatives", "compares_rows"}


def check_settings(spec: LossSpec, trainer: Mapping[str, Any], model: BaseModel | None) -> Findings:
    """Loss, modifier, trainer and model against each other; a model of None is not looked at."""
    return Findings(
        errors=(
            *_sampler_errors(spec, trainer),
            *_batch_size_errors(spec, trainer),
            *_transformer_errors(spec, model),
            *_adapter_errors(spec, model),
            *filter(None, [spec.modifier_misfit(spec.traits)]),
            *spec.value_misfits(),
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
    if given not in SAMPLERS:
        yield (
            f"trainer.batch_sampler={given} is not known. Expected one of: {listed(SAMPLERS)}. "
            f"{did_you_mean(given, SAMPLERS)}".strip()
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
    if size < 2 and NEEDS_OTHER_ROWS & {*spec.traits}:
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
