"""The generator of diffcse: a frozen masked-language model that fills in masked tokens."""

import logging
from typing import Any

from embexp.errors import ModelError
from embexp.protocols import BaseModel

logger = logging.getLogger(__name__)


def load_generator(generator: BaseModel | None, network: Any, tokenizer: Any) -> Any:
    """A masked-language model without gradients and without dropout, whose vocabulary is the tokenizer's.

    What is missing in its weights is drawn at random, which is logged: sentence models keep no layer that fills in.

    Args:
        generator: where it lies; None for the place that `network` was loaded from.

    Raises:
        ModelError: it cannot be loaded.
        ValueError: its vocabulary is another one.
    """
    from transformers import AutoModelForMaskedLM

    place = generator.locate() if generator else {"location": network.config.name_or_path}
    try:
        model, loaded = AutoModelForMaskedLM.from_pretrained(
            place["location"], revision=place.get("revision") or None, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The generator {place['location']} cannot be loaded: {str(error).splitlines()[0]} Expected a "
            "masked-language model: type loss.generator=<folder or Hub id>."
        ) from error
    if generator:
        check_vocabulary(place["location"], tokenizer)
    if loaded["missing_keys"]:
        logger.warning(
            "The generator %s has no trained layer that fills in masked tokens, so its replacements are random and "
            "easy to detect. Type loss.generator=<masked-language model>, such as google-bert/bert-base-uncased.",
            place["location"],
        )
    model.requires_grad_(False)
    return model.eval()


def check_vocabulary(location: str, tokenizer: Any) -> None:
    """Raise ValueError unless the model there numbers its tokens as the tokenizer does."""
    from transformers import AutoTokenizer

    other = AutoTokenizer.from_pretrained(location)
    if other.get_vocab() != tokenizer.get_vocab():
        raise ValueError(
            f"the generator {location} has another vocabulary than the model: {len(other):,} tokens, not the "
            f"same {len(tokenizer):,}."
        )
