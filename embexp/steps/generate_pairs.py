"""Pairs of a text and one that a language model made for it: queries for passages, positives for anchors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from embexp.data.arrow import rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, ROW_PROMPT, shape_named
from embexp.steps.asking.endpoint import Endpoint
from embexp.steps.asking.generating import generated, generating_faults
from embexp.steps.asking.row_answers import RowAnswers, Task
from embexp.steps.augmenting.filters import HeldOut
from embexp.steps.made_rows import Row, made_of, with_source, with_sources
from embexp.steps.refusals import refuse

PARTNERS = {"anchor": "positive", "positive": "anchor"}


def generate_pairs(
    dataset: EmbeddingDataset,
    endpoint: Endpoint,
    prompt: Mapping[str, str],
    made_by: str,
    makes: str,
    per_text: int = 1,
    examples: int = 3,
    cache: Path | None = None,
) -> EmbeddingDataset:
    """Pairs of a text and one that a language model made for it.

    Of texts, in all splits: a pair for each text and answer; texts without an answer are left out. Of pairs, in train:
    more pairs beside each row, made of one side of it; dev and test stay. What is like a text of its own row is left
    out, and in train what is like a text of dev or test.

    Args:
        prompt: `system` (or null) and `user`, with {text} and {number} of wanted texts in their places.
        makes: which side is made, anchor (such as queries for passages) or positive; the given text is the other.
        per_text: how many are made for each text.
        examples: how many are logged and kept in the report.
        cache: the folder that keeps answers; None keeps none.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: not one pair could be made of a split of texts.
        EndpointError: the server cannot be reached, or is of no use; answers that came are kept.
    """
    of_texts = dataset.shape.name == "text"
    task = Task(endpoint, prompt, made_by, {"text": "text" if of_texts else PARTNERS.get(makes, "")}, per_text, cache)
    faults = [*_faults(dataset, makes), *generating_faults(dataset, task, ["text", "positive_pair"], examples)]
    refuse("generate_pairs", faults)
    asked = [split for split in dataset.splits if of_texts or split == "train"]
    making = _Pairs(dataset, makes, task.ask(dataset, asked), HeldOut.of(dataset), examples)
    splits = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split not in asked}
    for split in asked:
        columns = [*dataset.splits[split].column_names, MADE_FROM, MADE_BY]
        splits[split] = table_of_rows(making.of(split), schema_of(shape_named("positive_pair"), columns))
    return generated(dataset, "positive_pair", splits, making.answers)


def _faults(dataset: EmbeddingDataset, makes: str) -> Iterator[str]:
    if makes not in PARTNERS:
        yield f"makes={makes!r} must be anchor or positive."
    if dataset.shape.name == "text" and any(ROW_PROMPT in rows.column_names for rows in dataset.splits.values()):
        yield "texts have prompts of their own (column prompt): take it out, a pair would not know whose it is."


@dataclass(frozen=True)
class _Pairs:
    dataset: EmbeddingDataset
    makes: str
    answers: RowAnswers
    held_out: HeldOut
    num_shown: int

    def of(self, split: str) -> Iterator[Row]:
        """The pairs of a split: of texts those that are made; else each row and what is made of it."""
        columns = self.dataset.text_columns
        avoided = self.held_out if split == "train" else None
        for row in rows_of(self.dataset.splits[split]):
            source = with_source(row, columns)
            own = [row[column] for column in columns]
            if columns == ["text"]:
                source = {PARTNERS[self.makes]: source.pop("text")} | source
            else:
                yield source
                if source[MADE_BY] is not None:  # made of another: nothing is made of it
                    continue
            for text in self.answers.of(row, own, avoided, self.num_shown):
                yield made_of(source, self.answers.task.made_by, **{self.makes: text})
