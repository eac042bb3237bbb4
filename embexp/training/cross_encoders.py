"""Cross-encoders trained on labelled pairs, and a PairTeacher of them whose trainings are kept and resumed."""

import functools
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.config.compose import instantiate
from embexp.core.arguments import refuse
from embexp.core.claims import held
from embexp.core.run_context import RunContext, import_training_libraries
from embexp.core.run_folder import RESULT, read_json, status_of
from embexp.core.signals import stopping_after_step
from embexp.data.arrow import with_progress
from embexp.data.cache import step_key
from embexp.data.dataset import fingerprint
from embexp.errors import ConfigError
from embexp.models.cross_encoder import BASE_FOLDER, CrossEncoderBase, reading_problems
from embexp.models.scratch import SCRATCH
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker
from embexp.training.checkpoints import best_checkpoint, last_checkpoint, load_weights
from embexp.training.embedding_training import as_sentence_transformers_evaluator, check_precision, has_cuda, on_one_gpu
from embexp.training.stage import train_on
from embexp.training.trainer_values import bf16_on_cpu, check_trainer

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import CrossEncoder

# By the kind of label; the first one picks the checkpoint. Each class has one label: micro F1 is the accuracy.
_METRICS = {
    "score": ("spearman", "pearson"),
    "binary": ("average_precision", "accuracy"),
    "class": ("f1_macro", "f1_micro"),
}
_DEV, _BASE = "dev/cross_encoder/", "base/cross_encoder/"


def _primary_metric(kind: str) -> str:
    """The key of the metric that picks the checkpoint.

    >>> _primary_metric("score")
    'dev/cross_encoder/spearman'
    """
    return _DEV + _METRICS[kind][0]


def _evaluation_on(dev: "Dataset", kind: str) -> Callable[["CrossEncoder", int], dict[str, float]]:
    """The evaluation on dev pairs (columns sentence1, sentence2, label), with keys as `_primary_metric` gives them."""
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderClassificationEvaluator,
        CrossEncoderCorrelationEvaluator,
    )

    kind_of_evaluator = CrossEncoderCorrelationEvaluator if kind == "score" else CrossEncoderClassificationEvaluator
    pairs = [*zip(dev["sentence1"][:], dev["sentence2"][:], strict=True)]
    evaluator = kind_of_evaluator(pairs, dev["label"][:], show_progress_bar=False, write_csv=False)

    def evaluate(model: "CrossEncoder", step: int) -> dict[str, float]:
        scores = evaluator(model, steps=step)
        return {_DEV + name: float(scores[name]) for name in _METRICS[kind]}

    return evaluate


