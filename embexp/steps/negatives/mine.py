"""The step `negatives`: hard negatives for the queries of train."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.data.arrow import select_rows
from embexp.data.beir import read_documents
from embexp.data.dataset import EmbeddingDataset
from embexp.data.faults import FaultLog
from embexp.steps.conversions.conversion import ConversionSettings
from embexp.steps.kept_rows import none_emptied
from embexp.steps.negatives.candidates import Retriever
from embexp.steps.negatives.guards import KEY, Guards, faults_of_rows, faults_of_search
from embexp.steps.negatives.mining import Mined, Selection, mine
from embexp.steps.negatives.pool import Pairs, Pool, keys_of, pool_of
from embexp.steps.negatives.ranked_form import MINED, PAIRS_FIRST, as_ranked, with_negatives
from embexp.steps.negatives.report import tell_of_further_negatives, tell_of_rows_left_out, warn_of_missing_negatives
from embexp.steps.refusals import refuse

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_SYMMETRIC = ("scored_pair", "binary_pair", "class_pair")  # shapes whose positive pairs are two texts of one meaning

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
    beside each positive. A query's negatives are mined once, however many rows ask it; all their positives are known.

    Args:
        retriever: finds and scores candidates among the split's own positives and negatives, and the corpus.
        guards: which candidates are no negatives.
        conversion: for shapes that must be converted first.
        num_negatives: of each query, at most.
        choose: top: the best ranked; random: drawn from those that the guards leave.
        given: negatives that rows have already: replace them (then labelled pairs become pairs, so that those without a
            contradiction stay), or keep them before the mined ones.
        too_few: rows whose query finds fewer: keep or drop them.
        splits: which ones get negatives.
        corpus: a file of further documents (JSONL, CSV, TSV, Parquet or .txt), without those that stand in another
            split; None for none.
        seed: for choose=random.

    Raises:
        ConfigError: lists every argument that does not fit.
        ShapeError: rows whose positives are not known.
        DataError: a corpus that cannot be read, or no row is left in a split.
    """
    selection = Selection(num_negatives, choose, guards.near_duplicate, seed)
    faults = [*selection.faults(KEY), *faults_of_rows(dataset, given, too_few, splits, corpus)]
    refuse("negatives", [*faults, *faults_of_search(retriever, guards, num_negatives)])
    ranked = as_ranked(dataset, conversion, accepted=PAIRS_FIRST if given == "replace" else MINED)
    further, made, reasons, examples = _documents(corpus), dict(ranked.splits), [], []
    for split in splits:
        where, rows = f"{dataset.name}/{split}", ranked.splits[split]
        pool = _pool(ranked, split, further, dataset.shape.name in _SYMMETRIC)
        mined, report = mine(pool, retriever, guards, selection, _taken(pool, given))
        made[split] = _rows(rows, mined, given, num_negatives if too_few == "drop" else 0)
        reasons.append(f"{split}: {report}{_replaced(rows, given)}")
        examples += report.lines()
        logger.info("%s: %s%s", where, report, _replaced(rows, given))
        warn_of_missing_negatives(where, report, guards)
        tell_of_rows_left_out(where, sum(not negatives for negatives in made[split]["negatives"][:]))
    tell_of_further_negatives(dataset.name, num_negatives, conversion)
    return none_emptied(ranked, ranked.after("mine negatives", made, "; ".join(reasons), examples))


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
    return pool_of(ranked.splits[split], further, keys_of(others), prompts, symmetric)


def _taken(pool: Pool, given: str) -> Pairs:
    """Documents that stand with a query already and are kept: they are not mined again."""
    if given == "replace":
        return Pairs(pool.known.left[:0], pool.known.right[:0])
    return Pairs(pool.query_of_row[pool.row_documents.left], pool.row_documents.right)


def _rows(rows: "Dataset", mined: Mined, given: str, fewest: int) -> "Dataset":
    """The rows with their query's negatives; those with fewer mined ones than `fewest` left out."""
    import numpy

    former = rows["negatives"][:] if given == "keep" else [[]] * rows.num_rows
    of_query = [[mined.pool.documents[place] for place in mined.places(query)] for query in range(len(mined.columns))]
    queries = mined.pool.query_of_row.tolist()
    negatives = [[*kept, *of_query[query]] for kept, query in zip(former, queries, strict=True)]
    enough = numpy.array([len(of_query[query]) >= fewest for query in queries], dtype=bool)
    return select_rows(with_negatives(rows, negatives), enough)


def _replaced(rows: "Dataset", given: str) -> str:
    """How many negatives that rows had went, for the report."""
    number = sum(map(len, rows["negatives"][:])) if given == "replace" else 0
    return f"; {number:,} given negatives replaced" if number else ""
