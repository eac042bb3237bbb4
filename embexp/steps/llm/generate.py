"""Steps that generate texts with a language model: queries, positives and hard negatives, for each distinct source."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, ROW_PROMPT, shape_named
from embexp.errors import DataError
from embexp.steps.augment.augment import HeldOut
from embexp.steps.augment.provenance import Row, made_of, with_source, with_sources
from embexp.steps.augment.text_changes import shown_change
from embexp.steps.llm.batch import RequestOutcome, request_all
from embexp.steps.llm.chat import Request, messages_of, prompt_faults
from embexp.steps.llm.endpoint import Endpoint, faults_of
from embexp.steps.refusals import refuse

if TYPE_CHECKING:
    from datasets import Dataset

_LIKE_OWN = "like a text of its row"


@dataclass(frozen=True)
class _Task:
    """What is asked for.

    Args:
        places: the column whose text stands in each place of the prompt.
    """

    endpoint: Endpoint
    prompt: Mapping[str, str]
    made_by: str
    places: Mapping[str, str]
    per_text: int
    cache: Path | None

    def ask(self, dataset: EmbeddingDataset, splits: Iterable[str]) -> "_RowAnswers":
        """The answers for all rows of some splits."""
        rows = (row for split in splits for row in rows_of(dataset.splits[split].select_columns([*self._columns])))
        sources = [*dict.fromkeys(self.source(row) for row in rows)]
        requests = [self._request(source) for source in sources]
        asked = request_all(self.endpoint, requests, self.made_by, self.cache)
        texts = {source: made for source, made in zip(sources, asked.texts, strict=True) if made}
        return _RowAnswers(self, asked, texts)

    def source(self, row: Row) -> tuple[str, ...]:
        """The texts of a row that the prompt shows."""
        return tuple(row[column] for column in self._columns)

    @property
    def _columns(self) -> Iterable[str]:
        return self.places.values()

    def _request(self, source: Sequence[str]) -> Request:
        values = dict(zip(self.places, source, strict=True)) | {"number": str(self.per_text)}
        return Request(messages_of(self.prompt, values), self.per_text)


@dataclass
class _RowAnswers:
    """The answers for rows, with counts of those that went, and the first ones to read."""

    task: _Task
    asked: RequestOutcome
    texts: Mapping[tuple[str, ...], Sequence[str]]
    left_out: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    num_made: int = 0

    def of(self, row: Row, own: Sequence[str], held_out: HeldOut | None, num_shown: int) -> list[str]:
        """The texts made for a row, without those like its own texts or, in train, like texts of dev and test.

        Args:
            own: the texts of the row.
        """
        source = self.task.source(row)
        made = [text for text in self.texts.get(source, ()) if not _is_like(text, own, self.left_out)]
        if held_out and made:
            reasons = held_out([(source[0], text) for text in made])
            self.left_out.update(reason for reason in reasons if reason)
            made = [text for text, reason in zip(made, reasons, strict=True) if reason is None]
        self.num_made += len(made)
        self.shown += [shown_change(source[0], text) for text in made[: num_shown - len(self.shown)]]
        return made

    def report(self) -> str:
        """What was asked, what it took, what was left out."""
        return self.asked.report(self.left_out)


def _is_like(text: str, own: Sequence[str], left_out: Counter[str]) -> bool:
    import pyarrow

    from embexp.steps.dedup.row_keys import comparable

    first, *others = comparable(pyarrow.array([text, *own])).to_pylist()
    left_out[_LIKE_OWN] += first in others
    return first in others


logger = logging.getLogger(__name__)


def _generating_faults(dataset: EmbeddingDataset, task: _Task, shapes: Sequence[str], examples: Any) -> Iterator[str]:
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


def _generated(
    dataset: EmbeddingDataset, shape: str, splits: Mapping[str, "Dataset"], answers: _RowAnswers
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


_PARTNERS = {"anchor": "positive", "positive": "anchor"}


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
    task = _Task(endpoint, prompt, made_by, {"text": "text" if of_texts else _PARTNERS.get(makes, "")}, per_text, cache)
    faults = [*_faults(dataset, makes), *_generating_faults(dataset, task, ["text", "positive_pair"], examples)]
    refuse("generate_pairs", faults)
    asked = [split for split in dataset.splits if of_texts or split == "train"]
    making = _Pairs(dataset, makes, task.ask(dataset, asked), HeldOut.of(dataset), examples)
    splits = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split not in asked}
    for split in asked:
        columns = [*dataset.splits[split].column_names, MADE_FROM, MADE_BY]
        splits[split] = table_of_rows(making.of(split), schema_of(shape_named("positive_pair"), columns))
    return _generated(dataset, "positive_pair", splits, making.answers)


def _faults(dataset: EmbeddingDataset, makes: str) -> Iterator[str]:
    if makes not in _PARTNERS:
        yield f"makes={makes!r} must be anchor or positive."
    if dataset.shape.name == "text" and any(ROW_PROMPT in rows.column_names for rows in dataset.splits.values()):
        yield "texts have prompts of their own (column prompt): take it out, a pair would not know whose it is."


@dataclass(frozen=True)
class _Pairs:
    dataset: EmbeddingDataset
    makes: str
    answers: _RowAnswers
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
                source = {_PARTNERS[self.makes]: source.pop("text")} | source
            else:
                yield source
                if source[MADE_BY] is not None:  # made of another: nothing is made of it
                    continue
            for text in self.answers.of(row, own, avoided, self.num_shown):
                yield made_of(source, self.answers.task.made_by, **{self.makes: text})


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
    task = _Task(endpoint, prompt, made_by, {"text": "anchor", "positive": "positive"}, per_text, cache)
    refuse("generate_negatives", _generating_faults(dataset, task, ["positive_pair", "triplet"], examples))
    answers, first = task.ask(dataset, dataset.splits), len(dataset.text_columns) - 1
    names = [f"negative_{number}" for number in range(first, first + per_text)]
    splits = {}
    for split, rows in dataset.splits.items():
        triplets = _triplets(rows, dataset.text_columns, answers, names, examples)
        splits[split] = table_of_rows(triplets, schema_of(shape_named("triplet"), [*rows.column_names, *names]))
    return _generated(dataset, "triplet", splits, answers)


def _triplets(
    rows: "Dataset", columns: Sequence[str], answers: _RowAnswers, names: Sequence[str], num_shown: int
) -> Iterator[Row]:
    for row in rows_of(rows):
        made = answers.of(row, [row[column] for column in columns], None, num_shown)
        if len(made) == len(names):
            yield row | dict(zip(names, made, strict=True))