def _before_and_after(trainings: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """The untrained and the trained scores by metric, means over trainings; nothing where none was evaluated.

    >>> _before_and_after([{"base/cross_encoder/spearman": 0.0, "dev/cross_encoder/spearman": 0.5, "cost/steps": 9}])
    {'spearman': (0.0, 0.5)}
    """
    names = [key.removeprefix(_DEV) for key in trainings[0] if key.startswith(_DEV)]
    return {
        name: tuple(sum(each[when + name] for each in trainings) / len(trainings) for when in (_BASE, _DEV))
        for name in names
    }


_ARGUMENTS = "sentence_transformers.cross_encoder.training_args.CrossEncoderTrainingArguments"


def _check_pair_trainer(trainer: Mapping[str, Any]) -> None:
    """Refuse, before anything is trained, arguments and values that sentence-transformers' trainer does not take.

    Raises:
        ConfigError: says which one.
        TrainingError: a precision that the machine does not have.
    """
    if (number := trainer.get("processes", 1)) != 1:
        text, key = "is for the training of a model with a loss", "teacher.trainer.processes"
        raise ConfigError(text, key=key, given=number, expected="1", fix=f"~{key}")
    check_precision(trainer)
    check_trainer({"_target_": _ARGUMENTS, **trainer}, "teacher.trainer")


@dataclass(frozen=True)
class _PairTraining:
    """What is trained on what, and where.

    Args:
        train, dev: columns sentence1, sentence2 and label; dev picks the checkpoint, without it the last one stays.
        kind: of the labels: score, binary or class.
        trainer: arguments of sentence-transformers' trainer.
    """

    base: CrossEncoderBase
    train: "Dataset"
    dev: "Dataset | None"
    kind: str
    num_outputs: int
    trainer: Mapping[str, Any]
    seed: int
    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def texts(self) -> Iterator[str]:
        """All texts to train on."""
        for column in ("sentence1", "sentence2"):
            yield from self.train[column]

    def arguments(self) -> Any:
        """The trainer's arguments: those that were given, and those that follow from the rest."""
        given = {"_target_": _ARGUMENTS, **self.trainer}
        best = {"metric_for_best_model": _primary_metric(self.kind), "greater_is_better": True}
        given |= best if self.dev is not None else {"eval_strategy": "no"}
        arguments = instantiate(
            {key: value for key, value in given.items() if key != "processes"},
            output_dir=str(self.checkpoints),
            seed=self.seed,
            report_to="none",
            disable_tqdm=True,
            save_total_limit=None,  # the callback removes old ones once the new one is whole
            dataloader_pin_memory=has_cuda(),
            **bf16_on_cpu(self.trainer),
        )
        return on_one_gpu(arguments)

    def parameters(self) -> dict[str, Any]:
        """What is shown of the training."""
        return {
            "model": self.base.name,
            "base_model": self.base.place["id"],
            "max_tokens": self.base.max_tokens,
            "label": self.kind,
            "train_rows": self.train.num_rows,
            "dev_rows": self.dev.num_rows if self.dev is not None else 0,
            "seed": self.seed,
            **{f"trainer.{key}": value for key, value in self.trainer.items()},
        }


_MODEL = "model"  # in the folder: the trained cross-encoder

logger = logging.getLogger(__name__)


def _train_cross_encoder(task: _PairTraining) -> None:
    """Train it and keep model, metrics.jsonl and result.json in its folder; nothing is done where it has finished.

    Another process that wants the same is waited for. One that was stopped resumes from its last complete checkpoint.
    """
    with held(task.folder, "training", waits=True):
        if status_of(task.folder) == "FINISHED":
            logger.info("The cross-encoder was trained before: %s", task.folder)
            return
        journal = Journal(task.folder, NullTracker(), is_part=True)
        with RunContext().current(), journal.open(f"cross-encoder/{task.base.name}/{task.seed}", None):
            _train(task, journal)


def _train(task: _PairTraining, journal: Journal) -> None:
    from sentence_transformers import CrossEncoderTrainer
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, CrossEntropyLoss
    from transformers import PrinterCallback, set_seed

    from embexp.training.callbacks import CheckpointCallback, JournalCallback, ProgressCallback

    set_seed(task.seed)
    journal.log_params(task.parameters())
    model = task.base.load(task.num_outputs, task.texts, task.folder)
    evaluate = _evaluation_on(task.dev, task.kind) if task.dev is not None else None
    untrained = evaluate(model, 0) if evaluate else {}
    journal.log_metrics({f"train/{key}": value for key, value in untrained.items()}, step=0)
    found = last_checkpoint(task.checkpoints)
    loss = BinaryCrossEntropyLoss(model) if model.num_labels == 1 else CrossEntropyLoss(model)
    saving = CheckpointCallback(loss, task.checkpoints, 1, journal, found.seconds if found else 0.0)
    logger.info("Training the cross-encoder %s on %s pairs.", task.base.name, f"{task.train.num_rows:,}")
    progress = ProgressCallback("cross-encoder", _primary_metric(task.kind))
    trainer = CrossEncoderTrainer(
        model=model,
        args=task.arguments(),
        train_dataset=task.train,
        loss=loss,
        evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
        callbacks=[JournalCallback(journal), progress, saving],
    )
    trainer.remove_callback(PrinterCallback)
    with stopping_after_step(), closing(progress):
        state = train_on(trainer, saving, found)
    if checkpoint := best_checkpoint(task.checkpoints, state.best_global_step or 0):
        load_weights(model, checkpoint)
    trained = evaluate(model, state.global_step) if evaluate else {}
    model.save_pretrained(str(task.folder / _MODEL))
    costs = {"cost/seconds": saving.seconds, "cost/steps": state.global_step}
    before = {_BASE + key.removeprefix(_DEV): value for key, value in untrained.items()}
    journal.log_results(before | trained | costs)
    for made_on_the_way in (task.checkpoints, task.folder / BASE_FOLDER, task.folder / SCRATCH):
        shutil.rmtree(made_on_the_way, ignore_errors=True)


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
        _check_pair_trainer(self.trainer)

    def fit(
        self, train: "Dataset", dev: "Dataset | None", kind: str, num_classes: int, cache: Path | None
    ) -> "_CrossEncoderLabeller":
        """The trained cross-encoders; those that the cache has are not trained again."""
        import_training_libraries()
        dev = dev if dev is not None and dev.num_rows else None
        place = (cache or Path(_folder().name)) / "cross_encoders" / self._key(train, dev, kind, num_classes)
        folders = [place / f"seed-{seed}" for seed in self.seeds]
        num_outputs = num_classes if kind == "class" else 1
        for seed, folder in zip(self.seeds, folders, strict=True):
            _train_cross_encoder(_PairTraining(self.base, train, dev, kind, num_outputs, self.trainer, seed, folder))
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
        return _before_and_after([read_json(folder / RESULT)["metrics"] for folder in self.trainings])

    def label(self, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        """Probabilities of classes, or one column of scores, float32 `(len(pairs), outputs)`."""
        return numpy.mean([self._labelled_by(folder, pairs) for folder in self.trainings], axis=0)

    def _labelled_by(self, folder: Path, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        import torch
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(folder / _MODEL))
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
