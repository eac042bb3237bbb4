"""What a trainer's arguments may be: nonsense is refused before anything is imported, and each advice is a way on."""

import math
import shlex

import pytest

from embexp.config.compose import option_of
from embexp.core.arguments import TRAINING_ARGUMENTS, field_defaults
from embexp.errors import ConfigError
from embexp.training.trainer_values import (
    _LEGAL,
    _OWNED,
    OF_A_RUN,
    check_trainer,
    is_bounded,
    steps_of,
    trainer_problems,
    without_budgets,
)

NO_COUNT = (0, -1, 1.5, math.nan, math.inf, None, True, "8", "", [8], {"a": 1}, 10**30)
NO_SHARE = (-0.1, 1, math.nan, None, False, "x", [0.5])
NONSENSE = {
    "num_train_epochs": (0, -1, math.nan, math.inf, None, True, "", [1], 10**9),
    "max_steps": (0, -2, 1.5, None, True, 10**12),
    "per_device_train_batch_size": NO_COUNT,
    "gradient_accumulation_steps": NO_COUNT,
    "learning_rate": (0, -1, 1e30, math.nan, math.inf, True, "fast", [1e-5]),
    "warmup_steps": (-3, 2.5, math.nan, None, True, "all"),
    "eval_steps": (0, -1, 1.5, math.nan, None, True, "x"),
    "save_steps": (0, -0.5, None),
    "logging_steps": (0, -1, math.nan),
    "weight_decay": (-1, 2, math.nan, None, False),
    "max_grad_norm": (-1, math.inf, None),
    "save_total_limit": (0, -1, 1.5, "2"),
    "dataloader_num_workers": (-1, 10**6, None, True),
    "adam_beta1": NO_SHARE,
    "eval_strategy": ("never", "", None, False, 5, ["steps"]),
    "lr_scheduler_type": ("nope", "", None, 5),
    "optim": ("nope", "", None, True),
    "bf16": (1, 0, "yes", None, "", [True]),
    "dataloader_drop_last": (5, "no", None),
    "torch_compile_mode": ("fast", "", 3),
    "check_loss_steps": NO_COUNT,
    "tokens_once": (1, "yes", None),
    "pad_to": (64, [], [0], [32, 64.5], "64", [True]),
}


@pytest.fixture(scope="module")
def default_trainer() -> dict:
    """trainer=default, which takes a sixth of a second to compose."""
    return option_of("trainer", "default")


@pytest.fixture(autouse=True)
def composed_once(default_trainer, monkeypatch):
    """What is checked composes it to know the defaults: here it is composed once for all."""
    monkeypatch.setattr("embexp.training.trainer_values.option_of", lambda *_: dict(default_trainer))


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in NONSENSE.items() for value in values], ids=str
)
def test_nonsense_is_refused_with_its_key_and_a_value_that_is_taken(name, value, default_trainer):
    trainer = default_trainer | {name: value}
    (problem,) = trainer_problems(trainer)
    assert problem.key == f"trainer.{name}"
    (fix,) = problem.fix
    key, _, instead = fix.lstrip("+").partition("=")
    assert key == problem.key
    assert [*trainer_problems(trainer | {name: _read(instead)})] == []


def _read(typed: str):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(f"value={typed}").value()


@pytest.mark.parametrize(
    "sense",
    [
        {"num_train_epochs": 0.5},
        {"max_steps": -1},
        {"max_steps": 10**6, "warmup_steps": 10_000},
        {"learning_rate": 0.5},
        {"warmup_steps": 0},
        {"eval_steps": 300},
        {"eval_steps": 1},
        {"save_total_limit": None},
        {"max_grad_norm": 0},
        {"lr_scheduler_type": "cosine"},
        {"adam_epsilon": 1e-6},
    ],
    ids=str,
)
def test_sense_is_taken(sense, default_trainer):
    assert [*trainer_problems(default_trainer | sense)] == []
    assert is_bounded(default_trainer | sense)


@pytest.mark.parametrize("option", ["default", "gpu", "smoke"])
def test_the_shipped_trainers_make_sense(option):
    assert [*trainer_problems(option_of("trainer", option))] == []


