"""What to type next: the command that trains on a data set, with the overrides that were typed already."""

import itertools
import re
import shlex
from collections.abc import Sequence

from embexp.config.compose import option_of
from embexp.config.session import shell_command
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ShapeError
from embexp.experiment.routing import check_rows_kept, fitting_evaluators, makeable, shipped_losses
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
    options = ["loss=auto", *_named_shape(dataset, settings)]
    fitting = fitting_evaluators(offered, settings, dataset.label_names)
    if kept(typed, ("test", "dev")):  # evaluated on those
        return shell_command("", [*map(shlex.quote, typed), *options])
    if not fitting:
        options.append(f"test={'finance_zh' if _is_chinese(dataset) else 'finance'}")
    elif "sts" not in fitting:
        options.append(f"evaluator=[{fitting[0]}]")
    if fitting and not is_split and len(dataset.splits) == 1:
        options.append("+step@dataset.steps.split=split")
    return shell_command("", [*map(shlex.quote, typed), *options])


def _named_shape(dataset: EmbeddingDataset, settings: ConversionSettings) -> list[str]:
    """The shape to name where that which loss=auto would take keeps few rows and another one more."""
    names = {*dataset.label_names}
    rows = (row for row in option_of("loss", "auto")["_by_shape_"] if row["shape"] == dataset.shape.name)
    row = next((row for row in rows if {*(row.get("label_names") or names)} == names), None)
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
