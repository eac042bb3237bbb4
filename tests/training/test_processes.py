"""Several processes that train one model: the same losses, gradients and weights as one with the larger batch."""

import copy
import functools
import itertools
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler
from shaped_rows import OTHERS, STRANGERS, TEXTS, right_dataset
from torch.utils.data import BatchSampler
from transformers import PrinterCallback, TrainerCallback

from embexp.config.compose import compose, composed, resolve
from embexp.config.session import hydra_started
from embexp.core import launch as launching
from embexp.core import ranks
from embexp.errors import EmbexpError, TrainingError
from embexp.experiment.plan import check_without_rows
from embexp.losses.modifiers import modifier_of
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.training.embedding_training import check_processes, training_arguments, training_of
from embexp.training.processes import _Part, together
from embexp.training.stages import StagePlan

# By loss the shape that it trains on; what stands with it are further overrides.
CASES = {
    "mnrl": "triplet",
    "mnrl loss.directions=[query_to_doc,doc_to_query,query_to_query,doc_to_doc]": "positive_pair",
    "mnrl modifier=matryoshka modifier.matryoshka_dims=[16,8]": "triplet",
    "mnrl modifier=orthogonal": "positive_pair",
    "cosent": "scored_pair",
    "angle": "scored_pair",
    "cosine": "scored_pair",
    "softmax": "class_pair",
    "contrastive": "binary_pair",
    "online_contrastive": "binary_pair",
    "triplet": "triplet",
    "cached_mnrl loss.mini_batch_size=2": "triplet",
    "cached_mnrl loss.mini_batch_size=3 modifier=matryoshka modifier.matryoshka_dims=[16,8]": "positive_pair",
    "mega_batch loss.mini_batch_size=2": "positive_pair",
    "mega_batch loss.use_mini_batched_version=false": "positive_pair",
    "info_nce loss.learnable_temperature=true": "triplet",
    "own_negatives loss.hardness_strength=5.0": "triplet",
    "simcse": "twin_text",
    "contrastive_tension_in_batch": "text",
    "batch_all": "labelled_text",
    "batch_semi_hard": "labelled_text",
    "batch_hard_soft_margin": "labelled_text",
    "margin_mse": "scored_triplet",
    "distill_kl": "scored_triplet",
    "mse": "embedded_text",
    "embed_distill": "embedded_text",
    "gist": "triplet",
    "cached_gist loss.mini_batch_size=2 loss.temperature=0.05": "triplet",
}
IN_SLOW_LANE = {"mnrl", "cosent", "softmax", "cached_mnrl loss.mini_batch_size=2"}


