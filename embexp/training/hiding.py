"""Hiding tokens of texts so that it can be repeated: for masked language modelling."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class RepeatableHiding:
    """Makes batches with hidden tokens: in an epoch, the same texts in the same order have the same tokens hidden.

    The trainer's loader is one batch ahead of the training, so the random state in a checkpoint is that after the next
    batch was drawn: with it a training that is gone on with would hide other tokens than one that was not stopped.

    Args:
        collator: transformers' DataCollatorForLanguageModeling.
        max_tokens: longer texts are cut; None: at the tokenizer's own limit.

    Attributes:
        epoch: which one the batches are of, from 0; other tokens are hidden in each.
    """

    def __init__(self, collator: Any, max_tokens: int | None, seed: int) -> None:
        self.collator = collator
        self.max_tokens = max_tokens
        self.seed = seed
        self.epoch = 0

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> dict[str, "Tensor"]:
        import torch

        texts = [row["text"] for row in rows]
        tokens = self.collator.tokenizer(
            texts,
            truncation=True,
            max_length=self.max_tokens,
            return_special_tokens_mask=True,
            return_offsets_mapping=self.collator.whole_word_mask,
        )
        digest = hashlib.sha256(json.dumps([self.seed, self.epoch, texts]).encode()).digest()
        self.collator.generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return self.collator([{key: tokens[key][row] for key in tokens} for row in range(len(texts))])
