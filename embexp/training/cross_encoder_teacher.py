"""A PairTeacher: cross-encoders that learn from gold pairs, kept so that the same pairs train none again."""

import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import refuse
from embexp.core.run_folder import RESULT, read_json
from embexp.data.arrow import with_progress
from embexp.data.cache import step_key
from embexp.data.dataset import fingerprint
from embexp.errors import ConfigError
from embexp.models.cross_encoder import CrossEncoderBase, reading_problems
from embexp.training.cross_encoder_training import (
    MODEL,
    PairTraining,
    before_and_after,
    check_pair_trainer,
    train_cross_encoder,
)

if TYPE_CHECKING:
    from datasets import Dataset

_PAIRS_HELD = 2**13  # pairs that are labelled at a time


class CrossEncoderTeacher:
    """Trains a cross-encoder on gold pairs; several, one for each seed, are averaged.

    Scores and labels of 0 or 1 are learned by binary cross-entropy of one output, classes by cross-entropy.

    Args:
        model: what they start from: an option of the group `model`, a folder or a Hub id.
        trainer: arguments of sentence-transformers' CrossEncoderTrainingArguments.
        seeds: of the trainings.
        max_tokens: longer pairs are cut; None for the model's own limit.
        batch_size: pairs that are labelled at a time.

    Raises:
        ConfigError: an unusable model, no seeds, or an argument or a value that the trainer does not take.
        ModelError: the model's weights are not there.
        TrainingError: the machine cannot train in the requested precision.
    """

    def __init__(
        self, model: str, trainer: Mapping[str, Any], seeds: Sequence[int], max_tokens: int | None, batch_size: int
    ) -> None:
        self.base = CrossEncoderBase(model, max_tokens)
        self.trainer, self.seeds, self.batch_size = dict(trainer), seeds, batch_size
        if not seeds or len({*seeds}) < len(seeds):
            expected, fix = "different whole numbers", "teacher.seeds=[42]"
            raise ConfigError(key="teacher.seeds", given=seeds, expected=expected, fix=fix)
        refuse(reading_problems(batch_size, max_tokens), under="teacher")
        check_pair_trainer(self.trainer)

    def fit(
        self, train: "Dataset", dev: "Dataset | None", kind: str, num_classes: int, cache: Path | None
    ) -> "_CrossEncoderLabeller":
        """The trained cross-encoders; those that the cache has are not trained again."""
        from transformers.utils import logging

        logging.set_verbosity_error()  # no line for each file that is read, and for the head that is fresh on purpose
        logging.disable_progress_bar()
        dev = dev if dev is not None and dev.num_rows else None
        place = (cache or Path(_folder().name)) / "cross_encoders" / self._key(train, dev, kind, num_classes)
        folders = [place / f"seed-{seed}" for seed in self.seeds]
        num_outputs = num_classes if kind == "class" else 1
        for seed, folder in zip(self.seeds, folders, strict=True):
            train_cross_encoder(PairTraining(self.base, train, dev, kind, num_outputs, self.trainer, seed, folder))
        return _CrossEncoderLabeller(folders, self.batch_size)

    def _key(self, train: "Dataset", dev: "Dataset | None", kind: str, num_classes: int) -> str:
        """A key of all that a training depends on but its seed."""
        rows = [fingerprint(rows) if rows is not None else "" for rows in (train, dev)]
        base = {"base": repr(self.base.model), "place": self.base.place, "max_tokens": self.base.max_tokens}
        call = {"_target_": f"{__name__}.{type(self).__name__}", **base, "trainer": self.trainer}
        return step_key(f"{rows} {kind} {num_classes}", call)


class _CrossEncoderLabeller:
    """A PairLabeller: the mean of what the trained cross-encoders give."""

    def __init__(self, trainings: Sequence[Path], batch_size: int) -> None:
        self.trainings, self.batch_size = trainings, batch_size

    @property
    def dev_scores(self) -> dict[str, tuple[float, float]]:
        """The metrics on dev before and after training, each the mean over the trainings; none without dev rows."""
        return before_and_after([read_json(folder / RESULT)["metrics"] for folder in self.trainings])

    def label(self, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        """Probabilities of classes, or one column of scores, float32 `(len(pairs), outputs)`."""
        return numpy.mean([self._labelled_by(folder, pairs) for folder in self.trainings], axis=0)

    def _labelled_by(self, folder: Path, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        import torch
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(folder / MODEL))
        activation = torch.nn.Sigmoid() if model.num_labels == 1 else torch.nn.Softmax(dim=-1)
        blocks = (pairs[start : start + _PAIRS_HELD] for start in range(0, len(pairs), _PAIRS_HELD))
        outputs = [
            model.predict(block, batch_size=self.batch_size, activation_fn=activation, show_progress_bar=False)
            for block in with_progress(blocks, "label pairs", len, len(pairs))
        ]
        return numpy.concatenate(outputs).reshape(len(pairs), -1)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    """The folder where there is no cache; removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="embexp-")
