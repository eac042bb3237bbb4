"""InfoNCE with fewer negatives than a batch has: without likely false ones, or with those of a row alone.

Imports torch: name it in `_target_` only.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim

_LEAST_TEMPERATURE = 0.01  # of one that is trained: the logits are never scaled by more than 100 (Radford et al. 2021)


class InfoNCE(torch.nn.Module):
    """mnrl without the negatives that the trained model itself finds as close as the positive.

    Reads anchor, positive and any number of negatives. With s+ the cosine of anchor and positive, every negative
    (in-batch or of the row) whose cosine with the anchor exceeds s+ - margin leaves the softmax: the masking of
    Qwen3 Embedding (Zhang et al. 2025, margin -0.1) and, for margins above 0, the thresholds of NV-Retriever (Moreira
    et al. 2024, TopK-MarginPos and TopK-PercPos) applied while training. The rest is van den Oord et al. 2018, eq. 4,
    as sentence-transformers computes it. Nearest relatives: mnrl (nothing is left out), gist (a second model decides).

    Args:
        temperature: divides the cosines, above 0; the start value where it is trained.
        learnable_temperature: train the temperature, as the parameter `log_scale` = -log(temperature).
        margin_strategy: absolute: as above; relative: the threshold is s+ - |s+| * margin.
        margin: in units of the cosine, below 2, or the share of s+; None leaves nothing out.
    """

    def __init__(
        self,
        model: Any,
        temperature: float = 0.05,
        learnable_temperature: bool = False,
        margin_strategy: str = "absolute",
        margin: float | None = -0.1,
    ) -> None:
        super().__init__()
        self.model = model
        self.margin_strategy = margin_strategy
        self.margin = margin
        self.log_scale = torch.nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=learnable_temperature)
        self.loss = MultipleNegativesRankingLoss(model, scale=1.0, similarity_fct=self.logits)

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor | None = None) -> torch.Tensor:
        """The mean cross-entropy of the positives, a scalar."""
        return self.loss(sentence_features, labels)

    def logits(self, anchors: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Scaled cosines `(batch, candidates)`, minus infinity where a negative is left out.

        Args:
            candidates: the positives in the order of the anchors, then all negatives.
        """
        cosines = cos_sim(anchors, candidates)
        scale = self.log_scale.exp()
        if self.log_scale.requires_grad:
            scale = scale.clamp(max=1 / _LEAST_TEMPERATURE)
        return (cosines * scale).masked_fill(self.left_out(cosines.detach()), -torch.inf)

    def left_out(self, cosines: torch.Tensor) -> torch.Tensor:
        """Which candidates `(batch, candidates)` are taken for false negatives; the positives never are."""
        is_positive = torch.eye(*cosines.shape, dtype=torch.bool, device=cosines.device)
        if self.margin is None:
            return torch.zeros_like(is_positive)
        positive = cosines.diagonal().unsqueeze(1)
        distance = self.margin * (positive.abs() if self.margin_strategy == "relative" else 1.0)
        return (cosines > positive - distance) & ~is_positive

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about the loss."""
        return {
            "temperature": math.exp(-self.log_scale.item()),
            "margin_strategy": self.margin_strategy,
            "margin": self.margin,
        }


def own_negatives(model: Any, scale: float = 20.0, hardness_strength: float = 0.0) -> Any:
    """MultipleNegativesRankingLoss without in-batch negatives: an anchor is compared with its row's texts alone.

    Reads anchor, positive and one negative or more: the cross-entropy of the positive among the texts of its own row,
    as FlagEmbedding computes it with `no_in_batch_neg`. A negative that a row has twice counts twice.
    Nearest relatives: mnrl (the other rows' texts are negatives, too), triplet (a margin in place of a softmax).

    Args:
        scale: of the cosines, above 0: 1 / temperature.
        hardness_strength: how much more negatives weigh the nearer they are; 0: all alike.
    """
    mode = "hard_negatives" if hardness_strength else None
    hardness = {"hardness_mode": mode, "hardness_strength": hardness_strength}
    return MultipleNegativesRankingLoss(model, scale=scale, similarity_fct=cos_sim_within_rows, **hardness)


def cos_sim_within_rows(anchors: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Cosines `(batch, candidates)`, minus infinity between an anchor and the texts of other rows.

    Args:
        candidates: of each row its positive, then of each row its first negative, and so on.
    """
    own = torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    own = own.repeat(1, len(candidates) // len(anchors))
    return cos_sim(anchors, candidates).masked_fill(~own, -torch.inf)
