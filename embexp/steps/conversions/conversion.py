"""One conversion from a shape to another, and the settings that conversions need (conf/conversion/default.yaml)."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.compose import conf_dir
from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import ROW_PROMPT
from embexp.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from datasets import Dataset

# What to type for a number that no conversion may guess. The values are examples, never defaults.
NEEDED = {
    "min_score": ("0.8", "to take pairs scored at least 0.8 as positives"),
    "max_score": ("0.3", "to take pairs scored at most 0.3 as negatives (those between are left out)"),
}


@dataclass(frozen=True)
class ConversionSettings:
    """The settings of all conversions.

    Args:
        min_score, max_score: scored pairs of at least, at most this are positives, negatives; in [0, 1].
        positive_labels, negative_labels: names of the classes that make positives, negatives.
        label_scores: similarity in [0, 1] that each class stands for.
        max_negatives: most negatives that go beside a positive of ranked rows; None for one.
        seed: for what is drawn.
        deletion_ratio: share of the words that noised texts lose, in [0, 1).

    Raises:
        ConfigError: lists every value that does not fit.
    """

    min_score: float | None
    max_score: float | None
    positive_labels: Sequence[str]
    negative_labels: Sequence[str]
    label_scores: Mapping[str, float]
    max_negatives: int | None
    seed: int
    deletion_ratio: float

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ConfigError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        for key in NEEDED:
            if getattr(self, key) is not None and not _is_share(getattr(self, key)):
                yield f"{self._given(key)}; expected null or a number from 0 to 1."
        if _is_share(self.min_score) and _is_share(self.max_score) and self.max_score >= self.min_score:
            yield f"{self._given('max_score')}; expected less than conversion.min_score={self.min_score}."
        yield from self._label_problems()
        if self.max_negatives is not None and not (_is_whole(self.max_negatives) and self.max_negatives > 0):
            yield f"{self._given('max_negatives')}; expected null or a whole number from 1."
        if not _is_whole(self.seed):
            yield f"{self._given('seed')}; expected a whole number."
        if not (_is_share(self.deletion_ratio) and self.deletion_ratio < 1):
            yield f"{self._given('deletion_ratio')}; expected a number from 0 to below 1."

    def _label_problems(self) -> Iterator[str]:
        lists = ("positive_labels", "negative_labels")
        wrong = [key for key in lists if not _are_names(getattr(self, key))]
        for key in wrong:
            yield f"{self._given(key)}; expected a list of class names, such as [entailment]."
        if not wrong and (both := [name for name in self.positive_labels if name in self.negative_labels]):
            yield f"conversion.positive_labels and conversion.negative_labels share {listed(both)}; expected none to."
        scores = self.label_scores
        if not isinstance(scores, Mapping) or not all(_is_share(value) for value in scores.values()):
            yield f"{self._given('label_scores')}; expected a number from 0 to 1 for each class."

    def _given(self, key: str) -> str:
        return f"conversion.{key}={getattr(self, key)} was given"

    def lacks(self, needs: Sequence[str]) -> list[str]:
        """Those of the needed settings that are not set."""
        return [key for key in needs if getattr(self, key) is None]


def default_settings(**changes: Any) -> ConversionSettings:
    """The shipped settings with some of them changed.

    Raises:
        ConfigError: a setting that does not exist, or values that do not fit.
    """
    known = [field.name for field in fields(ConversionSettings)]
    if unknown := [key for key in changes if key not in known]:
        lines = (f"{key} is no setting of conversions: {listed(known)}. {did_you_mean(key, known)}" for key in unknown)
        raise ConfigError("\n".join(line.strip() for line in lines))
    return ConversionSettings(**{key: _shipped()[key] for key in known} | changes)


@functools.cache
def _shipped() -> Mapping[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(conf_dir() / "conversion" / "default.yaml"))


def what_to_type(missing: Sequence[str], group: str = "conversion.") -> str:
    """How to set the settings that are missing, and what they mean.

    >>> what_to_type(["min_score"])
    'Type conversion.min_score=0.8 to take pairs scored at least 0.8 as positives.'
    """
    return f"Type {' and '.join(f'{group}{key}={NEEDED[key][0]} {NEEDED[key][1]}' for key in missing)}."


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) for name in value)


Row = dict[str, Any]


@dataclass(frozen=True)
class ConversionInput:
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
    rows: Callable[[ConversionInput], Iterator[Row]]
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
