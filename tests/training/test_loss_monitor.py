"""A loss that is no number ends the training at once: which step, which rows, and why."""

import re
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from conftest import thinned
from test_stage import SECRETS, plan_of, run_stage

from embexp.errors import TrainingError
from embexp.training.checkpoints import folders
from embexp.training.stage import _LossMonitor, _not_finite

LONG = ("trainer.max_steps=12", "trainer.eval_strategy=no", "trainer.per_device_train_batch_size=4")


class Breaking(torch.nn.Module):
    """A loss that becomes nan in the batch that holds one text, and remembers which texts it saw in it."""

    def __init__(self, loss: torch.nn.Module, model, text: str, at: int) -> None:
        super().__init__()
        self.loss = loss
        self.at = at
        self.calls = 0
        self.seen: set[str] = set()

    def forward(self, features, labels=None):
        self.calls += 1
        output = self.loss(features, labels)
        if self.calls == self.at:
            self.tokens = features[0]["input_ids"].clone()
            return output * float("nan")
        return output


@pytest.mark.parametrize(
    ("sampler", "at"),  # four batches an epoch: the first, a later one, of later epochs
    thinned(list(product(["no_duplicates", "batch_sampler", "no_duplicates_hashed"], [1, 3, 7, 10])), 4),
)
def test_the_rows_are_those_of_the_batch(tmp_path, monkeypatch, sampler, at):
    plan, broken = plan_of(tmp_path, *LONG), []
    plan = replace(plan, loss=replace(plan.loss, batch_sampler=sampler))
    build = type(plan.loss).build

    def breaking(spec, model, dataset):
        broken.append((Breaking(build(spec, model, dataset), model, SECRETS[0], at), model))
        return broken[-1][0]

    monkeypatch.setattr(type(plan.loss), "build", breaking)
    with pytest.raises(TrainingError, match=rf"^The loss is nan at step {at}\. Expected a finite number\.") as error:
        run_stage(plan)
    rows = [int(row) for row in re.search(r"of rows ([\d, ]+) of train", str(error.value))[1].split(", ")]
    ((loss_module, model),) = broken
    expected = model.tokenize([SECRETS[row] for row in rows])["input_ids"]
    assert loss_module.tokens.tolist() == expected.tolist()


@pytest.mark.parametrize(("every", "at"), [(10, 3), (10, 10), (4, 7)])
def test_a_look_at_several_losses_names_the_first_bad_step(tmp_path, monkeypatch, every, at):
    rarely = ("trainer.logging_steps=12", "trainer.save_strategy=no")
    plan = plan_of(tmp_path, *LONG, *rarely, f"trainer.check_loss_steps={every}")
    build = type(plan.loss).build
    looks = []
    monkeypatch.setattr("embexp.training.stage._not_finite", lambda held: looks.append(len(held)) or _not_finite(held))
    monkeypatch.setattr(
        type(plan.loss), "build", lambda spec, model, data: Breaking(build(spec, model, data), model, "", at)
    )
    with pytest.raises(TrainingError, match=rf"^The loss is nan at step {at}\. Expected a finite number\.") as error:
        run_stage(plan)
    assert looks == [every] * -(-at // every)
    is_last = at % every == 0
    assert ("Weights and embeddings are finite" in str(error.value)) == is_last
    assert ("trainer.check_loss_steps=1" in str(error.value)) != is_last


@pytest.mark.parametrize("every", [1, 10])
def test_no_checkpoint_is_kept_after_a_loss_that_is_not_finite(tmp_path, monkeypatch, every):
    keys = ("trainer.max_steps=12", "trainer.save_strategy=steps", "trainer.save_steps=2", "trainer.eval_strategy=no")
    plan = plan_of(tmp_path, *keys, "trainer.per_device_train_batch_size=4", f"trainer.check_loss_steps={every}")
    build = type(plan.loss).build
    monkeypatch.setattr(
        type(plan.loss), "build", lambda spec, model, data: Breaking(build(spec, model, data), model, "", 5)
    )
    with pytest.raises(TrainingError, match=r"^The loss is nan at step 5\."):
        run_stage(plan)
    assert [path.name for path in folders(plan.checkpoints)] == ["checkpoint-2", "checkpoint-4"]


def test_weights_that_are_no_longer_finite_ask_for_a_smaller_learning_rate(tmp_path):
    plan = plan_of(tmp_path, "trainer.max_steps=8", "trainer.learning_rate=1e39")
    with pytest.raises(
        TrainingError, match=r"an earlier step made them so\.\nhint: type trainer\.learning_rate=1e\+38"
    ):
        run_stage(plan)


@pytest.mark.parametrize(
    ("weights", "finite"), [([3e38, 3e38], True), ([1.0, float("nan")], False), ([float("inf"), float("-inf")], False)]
)
def test_finite_weights_may_have_a_sum_that_is_not(weights, finite):
    from embexp.training.stage import _is_finite

    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.tensor(weights))
    assert _is_finite(module) is finite


def test_the_weights_of_the_last_step_are_looked_at_too(tmp_path):
    plan = plan_of(tmp_path, "trainer.max_steps=1", "trainer.eval_strategy=no", "trainer.learning_rate=1e39")
    with pytest.raises(TrainingError, match=r"^After the last step the weights are not finite"):
        run_stage(plan)


def test_a_loss_that_breaks_by_itself_is_distinguished_from_embeddings_that_overflow(tmp_path, monkeypatch):
    from embexp.training import stage

    plan = plan_of(tmp_path, *LONG)
    build = type(plan.loss).build
    monkeypatch.setattr(
        type(plan.loss), "build", lambda spec, model, data: Breaking(build(spec, model, data), model, "", 1)
    )
    with pytest.raises(TrainingError, match=r"Weights and embeddings are finite: the loss itself is not on this batch"):
        run_stage(plan)
    monkeypatch.setattr(stage, "_embeddings_of", lambda model, features: [torch.tensor([float("inf")])])
    with pytest.raises(TrainingError, match=r"the model's embeddings of this batch are not: they overflow"):
        run_stage(plan_of(tmp_path / "again", *LONG))


def test_the_hook_is_gone_after_the_training():
    loss = torch.nn.Linear(1, 1)
    trainer = SimpleNamespace(add_callback=lambda callback: None)
    with _LossMonitor(trainer, loss, SimpleNamespace(sets=())):
        assert len(loss._forward_hooks) == 1
    assert not loss._forward_hooks
