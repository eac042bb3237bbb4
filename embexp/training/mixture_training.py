"""Training on several data sets at once, each with its own loss, by sentence-transformers' multi-dataset samplers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.steps.prompting import with_row_prompts
from embexp.training.checkpoints import load_weights
from embexp.training.embedding_training import DevEvaluation, column_prompts, trainer_of, training_arguments
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from torch.nn import Module
    from transformers import TrainerCallback


class MixtureTraining:
    """A training of one model on the sets of a mixture: every batch is of one set, and has that set's loss.

    Attributes:
        names: what the trainer calls each set.
        module: holds the losses, in the order of the sets, and what is to be logged of them.
    """

    def __init__(self, plan: StagePlan, model: "SentenceTransformer") -> None:
        self.plan = plan
        self.model = model
        self.names = [f"set_{place}" for place in range(len(plan.sets))]  # names of torch modules have no dots
        self.datasets = [with_row_prompts(part.dataset) for part in plan.sets]
        losses = [part.loss.build(model, rows) for part, rows in zip(plan.sets, self.datasets, strict=True)]
        self.module = set_losses(losses)

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "SentenceTransformerTrainer":
        """The trainer, which gives every batch to the loss of its set, after the prompts of its set."""
        from datasets import DatasetDict

        rows = DatasetDict(zip(self.names, (each.training_rows() for each in self.datasets), strict=True))
        losses = dict(zip(self.names, self.module.losses, strict=True))
        found = (column_prompts(each, self.model) for each in self.datasets)
        prompts = {name: each for name, each in zip(self.names, found, strict=True) if each}
        own = self.plan.trainer.get("batch_sampler")
        kinds = {
            name: (own or part.loss.batch_sampler, part.weight)
            for name, part in zip(self.names, self.plan.sets, strict=True)
        }
        sampling = {"batch_sampler": SetSampler(kinds), "multi_dataset_batch_sampler": self.plan.batches}
        arguments = training_arguments(self.plan, evaluate is not None, primary_metric, seed, prompts, **sampling)
        logged = _set_losses_callback(self.module, [part.name for part in self.plan.sets])
        return trainer_of(self.plan, self.model, arguments, rows, losses, evaluate, [logged, *callbacks])

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint."""
        load_weights(self.model, checkpoint)


def set_losses(losses: "Sequence[Module]") -> "Module":
    """The losses of a mixture as one module, with the sum and the number of their values since the last log line.

    These are in every checkpoint, so that a resumed training logs the same numbers.
    """
    import torch

    class SetLosses(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.losses = torch.nn.ModuleList(losses)
            self.register_buffer("total", torch.zeros(len(losses), dtype=torch.float64))
            self.register_buffer("number", torch.zeros(len(losses), dtype=torch.int64))
            for place, loss in enumerate(losses):
                loss.register_forward_hook(lambda _, __, value, place=place: self.add(place, value))

        def add(self, place: int, value: Any) -> None:
            value = sum(value.values()) if isinstance(value, Mapping) else value
            self.total[place] += value.detach().to(self.total.device, self.total.dtype)
            self.number[place] += 1

        def means(self) -> list[float | None]:
            """The mean loss of each set since the last call; None for one that had no batch."""
            found = [
                (total / number).item() if number else None
                for total, number in zip(self.total, self.number, strict=True)
            ]
            self.total.zero_()
            self.number.zero_()
            return found

    return SetLosses()


def _set_losses_callback(module: Any, names: Sequence[str]) -> "TrainerCallback":
    """Adds `<set>/loss` to each log line of the training; it must come before what writes them."""
    from transformers import TrainerCallback

    class SetLossesCallback(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
            if "loss" in logs:
                found = zip(names, module.means(), strict=True)
                logs.update({f"{name}/loss": mean for name, mean in found if mean is not None})

    return SetLossesCallback()


@dataclass(frozen=True)
class SetSampler:
    """Makes the batch sampler of each set: the trainer knows one kind for all of them.

    Attributes:
        kinds: sentence-transformers' word for the sampler of a set's loss, and the set's weight, by the set's name.
    """

    kinds: Mapping[str, tuple[str, float]]

    def __call__(self, dataset: Any, batch_size: int, drop_last: bool, **given: Any) -> Any:
        """The sampler of the set that these rows are of; with a weight it has passes of its own."""
        import torch

        kind, weight = self.kinds[dataset[:1]["dataset_name"][0]]
        if weight == 1:
            return _sampler(kind, dataset, batch_size, drop_last, **given)
        own = given | {"generator": torch.Generator()}
        return weighted_sampler(_sampler(kind, dataset, batch_size, drop_last, **own), weight, **own)


def _sampler(kind: str, dataset: Any, batch_size: int, drop_last: bool, **given: Any) -> Any:
    """As sentence-transformers' trainer makes it of that word."""
    from sentence_transformers.base import sampler
    from torch.utils.data import RandomSampler

    made = {
        "no_duplicates": sampler.NoDuplicatesBatchSampler,
        "no_duplicates_hashed": sampler.NoDuplicatesBatchSampler,
        "group_by_label": sampler.GroupByLabelBatchSampler,
        "batch_sampler": sampler.DefaultBatchSampler,
    }[kind]
    more = {"precompute_hashes": True} if kind == "no_duplicates_hashed" else {}
    drawn = RandomSampler(dataset, generator=given["generator"]) if kind == "batch_sampler" else dataset
    return made(drawn, batch_size=batch_size, drop_last=drop_last, **more, **given)


def weighted_sampler(inner: Any, weight: float, generator: Any, seed: int, **_: Any) -> Any:
    """A sampler with `weight` times the batches of another one in each epoch.

    It goes through the rows in passes, each in another order, and an epoch begins where the one before it ended:
    weight 2 reads every row twice in an epoch, 0.5 half of the batches in one and the other half in the next. What it
    draws hangs on seed and epoch alone, so that a resumed training draws the same.
    """
    from torch.utils.data import BatchSampler

    number = max(1, round(weight * len(inner)))
    passes = -(-number // max(1, len(inner)))

    class WeightedSampler(BatchSampler):
        def __init__(self) -> None:
            super().__init__(inner.sampler, inner.batch_size, inner.drop_last)
            self.epoch = 0

        def __len__(self) -> int:
            return number

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[list[int]]:
            left = number
            first, skipped = divmod(self.epoch * number, max(1, len(inner)))
            for place in range(first, first + _TRIES * passes + 1):
                inner.set_epoch(place)
                generator.manual_seed(seed + place)
                for batch in islice(inner, skipped if place == first else 0, None):
                    yield batch
                    left -= 1
                    if not left:
                        return

    return WeightedSampler()


_TRIES = 4  # times the passes that should do: samplers may have fewer batches than they announce
