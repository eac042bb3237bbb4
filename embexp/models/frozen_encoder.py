"""An encoder of a model that is named and not trained: for steps that need embeddings."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.errors import ConfigError
from embexp.models.encoding import ModelEncoder
from embexp.named_models import model_named

if TYPE_CHECKING:
    import numpy

logger = logging.getLogger(__name__)


class FrozenEncoder:
    """An Encoder whose model is loaded when the first texts come.

    Args:
        model: an option of the group `model`, a folder or a Hub id.

    Raises:
        ConfigError: no model is called so, or one whose weights are drawn at random.
        ModelError: its weights are not there.
    """

    def __init__(self, model: str) -> None:
        self.name, self.model = model, model_named("encoder.model", model)
        self._encoder: ModelEncoder | None = None
        if self.model.locate()["source"] == "scratch":
            raise ConfigError(
                f"encoder.model={model} is a model with random weights. Expected a trained one: type "
                "...encoder.model=minilm, or give a folder or a Hub id."
            )

    def encode(self, texts: Sequence[str], prompt: str | None = None) -> "numpy.ndarray":
        """Embeddings in the order of the texts, float32 `(len(texts), dim)`; prompts as `Encoder` has them."""
        if self._encoder is None:
            logger.info("loading %s", self.name)
            self._encoder = ModelEncoder(self.model.load(lambda: (), Path()).eval(), progress=self.name)
        return self._encoder.encode(texts, prompt=prompt)
