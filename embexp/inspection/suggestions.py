"""What to type next: the command that trains on a data set, and a first sweep, with the overrides that were typed."""

import itertools
import re
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.config.compose import option_of
from embexp.config.session import option_files, shell_command
from embexp.core.run_context import import_training_libraries
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ShapeError
from embexp.experiment.routing import (
    check_rows_kept,
    fitting_evaluators,
    makeable,
    routes_to_losses,
    shipped_losses,
)
from embexp.models.tokens import models_for, scripts_of
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.conversions.convert import route

_DATA_KEYS = ("dataset", "step", "silver", "negatives", "conversion", "paths")  # groups that all commands on data know
MODEL_KEYS = (*_DATA_KEYS, "model", "test", "dev")


def kept(typed: Sequence[str], keys: Sequence[str] = _DATA_KEYS) -> list[str]:
    """The overrides of a command line that belong to these groups.

    >>> kept(["dataset=a.csv", "+dataset.steps.x=1", "examples=5", "step=[clean]"])
    ['dataset=a.csv', '+dataset.steps.x=1', 'step=[clean]']
    """
    return [text for text in typed if "=" in text and re.split(r"[.=@/]", text.lstrip("+~"))[0] in keys]


def cannot_train(dataset: EmbeddingDataset) -> str:
    """Why nothing can be trained on a data set; empty when something can."""
    if "train" in dataset.splits and dataset.splits["train"].num_rows:
        return ""
    return f"there is no train split (only {', '.join(dataset.splits)}), so nothing can be trained on this alone"


def training_command(
    typed: Sequence[str],
    dataset: EmbeddingDataset,
    offered: Sequence[str],
    settings: ConversionSettings,
    is_split: bool = False,
) -> str:
    """The command that trains on a data set with the loss that suits its shape; empty if it has no training rows.

    It evaluates on the data themselves where some evaluator reads them, else on the bundled pairs of their script.

    Args:
        typed: the overrides that lead to the data.
        offered: the shapes in which the data can be read.
        is_split: whether a run makes dev and test of them.
    """
    if cannot_train(dataset):
        return ""
    return shell_command(
        "", [*map(shlex.quote, typed), "loss=auto", *_options(typed, dataset, offered, settings, is_split)]
    )


def _options(
    typed: Sequence[str],
    dataset: EmbeddingDataset,
    offered: Sequence[str],
    settings: ConversionSettings,
    is_split: bool,
) -> list[str]:
    """What a run on the data needs besides the overrides that were typed, and the loss."""
    options = _named_shape(dataset, settings)
    fitting = fitting_evaluators(offered, settings, dataset.label_names)
    if kept(typed, ("test", "dev")):  # evaluated on those
        return options
    if not fitting:
        options.append(f"test={'finance_zh' if _is_chinese(dataset) else 'finance'}")
    elif "sts" not in fitting:
        options.append(f"evaluator=[{fitting[0]}]")
    if fitting and not is_split and len(dataset.splits) == 1:
        options.append("+step@dataset.steps.split=split")
    return options


_MOST_MODELS = 2
_SAME_WEIGHTS = ("minilm_dense", "minilm_layers")  # as minilm
_BATCH, _BATCHES = 32, 3


@dataclass(frozen=True)
class Grid:
    """A first comparison: losses that fit the shape, and base models at hand that read the texts."""

    losses: tuple[str, ...]
    models: tuple[str, ...]
    num_rows: int

    def command(
        self,
        typed: Sequence[str],
        dataset: EmbeddingDataset,
        offered: Sequence[str],
        settings: ConversionSettings,
        is_split: bool,
    ) -> str:
        """The sweep that compares them, with two seeds."""
        data = [each for each in typed if re.split(r"[.=@/]", each.lstrip("+~"))[0] != "model"]
        options = _options(data, dataset, offered, settings, is_split)
        axes = [f"loss={','.join(self.losses)}", f"model={','.join(self.models)}", "seed=1,2"]
        return shell_command("", ["-m", *map(shlex.quote, data), *axes, *options])

    def minutes(self, dataset: EmbeddingDataset) -> float:
        """How long its training takes on this machine, by a few batches of each model: forward and backward."""
        rows = self.num_rows * 2 * len(self.losses)
        return sum(_seconds_of_a_row(model, dataset) for model in self.models) * rows / 60


