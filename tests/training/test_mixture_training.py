"""A mixture's training: its steps are those of sentence-transformers' own trainer, and its weights are kept."""

import pytest
import torch
from shaped_rows import right_dataset
from test_stage import PRIMARY

from embexp.config.compose import compose, resolve
from embexp.losses.spec import spec_of
from embexp.models.scratch import ScratchModel
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.mixture_training import MixtureTraining, weighted_sampler
from embexp.training.stage import train_stage
from embexp.training.stages import PROPORTIONAL, ROUND_ROBIN, StagePlan

SETS = {"pairs": ("positive_pair", "mnrl"), "scores": ("scored_pair", "cosent"), "nli": ("class_pair", "softmax")}


def plan_of(folder, *overrides: str, batches=PROPORTIONAL, sets=SETS, **weights: float) -> StagePlan:
    """Three sets with a loss each, of three batches of four rows."""
    trainer = ["trainer=smoke", "trainer.per_device_train_batch_size=4", "trainer.max_steps=9", *overrides]
    config = resolve(compose(trainer))
    parts = [
        StagePlan(
            name,
            right_dataset(shape),
            spec_of(loss, resolve(compose([f"loss={loss}"]))["loss"]),
            config["trainer"],
            folder,
            weight=weights.get(name, 1),
        )
        for name, (shape, loss) in sets.items()
    ]
    first = parts[0]
    return StagePlan("main", first.dataset, first.loss, config["trainer"], folder, sets=tuple(parts), batches=batches)


def model_of(folder):
    """A model that draws its dropout as sentence-transformers has it: column after column, padding included."""
    torch.manual_seed(1)
    texts = [*right_dataset("positive_pair").texts("train")]
    return ScratchModel(1, 8, 2, vocabulary_size=100, max_seq_length=16, forward="plain").load(lambda: texts, folder)


def steps_of(trainer):
    """The batches, losses and gradients of a training, step by step."""
    seen, compute = [], trainer.compute_loss

    def compute_loss(model, inputs, **named):
        name = inputs["dataset_name"]
        ids = {key: value.tolist() for key, value in inputs.items() if key.endswith("input_ids")}
        loss = compute(model, inputs, **named)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        seen.append((name, ids, loss.item(), [each.clone() for each in gradients if each is not None]))
        return loss

    trainer.compute_loss = compute_loss
    trainer.train()
    return seen


def stock_trainer(folder, plan):
    """As the documentation of sentence-transformers has it: rows, losses and samplers by the names of the sets."""
    from datasets import DatasetDict
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer import losses

    model = model_of(folder)
    torch.manual_seed(5)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder / "stock"),
        per_device_train_batch_size=4,
        max_steps=plan.trainer["max_steps"],
        learning_rate=plan.trainer["learning_rate"],
        warmup_steps=plan.trainer["warmup_steps"],
        seed=1,
        multi_dataset_batch_sampler=plan.batches,
        batch_sampler="no_duplicates",
        report_to="none",
        save_strategy="no",
        dataloader_pin_memory=False,
    )
    by_name = {
        "set_0": losses.MultipleNegativesRankingLoss(model),
        "set_1": losses.CoSENTLoss(model),
        "set_2": losses.SoftmaxLoss(model, model.get_embedding_dimension(), num_labels=3),
    }
    rows = DatasetDict({f"set_{n}": part.dataset.training_rows() for n, part in enumerate(plan.sets)})
    return SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=by_name)


@pytest.mark.parametrize("batches", [PROPORTIONAL, pytest.param(ROUND_ROBIN, marks=pytest.mark.matrix)])
def test_loss_and_gradient_of_every_step_are_those_of_the_stock_trainer(tmp_path, batches):
    plan = plan_of(tmp_path, "+trainer.batch_sampler=no_duplicates", batches=batches)
    stock = steps_of(stock_trainer(tmp_path, plan))
    model = model_of(tmp_path)
    torch.manual_seed(5)
    ours = steps_of(MixtureTraining(plan, model).trainer(None, PRIMARY, 1, []))
    assert len(ours) == len(stock) == 9
    assert {name for name, *_ in ours} == {"set_0", "set_1", "set_2"}
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine[:3] == theirs[:3]
        assert all(map(torch.equal, mine[3], theirs[3]))


def batches_of(plan, folder, epochs=2):
    """The sets that the batches of each epoch are of, and their rows."""
    trainer = MixtureTraining(plan, model_of(folder)).trainer(None, PRIMARY, 1, [])
    loader, found = trainer.get_train_dataloader(), []
    for epoch in range(epochs):
        loader.set_epoch(epoch)
        found.append([*map(list, loader.batch_sampler)])
    return found, len(loader)


