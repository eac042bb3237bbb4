"""A cross-encoder that scores pairs of texts, and the base model that one is trained from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.config.compose import BY_PATH, SERVED, model_named, option_names
from embexp.core.arguments import COUNT, LegalValues, problems_with, refuse
from embexp.errors import ConfigError, ModelError, Problem
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BASE_FOLDER = "base"  # where the transformer of a named model is written
_MINILM = "teacher.model=minilm"


class CrossEncoderBase:
    """A base model by the name that a person types. Nothing is loaded before `load`.

    Args:
        name: an option of the group `model`, a folder or a Hub id; a cross-encoder of the latter two keeps its head if
            that has as many outputs.
        max_tokens: longer pairs are cut; None for the model's own limit.

    Raises:
        ConfigError: no model is called so, or one without a transformer, which cannot read two texts together.
        ModelError: its weights are not there.
    """

    def __init__(self, name: str, max_tokens: int | None) -> None:
        self.name, self.max_tokens = name, max_tokens
        self.model = model_named("teacher.model", name)
        if not self.model.has_transformer:
            expected, fix = "one, which reads two texts together: an option, a folder or a Hub id", _MINILM
            raise ConfigError("has no transformer", key="teacher.model", given=name, expected=expected, fix=fix)
        self.place = self.model.locate()

    def load(self, num_outputs: int, training_texts: TextSource, folder: Path) -> "CrossEncoder":
        """The cross-encoder before training; what its head lacks is random, by torch's seed.

        Args:
            training_texts: make the tokenizer of a model from scratch.
            folder: a model that is an option of the group `model` is written there, to be read as a cross-encoder.

        Raises:
            ModelError: the Hub does not answer, or what lies there is no such model.
        """
        from sentence_transformers import CrossEncoder

        source = self.place["location"]
        if self.name in {*option_names("model")} - {BY_PATH, SERVED}:
            model, source = self.model.load(training_texts, folder), str(folder / BASE_FOLDER)
            model.transformers_model.save_pretrained(source)
            model.tokenizer.save_pretrained(source)
        try:
            return CrossEncoder(source, num_labels=num_outputs, max_length=self.max_tokens)
        except (OSError, ValueError, RuntimeError) as error:
            text = f"cannot be loaded as a cross-encoder: {str(error).splitlines()[0]}"
            expected = f"a transformer for {num_outputs} output(s): an option, a folder or a Hub id"
            raise ModelError(text, key="teacher.model", given=self.name, expected=expected, fix=_MINILM) from error


_ACTIVATIONS = {"sigmoid": "Sigmoid", "identity": "Identity"}  # as torch.nn calls them


def reading_problems(batch_size: Any, max_tokens: Any) -> Iterator[Problem]:
    """The problems with how many pairs a cross-encoder reads at a time, and how much of each."""
    yield from problems_with("batch_size", batch_size, COUNT, 64)
    legal, note = LegalValues(least=1, whole=True, optional=True), "null is the model's own limit"
    yield from problems_with("max_tokens", max_tokens, legal, "null", note)


class CrossEncoderScorer:
    """A PairScorer by sentence-transformers' CrossEncoder, loaded when the first pairs come.

    Args:
        path: a folder or a Hub id of a model with one output, whose own activation makes the score of it.
        batch_size: pairs that are read at a time.
        max_tokens: longer pairs are cut; None for the model's own limit.
        activation: what makes the score of the model's output: sigmoid (0 to 1), identity (logits), None for the
            model's own.

    Raises:
        ConfigError: another activation, or an invalid number.
    """

    def __init__(self, path: str, batch_size: int, max_tokens: int | None, activation: str | None = None) -> None:
        self.path, self.batch_size, self.max_tokens, self.activation = path, batch_size, max_tokens, activation
        activations = LegalValues(one_of=(*_ACTIVATIONS,), optional=True)
        problems = [*problems_with("activation", activation, activations, "sigmoid")]
        refuse([*problems, *reading_problems(batch_size, max_tokens)], under="scorer")
        self._model: Any = None

    def score(self, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        """One score per pair, higher means more similar, float32 `(len(pairs),)`.

        Raises:
            ModelError: the model cannot be loaded, or gives several numbers for a pair.
        """
        import torch

        self._model = self._model or self._loaded()
        function = getattr(torch.nn, _ACTIVATIONS[self.activation])() if self.activation else None
        options = {"batch_size": self.batch_size, "show_progress_bar": False}
        scores = self._model.predict([*pairs], activation_fn=function, **options)
        return numpy.asarray(scores, dtype="float32").reshape(len(pairs))

    def _loaded(self) -> Any:
        from sentence_transformers import CrossEncoder

        fix = "scorer.path=<folder or id>"
        try:
            model = CrossEncoder(self.path, max_length=self.max_tokens)
        except (OSError, ValueError) as error:
            text = f"cannot be loaded: {str(error).splitlines()[0]}"
            expected = "a folder, or an id that is in the Hugging Face cache or on the Hub"
            raise ModelError(text, key="scorer.path", given=self.path, expected=expected, fix=fix) from error
        if model.num_labels != 1:
            text, expected = f"gives {model.num_labels} numbers for a pair", "one: a model for ranking or similarity"
            raise ModelError(text, key="scorer.path", given=self.path, expected=expected, fix=fix)
        return model
