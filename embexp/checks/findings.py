"""What a check finds."""

from collections.abc import Iterable
from dataclasses import dataclass

from embexp.data.dataset import EmbeddingDataset


@dataclass(frozen=True)
class Findings:
    """Errors stop the run before a model is loaded; warnings go with it and stand in its record.

    Attributes:
        errors, warnings: one message each: what was found, and what to type.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def merged(parts: Iterable[Findings]) -> Findings:
    """All findings together, each once.

    >>> merged([Findings(errors=("a",)), Findings(errors=("b", "a"), warnings=("c",))])
    Findings(errors=('a', 'b'), warnings=('c',))
    """
    parts = list(parts)
    return Findings(
        tuple(dict.fromkeys(error for part in parts for error in part.errors)),
        tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )


def of_rows(count: int, total: int) -> str:
    """A count with its share, for a message.

    >>> of_rows(412, 20000)
    '412 of 20,000 rows (2.1 %)'
    """
    return f"{count:,} of {total:,} rows ({100 * count / total:.1f} %)"


def named(column: str, dataset: EmbeddingDataset) -> str:
    """A column with its data set, and with the conversions that it went through: their columns have other names."""
    ways = [report.step.removeprefix("convert ") for report in dataset.history if report.step.startswith("convert ")]
    return f"{column} of {dataset.name}" + (f" (converted: {', '.join(ways)})" if ways else "")