@pytest.fixture(scope="module")
def other_process():
    """A second process, which trains along as often as this one trains in two."""
    launch = launching.Launch(0, 2, "127.0.0.1", 0)
    launch.store()
    launching._LAUNCH.append(launch)
    child = ranks._started(1, launch)
    with ranks.leading(launch):
        yield child
    assert child.wait(60) == 0
    launching._LAUNCH.clear()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(3)
    scratch = ScratchModel(num_layers=2, hidden_size=16, num_heads=2, vocabulary_size=100, max_seq_length=16)
    model = scratch.load(lambda: [*TEXTS, *OTHERS, *STRANGERS], tmp_path_factory.mktemp("model"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


class Gradients(TrainerCallback):
    """The losses of a training, and its gradients before each step."""

    def __init__(self, loss):
        self.loss, self.losses, self.gradients = loss, [], []
        loss.register_forward_hook(lambda _, __, value: self.losses.append(self.total(value)))

    @staticmethod
    def total(value):
        return (sum(value.values()) if isinstance(value, dict) else value).item()

    def on_pre_optimizer_step(self, *_, **__):
        self.gradients.append([each.grad.clone() for each in self.loss.parameters() if each.grad is not None])


def plan_of(case: str, size: int, folder, *overrides: str) -> StagePlan:
    loss, *typed = case.split()
    steps = [
        "max_steps=3",
        f"per_device_train_batch_size={8 // size}",
        "eval_strategy=no",
        "save_strategy=no",
        "optim=sgd",
    ]
    steps += ["learning_rate=0.05", "lr_scheduler_type=constant", f"processes={size}"]
    typed += [f"trainer.{each}" for each in steps]
    config = resolve(compose([f"loss={loss}", "trainer=smoke", *typed, *overrides]))
    named = next((each.partition("=")[2] for each in typed if each.startswith("modifier=")), "none")
    spec = spec_of(loss, config["loss"], modifier_of(named, config["modifier"]))
    return StagePlan("main", right_dataset(CASES[case]), spec, config["trainer"], folder)


def trained(plan: StagePlan, model, monkeypatch):
    """The losses, gradients and weights of a training."""
    model = copy.deepcopy(model)
    if "guide" in plan.loss.call:
        guide = copy.deepcopy(model)
        monkeypatch.setattr("embexp.losses.guided._frozen", lambda _: guide.requires_grad_(False).eval())
        monkeypatch.setattr(type(plan.loss), "companions", lambda _: {"guide": None})
    torch.manual_seed(5)
    training = training_of(plan, model)
    seen = Gradients(training.module)
    with together(plan.trainer["processes"], training, 1, None) as spread:
        trainer = training.trainer(None, "", 1, [seen])
        trainer.remove_callback(PrinterCallback)
        with spread(trainer):
            trainer.train()
    weights = [each.detach().clone() for each in training.module.parameters()]
    return seen.losses, seen.gradients, weights


def furthest(first, second) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(first, second, strict=True))


EACH_CASE = [
    pytest.param(each, marks=pytest.mark.slow if each in IN_SLOW_LANE else pytest.mark.matrix) for each in CASES
]


@pytest.mark.usefixtures("other_process")
@pytest.mark.parametrize("case", EACH_CASE)
def test_two_processes_compute_the_loss_and_the_gradients_of_one(case, tiny_model, tmp_path, monkeypatch):
    alone = trained(plan_of(case, 1, tmp_path), tiny_model, monkeypatch)
    both = trained(plan_of(case, 2, tmp_path), tiny_model, monkeypatch)
    loss = max(abs(one - other) for one, other in zip(alone[0], both[0], strict=True))
    gradient = max(map(furthest, alone[1], both[1]))
    print(f"| {case} | {loss:.1e} | {gradient:.1e} | {furthest(alone[2], both[2]):.1e} |")
    assert len(both[1]) == 3
    assert max(float(each.abs().max()) for each in both[1][0]) > 0.01
    assert loss < 1e-5
    assert gradient < 1e-5 * max(1, *(float(each.abs().max()) for step in alone[1] for each in step))
    assert furthest(alone[2], both[2]) < 1e-5


class Whole(BatchSampler):
    """Batches of rows in their order, the last one smaller."""

    def __init__(self, num_rows: int, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(range(num_rows), batch_size, drop_last)
        self.epochs = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


class Ranked:
    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize(
    ("num_rows", "size", "each_size", "left_out"),
    [(12, 2, 3, 0), (13, 2, 3, 1), (14, 2, 3, 0), (16, 3, 2, 1), (17, 3, 2, 2), (3, 4, 1, 3), (18, 3, 2, 0)],
)
def test_the_parts_of_a_batch_are_equally_large_and_together_the_batch(num_rows, size, each_size, left_out):
    parts = [_Part(Whole(num_rows, size * each_size), Ranked(rank, size), num_rows) for rank in range(size)]
    drawn = [list(part) for part in parts]
    assert {len(part) for part in parts} == {len(batches) for batches in drawn}
    for batch, *shares in zip(Whole(num_rows, size * each_size), *drawn, strict=False):
        assert len({len(share) for share in shares}) == 1
        assert [*itertools.chain(*shares)] == batch[: len(batch) - len(batch) % size]
    assert num_rows - sum(len(share) for batches in drawn for share in batches) == left_out


def test_a_last_batch_that_is_dropped_is_dropped_in_all_and_epochs_reach_the_sampler():
    whole = Whole(13, 6, drop_last=True)
    part = _Part(whole, Ranked(1, 2), 13)
    assert (len(part), list(part)) == (2, [[3, 4, 5], [9, 10, 11]])
    part.set_epoch(4)
    assert whole.epochs == [4]


def test_a_text_is_once_in_a_batch_over_all_processes():
    rows = Dataset.from_dict(
        {"anchor": [f"text {n}" for n in range(24)], "positive": ["the same"] * 3 + [f"{n}" for n in range(21)]}
    )
    draw = functools.partial(NoDuplicatesBatchSampler, rows, batch_size=8, drop_last=False, seed=1)
    parts = [_Part(draw(generator=torch.Generator()), Ranked(rank, 2), 24) for rank in range(2)]
    for first, second in zip(*parts, strict=True):
        texts = [text for row in first + second for text in rows[row].values()]
        assert len(texts) == len({*texts})


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["loss=tsdae"], "trainer.processes=2 does not go with the loss tsdae, .*type trainer.processes=1"),
        (["loss=diffcse"], "does not go with the loss diffcse"),
        (["loss=contrastive_tension"], "does not go with the loss contrastive_tension,"),
        (["loss=cached_mnrl", "loss.mini_batch_num_tokens=64"], "type loss.mini_batch_num_tokens=null"),
        (["loss=mega_batch", "loss.mini_batch_num_tokens=64"], "type loss.mini_batch_num_tokens=null"),
        (["modifier=adaptive_layer"], "does not go with the modifier adaptive_layer, which reads the model's layers"),
        (["modifier=matryoshka_2d"], "does not go with the modifier matryoshka_2d"),
        (["++trainer.torch_compile=true"], "type trainer.torch_compile=false"),
        (["trainer.optim=lomo"], "trainer.optim=lomo updates a layer before its gradient .*type trainer.optim="),
        (["trainer.optim=galore_adamw_layerwise"], "type trainer.optim=adamw_torch"),
        (["trainer.lr_scheduler_type=greedy"], "type trainer.lr_scheduler_type=linear"),
        (["sweep.workers=2"], "was given with sweep.workers=2.*type sweep.workers=0"),
        (["adapt=[mlm]", "adapt.mlm.trainer.processes=2"], "adapt.mlm.trainer.processes=2 does not go with the loss"),
    ],
)
def test_what_several_processes_cannot_train_is_refused_from_the_yaml(typed, message):
    with hydra_started():
        config, choices = composed(["dataset=finance", "model=tiny", "trainer=smoke", "trainer.processes=2", *typed])
        with pytest.raises(EmbexpError, match=f"(?s){message}"):
            check_without_rows(config, choices)


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["sweep/engine=slurm", "sweep.workers=2"],
        ["loss=cached_mnrl"],
        ["modifier=matryoshka"],
        ["loss=tsdae", "trainer.processes=1"],
    ],
)
def test_what_they_can_train_is_not(typed):
    with hydra_started():
        check_without_rows(*composed(["dataset=finance", "model=tiny", "trainer=smoke", "trainer.processes=2", *typed]))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(launching, "_LAUNCH", [])  # other_process may be there still
    check_processes(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_processes(2)
    with pytest.raises(
        TrainingError, match=r"(?s)trainer.processes=4 is more than the 2 GPUs.*type trainer.processes=2"
    ):
        check_processes(4)


def test_a_second_gpu_that_is_seen_does_not_train_without_being_asked(monkeypatch, tmp_path, caplog):
    """transformers counts the GPUs when it looks for its device; more than one makes a DataParallel of the model."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    plan = plan_of("mnrl", 1, tmp_path)
    with caplog.at_level("INFO", "embexp"):
        arguments = training_arguments(plan, False, None, 1)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 8)
    assert "DataParallel" not in caplog.text
    assert "2 GPUs are seen, and one trains. trainer.processes=2 trains on all of them." in caplog.text
    plain = replace(plan, trainer=plan.trainer | {"_target_": "transformers.TrainingArguments"})
    assert training_arguments(plain, False, None, 1).n_gpu == 1
