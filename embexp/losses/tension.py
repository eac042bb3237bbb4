"""Contrastive tension on pairs of a text and itself. Imports torch: name it in `_target_` only."""

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.sentence_transformer.losses import ContrastiveTensionLoss


class ContrastiveTension(torch.nn.Module):
    """ContrastiveTensionLoss (Carlsson et al. 2021) with the pairs of the paper, made of each batch.

    Reads text and twin, the same text. sentence-transformers' loss takes identical pairs for positives and others for
    negatives: given nothing but twins it would only push all scores up. So one twin of each eight stays, and the other
    seven are passed on among their rows. Nearest relatives: contrastive_tension_in_batch (one model copy, too, all
    other texts as negatives: a stronger signal) and simcse (one model, dropout).

    Args:
        negatives_per_positive: pairs of different texts for each pair of the same text.
    """

    def __init__(self, model: Any, negatives_per_positive: int = 7) -> None:
        super().__init__()
        self.loss = ContrastiveTensionLoss(model)
        self.negatives_per_positive = negatives_per_positive

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: torch.Tensor | None = None) -> torch.Tensor:
        """The summed binary cross-entropy of the batch's pairs, a scalar."""
        first, second = sentence_features
        num_rows = len(first["input_ids"])
        order = torch.tensor(_partners(num_rows, self.negatives_per_positive), device=first["input_ids"].device)
        moved = {key: value[order] if _is_by_row(value, num_rows) else value for key, value in second.items()}
        return self.loss([first, moved], None)

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about the loss."""
        return {"negatives_per_positive": self.negatives_per_positive}


def _partners(num_rows: int, negatives_per_positive: int) -> list[int]:
    """For each row the row whose twin it is paired with: every eighth its own, the others the next one's of theirs.

    >>> _partners(4, negatives_per_positive=7)
    [0, 2, 3, 1]
    """
    others = [row for row in range(num_rows) if row % (negatives_per_positive + 1)]
    following = dict(zip(others, others[1:] + others[:1], strict=True))
    return [following.get(row, row) for row in range(num_rows)]


def _is_by_row(value: Any, num_rows: int) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == num_rows
