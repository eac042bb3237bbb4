"""What steps have in common that make texts by a language model: checks before they ask, the report afterwards."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.errors import DataError
from embexp.steps.asking.endpoint_faults import faults_of
from embexp.steps.asking.row_answers import RowAnswers, Task
from embexp.steps.asking.templates import prompt_faults

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


def generating_faults(dataset: EmbeddingDataset, task: Task, shapes: Sequence[str], examples: Any) -> Iterator[str]:
    """What is wrong with the arguments of such a step, a line each."""
    if dataset.shape.name not in shapes:
        yield f"{dataset.name} is {dataset.shape.name}; expected {' or '.join(shapes)}."
    for name, value, least in (("per_text", task.per_text, 1), ("examples", examples, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            yield f"{name}={value} must be a whole number from {least}."
    if not isinstance(task.made_by, str) or not task.made_by.strip():
        yield f"made_by={task.made_by!r} must be a name, such as made_by=queries."
    yield from faults_of(task.endpoint)
    yield from prompt_faults(task.prompt, ["text"], [*task.places, "number"])


def generated(
    dataset: EmbeddingDataset, shape: str, splits: Mapping[str, "Dataset"], answers: RowAnswers
) -> EmbeddingDataset:
    """The data set with the splits that were made, and the report.

    Raises:
        DataError: a split lost all its rows.
    """
    made_by, source = answers.task.made_by, dataset.shape.name
    for line in answers.shown:
        logger.info("%s: %s: %s", dataset.name, made_by, line)
    if empty := [split for split, rows in dataset.splits.items() if rows.num_rows and not splits[split].num_rows]:
        raise DataError(
            f"{made_by} leaves no row of {' and '.join(empty)} in {dataset.name} ({answers.report()}). Expected at "
            "least one: look at the prompt, and at the limits under endpoint."
        )
    prompts = dataset.prompts.moved("text", ("anchor", "positive")) if source == "text" else dataset.prompts
    reason = f"{answers.num_made:,} texts made; {answers.report()}"
    ordered = {split: splits[split] for split in dataset.splits}
    changes = {"shape": shape_named(shape), "prompts": prompts}
    return dataset.after(f"generate {made_by}", ordered, reason, answers.shown, **changes)
