"""The step `negatives`: a retriever searches hard negatives for the queries of train, and guards rule some out."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import select_rows
from embexp.data.beir import read_documents
from embexp.data.dataset import EmbeddingDataset, none_emptied
from embexp.data.faults import FaultLog
from embexp.errors import Problem
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.negatives.candidates import Candidates, Retriever
from embexp.steps.negatives.guards import Guards, Selection
from embexp.steps.negatives.pool import Pairs, Pool, keys_of, make_pool
from embexp.steps.negatives.ranked_form import MINED, PAIRS_FIRST, problems_with_splits, replace_negatives, to_ranked

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_STEP = "dataset.steps.negatives"
_SYMMETRIC = ("scored_pair", "binary_pair", "class_pair")  # shapes whose positive pairs are two texts of one meaning
_BARS = "▁▂▃▄▅▆▇█"
_NUM_BINS = 16
EXAMPLES = 20
_SHOWN_CHARS = 80  # of each text of an example

logger = logging.getLogger(__name__)


def mine_negatives(
    dataset: EmbeddingDataset,
    retriever: Retriever,
    guards: Guards,
    conversion: ConversionSettings,
    num_negatives: int,
    choose: str,
    given: str,
    too_few: str,
    splits: Sequence[str],
    corpus: str | None,
    seed: int,
) -> EmbeddingDataset:
    """The data set as ranked rows, one for each row it had, with mined negatives in some splits.

    Ranked, because only there may rows have different numbers of negatives, or none: queries that find too few stay,
    and so do dev and test. Losses get triplets of them by the usual conversion, `conversion.max_negatives` of them
    with each positive. A query's negatives are mined once, however many rows have it; all their positives are known.

    Args:
        retriever: finds and scores candidates among the split's own positives and negatives, and the corpus.
        guards: which candidates are no negatives.
        conversion: for shapes that must be converted first.
        num_negatives: of each query, at most.
        choose: top: the best ranked; random: sampled from those that the guards leave.
        given: negatives that rows have already: replace them (then labelled pairs become pairs, so that those without a
            contradiction stay), or keep them before the mined ones.
        too_few: rows whose query finds fewer: keep or drop them.
        splits: which ones get negatives.
        corpus: a file of further documents (JSONL, CSV, TSV, Parquet or .txt), without those that are in another
            split; None for none.
        seed: for choose=random.

    Raises:
        ConfigError: lists every invalid argument.
        ShapeError: rows whose positives are not known.
        DataError: a corpus that cannot be read, or no row is left in a split.
    """
    selection = Selection(num_negatives, choose, guards.near_duplicate, seed)
    problems = [*selection.problems(), *_problems(dataset, given, too_few, splits, corpus)]
    problems += [problem.under("retriever") for problem in retriever.problems()]
    problems += [problem.under("guards") for problem in guards.problems(retriever.has_scores, num_negatives)]
    refuse(problems, under=_STEP)
    ranked = to_ranked(dataset, conversion, accepted=PAIRS_FIRST if given == "replace" else MINED)
    further, made, reasons, examples = _documents(corpus), dict(ranked.splits), [], []
    for split in splits:
        where, rows = f"{dataset.name}/{split}", ranked.splits[split]
        pool = _pool(ranked, split, further, dataset.shape.name in _SYMMETRIC)
        mined, report = _mine(pool, retriever, guards, selection, _taken(pool, given))
        made[split] = _rows(rows, mined, given, num_negatives if too_few == "drop" else 0)
        num_replaced = sum(map(len, rows["negatives"][:])) if given == "replace" else 0
        replaced = f"; {num_replaced:,} given negatives replaced" if num_replaced else ""
        reasons.append(f"{split}: {report}{replaced}")
        examples += report.lines()
        logger.info("%s: %s%s", where, report, replaced)
        _log_missing_negatives(where, report, guards, made[split])
    if (per_positive := conversion.max_negatives or 1) < num_negatives:
        hint = f"triplets get {per_positive} of them: type conversion.max_negatives={num_negatives} for all."
        logger.info("%s: %d negatives a query; %s", dataset.name, num_negatives, hint)
    return none_emptied(ranked, ranked.after("mine negatives", made, "; ".join(reasons), examples))


def _problems(dataset: EmbeddingDataset, given: Any, too_few: Any, splits: Any, corpus: Any) -> Iterator[Problem]:
    """What is wrong with the arguments that say which rows get negatives, and from where."""
    yield from problems_with("given", given, LegalValues(one_of=("replace", "keep")), such_as="replace")
    yield from problems_with("too_few", too_few, LegalValues(one_of=("keep", "drop")), such_as="keep")
    yield from problems_with_splits(splits, dataset)
    if corpus is not None and not isinstance(corpus, str):
        yield Problem(key="corpus", given=corpus, expected="one file, or null", fix=("corpus=<file>",))


def _documents(corpus: str | None) -> "pyarrow.Array":
    """The texts of a file of documents; none without one."""
    import pyarrow

    faults = FaultLog("stop")
    texts = [document.text for document in read_documents(Path(corpus), faults)] if corpus else []
    faults.settle(len(texts))
    return pyarrow.array([text for text in texts if text], pyarrow.string())


def _pool(ranked: EmbeddingDataset, split: str, further: "pyarrow.Array", symmetric: bool) -> Pool:
    others = [text for other in ranked.splits if other != split for text in ranked.texts(other)] if len(further) else []
    prompts = ranked.prompts.prompt_for("query"), ranked.prompts.prompt_for("positives")
    return make_pool(ranked.splits[split], further, keys_of(others), prompts, symmetric)


def _taken(pool: Pool, given: str) -> Pairs:
    """Documents that a query has already and keeps: they are not mined again."""
    if given == "replace":
        return Pairs(pool.known.left[:0], pool.known.right[:0])
    return Pairs(pool.query_of_row[pool.row_documents.left], pool.row_documents.right)


@dataclass(frozen=True)
class _Mined:
    """The negatives of a pool."""

    pool: Pool
    candidates: Candidates
    columns: list[list[int]]  # of each query's negatives among its candidates

    def places(self, query: int) -> list[int]:
        """The documents that are a query's negatives, the first one first."""
        return self.candidates.places[query, self.columns[query]].tolist()

    def differences(self) -> numpy.ndarray:
        """The score of the positive minus that of the negative, for each negative whose query has a positive."""
        if self.candidates.positive_scores is None:
            return numpy.zeros(0)
        queries = numpy.repeat(numpy.arange(len(self.columns)), [len(some) for some in self.columns])
        columns = numpy.array([column for some in self.columns for column in some], dtype="int64")
        values = self.candidates.positive_scores[queries] - self.candidates.scores[queries, columns]
        return values[~numpy.isnan(values)]


