"""The step `teacher_scores`: a teacher's score of each query with each of its positives and negatives."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embexp.data.arrow import batches_of, schema_of, table_of_batches
from embexp.data.dataset import SPLITS, EmbeddingDataset
from embexp.data.kept_arrays import KeptBlocks
from embexp.data.shapes import shape_named
from embexp.errors import DataError, listed
from embexp.protocols import PairScorer
from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.negatives.ranked_form import as_ranked
from embexp.steps.refusals import count_faults, refuse
from embexp.steps.teaching.score_report import ScoreReport
from embexp.steps.teaching.scored_lists import ScoredLists

MOST_ABOVE = 0.5  # share of the negatives that a teacher may put above the positive before that is told

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
    usual conversion, `conversion.max_negatives` negatives beside each positive. The scores are the teacher's own, not
    margins: margin_mse and distill_kl both read these. Each pair of texts is scored once; earlier scores are replaced.

    Args:
        scorer: the teacher; reads texts without prompts.
        conversion: for shapes that must be converted first.
        splits: which ones are scored.
        block_pairs: after so many pairs what was scored is kept.
        examples: how many scored rows the report shows.
        unfinished: the folder that keeps scores until all are there; None keeps none.

    Raises:
        ConfigError: lists every argument that does not fit.
        ShapeError: rows whose positives are not known.
        DataError: no row of a split has negatives.
    """
    refuse("teacher_scores", _faults(dataset, splits, block_pairs, examples))
    ranked = as_ranked(dataset, conversion, "A teacher cannot score")
    scoring = ScoredLists(scorer, block_pairs, KeptBlocks(unfinished))
    made, reasons, shown = dict(ranked.splits), [], []
    for split in splits:
        rows, report = ranked.splits[split], ScoreReport(examples)
        schema = schema_of(shape_named("ranked"), [*rows.column_names, "positive_scores", "negative_scores"])
        batches = (scoring.of(batch, report) for batch in batches_of(rows))
        made[split] = table_of_batches((batch.select(schema.names).cast(schema) for batch in batches), schema)
        if not report.num_scored:
            raise DataError(
                f"No row of {ranked.name}/{split} has both positives and negatives: a teacher has nothing to compare. "
                "Expected negatives: type negatives=bm25 (or another way of mining), or choose data that have them."
            )
        if report.share_above > MOST_ABOVE:
            logger.warning(
                "%s/%s: the teacher scores %.0f %% of the negatives above the (lowest) positive: it may not know these "
                "texts. Choose another one by dataset.steps.teacher_scores.scorer, or leave these negatives out: "
                "negatives=cross_encoder.",
                ranked.name,
                split,
                100 * report.share_above,
            )
        reasons.append(f"{split}: {report}")
        shown += report.lines()
    logger.info("%s: %s; %d blocks were kept from before", ranked.name, "; ".join(reasons), scoring.num_recalled)
    return ranked.after("teacher scores", made, "; ".join(reasons), shown)


def _faults(dataset: EmbeddingDataset, splits: Sequence[str], block_pairs: Any, examples: Any) -> Iterator[str]:
    if isinstance(splits, str) or not splits or not {*splits} <= {*SPLITS}:
        yield f"splits={splits} must be a list of some of: {listed(SPLITS)}; type splits=[train]."
    elif missing := [split for split in splits if split not in dataset.splits]:
        yield f"splits={listed(splits)}: {dataset.name} has no {listed(missing)}, only {listed(dataset.splits)}."
    yield from count_faults(1, block_pairs=block_pairs)
    yield from count_faults(0, examples=examples)