def first_grid(dataset: EmbeddingDataset, offered: Sequence[str], settings: ConversionSettings) -> Grid | None:
    """Two or three losses and the base models that need no network; None where there is nothing to compare."""
    if cannot_train(dataset) or not (row := row_of(dataset.shape.name, dataset.label_names)):
        return None
    reached = routes_to_losses(offered, settings)
    losses = tuple(loss for loss in (row["loss"], *(row.get("others") or ())) if reached.get(loss))
    scripts = scripts_of(itertools.islice(dataset.texts("train"), 500))
    needy = [loss for loss in losses if OmegaConf.load(option_files("loss")[loss]).get("_needs_")]
    names = _models_here(scripts, bool(needy))
    if needy and not names:
        losses, names = tuple(loss for loss in losses if loss not in needy), _models_here(scripts, False)
    if len(losses) * len(names) < 2:
        return None
    return Grid(losses, tuple(names[:_MOST_MODELS]), dataset.splits["train"].num_rows)


def _models_here(scripts: Sequence[str], needs_transformer: bool) -> list[str]:
    """Trained models that need no network and read these scripts; without any, one from scratch."""
    here = [name for name, from_hub in models_for(scripts, needs_transformer, trained=True).items() if not from_hub]
    names = [name for name in here if name not in _SAME_WEIGHTS]
    return names or [name for name in ("static_scratch",) if name in models_for(scripts, needs_transformer)]


def _seconds_of_a_row(model: str, dataset: EmbeddingDataset) -> float:
    from embexp.config.compose import instantiate

    texts = [*itertools.islice(dataset.texts("train"), 2 * _BATCH * (_BATCHES + 1))]
    num_texts = len(dataset.text_columns)
    import_training_libraries()
    with tempfile.TemporaryDirectory() as folder:
        encoder = instantiate(option_of("model", model)).load(lambda: texts, Path(folder))
    encoder.train()
    times = []
    for _ in range(_BATCHES + 1):  # the first one warms up
        started = time.perf_counter()
        batch = [texts[place % len(texts)] for place in range(_BATCH * num_texts)]
        features = {
            key: value.to(encoder.device) for key, value in encoder.preprocess(batch).items() if hasattr(value, "to")
        }
        encoder(features)["sentence_embedding"].sum().backward()
        times.append(time.perf_counter() - started)
    return min(times[1:]) / _BATCH


def row_of(shape: str, label_names: Sequence[str]) -> Mapping[str, Any] | None:
    """The row of the table of loss=auto for data of a shape, with these names of its classes."""
    names = {*label_names}
    rows = (row for row in option_of("loss", "auto")["_by_shape_"] if row["shape"] == shape)
    return next((row for row in rows if {*(row.get("label_names") or names)} == names), None)


def _named_shape(dataset: EmbeddingDataset, settings: ConversionSettings) -> list[str]:
    """The shape to name where that which loss=auto would take keeps few rows and another one more."""
    row = row_of(dataset.shape.name, dataset.label_names)
    accepted = makeable(shipped_losses()[row["loss"]], dataset) if row else ()
    if not accepted or not (way := route([dataset.shape.name], accepted, settings=settings)) or not way[1]:
        return []
    try:
        check_rows_kept(dataset, accepted, way[1][-1].target, settings)
    except ShapeError as error:
        return [error.problems[0].fix[-1]]
    return []


def _is_chinese(dataset: EmbeddingDataset) -> bool:
    """Whether a fifth of the first texts' characters are Chinese."""
    text = "".join(itertools.islice(dataset.texts("train"), 200))
    return len(re.findall(r"[\u3400-\u9fff]", text)) > len(text) / 5