@dataclass(frozen=True)
class MiningReport:
    """What mining the negatives of a split found.

    Attributes:
        num_negatives: that each query should get.
        counts: negatives found, by query; `(queries,)`.
        num_documents: how many were searched.
        removed: candidates that a guard took out, by the guard.
        differences: score of the positive minus that of the negative, for each negative; empty without such scores.
        share_above: of the candidates that would be taken without guards that read scores, the share that scores above
            the positive: an estimate of false negatives, as good as the scores are. None without such scores.
        examples: a few queries with a positive and the negatives, to read.
    """

    num_negatives: int
    counts: numpy.ndarray
    num_documents: int
    removed: Counter[str]
    differences: numpy.ndarray
    share_above: float | None
    examples: tuple[str, ...]

    def __str__(self) -> str:
        queries = len(self.counts)
        few, none = int((self.counts < self.num_negatives).sum()), int((self.counts == 0).sum())
        parts = [f"{self.counts.sum():,} negatives of {queries:,} queries from {self.num_documents:,} documents"]
        share = 100 * few / max(queries, 1)
        parts.append(f"{few:,} ({share:.1f} %) have fewer than {self.num_negatives}, {none:,} none")
        if gone := [f"{count:,} {guard}" for guard, count in self.removed.items() if count]:
            parts.append(f"left out: {', '.join(gone)}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """What to read besides the numbers: how negatives score, and examples."""
        scored = [f"positive - negative {histogram(self.differences)}"] if len(self.differences) else []
        if self.share_above is not None:
            scored.append(f"{100 * self.share_above:.1f} % of the first candidates score above the (lowest) positive")
        return [*scored, *self.examples]


def histogram(values: numpy.ndarray, bounds: tuple[float, float] | None = None) -> str:
    """The lowest and highest value (or the bounds), between them how many there are of each size, then the median.

    >>> import numpy
    >>> histogram(numpy.array([0.0, 1.0, 1.0, 1.0, 2.0]))
    '0.00 |▃       █      ▃| 2.00, median 1.00'
    """
    counts, _ = numpy.histogram(values, _NUM_BINS, bounds)
    low, high = bounds or (values.min(), values.max())
    heights = numpy.ceil(counts / counts.max() * len(_BARS)).astype(int)
    bars = "".join(_BARS[height - 1] if height else " " for height in heights.tolist())
    return f"{low:.2f} |{bars}| {high:.2f}, median {numpy.median(values):.2f}"


def shortened(text: str, score: float | None = None) -> str:
    """A text as an example shows it, with its score where there is one.

    >>> shortened("a  cat", 0.5), shortened("b" * 99)[-3:]
    ('a cat [0.50]', 'bb…')
    """
    short = " ".join(text.split())
    short = short if len(short) <= _SHOWN_CHARS else f"{short[: _SHOWN_CHARS - 1]}…"
    return short if score is None else f"{short} [{score:.2f}]"


def _mine(
    pool: Pool, retriever: Retriever, guards: Guards, selection: Selection, taken: Pairs
) -> tuple[_Mined, MiningReport]:
    """The negatives of each query of a pool.

    Known positives are among the candidates, so more of these are fetched; a query with more positives than the window
    is long may find fewer negatives. Documents that are `taken` must not become negatives, as the known ones.
    """
    left, right = ((pool.known.left, taken.left), (pool.known.right, taken.right))
    known = Pairs(numpy.concatenate(left), numpy.concatenate(right))
    most_known = int(numpy.bincount(known.left, minlength=1).max())
    window = guards.skip + guards.within
    candidates = retriever.search(pool, window + min(window, most_known))
    looked_at, removed = guards.window(candidates, known, len(pool.documents))
    mask, by_score = guards.by_score(looked_at, candidates)
    columns, repeated = selection.choose_columns(mask, candidates, pool)
    mined = _Mined(pool, candidates, columns)
    report = MiningReport(
        selection.num_negatives,
        numpy.array([len(some) for some in columns]),
        len(pool.documents),
        removed + by_score + repeated,
        mined.differences(),
        _share_above(looked_at, candidates, selection.num_negatives),
        tuple(_examples(mined)),
    )
    return mined, report


def _share_above(looked_at: numpy.ndarray, candidates: Candidates, num_negatives: int) -> float | None:
    """Of the first candidates of each query with a positive, the share that scores above it."""
    if candidates.positive_scores is None:
        return None
    first = looked_at & (numpy.cumsum(looked_at, axis=1) <= num_negatives)
    first &= ~numpy.isnan(candidates.positive_scores)[:, None]
    above = first & (candidates.scores > candidates.positive_scores[:, None])
    return float(above.sum() / max(first.sum(), 1))


def _examples(mined: _Mined) -> Iterator[str]:
    """Queries from all over the split, each with a positive (the lowest, if it has a score) and its negatives."""
    pool, candidates = mined.pool, mined.candidates
    with_any = numpy.array([query for query, columns in enumerate(mined.columns) if columns], dtype="int64")
    positive_of = dict(zip(pool.positives.left[::-1].tolist(), pool.positives.right[::-1].tolist(), strict=True))
    for query in with_any[numpy.linspace(0, len(with_any) - 1, min(EXAMPLES, len(with_any))).astype(int)].tolist():
        scored = candidates.positive_scores is not None
        positive = positive_of.get(query)
        parts = [shortened(pool.queries[query])]
        if positive is not None:
            score = float(candidates.positive_scores[query]) if scored else None
            parts.append(f"+ {shortened(pool.documents[positive], score)}")
        for place, column in zip(mined.places(query), mined.columns[query], strict=True):
            score = float(candidates.scores[query, column]) if scored else None
            parts.append(f"- {shortened(pool.documents[place], score)}")
        yield " | ".join(parts)


def _rows(rows: "Dataset", mined: _Mined, given: str, fewest: int) -> "Dataset":
    """The rows with their query's negatives, without rows that have fewer mined ones than `fewest`."""
    former = rows["negatives"][:] if given == "keep" else [[]] * rows.num_rows
    of_query = [[mined.pool.documents[place] for place in mined.places(query)] for query in range(len(mined.columns))]
    queries = mined.pool.query_of_row.tolist()
    negatives = [[*kept, *of_query[query]] for kept, query in zip(former, queries, strict=True)]
    enough = numpy.array([len(of_query[query]) >= fewest for query in queries], dtype=bool)
    return select_rows(replace_negatives(rows, negatives), enough)


def _log_missing_negatives(where: str, report: MiningReport, guards: Guards, rows: "Dataset") -> None:
    """Log what to loosen when more than half of the queries have no negative, and what becomes of rows without one."""
    none, queries = int((report.counts == 0).sum()), len(report.counts)
    if 2 * none > queries:
        advice = _what_to_loosen(report, guards)
        logger.warning("%s: %s of %s queries found no negative. %s", where, f"{none:,}", f"{queries:,}", advice)
    if num_rows := sum(not negatives for negatives in rows["negatives"][:]):
        kept = "too_few=keep keeps them in the set only: they are left out where a loss gets triplets."
        logger.info("%s: %s rows have no negative; %s", where, f"{num_rows:,}", kept)


def _what_to_loosen(report: MiningReport, guards: Guards) -> str:
    """The guard that took most candidates out, with what to type; without one, where more candidates come from."""
    counts = {key: count for removing, count in report.removed.items() if (key := guards.key_of(removing)) and count}
    if not counts:
        another = "choose another retriever (negatives=embedding), or add documents"
        return f"Expected candidates besides the known positives: {another} with {_STEP}.corpus=<file>."
    key = max(counts, key=counts.get)
    name = f"{_STEP}.guards.{key}"
    loosen = f"loosen it, or type {name}={'0' if key == 'skip' else 'null'}."
    return (
        f"Expected guards that leave some: {counts[key]:,} candidates went by {name}={getattr(guards, key)}; {loosen}"
    )
