"""Evaluators of sentence-transformers, or of your own of that kind, named by `_target_`: metrics without intervals.

They are called with the model and return metrics, but no values of single examples: nothing can be resampled, so their
verdict is `no interval`. Evaluators of embexp that measure the same have one: `sts`, `retrieval`, `binary`, `triplet`.
"""

import logging
import math
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy

from embexp.errors import DataError, ModelError
from embexp.evaluation.scores import ID, Positives, Scores
from embexp.models.encoding import DiskCachedEncoder, MemoryCachedEncoder, ModelEncoder
from embexp.protocols import Encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
SCORE = "score"  # the evaluator's own main metric, whatever it calls it: known before it was called


class NeedsModelError(ModelError):
    """An evaluator reads a whole model, and was given what has vectors alone."""


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restores the random states of Python, numpy and torch, which libraries seed."""
    import torch

    own, of_numpy = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(own)
        numpy.random.set_state(of_numpy)


def is_library_evaluator(made: Any) -> bool:
    """Whether what a `_target_` made is called with a model, as sentence-transformers' evaluators are."""
    return callable(made) and not hasattr(made, "score")


def nanobeir_evaluator(
    name: str, dataset_names: list[str] | None, dataset_id: str, batch_size: int
) -> "LibraryEvaluator":
    """NanoBEIR: 13 retrieval tasks with 50 queries each, cut from BEIR; the score is the mean nDCG of the first 10.

    Args:
        dataset_names: some of them, such as [msmarco, nfcorpus]; None: all.
        dataset_id: the collection on the Hub, or one of the same form, such as a translation.

    Raises:
        DataError: the data cannot be loaded, or there is no such data set.
    """
    from sentence_transformers.sentence_transformer.evaluation import NanoBEIREvaluator

    options = {"show_progress_bar": False, "batch_size": batch_size, "write_csv": False}
    try:
        with kept_random_state():
            made = NanoBEIREvaluator(dataset_names=dataset_names, dataset_id=dataset_id, **options)
    except (OSError, ValueError) as error:  # what datasets and the Hub's client raise
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"The data of NanoBEIR ({dataset_id}) cannot be loaded: {reason}",
            expected="a connection to the Hub, or its files in the Hugging Face cache",
            note="guard=general comes with embexp and needs no network",
            fix=f"hf download {dataset_id} --repo-type dataset",
        ) from error
    return LibraryEvaluator(name, made)


class LibraryEvaluator:
    """An evaluator that is called with a model, on data of its own that count as test.

    Args:
        made: as sentence-transformers' BaseEvaluator: called with a model, it returns metrics, or one number.
    """

    splits = ("test",)
    resamples = 0  # there are no examples to sample
    primary_metric = SCORE
    headline_metrics = metric_names = (SCORE,)

    def __init__(self, name: str, made: Any) -> None:
        self.name, self.made = name, made

    def texts(self, split: str) -> dict[str | None, list[str]]:
        """None: such an evaluator gives its texts only when it is called."""
        return {}

    def positives(self, split: str) -> Positives:
        """None."""
        return Positives()

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Its metrics, named as MLflow takes them, and its main one as `score`, higher is better.

        Raises:
            NeedsModelError: the encoder has no sentence-transformers model, such as vectors in fewer bits or of a URL.
        """
        model = _model_of(encoder)
        if model is None:
            text = f"The evaluator {self.name} is sentence-transformers' and needs a whole model, not vectors alone"
            raise NeedsModelError(
                text, expected="an evaluator of embexp, such as evaluator=[sts] or evaluator=[retrieval]"
            )
        was_training = model.training
        model.eval()
        with kept_random_state():
            found = self.made(model)
        model.train(was_training)
        found = found if isinstance(found, Mapping) else {SCORE: found}
        primary = getattr(self.made, "primary_metric", None) or next(iter(found))
        sign = 1 if getattr(self.made, "greater_is_better", True) else -1
        prefix = f"{getattr(self.made, 'name', '')}_"
        metrics = {SCORE: sign * float(found[primary])}
        numbers = {key: value for key, value in found.items() if _is_number(value)}
        metrics |= {_plain(key.removeprefix(prefix)): float(value) for key, value in numbers.items() if key != SCORE}
        return Scores(split, {ID: []}, {}, metrics)


def _plain(metric: str) -> str:
    """A metric's name in letters that all stores take.

    >>> _plain("cosine_ndcg@10"), _plain("NanoMSMARCO_cosine_mrr@10")
    ('cosine_ndcg_at_10', 'NanoMSMARCO_cosine_mrr_at_10')
    """
    return re.sub(r"[^\w.-]+", "_", metric.replace("@", "_at_")).strip("_")


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, str) and not math.isinf(float(value))
    except (TypeError, ValueError):
        return False


def _model_of(encoder: Encoder) -> "SentenceTransformer | None":
    """The model behind an encoder that only remembers its vectors; None for one that changes them."""
    while isinstance(encoder, MemoryCachedEncoder | DiskCachedEncoder):
        encoder = encoder.encoder
    return encoder.model if isinstance(encoder, ModelEncoder) else None
