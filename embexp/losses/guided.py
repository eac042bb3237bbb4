"""Losses of sentence-transformers in which a second, frozen model decides which negatives count."""

from pathlib import Path
from typing import Any

from embexp.errors import ModelError
from embexp.protocols import BaseModel


def gist(
    model: Any,
    guide: BaseModel,
    temperature: float = 0.01,
    margin_strategy: str = "absolute",
    margin: float = 0.0,
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
) -> Any:
    """GISTEmbedLoss (Solatorio 2024): in-batch negatives without those that a guide finds closer than the positive.

    Reads anchor, positive and at most one negative. Nearest relatives: mnrl leaves nothing out, info_nce decides by the
    trained model's own scores.

    Args:
        guide: the model that decides; it is loaded, frozen, and not saved with the trained one.
        temperature: divides the cosines.
        margin_strategy: absolute: out goes what scores above s - margin, with s the guide's cosine of anchor and
            positive; relative: above s - |s| * margin.
        margin: in units of the cosine, or the share of s.
        contrast_anchors: the other anchors are negatives, too.
        contrast_positives: the other positives are negatives, too.

    Raises:
        ModelError: the guide cannot be loaded.
        ValueError: a model without a tokenizer of transformers, or an unknown strategy.
    """
    from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

    margins = {"margin_strategy": margin_strategy, "margin": margin}
    contrasts = {"contrast_anchors": contrast_anchors, "contrast_positives": contrast_positives}
    return GISTEmbedLoss(model, _frozen(guide), temperature=temperature, **margins, **contrasts)


def cached_gist(
    model: Any,
    guide: BaseModel,
    temperature: float = 0.01,
    mini_batch_size: int = 32,
    mini_batch_num_tokens: int | None = None,
    margin_strategy: str = "absolute",
    margin: float = 0.0,
    contrast_anchors: bool = True,
    contrast_positives: bool = True,
) -> Any:
    """CachedGISTEmbedLoss: gist with a large batch in little memory (GradCache, Gao et al. 2021).

    Reads anchor, positive and any number of negatives. The other arguments and errors are those of gist.

    Args:
        mini_batch_size: rows embedded at once.
        mini_batch_num_tokens: tokens embedded at once, in place of a number of rows; None to count rows.
    """
    from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss

    margins = {"margin_strategy": margin_strategy, "margin": margin}
    contrasts = {"contrast_anchors": contrast_anchors, "contrast_positives": contrast_positives}
    sizes = {"mini_batch_size": mini_batch_size, "mini_batch_num_tokens": mini_batch_num_tokens}
    return CachedGISTEmbedLoss(model, _frozen(guide), temperature=temperature, **sizes, **margins, **contrasts)


def _frozen(guide: BaseModel) -> Any:
    """The guide's network without gradients and dropout; checkpoints do not hold it, as it was published."""
    try:
        network = guide.load(lambda: (), Path())
    except ModelError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ModelError(
            f"cannot be loaded: {reason}",
            key="loss.guide",
            given=guide.locate()["location"],
            expected="a transformer on disk, in the Hugging Face cache or on the Hub",
            fix=("loss.guide=<folder or Hub id>", "loss.guide=minilm"),
        ) from error
    network.requires_grad_(False)
    return network.eval()
