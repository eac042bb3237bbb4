"""Queries for passages without a model: one sentence of a passage is the query for the rest of it."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from random import Random
from typing import Any

from embexp.core.arguments import COUNT, COUNT_FROM_0, TEXT, LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, rows_of, schema_of, table_of_rows
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, shape_named
from embexp.errors import DataError, Problem, listed
from embexp.steps.augment.augment import HeldOut
from embexp.steps.augment.provenance import Row, made_of, with_source
from embexp.steps.augment.text_changes import sentences_of, shown_change, without_sentence
from embexp.steps.conversions.convert import convert_to
from embexp.steps.prompting import with_row_prompts

_MADE = shape_named("positive_pair")

logger = logging.getLogger(__name__)


def crop_queries(
    dataset: EmbeddingDataset, made_by: str, per_text: int, removed: float, seed: int, examples: int
) -> EmbeddingDataset:
    """Pairs of a sentence and the passage that it comes from: the inverse cloze task (Lee et al. 2019, section 4).

    Every distinct text is a passage, in all splits; those of one sentence are left out. Pairs with a text of dev or
    test are left out of train, pairs with a text of test out of dev.

    Args:
        made_by: the pairs' name in their column `made_by`.
        per_text: how many sentences of a passage become queries, at most.
        removed: the probability that a query is removed from its passage; where it stays, matching words suffices.
        examples: how many pairs are logged and shown in the report.

    Raises:
        ConfigError: lists every invalid argument.
        DataError: a split has no passage of two sentences.
    """
    refuse(_problems(made_by, per_text, removed, examples, seed), under="dataset.steps.crop_queries")
    texts = with_row_prompts(dataset) if dataset.shape.name == "text" else convert_to(dataset, "text")
    cropping, made = _Cropping(made_by, per_text, removed, seed), {}
    for split in sorted(texts.splits, key=SPLITS.index, reverse=True):
        held_out = [HeldOut.from_dataset(texts)] if split == "train" else []
        held_out += [HeldOut.from_dataset(replace(texts, shape=_MADE, splits=made))] if made else []
        made[split] = table_of_rows(cropping.pairs(texts, split, held_out), schema_of(_MADE, [MADE_FROM, MADE_BY]))
        if texts.splits[split].num_rows and not made[split].num_rows:
            text = f"crop_queries leaves no row of {split} in {dataset.name} ({cropping.report()})"
            expected = "passages of two sentences or more, or queries by a language model"
            raise DataError(text, expected=expected, fix="step=[generate_queries]")
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
                    self.left_out["with a text of another split"] += 1
                else:
                    self.num_made += 1
                    row = made_of(source, self.made_by, anchor=sentence, positive=rest)
                    yield {name: value for name, value in row.items() if name != "text"}

    def _cropped(self, passage: str) -> Iterator[tuple[str, str]]:
        """Sentences of a passage, each with its positive; only the passage and the seed decide which."""
        sentences, random = sentences_of(passage), Random(f"{self.seed} {self.made_by} {passage}")
        if len(sentences) < 2:
            self.left_out["passages of one sentence"] += 1
            return
        for number in random.sample(range(len(sentences)), min(self.per_text, len(sentences))):
            rest = without_sentence(passage, number) if random.random() < self.removed else passage
            if rest == sentences[number]:
                self.left_out["sentences that repeat the rest of their passage"] += 1
            else:
                yield sentences[number], rest

    def report(self) -> str:
        """How many pairs were made, and what was left out."""
        counts = listed(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"{self.num_made:,} queries made" + (f"; left out: {counts}" if self.left_out else "")


def _problems(made_by: Any, per_text: Any, removed: Any, examples: Any, seed: Any) -> Iterator[Problem]:
    yield from problems_with("made_by", made_by, TEXT, such_as="cropped")
    yield from problems_with("per_text", per_text, COUNT, such_as=1)
    yield from problems_with("examples", examples, COUNT_FROM_0, such_as=3)
    yield from problems_with("seed", seed, COUNT_FROM_0, such_as=42)
    yield from problems_with("removed", removed, LegalValues(least=0, most=1), such_as=0.9)
