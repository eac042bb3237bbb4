"""Checks of loss, modifier, trainer and models against each other, from YAML and model files alone."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.config.yaml_keys import TRAITS
from embexp.core.arguments import SEED, SHARE, LegalValues, problems_with
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import NOT_GIVEN, EmbexpError, Problem, did_you_mean, listed
from embexp.evaluation.stats.verdicts import margin_problems
from embexp.losses.spec import LossSpec
from embexp.models.weights import LOCAL, fills_in_tokens, is_adapter, network_config
from embexp.protocols import BaseModel
from embexp.training.checkpoints import KEEPS
from embexp.training.trainer_values import batch_size_of, trainer_problems


@dataclass(frozen=True)
class Findings:
    """Errors stop the run before a model is loaded; warnings are logged and stored with its result."""

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def merged(parts: Iterable[Findings]) -> Findings:
    """All findings together, each once.

    >>> a, b = Problem("a"), Problem("b")
    >>> merged([Findings(errors=(a,)), Findings(errors=(b, a), warnings=(b,))]) == Findings((a, b), (b,))
    True
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
    routes = [report.step.removeprefix("convert ") for report in dataset.history if report.step.startswith("convert ")]
    return f"{column} of {dataset.name}" + (f" (converted: {', '.join(routes)})" if routes else "")


# The names that sentence-transformers gives its batch samplers.
_SAMPLERS = ("batch_sampler", "no_duplicates", "no_duplicates_hashed", "group_by_label")
_READ_SCORES = ("reduce_lr_on_plateau", "greedy")  # schedules
_BATCH_SIZE = "trainer.per_device_train_batch_size"
# Traits of losses that learn nothing from a batch of one row.
_NEEDS_OTHER_ROWS = {"in_batch_negatives", "compares_rows"}


def check_settings(
    spec: LossSpec,
    trainer: Mapping[str, Any],
    model: BaseModel | None,
    num_rows: int | None = None,
    learning_rate: float | None = None,
) -> Findings:
    """Loss, modifier, trainer and model against each other; a model of None is not looked at.

    Args:
        learning_rate: the one that suits the model, where it is known.
        num_rows: of train, where they are known: no larger batch is proposed.
    """
    values = tuple(trainer_problems(trainer, learning_rate=learning_rate))
    return Findings(
        errors=(
            *(values or (*_trainer_errors(spec, trainer), *_process_errors(spec, trainer))),
            *(_model_errors(spec, model) if model else ()),
            *filter(None, [spec.modifier_problem(spec.traits)]),
            *spec.value_problems(),
        ),
        warnings=() if values else tuple(_trainer_warnings(spec, trainer, num_rows)),
    )


def usual_learning_rate(model: Mapping[str, Any]) -> float | None:
    """The learning rate that suits a model, or its adapter, as the YAML says (`_learning_rate_`)."""
    adapter = model.get("adapter")
    return (isinstance(adapter, Mapping) and adapter.get("_learning_rate_")) or model.get("_learning_rate_")


def sampler_of(spec: LossSpec, trainer: Mapping[str, Any]) -> str:
    """The name of the batch sampler: the trainer's, else the loss's."""
    return trainer.get("batch_sampler") or spec.batch_sampler


