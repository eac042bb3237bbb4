"""One conversion from a shape to another, and the settings that conversions need (conf/conversion/default.yaml)."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.config.session import conf_dir
from embexp.core.arguments import SEED, LegalValues, problems_with, refuse
from embexp.data.arrow import rows_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import ROW_PROMPT
from embexp.errors import Problem, as_typed, did_you_mean, listed

if TYPE_CHECKING:
    from datasets import Dataset

# What to type for a number that no conversion may guess, and what it means. The values are examples, never defaults.
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
        max_negatives: most negatives with each positive of ranked rows; None for one.
        seed: for what is sampled.
        deletion_ratio: share of the words that noised texts lose, in [0, 1).

    Raises:
        ConfigError: lists every invalid value.
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
        refuse(self._problems(), under="conversion")

    def _problems(self) -> Iterator[Problem]:
        for key, (example, _) in NEEDED.items():
            yield from problems_with(key, getattr(self, key), _SCORE_OR_NULL, such_as=example)
        low, high = self.max_score, self.min_score
        if None not in (low, high) and _SCORE.allow(low) and _SCORE.allow(high) and low >= high:
            yield Problem(key="max_score", given=low, expected=f"a number below min_score, which is {high}")
        yield from self._label_problems()
        count_or_null = LegalValues(least=1, whole=True, optional=True)
        yield from problems_with("max_negatives", self.max_negatives, count_or_null, such_as=1)
        yield from problems_with("seed", self.seed, SEED, such_as=42)
        yield from problems_with("deletion_ratio", self.deletion_ratio, LegalValues(least=0, below=1), such_as=0.6)

    def _label_problems(self) -> Iterator[Problem]:
        lists = {"positive_labels": self.positive_labels, "negative_labels": self.negative_labels}
        wrong = {key: given for key, given in lists.items() if not _are_names(given)}
        for key, given in wrong.items():
            yield Problem(
                key=key,
                given=given,
                expected="a list of class names",
                fix=(f"{key}=[{as_typed(given)}]",) if isinstance(given, str) else (),
            )
        if not wrong and (both := [name for name in self.positive_labels if name in self.negative_labels]):
            names = f"other classes than negative_labels; both have {listed(both)}"
            yield Problem(key="positive_labels", given=self.positive_labels, expected=names)
        scores = self.label_scores
        if not isinstance(scores, Mapping) or not all(_SCORE.allow(value) for value in scores.values()):
            yield Problem(key="label_scores", given=scores, expected="a number from 0 to 1 for each class")

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Those of the needed settings that are not set."""
        return [key for key in needs if getattr(self, key) is None]


def default_settings(**changes: Any) -> ConversionSettings:
    """The shipped settings with some of them changed.

    Raises:
        ConfigError: a setting that does not exist, or invalid values.
    """
    known = [field.name for field in fields(ConversionSettings)]
    one_of = f"one of: {listed(known)}"
    refuse(
        Problem("is no setting of conversions", f"conversion.{key}", given, one_of, did_you_mean(key, known))
        for key, given in changes.items()
        if key not in known
    )
    return ConversionSettings(**{key: _shipped()[key] for key in known} | changes)


@functools.cache
def _shipped() -> Mapping[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(conf_dir() / "conversion" / "default.yaml"))


def missing_numbers(missing: Sequence[str], group: str = "conversion") -> dict[str, str]:
    """The fields of an error about settings that are missing: what they mean, and what to type.

    >>> missing_numbers(["min_score"])["fix"]
    'conversion.min_score=0.8'
    """
    meaning = " and ".join(f"{key} {NEEDED[key][1]}" for key in missing)
    return {"expected": meaning, "fix": " ".join(f"{group}.{key}={NEEDED[key][0]}" for key in missing)}


_SCORE = LegalValues(least=0, most=1)
_SCORE_OR_NULL = LegalValues(least=0, most=1, optional=True)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) for name in value)


Row = dict[str, Any]


@dataclass(frozen=True)
class ConversionInput:
    """A split that is being converted.

    Attributes:
        left_out: how many rows (or texts) were left out, by what they were; the report lists them.
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
        reason: what it does, in a few words for the log, with settings in braces.
        needs: settings that have no default.
    """

    source: str
    target: str
    rows: Callable[[ConversionInput], Iterator[Row]]
    reason: str
    needs: tuple[str, ...] = ()

    def reason_with(self, settings: ConversionSettings) -> str:
        """The reason with the settings filled in."""
        many = settings.max_negatives or 1
        negatives = {"negatives": "one negative" if many == 1 else f"{many} negatives (repeated where there are fewer)"}
        return self.reason.format_map({key: _worded(value) for key, value in vars(settings).items()} | negatives)


def prompt_of(row: Row) -> Row:
    """The row's own prompt, for a row made from it with the same first text."""
    return {ROW_PROMPT: row[ROW_PROMPT]} if ROW_PROMPT in row else {}


def _worded(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {score:g}" for name, score in value.items())
    return " or ".join(value) if isinstance(value, list | tuple) else str(value)
