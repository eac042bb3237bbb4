"""What the arguments of a trainer may be: bounds by name, keys that are the run's own, and what the libraries take."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from embexp.config.compose import check_arguments, instantiate, option_names, option_of, parameters_of
from embexp.core.arguments import (
    TRAINING_ARGUMENTS,
    LegalValues,
    enumeration_values,
    field_defaults,
    problems_with,
    refuse,
)
from embexp.errors import NOT_GIVEN, ConfigError, Problem, as_typed

_FLAG, _FLAG_OR_NULL = LegalValues(flag=True), LegalValues(flag=True, optional=True)
_COUNT_OR_NULL = LegalValues(least=1, most=10**9, whole=True, optional=True)
_BATCH, _STRATEGY = LegalValues(least=1, most=10**6, whole=True), LegalValues(one_of=("no", "steps", "epoch"))
_EVERY = LegalValues(above=0, most=10**9, steps=True)
_COMPILED = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")  # as torch.compile says
_BELOW_1 = LegalValues(least=0, below=1)

# Arguments of transformers' TrainingArguments, whichever class of them a YAML names. It takes nearly any number itself.
_LEGAL: Mapping[str, LegalValues] = {
    "num_train_epochs": LegalValues(above=0, most=10**5),
    "max_steps": LegalValues(least=1, most=10**9, whole=True, besides=-1),
    "per_device_train_batch_size": _BATCH,
    "per_device_eval_batch_size": _BATCH,
    "gradient_accumulation_steps": _BATCH,
    "learning_rate": LegalValues(above=0, most=100),
    "warmup_steps": LegalValues(least=0, most=10**9, steps=True),
    "warmup_ratio": LegalValues(least=0, below=1, optional=True),
    "weight_decay": LegalValues(least=0, most=1),
    "adam_beta1": _BELOW_1,
    "adam_beta2": _BELOW_1,
    "adam_epsilon": LegalValues(above=0, most=1),
    "max_grad_norm": LegalValues(least=0, number=True),
    "label_smoothing_factor": _BELOW_1,
    "neftune_noise_alpha": LegalValues(above=0, optional=True),
    "eval_strategy": _STRATEGY,
    "save_strategy": _STRATEGY,
    "logging_strategy": _STRATEGY,
    "eval_steps": _EVERY,
    "save_steps": _EVERY,
    "logging_steps": _EVERY,
    "eval_delay": LegalValues(least=0, most=10**9),
    "save_total_limit": _COUNT_OR_NULL,
    "max_examples": _COUNT_OR_NULL,
    "max_seconds": LegalValues(above=0, optional=True),
    "processes": LegalValues(least=1, most=1024, whole=True),
    "check_loss_steps": LegalValues(least=1, most=10**6, whole=True),
    "tokens_once": _FLAG,
    "pad_to": LegalValues(least=1, most=10**6, whole=True, many=True, optional=True),
    "dataloader_num_workers": LegalValues(least=0, most=1024, whole=True),
    "dataloader_prefetch_factor": _COUNT_OR_NULL,
    "torch_empty_cache_steps": _COUNT_OR_NULL,
    "eval_accumulation_steps": _COUNT_OR_NULL,
    "data_seed": LegalValues(least=0, below=2**32, whole=True, optional=True),
    "batch_sampler": LegalValues(text=True, optional=True),
    "torch_compile_mode": LegalValues(one_of=_COMPILED, optional=True),
    **dict.fromkeys(("bf16", "fp16", "torch_compile", "full_determinism", "use_cpu", "logging_first_step"), _FLAG),
    **dict.fromkeys(("bf16_full_eval", "fp16_full_eval", "eval_on_start", "use_liger_kernel"), _FLAG),
    **dict.fromkeys(("dataloader_drop_last", "dataloader_persistent_workers", "dataloader_in_order"), _FLAG),
    **dict.fromkeys(("tf32", "gradient_checkpointing", "activation_checkpointing"), _FLAG_OR_NULL),
}

_BY_RUN = "sets it itself"
_BY_EXPORT = "uploads nothing while it trains"
_BY_METRIC = "keeps the best checkpoint by the primary metric"
_IN_ONE = "holds the whole model on each GPU; for more than one type trainer.processes"
_BY_ITSELF = "averages the gradients of its processes by itself"
_NO_EFFECT = "trains and evaluates in any case"
# Arguments that the run gives: why, and what to type in their place.
_OWNED: Mapping[str, tuple[str, str]] = {
    "output_dir": ("keeps checkpoints in its own folder, from which it resumes", "hydra.run.dir=<folder>"),
    "logging_dir": ("keeps its records in its own folder", "hydra.run.dir=<folder>"),
    "overwrite_output_dir": ("never writes over what it finds", ""),
    "seed": ("has one seed, for all that is random", "seed=<number>"),
    "report_to": ("reports to its own tracker", "tracking=mlflow"),
    "run_name": ("has one name", "name=<name>"),
    "project": ("reports to its own tracker", "tracking.experiment=<name>"),
    "disable_tqdm": ("shows its own progress", ""),
    **dict.fromkeys(("log_level", "log_level_replica", "log_on_each_node"), ("has its own log", "")),
    "logging_nan_inf_filter": ("stops where the loss is not a number", ""),
    "remove_unused_columns": (f"{_BY_RUN}: the columns are those that the loss reads", ""),
    "label_names": (f"{_BY_RUN}: the columns are those that the loss reads", ""),
    "dataloader_pin_memory": (f"{_BY_RUN}: true where there is a GPU", ""),
    "prompts": ("takes the prompts of the data set, in training and evaluation", "step=[prompts]"),
    "metric_for_best_model": (_BY_METRIC, "primary_metric=<evaluator>/<metric>"),
    "greater_is_better": (_BY_METRIC, "primary_metric=<evaluator>/<metric>"),
    "load_best_model_at_end": (_BY_METRIC, "primary_metric=<evaluator>/<metric>"),
    "resume_from_checkpoint": ("resumes from its own last checkpoint", "resume=<folder>"),
    "ignore_data_skip": ("resumes with the row where it stopped", ""),
    "restore_callback_states_from_checkpoint": ("restores by itself what it needs", ""),
    "save_only_model": ("resumes from whole checkpoints; what of them stays is another key", "keep=weights"),
    "auto_find_batch_size": ("never changes its batch size, which changes the result", ""),
    **dict.fromkeys(("push_to_hub", "hub_model_id", "hub_strategy", "hub_private_repo"), (_BY_EXPORT, "export=[hub]")),
    **dict.fromkeys(("hub_always_push", "hub_revision"), (_BY_EXPORT, "export=[hub]")),
    "hub_token": ("reads the token from the environment, and would record this one", "export=[hub]"),
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "local_rank", "parallelism_config"), (_IN_ONE, "")),
    **dict.fromkeys(("ddp_backend", "ddp_timeout", "ddp_bucket_cap_mb"), (_BY_ITSELF, "")),
    **dict.fromkeys(("ddp_broadcast_buffers", "ddp_find_unused_parameters"), (_BY_ITSELF, "")),
    **dict.fromkeys(("do_train", "do_eval", "do_predict"), (_NO_EFFECT, "")),
}


def is_bounded(trainer: Mapping[str, Any]) -> bool:
    """Whether bounds decide on all values, so that the libraries need not be imported for that."""
    return all(name.startswith("_") or name in _OWNED or _legal_values(name) for name in trainer)


def trainer_problems(
    trainer: Mapping[str, Any], key: str = "trainer", learning_rate: float | None = None
) -> Iterator[Problem]:
    """The problems with values that can be seen without importing what trains.

    Args:
        trainer: a trainer YAML, or a part of it.
        key: where it stands.
        learning_rate: the one that suits the model, where it is known.

    >>> print(*trainer_problems({"learning_rate": -1, "max_steps": -1}))
    trainer.learning_rate=-1 was given. Expected a number above 0 and of at most 100.
    hint: type trainer.learning_rate=5e-05
    >>> print(*trainer_problems({"seed": 1}))
    trainer.seed=1 was given. A run has one seed, for all that is random.
    hint: type ~trainer.seed seed=<number>
    """
    found = []
    for name, value in trainer.items():
        if name in _OWNED:
            why, instead = _OWNED[name]
            fix = (f"~{key}.{name} {instead}".strip(),)
            yield Problem(key=f"{key}.{name}", given=value, note=f"A run {why}.", fix=fix)
        elif (legal := _legal_values(name)) and not legal.allow(value):
            found.append(name)
            is_rate = name == "learning_rate" and learning_rate
            default = as_typed(learning_rate) if is_rate else _default_of(name)
            note = "-1 leaves the number of steps to num_train_epochs." if name == "max_steps" else ""
            added = "" if default is not None else "++"
            default = as_typed(field_defaults(*TRAINING_ARGUMENTS).get(name)) if added else default
            for problem in problems_with(f"{key}.{name}", value, legal, default, note):
                yield replace(problem, fix=tuple(added + each for each in problem.fix))
    if not found:
        yield from _conflicts(trainer, key)


def _conflicts(trainer: Mapping[str, Any], key: str) -> Iterator[Problem]:
    """Values that do not go together."""
    steps = trainer.get("max_steps", -1)
    if steps > 0:
        yield from warmup_problems(trainer, steps, key)
    if steps > 0 and trainer.get("max_examples"):
        text, fix = "was given with max_steps", (f"{key}.max_steps=-1", f"{key}.max_examples=null")
        yield Problem(text, f"{key}.max_examples", trainer["max_examples"], "one of both", fix=fix)
    if trainer.get("bf16") and trainer.get("fp16"):
        fix = (f"{key}.bf16=false", f"{key}.fp16=false")
        yield Problem("was given with bf16", f"{key}.fp16", True, "one of both", fix=fix)
    scheduler, more = trainer.get("lr_scheduler_type"), trainer.get("lr_scheduler_kwargs")
    if scheduler == "reduce_lr_on_plateau" and not (isinstance(more, Mapping) and more.get("mode") == "max"):
        text, fix = (
            "lowers the learning rate as the primary metric rises",
            (f"'++{key}.lr_scheduler_kwargs={{mode: max}}'",),
        )
        yield Problem(text, f"{key}.lr_scheduler_type", scheduler, "mode: max, or another schedule", fix=fix)
    if not trainer.get("dataloader_num_workers") and trainer.get("dataloader_prefetch_factor") is not None:
        name, fix = f"{key}.dataloader_prefetch_factor", (f"{key}.dataloader_num_workers=2",)
        text = "is for workers, and there are none"
        yield Problem(text, name, trainer["dataloader_prefetch_factor"], "workers", fix=fix)


def warmup_problems(trainer: Mapping[str, Any], steps: int, key: str = "trainer") -> Iterator[Problem]:
    """The problem with a learning rate that still rises when a training of so many steps ends.

    >>> print(*warmup_problems({"warmup_steps": 100}, 4))
    trainer.warmup_steps=100 is more than the 4 steps of the training. Expected at most those, or a share below 1.
    hint: type trainer.warmup_steps=0.1
    """
    warmup = trainer.get("warmup_steps") or 0
    if warmup >= 1 and warmup > steps:
        text = f"is more than the {steps:,} steps of the training"
        expected, fix = "at most those, or a share below 1", (f"{key}.warmup_steps=0.1",)
        yield Problem(text, f"{key}.warmup_steps", warmup, expected, fix=fix)


def batch_size_of(trainer: Mapping[str, Any]) -> int:
    """Rows in a batch, over all processes; where the trainer does not say, sentence-transformers takes 8.

    >>> batch_size_of({"per_device_train_batch_size": 16, "processes": 2})
    32
    """
    return trainer.get("per_device_train_batch_size", 8) * trainer.get("processes", 1)


def steps_of(trainer: Mapping[str, Any], num_rows: int) -> int:
    """How many steps a training on so many rows has: one for each batch, or for several that are accumulated.

    >>> steps_of({"num_train_epochs": 2, "per_device_train_batch_size": 8}, 20)
    6
    """
    size, accumulated = batch_size_of(trainer), trainer.get("gradient_accumulation_steps", 1)
    each_epoch = math.ceil(math.ceil(num_rows / size) / accumulated)
    if examples := trainer.get("max_examples"):
        passes, rest = divmod(examples, num_rows)
        return max(1, passes * each_epoch + rest // (size * accumulated))
    if trainer.get("max_steps", -1) > 0:
        return trainer["max_steps"]
    return math.ceil(each_epoch * trainer.get("num_train_epochs", 3))


# Keys of a trainer YAML which their classes of arguments do not know.
OF_A_RUN = ("max_examples", "max_seconds", "processes", "check_loss_steps", "tokens_once", "pad_to")


def without_budgets(trainer: Mapping[str, Any], num_rows: int | None = None) -> dict[str, Any]:
    """The trainer with a number of steps in place of `max_examples`, so that the schedule ends where the training does.

    No step begins that would read more examples; a training has one step at least. `max_seconds` ends a training while
    it runs (`CheckpointCallback`).

    >>> without_budgets({"max_examples": 50, "max_seconds": None, "per_device_train_batch_size": 8}, num_rows=20)
    {'per_device_train_batch_size': 8, 'max_steps': 7}
    """
    found = {key: value for key, value in trainer.items() if key not in OF_A_RUN}
    if trainer.get("max_examples") and num_rows:
        found["max_steps"] = steps_of(trainer, num_rows)
    return found


def _legal_values(name: str) -> LegalValues | None:
    """What an argument may be; the words are those of the installed transformers."""
    if name == "lr_scheduler_type":
        return LegalValues(one_of=enumeration_values("transformers.trainer_utils", "SchedulerType"))
    if name == "optim":
        return LegalValues(one_of=enumeration_values("transformers.training_args", "OptimizerNames"))
    return _LEGAL.get(name)


def _default_of(name: str) -> str | None:
    defaults = option_of("trainer", "default") if "default" in option_names("trainer") else {}
    return as_typed(defaults[name]) if name in defaults else None


def bf16_on_cpu(trainer: Mapping[str, Any]) -> dict[str, bool]:
    """The argument that transformers needs to train in bfloat16 on a CPU; none where there is a GPU."""
    import torch

    return {"use_cpu": True} if trainer.get("bf16") and not torch.cuda.is_available() else {}


def check_trainer(trainer: Mapping[str, Any], key: str = "trainer") -> None:
    """Make what the training will be made of, from arguments whose names are known; nothing is written.

    The trainer's arguments, the optimizer of one weight, and the schedule of its learning rate: each has values of its
    own that it does not take, and packages that it needs.

    Raises:
        ConfigError: one of them does not take a value.
    """
    check_arguments(without_budgets(trainer), {}, key)
    refuse(trainer_problems(trainer, key))
    trainer = without_budgets(trainer)
    known = parameters_of(trainer["_target_"]) or ()
    runtime = {"output_dir": "never-written", "report_to": "none"} | bf16_on_cpu(trainer)
    runtime = {name: value for name, value in runtime.items() if name in known}
    arguments = _made(lambda: instantiate(trainer, **runtime), trainer, key, "")
    if not getattr(arguments, "optim_target_modules", None):  # which are those of a network
        optimizer = _made(lambda: _optimizer(arguments), trainer, key, "optim")
        _made(lambda: _schedule(arguments, optimizer), trainer, key, "lr_scheduler_type")


def _made(make: Callable[[], Any], trainer: Mapping[str, Any], key: str, chosen_by: str) -> Any:
    """What a library makes of the values; its refusal is put at the key that it speaks of.

    Args:
        chosen_by: the argument that says what is made, which is to blame where no other is.
    """
    try:
        return make()
    except (TypeError, ValueError, AttributeError, LookupError, ImportError, RuntimeError, OSError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ConfigError(_refused(said, trainer, key, chosen_by)) from error


def _optimizer(arguments: Any) -> Any:
    import torch
    from transformers import Trainer

    made_by, options = Trainer.get_optimizer_cls_and_kwargs(arguments)
    return made_by([torch.nn.Parameter(torch.zeros(2, 2))], **options)


def _schedule(arguments: Any, optimizer: Any) -> Any:
    from transformers.optimization import get_scheduler

    more = {"scheduler_specific_kwargs": dict(arguments.lr_scheduler_kwargs or {})}
    name, warmup = arguments.lr_scheduler_type, arguments.get_warmup_steps(100)
    return get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=100, **more)


def _refused(said: str, trainer: Mapping[str, Any], key: str, chosen_by: str) -> Problem:
    """A library's refusal at the key that it names, else at the one whose values nothing else bounds."""
    typed = [name for name in trainer if not name.startswith("_")]
    named = [name for name in typed if re.search(rf"\b{name}\b", said)]
    free = [
        name for name in typed if name not in _LEGAL and trainer[name] != field_defaults(*TRAINING_ARGUMENTS).get(name)
    ]
    free = [name for name in free if name not in ("optim", "lr_scheduler_type")]
    name = next((each[0] for each in (named, free) if len(each) == 1), chosen_by)
    default = _default_of(name)
    if not name:
        return Problem(f"does not fit: {said}", key=key, expected="values that go together")
    fix = f"~{key}.{name}" if default is None else f"{key}.{name}={default}"
    expected = "a value that the trainer takes"
    return Problem(f"does not fit: {said}", f"{key}.{name}", trainer.get(name, NOT_GIVEN), expected, fix=(fix,))
