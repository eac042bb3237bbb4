"""DiffCSE: simcse with a second task on damaged copies. Imports torch: name it in `_target_` only."""

import copy
import logging
from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from embexp.errors import ModelError
from embexp.protocols import BaseModel

logger = logging.getLogger(__name__)


def _load_generator(generator: BaseModel | None, network: Any, tokenizer: Any) -> Any:
    """A masked-language model without gradients and without dropout, whose vocabulary is the tokenizer's.

    Without `generator` it is loaded from where `network` was. What is missing in its weights is drawn at random, which
    is logged: sentence models keep no layer that fills in.
    """
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    place = generator.locate() if generator else {"location": network.config.name_or_path}
    try:
        model, loaded = AutoModelForMaskedLM.from_pretrained(
            place["location"], revision=place.get("revision") or None, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        text = f"cannot be loaded: {str(error).splitlines()[0]}"
        expected, fix = "a masked-language model", "loss.generator=<folder or Hub id>"
        raise ModelError(text, key="loss.generator", given=place["location"], expected=expected, fix=fix) from error
    if generator:
        other = AutoTokenizer.from_pretrained(place["location"])
        if other.get_vocab() != tokenizer.get_vocab():
            raise ValueError(
                f"the generator {place['location']} has another vocabulary than the model: {len(other):,} tokens, "
                f"not the same {len(tokenizer):,}."
            )
    if loaded["missing_keys"]:
        logger.warning(
            "The generator %s has no trained layer that fills in masked tokens, so its replacements are random and "
            "easy to detect. Type loss.generator=<masked-language model>, such as google-bert/bert-base-uncased.",
            place["location"],
        )
    model.requires_grad_(False)
    return model.eval()


class DiffCSE(torch.nn.Module):
    """The loss of DiffCSE (Chuang et al. 2022, section 3): simcse + rtd_weight * replaced token detection.

    Reads text and twin, the same text. A share of a text's tokens is masked; a frozen masked-language model, the
    generator, fills them in; a second network, the discriminator, predicts for each token whether it was replaced. It
    sees the damaged text and, in the place of the first token, the sentence embedding: so that must show what the text
    was. Generator and discriminator go after training. Nearest relative: simcse, which is the first term alone.

    As in the authors' code the generator takes its likeliest token, and both copies of a text are used. Unlike there
    only masked tokens are replaced, padding does not count, and no projection lies between the sentence embedding and
    the loss.

    Args:
        generator: a masked-language model with the base model's vocabulary; None for the base model's own weights as
            published.
        scale: inverse temperature of simcse.
        masking_ratio: share of the tokens that are masked, 0 to 1.
        rtd_weight: of replaced token detection, lambda in the paper.

    Raises:
        ValueError: the model has no mask token, pads on the left, or its sentence embeddings are not as wide as its
            tokens' (a layer after the pooling); or the generator has another vocabulary.
    """

    def __init__(
        self,
        model: Any,
        generator: BaseModel | None = None,
        scale: float = 20.0,
        masking_ratio: float = 0.3,
        rtd_weight: float = 0.005,
    ) -> None:
        super().__init__()
        network = model[0].auto_model
        self.model = model
        self.masking_ratio = masking_ratio
        self.rtd_weight = rtd_weight
        self.mask_token, self.special_tokens = _tokens_of(model)
        self.contrastive = MultipleNegativesRankingLoss(model, scale=scale)
        self.generator = _load_generator(generator, network, model.tokenizer)
        self.discriminator = copy.deepcopy(network)
        self.head = torch.nn.Linear(network.get_input_embeddings().embedding_dim, 1)

    def forward(
        self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Both terms, weighted, whose sum is trained: sentence-transformers adds them up."""
        columns = list(sentence_features)
        embeddings = embed_columns(self.model, columns)
        detection = [
            self.detection_loss(column["input_ids"], column["attention_mask"], embedding)
            for column, embedding in zip(columns, embeddings, strict=True)
        ]
        return {
            "contrastive": self.contrastive.compute_loss_from_embeddings(embeddings, labels),
            "replaced_tokens": self.rtd_weight * torch.stack(detection).mean(),
        }

    def detection_loss(self, tokens: torch.Tensor, attention: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Replaced token detection: the mean binary cross-entropy over all tokens but the first and padding.

        Args:
            tokens: ids `(batch, length)`, padded on the right.
            attention: 1 for a token and 0 for padding, `(batch, length)`.
            embedding: of the whole texts `(batch, dim)`.
        """
        damaged = self.damaged(tokens, attention)
        counts = attention[:, 1:].bool()
        scores = self.replacement_scores(damaged, attention, embedding)[:, 1:][counts]
        replaced = (damaged != tokens)[:, 1:][counts]
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, replaced.to(scores.dtype))

    @torch.no_grad()
    def damaged(self, tokens: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """The tokens, a share of them masked and filled in by the generator, which may find the original again."""
        is_special = torch.isin(tokens, torch.tensor(self.special_tokens, device=tokens.device))
        drawn = torch.rand(tokens.shape, device=tokens.device) < self.masking_ratio
        masked = drawn & attention.bool() & ~is_special
        scores = self.generator(tokens.masked_fill(masked, self.mask_token), attention_mask=attention).logits
        return torch.where(masked, scores.argmax(dim=-1), tokens)

    def replacement_scores(
        self, tokens: torch.Tensor, attention: torch.Tensor, embedding: torch.Tensor
    ) -> torch.Tensor:
        """A logit for each token, higher for one that was replaced, `(batch, length)`."""
        vectors = self.discriminator.get_input_embeddings()(tokens)
        conditioned = torch.cat([embedding.unsqueeze(1).to(vectors.dtype), vectors[:, 1:]], dim=1)
        output = self.discriminator(inputs_embeds=conditioned, attention_mask=attention)
        return self.head(output.last_hidden_state).squeeze(-1)

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about the loss."""
        return {
            "scale": self.contrastive.scale,
            "masking_ratio": self.masking_ratio,
            "rtd_weight": self.rtd_weight,
            "generator": self.generator.config.name_or_path,
        }


def _tokens_of(model: Any) -> tuple[int, list[int]]:
    """The mask token and all special tokens of a model that replaced token detection can be built on."""
    width = model[0].auto_model.get_input_embeddings().embedding_dim
    if model.get_embedding_dimension() != width:
        given = model.get_embedding_dimension()
        raise ValueError(f"the sentence embedding has {given} numbers, a token {width}: they must agree.")
    if model.tokenizer.mask_token_id is None or model.tokenizer.padding_side != "right":
        raise ValueError("the tokenizer has no mask token, or pads on the left: the model is no masked-language model.")
    return model.tokenizer.mask_token_id, list(model.tokenizer.all_special_ids)
