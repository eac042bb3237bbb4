"""What a cross-encoder is trained from: the transformer of any base model, under a fresh head."""

from pathlib import Path
from typing import TYPE_CHECKING

from embexp.config import option_names
from embexp.errors import ConfigError, ModelError
from embexp.named_models import BY_PATH, model_named
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BASE = "base"  # where the transformer of a named model is written


class CrossEncoderBase:
    """A base model by the name that a person types. Nothing is loaded before `load`.

    Args:
        name: an option of the group `model`, a folder or a Hub id; of the latter two a cross-encoder keeps its head
            where that has as many outputs.
        max_tokens: longer pairs are cut; None for the model's own limit.

    Raises:
        ConfigError: no model is called so, or one without a transformer, which cannot read two texts together.
        ModelError: its weights are not there.
    """

    def __init__(self, name: str, max_tokens: int | None) -> None:
        self.name, self.max_tokens = name, max_tokens
        self.model = model_named("teacher.model", name)
        if not self.model.has_transformer:
            raise ConfigError(
                f"teacher.model={name} has no transformer. Expected one, which reads two texts together: type "
                "...teacher.model=minilm, or give a folder or a Hub id."
            )
        self.place = self.model.locate()

    def load(self, num_outputs: int, training_texts: TextSource, folder: Path) -> "CrossEncoder":
        """The cross-encoder before training; what its head lacks is drawn with torch's seed.

        Args:
            training_texts: make the tokenizer of a model from scratch.
            folder: a model that is an option of the group `model` is written there, to be read as a cross-encoder.

        Raises:
            ModelError: the Hub does not answer, or what lies there is no such model.
        """
        from sentence_transformers import CrossEncoder

        is_option = self.name in {*option_names("model")} - {BY_PATH}
        source = self._written(training_texts, folder) if is_option else self.place["location"]
        try:
            return CrossEncoder(source, num_labels=num_outputs, max_length=self.max_tokens)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"teacher.model={self.name} cannot be loaded as a cross-encoder: {str(error).splitlines()[0]} Expected "
                f"a transformer for {num_outputs} output(s): type ...teacher.model=minilm, a folder or a Hub id."
            ) from error

    def _written(self, training_texts: TextSource, folder: Path) -> str:
        """The folder with the transformer of the base model, changed as its YAML says."""
        model = self.model.load(training_texts, folder)
        place = folder / BASE
        model.transformers_model.save_pretrained(place)
        model.tokenizer.save_pretrained(place)
        return str(place)
