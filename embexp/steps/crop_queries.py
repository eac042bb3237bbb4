"""Queries for passages without a model: one sentence of a passage asks for the rest of it."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from random import Random
from typing import Any

from embexp.data.arrow import batches_of, rows_of, schema_of, table_of_rows
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, shape_named
from embexp.data.values import is_number
from embexp.errors import DataError, listed
from embexp.steps.augment.augment import HeldOut
from embexp.steps.augment.provenance import Row, made_of, with_source
from embexp.steps.augment.text_changes import sentences_of, shown_change, without_sentence
from embexp.steps.conversions.convert import convert_to
from embexp.steps.prompting import with_row_prompts
from embexp.steps.refusals import count_faults, refuse

_MADE = shape_named("positive_pair")
_ONE_SENTENCE, _REPEATED = "passages of one sentence", "sentences that repeat the rest of their passage"
_HELD_OUT = "with a text of another split"

logger = logging.getLogger(__name__)


def crop_queries(
    dataset: EmbeddingDataset, made_by: str, per_text: int, removed: float, seed: int, examples: int
) -> EmbeddingDataset:
    """Pairs of a sentence and the passage that it was drawn from: the inverse cloze task (Lee et al. 2019, section 4).

    Every distinct text is a passage, in all splits; those of one sentence are left out. Out of train goes what stands
    in dev or test, out of dev what stands in test.

    Args:
        made_by: the pairs' name in their column `made_by`.
        per_text: how many sentences of a passage become queries, at most.
        removed: the probability that a query is taken out of its passage; where it stays, words must be matched.
        examples: how many pairs are logged and kept in the report.

    Raises:
        ConfigError: lists every argument that does not fit.
        DataError: a split has no passage of two sentences.
    """
    refuse("crop_queries", _faults(made_by, per_text, removed, examples, seed))
    texts = with_row_prompts(dataset) if dataset.shape.name == "text" else convert_to(dataset, "text")
    cropping, made = _Cropping(made_by, per_text, removed, seed), {}
    for split in sorted(texts.splits, key=SPLITS.index, reverse=True):
        held_out = [HeldOut.from_dataset(texts)] if split == "train" else []
        held_out += [HeldOut.from_dataset(replace(texts, shape=_MADE, splits=made))] if made else []
        made[split] = table_of_rows(cropping.pairs(texts, split, held_out), schema_of(_MADE, [MADE_FROM, MADE_BY]))
        if texts.splits[split].num_rows and not made[split].num_rows:
            raise DataError(
                f"crop_queries leaves no row of {split} in {dataset.name} ({cropping.report()}). Expected passages of "
                "two sentences or more: choose other data, or make queries with step=[generate_queries]."
            )
    ordered = {split: made[split] for split in texts.splits}
    rows = islice(chain.from_iterable(map(rows_of, ordered.values())), examples)
    shown = [shown_change(row["anchor"], row["positive"]) for row in rows]
    for line in shown:
        logger.info("%s: %s: %s", dataset.name, made_by, line)
    prompts = texts.prompts.moved("text", _MADE.texts)
    return texts.after("crop queries", ordered, cropping.report(), shown, shape=_MADE, prompts=prompts)


@dataclass
class _Cropping:
    made_by: str
    per_text: int
    removed: float
    seed: int
    left_out: Counter[str] = field(default_factory=Counter)
    num_made: int = 0

    def pairs(self, texts: EmbeddingDataset, split: str, held_out: Sequence[HeldOut]) -> Iterator[Row]:
        """The pairs of a split, passage by passage."""
        for batch in batches_of(texts.splits[split], f"crop queries {split}"):
            sources = [with_source(row, ["text"]) for row in batch.to_pylist()]
            made = [(source, *pair) for source in sources for pair in self._cropped(source["text"])]
            changes = [(source["text"], text) for source, *pair in made for text in pair]
            reasons = zip(*(held(changes) for held in held_out), strict=True) if held_out else [()] * len(changes)
            refused = iter([any(of_text) for of_text in reasons])
            for source, sentence, rest in made:
                if next(refused) | next(refused):  # the sentence, the rest of its passage
                    self.left_out[_HELD_OUT] += 1
                else:
                    self.num_made += 1
                    row = made_of(source, self.made_by, anchor=sentence, positive=rest)
                    yield {name: value for name, value in row.items() if name != "text"}

    def _cropped(self, passage: str) -> Iterator[tuple[str, str]]:
        """Sentences of a passage, each with what is to be found; passage and seed alone decide which."""
        sentences, draw = sentences_of(passage), Random(f"{self.seed} {self.made_by} {passage}")
        if len(sentences) < 2:
            self.left_out[_ONE_SENTENCE] += 1
            return
        for number in draw.sample(range(len(sentences)), min(self.per_text, len(sentences))):
            rest = without_sentence(passage, number) if draw.random() < self.removed else passage
            if rest == sentences[number]:
                self.left_out[_REPEATED] += 1
            else:
                yield sentences[number], rest

    def report(self) -> str:
        """How many pairs were made, and what was left out."""
        counts = listed(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"{self.num_made:,} queries made" + (f"; left out: {counts}" if self.left_out else "")


def _faults(made_by: Any, per_text: Any, removed: Any, examples: Any, seed: Any) -> Iterator[str]:
    if not isinstance(made_by, str) or not made_by.strip():
        yield f"made_by={made_by!r} must be a name, such as made_by=crop."
    yield from count_faults(1, per_text=per_text)
    yield from count_faults(0, examples=examples, seed=seed)
    if not (is_number(removed) and 0 <= removed <= 1):
        yield f"removed={removed} must be a probability, from 0 to 1."
