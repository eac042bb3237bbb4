"""What a person should know of mined negatives besides the report: what to type where many queries have none."""

import logging

from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.negatives.argument_faults import KEY
from embexp.steps.negatives.guards import Guards
from embexp.steps.negatives.mining_report import MiningReport

logger = logging.getLogger(__name__)


def warn_of_empty(where: str, report: MiningReport, guards: Guards) -> None:
    """Log what to loosen when more than half of the queries have no negative."""
    none, queries = int((report.counts == 0).sum()), len(report.counts)
    if 2 * none > queries:
        logger.warning(
            "%s: %s of %s queries found no negative. %s", where, f"{none:,}", f"{queries:,}", _to_loosen(report, guards)
        )


def tell_of_rows_left_out(where: str, num_rows: int) -> None:
    """Log that rows without a negative do not reach the losses that read triplets."""
    if num_rows:
        logger.info(
            "%s: %s rows have no negative; too_few=keep keeps them in the set only: they are left out where a loss "
            "gets triplets.",
            where,
            f"{num_rows:,}",
        )


def tell_of_further_negatives(name: str, num_negatives: int, conversion: ConversionSettings) -> None:
    """Log how triplets get all negatives, where they would get some."""
    beside = conversion.max_negatives or 1
    if beside < num_negatives:
        logger.info(
            "%s: %d negatives a query; triplets get %d of them: type conversion.max_negatives=%d for all.",
            name,
            num_negatives,
            beside,
            num_negatives,
        )


def _to_loosen(report: MiningReport, guards: Guards) -> str:
    """The guard that took most candidates out, with what to type; without one, where more candidates come from."""
    counts = {key: count for removing, count in report.removed.items() if (key := guards.key_of(removing)) and count}
    if not counts:
        return (
            "Expected candidates besides the known positives: choose another retriever (negatives=embedding), or add "
            f"documents with {KEY}.corpus=<file>."
        )
    key = max(counts, key=counts.get)
    name = f"{KEY}.guards.{key}"
    return (
        f"Expected guards that leave some: {counts[key]:,} candidates went by {name}={getattr(guards, key)}; loosen "
        f"it, or type {name}={'0' if key == 'skip' else 'null'}."
    )
