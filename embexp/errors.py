"""What a user can get wrong, and how several mistakes are collected into one report."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any


class EmbexpError(Exception):
    """A mistake a user can mend: printed as one message, without a traceback."""


class ConfigError(EmbexpError):
    """A key, value or group option that the configuration does not know."""


class DataError(EmbexpError):
    """Data that cannot be found or read, or rows that do not have the shape they declare."""


class ShapeError(EmbexpError):
    """Data whose shape the loss does not accept and that no conversion brings there."""


class EndpointError(EmbexpError):
    """A server of a language model that cannot be reached, or whose answers are of no use."""


class ModelError(EmbexpError):
    """A base model whose weights cannot be found or are not the ones expected."""


class TrainingError(EmbexpError):
    """Training that cannot go on: impossible arguments, or a loss that is not a number."""


class ExportError(EmbexpError):
    """A form of the trained model that could not be made or sent; the model itself is whole."""


class TrackingError(EmbexpError):
    """A tracking store that cannot be opened at the start of a run."""


class Pruned(EmbexpError):  # noqa: N818  # no error
    """A run that whoever watches it has stopped, as others do better: neither a mistake nor a failure."""


class SkippedJobError(EmbexpError):
    """A job of a sweep that failed before and was not to be run again; what it left stays as it is."""


class Terminated(SystemExit):
    """SIGTERM arrived: the run ends as KILLED and the process with exit code 143."""

    def __init__(self) -> None:
        super().__init__(143)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or an empty string when none is near.

    >>> did_you_mean("mnlr", ["mnrl", "cosent"])
    "Did you mean 'mnrl'?"
    """
    near = get_close_matches(given, list(known), n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def listed(names: Iterable[str]) -> str:
    """Names joined for a message.

    >>> listed(["a", "b"])
    'a, b'
    """
    return ", ".join(str(name) for name in names) or "none"


class Problems:
    """Mistakes found so far, each once, in the order in which they were found."""

    def __init__(self) -> None:
        self.found: dict[str, EmbexpError] = {}

    def attempt(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """What the call returns; None when it raises an EmbexpError, which is kept."""
        try:
            return call(*arguments)
        except EmbexpError as error:
            self.found.setdefault(str(error), error)
            return None

    def add(self, messages: Iterable[str], kind: type[EmbexpError]) -> None:
        """Keep mistakes that were not raised."""
        for message in messages:
            self.found.setdefault(message, kind(message))

    def raise_if_any(self) -> None:
        """Raise the one mistake that was found, or one error that lists them all."""
        errors = [*self.found.values()]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            kinds = {type(error) for error in errors}
            kind = kinds.pop() if len(kinds) == 1 else EmbexpError
            numbered = (f"{place}. {error}" for place, error in enumerate(errors, 1))
            raise kind(f"{len(errors)} things do not fit:\n\n" + "\n\n".join(numbered))
