"""One way from a shape to another, and what it is given: the rows of a split and the settings."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import ROW_PROMPT
from embexp.steps.conversions.conversion_settings import ConversionSettings

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A split that is being converted.

    Attributes:
        left_out: how many rows (or texts) went, by what they were; the report lists them.
    """

    dataset: EmbeddingDataset
    split: str
    settings: ConversionSettings
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def table(self) -> "Dataset":
        """The split's rows as a table."""
        return self.dataset.splits[self.split]

    def rows(self) -> Iterator[Row]:
        """The split's rows in their order."""
        return rows_of(self.table, f"convert {self.split}")


@dataclass(frozen=True)
class Conversion:
    """One way from a shape to another.

    Attributes:
        rows: yields the rows of the target shape; every row has the same keys.
        reason: what it does, in a few words for the log; settings in braces are filled in.
        needs: settings that have no default and must be given by the user.
    """

    source: str
    target: str
    rows: Callable[[Source], Iterator[Row]]
    reason: str
    needs: tuple[str, ...] = ()

    def reason_under(self, settings: ConversionSettings) -> str:
        """The reason with the settings it speaks of."""
        many = settings.max_negatives or 1
        negatives = {"negatives": "one negative" if many == 1 else f"{many} negatives (repeated where there are fewer)"}
        return self.reason.format_map({key: _worded(value) for key, value in vars(settings).items()} | negatives)


def prompt_of(row: Row) -> Row:
    """The row's own prompt, to go with a row made of it whose first text is the same one."""
    return {ROW_PROMPT: row[ROW_PROMPT]} if ROW_PROMPT in row else {}


def _worded(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {score:g}" for name, score in value.items())
    return " or ".join(value) if isinstance(value, list | tuple) else str(value)
