"""What to type next: the command that trains on a data set, with the overrides that were typed already."""

import re
import shlex
from collections.abc import Sequence

from embexp.config.session import shell_command
from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.conversions.convert import route

_DATA_KEYS = ("dataset", "step", "silver", "negatives", "conversion", "paths")  # groups that all commands on data know
MODEL_KEYS = (*_DATA_KEYS, "model")


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
    typed: Sequence[str], dataset: EmbeddingDataset, offered: Sequence[str], settings: ConversionSettings
) -> str:
    """The command that trains on a data set with the loss that suits its shape; empty if it has no training rows.

    Args:
        typed: the overrides that lead to the data.
        offered: the shapes in which the data can be read.
    """
    if cannot_train(dataset):
        return ""
    options = ["loss=auto"]
    if dataset.shape.name == "ranked" and not _has_negatives(dataset):
        options.append("shape=positive_pair")
    if not _has_scored_pairs(dataset, offered, settings):
        has_queries = dataset.shape.name in ("ranked", "positive_pair") and len(dataset.splits) > 1
        options.append("evaluator=[retrieval]" if has_queries else "evaluator=[stsb]")
    return shell_command("", [*map(shlex.quote, typed), *options])


def _has_negatives(dataset: EmbeddingDataset) -> bool:
    import pyarrow.compute

    lengths = (pyarrow.compute.list_value_length(batch["negatives"]) for batch in batches_of(dataset.splits["train"]))
    return any((pyarrow.compute.max(length).as_py() or 0) > 0 for length in lengths)


def _has_scored_pairs(dataset: EmbeddingDataset, offered: Sequence[str], settings: ConversionSettings) -> bool:
    """Whether the data have scored pairs for an evaluator, at most one conversion away."""
    found = route(offered, ["scored_pair"], most=1, settings=settings)
    if found and found[1] and found[0] == dataset.shape.name == "class_pair":
        names = dataset.label_names
        return bool(names) and set(names) <= set(settings.label_scores)
    return found is not None
