"""Collecting mistakes, so that a person hears of all of them at once."""

from collections.abc import Callable, Iterable
from typing import Any

from embexp.errors import EmbexpError


class Misfits:
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