def _trainer_errors(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[Problem]:
    sampler, key = sampler_of(spec, trainer), "trainer.batch_sampler"
    own = (f"++{key}={spec.batch_sampler}",)
    if sampler not in _SAMPLERS:
        near, expected = did_you_mean(sampler, _SAMPLERS), f"one of: {listed(_SAMPLERS)}"
        yield Problem("is not known", key, sampler, expected, near, fix=own)
    elif "group_by_label" in (sampler, spec.batch_sampler) and sampler != spec.batch_sampler:
        is_grouping = sampler == "group_by_label"
        why = "which groups no classes" if is_grouping else "whose batches need texts of several classes"
        expected = f"{spec.batch_sampler}, which the loss brings by itself"
        yield Problem(f"does not go with the loss {spec.name}, {why}", key, sampler, expected, fix=own)
    size, key = batch_size_of(trainer), _BATCH_SIZE
    if size < 2 and _NEEDS_OTHER_ROWS & {*spec.traits}:
        text = f"leaves the loss {spec.name} nothing to learn: it compares a row with the others of its batch"
        yield Problem(text, key, size, expected="as many rows as fit into memory", fix=(f"{key}=32",))
    if spec.batch_sampler == "group_by_label" and (size < 4 or size % 2):
        text = f"does not fit the loss {spec.name}, whose batches hold pairs of texts of one class"
        yield Problem(text, key, size, "an even number of 4 or more", fix=(f"{key}={max(4, size + size % 2)}",))


_PROCESSES = "trainer.processes"


def _process_errors(spec: LossSpec, trainer: Mapping[str, Any]) -> Iterator[Problem]:
    """What several processes cannot train together."""
    number, one = trainer.get("processes", 1), (f"{_PROCESSES}=1",)
    if number == 1:
        return
    if "in_one_process" in spec.traits:
        hung = [each for each in spec.call["_traits_"] if isinstance(each, Mapping)]
        switches = [each["in_one_process"] for each in hung if "in_one_process" in each]
        text = f"does not go with the loss {spec.name}, which {TRAITS['in_one_process']}"
        yield Problem(text, _PROCESSES, number, "1", fix=(*one, *(f"loss.{each}=null" for each in switches)))
    if spec.modifier and spec.modifier.needs.transformer:
        text = f"does not go with the modifier {spec.modifier.name}, which reads the model's layers"
        yield Problem(text, _PROCESSES, number, "1", fix=(*one, "modifier=none"))
    optimizer = str(trainer.get("optim", ""))
    if "layerwise" in optimizer or "lomo" in optimizer:
        text = "updates a layer before its gradient is averaged over the processes"
        yield Problem(text, "trainer.optim", optimizer, "another optimizer", fix=("trainer.optim=adamw_torch", *one))
    if trainer.get("lr_scheduler_type") in _READ_SCORES:
        text, expected = "follows scores on dev, which one process computes", "a schedule of steps"
        fix = ("trainer.lr_scheduler_type=linear", *one)
        yield Problem(text, "trainer.lr_scheduler_type", trainer["lr_scheduler_type"], expected, fix=fix)
    if trainer.get("torch_compile"):
        fix = ("trainer.torch_compile=false", *one)
        yield Problem("does not go with several processes", "trainer.torch_compile", True, "false", fix=fix)


def _model_errors(spec: LossSpec, model: BaseModel) -> Iterator[Problem]:
    if not model.has_transformer:
        text, expected = "needs a transformer; the model has none", "a model with one"
        if spec.needs.transformer or "gradient_cache" in spec.traits:
            yield Problem(text, "loss", spec.name, f"{expected}, or another loss", fix=("model=minilm", "loss=mnrl"))
        if spec.modifier and spec.modifier.needs.transformer:
            fix = ("model=minilm", "modifier=none")
            yield Problem(text, "modifier", spec.modifier.name, f"{expected}, or no modifier", fix=fix)
    if model.trains_adapter and "owns_decoder" in spec.traits:
        text = "does not go with an adapter, which leaves the model's weights as they are: its decoder shares them"
        expected, fix = "no adapter, or another loss for plain texts", ("model.adapter=null", "loss=simcse")
        yield Problem(text, "loss", spec.name, expected, fix=fix)


def _trainer_warnings(spec: LossSpec, trainer: Mapping[str, Any], num_rows: int | None) -> Iterator[Problem]:
    sampler, key = sampler_of(spec, trainer), "trainer.batch_sampler"
    if spec.batch_sampler == "no_duplicates" and sampler == "batch_sampler":
        text = f"may put a text into a batch twice, and the loss {spec.name} then takes it for its own negative"
        expected = "no_duplicates, which the loss brings by itself"
        yield Problem(text, key, sampler, expected, fix=(f"++{key}=no_duplicates",))
    size, least = batch_size_of(trainer), spec.needs.batch_size
    if size < least:
        text = f"gives the loss {spec.name} few rows to find the hardest negative of a batch in"
        largest = min(least, num_rows or least)
        note = f"There are {num_rows:,} training rows" if largest < least else ""
        fix = (f"{_BATCH_SIZE}={largest}",) if largest > size else ()
        yield Problem(text, _BATCH_SIZE, size, f"{least} rows or more", note, fix)
    steps, key = trainer.get("gradient_accumulation_steps", 1), "trainer.gradient_accumulation_steps"
    is_cached = "gradient_cache" in spec.traits
    if steps > 1 and "in_batch_negatives" in spec.traits:
        larger = min(steps * size, num_rows or steps * size)
        text, batch = f"adds no negatives: each batch of {size} is its own", f"{key}=1 {_BATCH_SIZE}={larger}"
        expected = "larger batches for more negatives" + ("" if is_cached else ", or cached_mnrl if memory is short")
        fix = (batch,) if is_cached else (batch, f"{batch} loss=cached_mnrl")
        yield Problem(text, key, steps, expected, fix=fix)
    if trainer.get("gradient_checkpointing") and is_cached:
        key, expected = "trainer.gradient_checkpointing", "false, and a smaller mini_batch_size if memory is short"
        text = (
            f"slows the loss {spec.name} down for nothing, as sentence-transformers says: it saves that memory itself"
        )
        yield Problem(text, key, True, expected, fix=(f"{key}=false",))


def check_companions(spec: LossSpec, base: Mapping[str, str] | None) -> Findings:
    """A guide without a transformer, and a generator without a trained layer that fills in tokens.

    Args:
        base: where the base model's weights come from, which generate where no other model is named; None if unknown.
    """
    try:
        places = spec.locate()
    except EmbexpError as error:
        return Findings(errors=error.problems)
    return Findings(errors=tuple(_guide_errors(spec, places)), warnings=tuple(_generator_warnings(spec, places, base)))


def _guide_errors(spec: LossSpec, places: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    for key, place in places.items():
        folder = Path(place["location"])
        if place["source"] in LOCAL and not network_config(folder) and not is_adapter(folder):
            text = "holds no transformer: no config.json there has a model_type"
            expected = "a model with one: an option, a folder or a Hub id"
            yield Problem(text, f"loss.{key}", spec.call[key], expected, fix=(f"loss.{key}=minilm",))


def _generator_warnings(
    spec: LossSpec, places: Mapping[str, Mapping[str, str]], base: Mapping[str, str] | None
) -> Iterator[Problem]:
    key = spec.needs.masked_language_model
    place = places.get(key, base) if key else None
    if place is None or place["source"] == "hub":
        return
    if place["source"] == "scratch" or fills_in_tokens(Path(place["location"])) is False:
        whose = "" if key in places else "takes the base model, which "
        yield Problem(
            f"{whose}has no trained layer that fills in masked tokens, so the loss {spec.name} trains on random "
            "replacements, which are easy to detect",
            f"loss.{key}",
            spec.call[key],
            expected="a masked-language model with the base model's vocabulary, such as that of BERT for minilm",
            fix=(f"loss.{key}=google-bert/bert-base-uncased",),
        )


LEAVE_OUT = "leave_out"
_RATES, _GPUS = LegalValues(above=0, most=100, many=True), LegalValues(least=0, whole=True, many=True)
_OF_SWEEP = {  # each with a value to type
    "rerun": (LegalValues(one_of=("failed", "all", "none")), "failed", ""),
    "workers": (LegalValues(least=0, most=1024, whole=True), 2, "0: in this process."),
    "unknown_keys": (LegalValues(one_of=("refuse", LEAVE_OUT)), LEAVE_OUT, ""),
    "fair": (LegalValues(flag=True), True, ""),
    "trial_share": (SHARE, 0.25, ""),
    "race": (LegalValues(flag=True), True, ""),
}


def sweep_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems with `sweep.*`, of a run, too: it may be the first of a sweep to come."""
    for name, (legal, usual, note) in ((name, each) for name, each in _OF_SWEEP.items() if name in settings):
        yield from problems_with(f"sweep.{name}", settings[name], legal, usual, note)
    lists = {"gpus": (_GPUS, [0, 1]), "learning_rates": (_RATES, "[2e-5,5e-5,2e-4]")}
    for name, (legal, usual) in lists.items():
        given = settings.get(name)
        if given is not None and not isinstance(given, list):
            yield Problem(key=f"sweep.{name}", given=given, expected="a list", fix=(f"sweep.{name}=[{given}]",))
        elif given or (given == [] and name != "gpus"):
            usual = [*range(len(given))] if name == "gpus" else usual
            yield from problems_with(f"sweep.{name}", given, legal, usual)
    known = [*_OF_SWEEP, *lists, "engine", "part", "parts"]
    for name in (each for each in settings if each not in known):
        note, fix = did_you_mean(name, known), (f"~sweep.{name}",)
        yield Problem("is not known", f"sweep.{name}", settings[name], f"one of: {listed(known)}", note, fix)


# What the keys of a run itself may be, each with a value to type.
_OF_RUN = {
    "keep": (LegalValues(one_of=KEEPS), "none"),
    "seed": (SEED, 42),
    "threads": (LegalValues(least=1, most=1024, whole=True, optional=True), "null"),
    "name": (LegalValues(text=True, optional=True), "null"),
    "max_unknown_tokens": (LegalValues(least=0, most=1), 0.3),
}


def setting_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems with the keys of the run itself, its folders and its sweep; what is null and may not be."""
    for key, (legal, usual) in _OF_RUN.items():
        yield from problems_with(key, config.get(key, usual), legal, usual)
    for key, folder in (config.get("paths") or {}).items():
        legal = LegalValues(text=True, optional=key in ("data", "cache", "cache_size"))
        yield from problems_with(f"paths.{key}", folder, legal, "null" if legal.optional else key)
    yield from margin_problems(config)
    yield from sweep_problems(config["sweep"]) if config.get("sweep") else ()
    sweep, processes = config.get("sweep") or {}, config["trainer"].get("processes", 1)
    is_local = "LocalEngine" in ((sweep.get("engine") or {}).get("_target_") or "LocalEngine")
    if (workers := sweep.get("workers")) and is_local and processes != 1:
        text = f"was given with sweep.workers={workers}, each of which has one GPU"
        yield Problem(text, _PROCESSES, processes, "1", fix=(f"{_PROCESSES}=1", "sweep.workers=0"))
    if config["dataset"].get("reader", NOT_GIVEN) is None:
        yield Problem("reads nothing", "dataset.reader", None, expected="a reader", fix=("dataset=finance",))
    for name in (name for name, node in (config["evaluator"] or {}).items() if node is None):
        fix = (f"~evaluator.{name}",)
        yield Problem(key=f"evaluator.{name}", given=None, expected="an evaluator", fix=fix)
