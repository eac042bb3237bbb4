"""The keys that a study searches, each with the values that may be drawn for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class Choice:
    """A key of which some values are tried: each as it would be typed."""

    key: str
    values: tuple[str, ...]

    def draw(self, trial: "Trial") -> str:
        """The value of this trial."""
        return trial.suggest_categorical(name_of(self), self.values)

    def checked(self) -> tuple[Any, ...]:
        """Values that must fit so that all do."""
        return self.values


@dataclass(frozen=True)
class Interval:
    """A key whose value is drawn from a range of numbers with both its ends: whole ones if `low` is whole.

    Attributes:
        step: between the values that may be drawn; None where any may.
        log: draw evenly on a logarithmic scale.
    """

    key: str
    low: float
    high: float
    step: float | None = None
    log: bool = False

    def draw(self, trial: "Trial") -> float:
        """The value of this trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(name_of(self), self.low, self.high, step=self.step or 1, log=self.log)
        return trial.suggest_float(name_of(self), self.low, self.high, step=self.step, log=self.log)

    def checked(self) -> tuple[Any, ...]:
        """Values that must fit so that all do."""
        return self.low, self.high


Dimension = Choice | Interval


def name_of(dimension: Dimension) -> str:
    """The key without the plus that adds it."""
    return dimension.key.lstrip("+")
