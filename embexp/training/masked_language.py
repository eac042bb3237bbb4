"""Masked language modelling: the transformer of a model guesses hidden tokens, trained by transformers' own trainer."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.compose import instantiate
from embexp.errors import ModelError, listed
from embexp.training.embedding_training import DevEvaluation, training_arguments
from embexp.training.stages import StagePlan

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from transformers import PreTrainedModel, Trainer, TrainerCallback


class _RepeatableHiding:
    """Makes batches with hidden tokens: in an epoch, the same texts in the same order have the same tokens hidden.

    The trainer's loader is one batch ahead of the training, so the random state in a checkpoint is that after the next
    batch was drawn: with it a resumed training would mask other tokens than one that was not stopped.

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


logger = logging.getLogger(__name__)


class MaskedLanguageTraining:
    """A Training of the transformer alone, with a layer on it that goes afterwards (Devlin et al. 2019, section 3.1).

    Texts are read without prompts. The last state is kept, not the best one on dev: what the embeddings are worth
    before the next stage says little of what they are worth after it.

    Raises:
        ModelError: the transformer has no such layer, or its tokenizer no mask token.
    """

    def __init__(self, plan: StagePlan, model: "SentenceTransformer") -> None:
        self.plan = plan
        self.model = model
        self.module = _masked_language_model(model)

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "Trainer":
        """transformers' trainer; while it trains, the embeddings are what is evaluated."""
        from embexp.training.callbacks import EpochCallback

        if unread := [key for key in ("tokens_once", "pad_to") if self.plan.trainer.get(key)]:
            logger.info("%s has no effect here: other tokens are hidden in each epoch.", listed(unread))
        collator = instantiate(self.plan.loss.public_call(), tokenizer=self.model.tokenizer)
        hiding = _RepeatableHiding(collator, self.model.max_seq_length, seed)
        return _trainer_class()(
            evaluate_embeddings=lambda step: evaluate(self.model, step),
            model=self.module,
            args=training_arguments(self.plan, evaluate is not None, None, seed),
            train_dataset=self.plan.dataset.training_rows(),
            eval_dataset=(),  # needed where there are evaluations, and not read
            data_collator=hiding,
            callbacks=[EpochCallback(hiding), *callbacks],
        )

    def load(self, checkpoint: Path) -> None:
        """Give the transformer and the layer on it the weights of a checkpoint."""
        from safetensors.torch import load_file

        _, unexpected = self.module.load_state_dict(load_file(checkpoint / "model.safetensors"), strict=False)
        assert not unexpected, f"the model has no place for {unexpected}"


def _masked_language_model(model: "SentenceTransformer") -> "PreTrainedModel":
    """The model's own transformer, not a copy, under the layer that fills in tokens.

    That layer is the one that lies with the weights; where none does, it is drawn at random, which is logged.
    """
    from transformers import AutoModelForMaskedLM

    network, card = model.transformers_model, model.model_card_data
    place, revision = network.config.name_or_path, card.base_model_revision
    if model.tokenizer.mask_token is None:
        raise _cannot_be_masked(network, "its tokenizer has no mask token")
    try:
        filling, loaded = AutoModelForMaskedLM.from_pretrained(
            place,
            trust_remote_code=model.trust_remote_code,
            **({"revision": revision} if revision and card.base_model == place else {}),
            num_hidden_layers=network.config.num_hidden_layers,
            dtype=network.dtype,
            output_loading_info=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_be_masked(network, str(error).splitlines()[0]) from error
    if loaded["missing_keys"]:
        logger.info("The base model has no trained layer that fills in masked tokens: a fresh one is trained with it.")
    setattr(filling, filling.base_model_prefix, network)
    filling.tie_weights()
    return filling.to(network.device)


def _cannot_be_masked(network: Any, reason: str) -> ModelError:
    return ModelError(
        f"adapt=mlm was given; {network.config.name_or_path} cannot be trained to fill in masked tokens: {reason}",
        expected="a masked-language model such as BERT or RoBERTa, or another way to adapt",
        fix=("adapt=tsdae", "adapt=simcse"),
    )


def _trainer_class() -> "type[Trainer]":
    from transformers import Trainer

    class MaskedLanguageTrainer(Trainer):
        """transformers' trainer, which evaluates embeddings: its own evaluation knows only the loss of hidden tokens.

        sentence-transformers' trainer overrides the same method for its evaluators.
        """

        def __init__(self, evaluate_embeddings: Any, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.evaluate_embeddings = evaluate_embeddings
            # BERT's loss is the mean of its batch, whatever number of tokens the trainer hands over to divide by.
            self.model_accepts_loss_kwargs = False

        def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
            scores = self.evaluate_embeddings(self.state.global_step)
            metrics = {f"eval_{key}": value for key, value in scores.items()}
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
            return metrics

    return MaskedLanguageTrainer
