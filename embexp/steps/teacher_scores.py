"""The step `teacher_scores`: a teacher's score of each query with each of its positives and negatives."""

import hashlib
import logging
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import COUNT, COUNT_FROM_0, problems_with, refuse
from embexp.data.arrow import batches_of, schema_of, table_of_batches, with_progress
from embexp.data.cache import CachedBlocks
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import shape_named
from embexp.errors import DataError, Problem
from embexp.protocols import PairScorer
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.conversions.ranked_lists import SCORES
from embexp.steps.negatives.mine import histogram, shortened
from embexp.steps.negatives.ranked_form import problems_with_splits, to_ranked

if TYPE_CHECKING:
    import pyarrow

_REACH = 2  # the largest difference of two cosines


class _ScoreReport:
    """Collects how a teacher scores the rows of a split, and the first `num_shown` of them as examples."""

    def __init__(self, num_shown: int) -> None:
        self.num_shown, self.num_scored, self.num_bare = num_shown, 0, 0  # bare: without positives or negatives
        self.margins = array("f")  # score of the positive (the lowest one) minus that of each negative
        self.shown: list[str] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a ranked row with its `positive_scores` and `negative_scores`, null where it has none."""
        if row["positive_scores"] is None:
            self.num_bare += 1
            return
        self.num_scored += 1
        lowest = min(row["positive_scores"])
        self.margins.extend(lowest - score for score in row["negative_scores"])
        if len(self.shown) < self.num_shown:
            self.shown.append(_example(row, row["positive_scores"].index(lowest)))

    @property
    def share_above(self) -> float:
        """The share of the negatives that are scored above the (lowest) positive."""
        return sum(margin < 0 for margin in self.margins) / max(len(self.margins), 1)

    def __str__(self) -> str:
        above = f"{100 * self.share_above:.1f} % of the negatives above the (lowest) positive"
        parts = [f"{self.num_scored:,} rows scored", above]
        parts += [f"{self.num_bare:,} rows without positives or negatives not scored"] if self.num_bare else []
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """What to read besides the numbers: the distribution of margins, whether a model can learn them, examples."""
        margins = numpy.asarray(self.margins)
        lines = [f"positive - negative {histogram(margins)}"]
        if far := int((abs(margins) > _REACH).sum()):
            share, fix = 100 * far / len(margins), "dataset.steps.teacher_scores.scorer.activation=sigmoid"
            reach = f"beyond {_REACH}, the most that normalised embeddings can differ by"
            lines.append(f"{share:.1f} % of the margins are {reach}: for loss=margin_mse type {fix}")
        return [*lines, *self.shown]


def _example(row: Mapping[str, Any], place: int) -> str:
    """The query, the positive at the place and the negatives, with their scores."""
    negatives = zip(row["negatives"], row["negative_scores"], strict=True)
    parts = [shortened(row["query"]), f"+ {shortened(row['positives'][place], row['positive_scores'][place])}"]
    return " | ".join([*parts, *(f"- {shortened(text, score)}" for text, score in negatives)])


class _ScoredLists:
    """Adds scores to ranked rows. Each distinct pair is scored once; only its hash and its score stay in memory."""

    def __init__(self, scorer: PairScorer, block_pairs: int, blocks: CachedBlocks) -> None:
        self.scorer, self.block_pairs, self.blocks = scorer, block_pairs, blocks
        self._scores: dict[bytes, float] = {}

    def with_scores(self, batch: "pyarrow.Table", report: _ScoreReport) -> "pyarrow.Table":
        """The batch with scores; rows without positives or negatives get none, because there is nothing to compare."""
        import pyarrow

        rows = batch.select(["query", *SCORES.values()]).to_pylist()
        scored = [bool(row["positives"] and row["negatives"]) for row in rows]
        self._score(
            (row["query"], text)
            for row, is_scored in zip(rows, scored, strict=True)
            for column in SCORES.values()
            for text in (row[column] if is_scored else ())
        )
        for name, column in SCORES.items():
            for row, is_scored in zip(rows, scored, strict=True):
                keys = (_key((row["query"], text)) for text in row[column])
                row[name] = [self._scores[key] for key in keys] if is_scored else None
            lists = pyarrow.array([row[name] for row in rows], pyarrow.list_(pyarrow.float64()))
            batch = batch.drop_columns([name]) if name in batch.column_names else batch
            batch = batch.append_column(name, lists)
        for row in rows:
            report.add(row)
        return batch

    def _score(self, pairs: Iterator[tuple[str, str]]) -> None:
        """Score the new pairs, block by block."""
        unknown = {key: pair for pair in pairs if (key := _key(pair)) not in self._scores}
        items = iter(unknown.items())
        blocks = iter(lambda: list(islice(items, self.block_pairs)), [])
        for block in with_progress(blocks, "teacher scores", len, len(unknown)):
            scores = self.blocks.next(lambda block=block: self.scorer.score([pair for _, pair in block]))
            self._scores |= zip((key for key, _ in block), scores.tolist(), strict=True)


def _key(pair: tuple[str, str]) -> bytes:
    query, text = (side.encode("utf-8", "surrogatepass") for side in pair)
    return hashlib.blake2b(query + b"\0" + text, digest_size=16).digest()


_MOST_ABOVE = 0.5  # share of the negatives that a teacher may score above the positive without a warning

logger = logging.getLogger(__name__)


def score_by_teacher(
    dataset: EmbeddingDataset,
    scorer: PairScorer,
    conversion: ConversionSettings,
    splits: Sequence[str],
    block_pairs: int,
    examples: int,
    unfinished: Path | None = None,
) -> EmbeddingDataset:
    """The data set as ranked rows, with a teacher's scores of all their texts in some splits.

    Ranked, because only there may rows have different numbers of negatives; losses get scored triplets of them by the
    usual conversion, `conversion.max_negatives` negatives with each positive. The scores are the teacher's own, not
    margins: margin_mse and distill_kl both read these. Each pair of texts is scored once; earlier scores are replaced.

    Args:
        scorer: the teacher; reads texts without prompts.
        conversion: for shapes that must be converted first.
        splits: which ones are scored.
        block_pairs: pairs that are scored and stored at a time.
        examples: how many scored rows the report shows.
        unfinished: the folder that stores scores until all are there; None stores none.

    Raises:
        ConfigError: lists every invalid argument.
        ShapeError: rows whose positives are not known.
        DataError: no row of a split has negatives.
    """
    refuse(_problems(dataset, splits, block_pairs, examples), under="dataset.steps.teacher_scores")
    ranked = to_ranked(dataset, conversion, "A teacher cannot score")
    scoring = _ScoredLists(scorer, block_pairs, CachedBlocks(unfinished))
    made, reasons, shown = dict(ranked.splits), [], []
    for split in splits:
        rows, report = ranked.splits[split], _ScoreReport(examples)
        schema = schema_of(shape_named("ranked"), [*rows.column_names, "positive_scores", "negative_scores"])
        batches = (scoring.with_scores(batch, report) for batch in batches_of(rows))
        made[split] = table_of_batches((batch.select(schema.names).cast(schema) for batch in batches), schema)
        if not report.num_scored:
            text = f"No row of {ranked.name}/{split} has both positives and negatives: a teacher has nothing to compare"
            raise DataError(text, expected="data that have negatives, or a way of mining them", fix="negatives=bm25")
        if report.share_above > _MOST_ABOVE:
            found = f"scores {100 * report.share_above:.0f} % of the negatives above the (lowest) positive"
            instead = "another one by dataset.steps.teacher_scores.scorer, or leave these negatives out"
            advice = f"it may not know these texts. Choose {instead}: negatives=cross_encoder."
            logger.warning("%s/%s: the teacher %s: %s", ranked.name, split, found, advice)
        reasons.append(f"{split}: {report}")
        shown += report.lines()
    logger.info("%s: %s; %d blocks were there before", ranked.name, "; ".join(reasons), scoring.blocks.num_recalled)
    return ranked.after("teacher scores", made, "; ".join(reasons), shown)


def _problems(dataset: EmbeddingDataset, splits: Any, block_pairs: Any, examples: Any) -> Iterator[Problem]:
    yield from problems_with_splits(splits, dataset)
    yield from problems_with("block_pairs", block_pairs, COUNT, such_as=2048)
    yield from problems_with("examples", examples, COUNT_FROM_0, such_as=10)