def test_a_weight_is_how_often_the_rows_of_a_set_come_in_an_epoch(tmp_path):
    plan = plan_of(tmp_path, pairs=2, nli=1 / 3)
    epochs, announced = batches_of(plan, tmp_path)
    assert [len(batches) for batches in epochs] == [6 + 3 + 1] * 2 == [announced, plan.num_batches]
    for batches in epochs:
        sets = [{row // 12 for row in batch} for batch in batches]
        assert all(len(each) == 1 for each in sets)
        rows = [row for batch in batches for row in batch]
        assert sorted(row for row in rows if row < 12) == sorted([*range(12)] * 2)
        assert sorted(row for row in rows if 12 <= row < 24) == [*range(12, 24)]
        assert len({row for row in rows if row >= 24}) == 4
    assert epochs[0] != epochs[1]
    assert epochs == batches_of(plan, tmp_path)[0]  # seeded


@pytest.mark.parametrize(
    ("weight", "epochs", "each"),
    [
        (1 / 3, 3, 1),
        *(pytest.param(*each, marks=pytest.mark.matrix) for each in ((2 / 3, 3, 2), (4 / 3, 3, 4), (3, 1, 3))),
    ],
)
def test_an_epoch_begins_in_a_set_where_the_one_before_it_ended(tmp_path, weight, epochs, each):
    plan = plan_of(tmp_path, nli=weight)
    found, _ = batches_of(plan, tmp_path, epochs)
    rows = [row for batches in found for batch in batches for row in batch if row >= 24]
    assert sorted(rows) == sorted([*range(24, 36)] * each)
    trainer = MixtureTraining(plan, model_of(tmp_path)).trainer(None, PRIMARY, 1, [])
    loader = trainer.get_train_dataloader()
    loader.set_epoch(epochs - 1)  # as a resumed training does
    assert [*map(list, loader.batch_sampler)] == found[-1]


def test_passes_with_a_whole_weight_are_those_of_the_seed_and_their_number():
    class Counted(list):
        sampler, batch_size, drop_last, epoch = [], 1, False, 0

        def __iter__(self):
            return iter([[self.epoch, place] for place in range(len(self))])

        def set_epoch(self, epoch):
            self.epoch = epoch

    sampler = weighted_sampler(Counted("abc"), 2, torch.Generator(), seed=1)
    sampler.set_epoch(3)
    assert [*sampler] == [[6, 0], [6, 1], [6, 2], [7, 0], [7, 1], [7, 2]]
    half = weighted_sampler(Counted("abcde"), 0.5, torch.Generator(), seed=1)
    assert len(half) == 2
    seen = []
    for epoch in range(5):
        half.set_epoch(epoch)
        seen += [*half]
    assert seen == [[number, place] for number in (0, 1) for place in range(5)]


def test_round_robin_ends_with_the_shortest_set(tmp_path):
    plan = plan_of(tmp_path, batches=ROUND_ROBIN)
    (batches, _), announced = batches_of(plan, tmp_path)
    assert [batch[0] // 12 for batch in batches] == [0, 1, 2] * 3
    assert len(batches) == announced == plan.num_batches
    assert plan.num_rows == 36


def test_a_sampler_with_fewer_batches_than_it_announces_ends():
    class Empty:
        sampler, batch_size, drop_last = [], 4, False

        def __len__(self):
            return 3

        def __iter__(self):
            return iter(())

        def set_epoch(self, epoch):
            self.epoch = epoch

    assert [*weighted_sampler(Empty(), 2, torch.Generator(), seed=1)] == []


def lines_of(folder):
    import json

    return [json.loads(line)["metrics"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_losses_are_logged_per_set_and_their_mean_is_the_loss(tmp_path):
    plan = plan_of(tmp_path / "stage", "trainer.logging_steps=3", "trainer.save_steps=3", batches=ROUND_ROBIN)
    model = model_of(tmp_path)
    with Journal(tmp_path, NullTracker()).open("a run", None) as journal:
        result = train_stage(plan, model, None, PRIMARY, journal, seed=1)
    assert result.num_steps == 9
    logged = [line for line in lines_of(tmp_path) if "train/loss" in line]
    assert len(logged) == 3
    for line in logged:
        each = [line[f"train/{name}/loss"] for name in SETS]
        assert sum(each) / 3 == pytest.approx(line["train/loss"], abs=1e-4)


@pytest.mark.parametrize(
    "sets",
    [
        {"v1.5": ("positive_pair", "cached_mnrl"), "数据": ("labelled_text", "batch_hard")},
        pytest.param({"a": ("class_pair", "softmax"), "b": ("binary_pair", "contrastive")}, marks=pytest.mark.matrix),
    ],
)
def test_losses_with_memory_or_samplers_of_their_own_train_under_any_name(tmp_path, sets):
    plan = plan_of(tmp_path / "stage", "trainer.max_steps=4", sets=sets, batches=ROUND_ROBIN)
    with Journal(tmp_path, NullTracker()).open("a run", None) as journal:
        train_stage(plan, model_of(tmp_path), None, PRIMARY, journal, seed=1)
    logged = {key for line in lines_of(tmp_path) for key in line}
    assert {f"train/{name}/loss" for name in sets} <= logged


def test_prompts_are_those_of_each_set(tmp_path):
    from dataclasses import replace

    from embexp.data.dataset import Prompts

    plan = plan_of(tmp_path)
    prompts = Prompts({"query": "Q: "}, columns={"anchor": "query"})
    first = replace(plan.sets[0], dataset=replace(plan.sets[0].dataset, prompts=prompts))
    plan = replace(plan, sets=(first, *plan.sets[1:]))
    trainer = MixtureTraining(plan, model_of(tmp_path)).trainer(None, PRIMARY, 1, [])
    assert trainer.data_collator.prompts == {"set_0": {"anchor": "Q: "}}


def test_a_loss_that_is_not_a_number_names_the_set_and_its_row(tmp_path):
    from embexp.errors import TrainingError

    plan = plan_of(tmp_path / "stage", "trainer.learning_rate=1e30", batches=ROUND_ROBIN)
    with (
        pytest.raises(TrainingError, match=r"(?s)The loss is nan at step.*of train of the set (pairs|scores|nli); row"),
        Journal(tmp_path, NullTracker()).open("a run", None) as journal,
    ):
        train_stage(plan, model_of(tmp_path), None, PRIMARY, journal, seed=1)