def test_all_problems_are_reported_at_once():
    keys = [problem.key for problem in trainer_problems({"learning_rate": -1, "eval_steps": 0, "seed": 3})]
    assert keys == ["trainer.learning_rate", "trainer.eval_steps", "trainer.seed"]


@pytest.mark.parametrize("name", sorted(_OWNED))
def test_what_the_run_owns_is_refused_with_the_reason_and_what_takes_it_out(name):
    (problem,) = trainer_problems({name: "anything"}, "adapt.tsdae.trainer")
    assert problem.note.startswith("A run ")
    assert shlex.split(problem.fix[0])[0] == f"~adapt.tsdae.trainer.{name}"


def test_the_names_are_those_of_the_library():
    known = {*field_defaults(*TRAINING_ARGUMENTS), "batch_sampler", "prompts", "warmup_ratio"}
    earlier = {"logging_dir", "overwrite_output_dir"}  # of versions before, refused with the reason in any case
    assert ({*_LEGAL, *_OWNED} - known) <= earlier | {*OF_A_RUN}


@pytest.mark.parametrize(
    ("trainer", "rows", "steps"),
    [
        ({"max_steps": 7}, 1000, 7),
        ({"num_train_epochs": 1, "per_device_train_batch_size": 32}, 33, 2),
        ({"num_train_epochs": 0.5, "per_device_train_batch_size": 4}, 16, 2),
        ({"num_train_epochs": 1, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 3}, 16, 2),
    ],
)
def test_steps_are_counted_as_the_library_counts_them(trainer, rows, steps):
    assert steps_of(trainer, rows) == steps


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"lr_scheduler_kwargs": {"foo": 1}}, "trainer.lr_scheduler_kwargs"),
        ({"lr_scheduler_kwargs": 5}, "trainer.lr_scheduler_kwargs"),
        ({"optim_args": "foo"}, "trainer.optim_args"),
        ({"optim": "lion_8bit"}, "trainer.optim"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "trainer.lr_scheduler_type"),
        ({"accelerator_config": "missing.json"}, "trainer.accelerator_config"),
        ({"report_too": "x"}, "trainer.report_too"),
    ],
    ids=str,
)
def test_what_only_the_libraries_can_tell_is_put_at_its_key(given, key, default_trainer):
    with pytest.raises(ConfigError) as refusal:
        check_trainer(default_trainer | given)
    assert [problem.key for problem in refusal.value.problems] == [key]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"optim": "sgd"},
        {"optim": "adafactor"},
        {"optim_args": "decoupled_weight_decay=True", "optim": "adamw_torch"},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 10}},
    ],
    ids=str,
)
def test_what_the_libraries_take_is_taken(given, default_trainer):
    check_trainer(default_trainer | given)


@pytest.mark.parametrize(
    ("trainer", "rows", "steps"),
    [
        ({"max_examples": 16, "per_device_train_batch_size": 8}, 20, 2),
        ({"max_examples": 20, "per_device_train_batch_size": 8}, 20, 3),
        ({"max_examples": 47, "per_device_train_batch_size": 8}, 20, 6),
        ({"max_examples": 48, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}, 20, 4),
        ({"max_examples": 3, "per_device_train_batch_size": 8}, 20, 1),
        ({"max_examples": 10**6, "per_device_train_batch_size": 1000}, 1001, 1998),
    ],
)
def test_an_equal_number_of_examples_is_so_many_steps_whatever_the_batches(trainer, rows, steps):
    assert steps_of(trainer, rows) == steps
    found = without_budgets(trainer | {"max_seconds": 5}, rows)
    assert found["max_steps"] == steps
    assert {*found} & {"max_examples", "max_seconds"} == set()


def test_budgets_are_bounded_and_exclude_a_number_of_steps(default_trainer):
    assert without_budgets({"max_examples": None, "max_steps": -1}, 20) == {"max_steps": -1}
    for name, value in (("max_examples", 0), ("max_examples", 2.5), ("max_seconds", 0), ("max_seconds", "1 h")):
        (problem,) = trainer_problems(default_trainer | {name: value})
        assert problem.key == f"trainer.{name}"
    (problem,) = trainer_problems(default_trainer | {"max_steps": 4, "max_examples": 100})
    assert problem.fix == ("trainer.max_steps=-1", "trainer.max_examples=null")
