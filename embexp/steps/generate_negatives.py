"""Hard negatives that a language model made up: near the anchor, and wrong."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.data.arrow import rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.steps.asking.endpoint import Endpoint
from embexp.steps.asking.generating import generated, generating_faults
from embexp.steps.asking.row_answers import RowAnswers, Task
from embexp.steps.made_rows import Row
from embexp.steps.refusals import refuse

if TYPE_CHECKING:
    from datasets import Dataset


def generate_negatives(
    dataset: EmbeddingDataset,
    endpoint: Endpoint,
    prompt: Mapping[str, str],
    made_by: str,
    per_text: int = 1,
    examples: int = 3,
    cache: Path | None = None,
) -> EmbeddingDataset:
    """Triplets whose hard negatives a language model made: of pairs, or beside the negatives of triplets; all splits.

    Rows without as many are left out; so are those with one like a text of the row itself. A row stays the one that it
    was: it is not made of another.

    Args:
        prompt: `system` (or null) and `user`, with {text} (the anchor), {positive} and {number} in their places.
        per_text, examples, cache: as in `generate_pairs`.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: no row is left in a split.
        EndpointError: the server cannot be reached, or is of no use; answers that came are kept.
    """
    task = Task(endpoint, prompt, made_by, {"text": "anchor", "positive": "positive"}, per_text, cache)
    refuse("generate_negatives", generating_faults(dataset, task, ["positive_pair", "triplet"], examples))
    answers, first = task.ask(dataset, dataset.splits), len(dataset.text_columns) - 1
    names = [f"negative_{number}" for number in range(first, first + per_text)]
    splits = {}
    for split, rows in dataset.splits.items():
        triplets = _triplets(rows, dataset.text_columns, answers, names, examples)
        splits[split] = table_of_rows(triplets, schema_of(shape_named("triplet"), [*rows.column_names, *names]))
    return generated(dataset, "triplet", splits, answers)


def _triplets(
    rows: "Dataset", columns: Sequence[str], answers: RowAnswers, names: Sequence[str], num_shown: int
) -> Iterator[Row]:
    for row in rows_of(rows):
        made = answers.of(row, [row[column] for column in columns], None, num_shown)
        if len(made) == len(names):
            yield row | dict(zip(names, made, strict=True))
