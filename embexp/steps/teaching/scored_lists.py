"""Lists of scores beside the lists of texts of ranked rows."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from embexp.data.arrow import with_progress
from embexp.data.kept_arrays import KeptBlocks
from embexp.protocols import PairScorer
from embexp.steps.conversions.ranked_lists import SCORES
from embexp.steps.teaching.score_report import ScoreReport

if TYPE_CHECKING:
    import pyarrow

Pair = tuple[str, str]


class ScoredLists:
    """Scores the pairs of ranked rows, each distinct pair once, and puts the scores beside their texts.

    What it remembers of a pair is a hash and its score.

    Args:
        block_pairs: pairs that are scored at a time.
        blocks: keeps the scores of each such block.
    """

    def __init__(self, scorer: PairScorer, block_pairs: int, blocks: KeptBlocks) -> None:
        self.scorer, self.block_pairs, self.blocks = scorer, block_pairs, blocks
        self._scores: dict[bytes, float] = {}

    @property
    def num_recalled(self) -> int:
        """How many blocks of scores were there before."""
        return self.blocks.num_recalled

    def of(self, batch: "pyarrow.Table", report: ScoreReport) -> "pyarrow.Table":
        """The batch with scores; rows without positives or negatives get none, for there is nothing to compare."""
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
                row[name] = self._of_texts(row["query"], row[column]) if is_scored else None
            lists = pyarrow.array([row[name] for row in rows], pyarrow.list_(pyarrow.float64()))
            batch = batch.drop_columns([name]) if name in batch.column_names else batch
            batch = batch.append_column(name, lists)
        for row in rows:
            report.add(row)
        return batch

    def _of_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        return [self._scores[_key((query, text))] for text in texts]

    def _score(self, pairs: Iterator[Pair]) -> None:
        """Have the pairs scored that are not yet, block by block."""
        unknown = {key: pair for pair in pairs if (key := _key(pair)) not in self._scores}
        items = iter(unknown.items())
        blocks = iter(lambda: list(islice(items, self.block_pairs)), [])
        for block in with_progress(blocks, "teacher scores", len, len(unknown)):
            scores = self.blocks.next(lambda block=block: self.scorer.score([pair for _, pair in block]))
            self._scores |= zip((key for key, _ in block), scores.tolist(), strict=True)


def _key(pair: Pair) -> bytes:
    query, text = (side.encode("utf-8", "surrogatepass") for side in pair)
    return hashlib.blake2b(query + b"\0" + text, digest_size=16).digest()
