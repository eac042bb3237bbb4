"""A cross-encoder that scores pairs of texts, reading both together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embexp.data.values import is_count
from embexp.errors import ConfigError, ModelError, did_you_mean, listed

if TYPE_CHECKING:
    import numpy

ACTIVATIONS = {"sigmoid": "Sigmoid", "identity": "Identity"}  # as torch.nn calls them


def check_reading(whose: str, batch_size: Any, max_tokens: Any) -> None:
    """Raise ConfigError unless a cross-encoder can read so many pairs at a time, and so much of each."""
    wrong = []
    if not is_count(batch_size):
        wrong.append(f"{whose}.batch_size={batch_size} must be a whole number from 1: type ...{whose}.batch_size=64.")
    if max_tokens is not None and not is_count(max_tokens):
        wrong.append(
            f"{whose}.max_tokens={max_tokens} must be a whole number from 1, or null for the model's own limit: type "
            f"...{whose}.max_tokens=null."
        )
    if wrong:
        raise ConfigError("\n".join(wrong))


class CrossEncoderScorer:
    """A PairScorer by sentence-transformers' CrossEncoder, loaded when the first pairs come.

    Args:
        path: a folder or a Hub id of a model with one output, whose own activation makes the score of it.
        batch_size: pairs that are read at a time.
        max_tokens: longer pairs are cut; None for the model's own limit.
        activation: what makes the score of the model's output: sigmoid (0 to 1), identity (logits), None for the
            model's own.

    Raises:
        ConfigError: another activation, or a number that cannot be.
    """

    def __init__(self, path: str, batch_size: int, max_tokens: int | None, activation: str | None = None) -> None:
        self.path, self.batch_size, self.max_tokens, self.activation = path, batch_size, max_tokens, activation
        if activation not in (None, *ACTIVATIONS):
            raise ConfigError(
                f"scorer.activation={activation} is not known. Expected null or one of: {listed(ACTIVATIONS)}. "
                f"{did_you_mean(str(activation), ACTIVATIONS)}".strip()
            )
        check_reading("scorer", batch_size, max_tokens)
        self._model: Any = None

    def score(self, pairs: Sequence[tuple[str, str]]) -> "numpy.ndarray":
        """One score per pair, higher means more similar, float32 `(len(pairs),)`.

        Raises:
            ModelError: the model cannot be loaded, or gives several numbers for a pair.
        """
        import numpy

        self._model = self._model or self._loaded()
        options = {"batch_size": self.batch_size, "show_progress_bar": False}
        scores = self._model.predict([*pairs], activation_fn=self._function(), **options)
        return numpy.asarray(scores, dtype="float32").reshape(len(pairs))

    def _function(self) -> Any:
        import torch

        return getattr(torch.nn, ACTIVATIONS[self.activation])() if self.activation else None

    def _loaded(self) -> Any:
        from sentence_transformers import CrossEncoder

        try:
            model = CrossEncoder(self.path, max_length=self.max_tokens)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"The cross-encoder {self.path} cannot be loaded: {str(error).splitlines()[0]} Expected a folder, or "
                "an id that is in the Hugging Face cache or on the Hub: type ...scorer.path=<folder or id>."
            ) from error
        if model.num_labels != 1:
            raise ModelError(
                f"The cross-encoder {self.path} gives {model.num_labels} numbers for a pair. Expected one, the score: "
                "type ...scorer.path=<folder or id> of a model for ranking or similarity."
            )
        return model
