"""Orthogonal regularisation added to any loss. Imports torch: name it in `_target_` only."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from sentence_transformers.sentence_transformer.losses import GlobalOrthogonalRegularizationLoss


class OrthogonalRegularization(torch.nn.Module):
    """A loss plus GlobalOrthogonalRegularizationLoss (Zhang et al. 2017) of the embeddings that it made.

    For each column of a batch, with s the cosines of its different rows and d the width of the embeddings:
    mean_weight * mean(s)^2 + second_moment_weight * max(0, mean(s^2) - 1/d), so that texts that have nothing to do with
    each other spread over the whole space. The embeddings are those of the loss's own forward pass: no text is embedded
    a second time. EmbeddingGemma (2025) takes mean_weight 0 and aggregation sum.

    Args:
        loss: the loss it is added to, one that embeds a batch at once (no gradient cache).
        mean_weight: of the squared mean; None or 0 leaves it out.
        second_moment_weight: of the second moment; None or 0 leaves it out.
        aggregation: mean or sum over the columns.

    Raises:
        ValueError: no weight, or another aggregation.
    """

    def __init__(
        self,
        model: Any,
        loss: torch.nn.Module,
        mean_weight: float | None = 1.0,
        second_moment_weight: float | None = 1.0,
        aggregation: str = "mean",
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.regularization = GlobalOrthogonalRegularizationLoss(
            model, mean_weight=mean_weight, second_moment_weight=second_moment_weight, aggregation=aggregation
        )

    def forward(
        self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """The loss and the regularisation's terms, whose sum is trained: sentence-transformers adds them up."""
        with self._embeddings_made() as columns:
            value = self.loss(sentence_features, labels)
        terms = value if isinstance(value, Mapping) else {"without_regularization": value}
        return {**terms, **self.regularization.compute_loss_from_embeddings(columns)}

    @contextmanager
    def _embeddings_made(self) -> Iterator[list[torch.Tensor]]:
        """Collects what the model embeds meanwhile, one tensor `(rows, dim)` for each column."""
        made: list[torch.Tensor] = []
        hook = self.model.register_forward_hook(lambda _, __, output: made.append(output["sentence_embedding"]))
        try:
            with column_merging_disabled():
                yield made
        finally:
            hook.remove()

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about the loss."""
        own = self.regularization.get_config_dict()
        return {"loss": type(self.loss).__name__} | {key: own[key] for key in own if key != "similarity_fct"}
