"""Steps that generate texts with a language model: queries, positives and hard negatives, for each distinct source."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import COUNT, COUNT_FROM_0, TEXT, LegalValues, problems_with, refuse
from embexp.data.arrow import rows_of, schema_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset, none_emptied
from embexp.data.shapes import MADE_BY, MADE_FROM, ROW_PROMPT, shape_named
from embexp.errors import Problem
from embexp.steps.augment.augment import HeldOut
from embexp.steps.augment.provenance import Row, made_of, with_source, with_sources
from embexp.steps.augment.text_changes import shown_change
from embexp.steps.dedup.row_keys import comparable
from embexp.steps.llm.batch import RequestOutcome, request_all
from embexp.steps.llm.chat import Request, prompt_problems
from embexp.steps.llm.endpoint import Endpoint

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class _Task:
    """What a model is to make."""

    endpoint: Endpoint
    prompt: Mapping[str, str]
    made_by: str
    places: Mapping[str, str]  # the column whose text stands in each place of the prompt
    per_text: int
    cache: Path | None

    def answers(self, dataset: EmbeddingDataset, splits: Iterable[str]) -> "_RowAnswers":
        """The answers for all rows of some splits."""
        rows = (
            row for split in splits for row in rows_of(dataset.splits[split].select_columns([*self.places.values()]))
        )
        sources = [*dict.fromkeys(self.source(row) for row in rows)]
        values = [dict(zip(self.places, source, strict=True)) | {"number": str(self.per_text)} for source in sources]
        requests = [Request.filled(self.prompt, each, self.per_text) for each in values]
        outcome = request_all(self.endpoint, requests, self.made_by, self.cache)
        texts = {source: made for source, made in zip(sources, outcome.texts, strict=True) if made}
        return _RowAnswers(self, outcome, texts)

    def source(self, row: Row) -> tuple[str, ...]:
        """The texts of a row that the prompt shows."""
        return tuple(row[column] for column in self.places.values())


@dataclass
class _RowAnswers:
    """The answers for rows, with counts of those left out, and the first ones as examples."""

    task: _Task
    outcome: RequestOutcome
    texts: Mapping[tuple[str, ...], Sequence[str]]
    left_out: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)
    num_made: int = 0

    def texts_for(self, row: Row, own: Sequence[str], held_out: HeldOut | None, num_shown: int) -> list[str]:
        """The texts made for a row, without those like its own texts or, in train, like texts of dev and test."""
        import pyarrow

        source, made = self.task.source(row), []
        for text in self.texts.get(source, ()):
            first, *others = comparable(pyarrow.array([text, *own])).to_pylist()
            self.left_out["like a text of its row"] += first in others
            made += [text] if first not in others else []
        if held_out and made:
            reasons = held_out([(source[0], text) for text in made])
            self.left_out.update(reason for reason in reasons if reason)
            made = [text for text, reason in zip(made, reasons, strict=True) if reason is None]
        self.num_made += len(made)
        self.shown += [shown_change(source[0], text) for text in made[: num_shown - len(self.shown)]]
        return made


logger = logging.getLogger(__name__)


def _problems(dataset: EmbeddingDataset, task: _Task, shapes: Sequence[str], examples: Any) -> Iterator[Problem]:
    if dataset.shape.name not in shapes:
        yield Problem(f"{dataset.name} is {dataset.shape.name}", expected=" or ".join(shapes))
    yield from problems_with("per_text", task.per_text, COUNT, such_as=1)
    yield from problems_with("examples", examples, COUNT_FROM_0, such_as=3)
    yield from problems_with("made_by", task.made_by, TEXT, such_as="queries")
    yield from task.endpoint.problems()
    yield from prompt_problems(task.prompt, [*task.places, "number"])


def _generated(
    dataset: EmbeddingDataset, shape: str, splits: Mapping[str, "Dataset"], answers: _RowAnswers
) -> EmbeddingDataset:
    """The data set with the splits that were made, and the report."""
    made_by, source = answers.task.made_by, dataset.shape.name
    for line in answers.shown:
        logger.info("%s: %s: %s", dataset.name, made_by, line)
    prompts = dataset.prompts.moved("text", ("anchor", "positive")) if source == "text" else dataset.prompts
    reason = f"{answers.num_made:,} texts made; {answers.outcome.report(answers.left_out)}"
    ordered = {split: splits[split] for split in dataset.splits}
    changes = {"shape": shape_named(shape), "prompts": prompts}
    made = dataset.after(f"generate {made_by}", ordered, reason, answers.shown, **changes)
    return none_emptied(dataset, made, "Look at the prompt, and at the limits of the endpoint")


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
    more pairs after each row, made of one side of it; dev and test stay. A text like one of its own row is left out,
    and in train one like a text of dev or test.

    Args:
        prompt: `system` (or null) and `user`, with {text} and {number} in their places.
        makes: which side is made, anchor (such as queries for passages) or positive; the given text is the other.
        per_text: how many are made for each text.
        examples: how many are logged and kept in the report.
        cache: the folder for answers; None caches none.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: a split of texts got no pair.
        EndpointError: the server cannot be reached or used; answers that came are cached.
    """
    of_texts = dataset.shape.name == "text"
    task = _Task(endpoint, prompt, made_by, {"text": "text" if of_texts else _PARTNERS.get(makes, "")}, per_text, cache)
    problems = [*problems_with("makes", makes, LegalValues(one_of=(*_PARTNERS,)), such_as="anchor")]
    if of_texts and any(ROW_PROMPT in rows.column_names for rows in dataset.splits.values()):
        text = f"{dataset.name} has prompts of its own (column prompt), and a pair could not say whose prompt it is"
        problems.append(Problem(text, expected="texts without that column"))
    refuse([*problems, *_problems(dataset, task, ["text", "positive_pair"], examples)])
    sources = [split for split in dataset.splits if of_texts or split == "train"]
    making = _Pairs(dataset, makes, task.answers(dataset, sources), HeldOut.from_dataset(dataset), examples)
    splits = {split: with_sources(rows, dataset) for split, rows in dataset.splits.items() if split not in sources}
    for split in sources:
        columns = [*dataset.splits[split].column_names, MADE_FROM, MADE_BY]
        splits[split] = table_of_rows(making.pairs_of(split), schema_of(shape_named("positive_pair"), columns))
    return _generated(dataset, "positive_pair", splits, making.answers)


@dataclass(frozen=True)
class _Pairs:
    dataset: EmbeddingDataset
    makes: str
    answers: _RowAnswers
    held_out: HeldOut
    num_shown: int

    def pairs_of(self, split: str) -> Iterator[Row]:
        """The pairs of a split: for texts the new pairs; else each row, then its new pairs."""
        columns = self.dataset.text_columns
        avoided = self.held_out if split == "train" else None
        for row in rows_of(self.dataset.splits[split]):
            source = with_source(row, columns)
            own = [row[column] for column in columns]
            if columns == ["text"]:
                source = {_PARTNERS[self.makes]: source.pop("text")} | source
            else:
                yield source
                if source[MADE_BY] is not None:  # a copy gets no copies
                    continue
            for text in self.answers.texts_for(row, own, avoided, self.num_shown):
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
    """Triplets whose hard negatives a language model made: of pairs, or added to those of triplets; all splits.

    Rows without as many are left out; so are those with one like a text of the row itself. The rows
    do not count as copies.

    Args:
        prompt: `system` (or null) and `user`, with {text} (the anchor), {positive} and {number} in their places.
        per_text, examples, cache: as in `generate_pairs`.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: no row is left in a split.
        EndpointError: the server cannot be reached or used; answers that came are cached.
    """
    task = _Task(endpoint, prompt, made_by, {"text": "anchor", "positive": "positive"}, per_text, cache)
    refuse(_problems(dataset, task, ["positive_pair", "triplet"], examples))
    answers, first = task.answers(dataset, dataset.splits), len(dataset.text_columns) - 1
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
        made = answers.texts_for(row, [row[column] for column in columns], None, num_shown)
        if len(made) == len(names):
            yield row | dict(zip(names, made, strict=True))
