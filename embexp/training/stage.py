"""One stage of a run: a trainer with our data, evaluation, checkpoints and journal, and a watch on its loss."""

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from embexp.core.run_folder import UNLOGGED, read_json
from embexp.core.signals import stopping_after_step
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Paused, TrainingError, listed
from embexp.models.adapters import save_model
from embexp.training.checkpoints import (
    Checkpoint,
    best_checkpoint,
    last_checkpoint,
    load_loss_state,
    load_unlogged,
    remove_unscheduled,
    step_of,
)
from embexp.training.embedding_training import DevEvaluation, training_of
from embexp.training.stages import StagePlan, StageResult, is_reached, seconds_before, share_done

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Module

    from embexp.tracking.journal import Journal
    from embexp.training.callbacks import CheckpointCallback


@contextmanager
def _suggest_smaller_batches(trainer: Mapping[str, Any]) -> Iterator[None]:
    """Raise TrainingError where torch runs out of memory: torch names no setting that one could change."""
    from torch import OutOfMemoryError

    try:
        yield
    except OutOfMemoryError as error:
        rows = trainer["per_device_train_batch_size"]
        smaller = f"trainer.per_device_train_batch_size={max(1, rows // 2)}"
        raise TrainingError(
            f"The GPU's memory is full with batches of {rows} rows ({str(error).partition('. ')[0]})",
            expected="smaller batches, shorter texts, or a loss whose memory does not grow with the batch",
            note="Workers that share a GPU (sweep.gpus) share its memory, too.",
            fix=(smaller, "model.max_seq_length=128", "loss=cached_mnrl"),
        ) from error


logger = logging.getLogger(__name__)
OnEvaluate = Callable[[int, float], None]  # takes a step and the primary metric on dev there; may raise Pruned


def train_stage(
    plan: StagePlan,
    model: "SentenceTransformer",
    evaluate: DevEvaluation | None,
    primary_metric: str,
    journal: "Journal",
    seed: int,
    merges_adapter: bool = False,
    on_evaluate: OnEvaluate | None = None,
    picks: bool = True,
    pause: float | None = None,
) -> StageResult:
    """Train the model in place and save it; the best checkpoint by the primary metric is the one kept.

    Where an earlier process left checkpoints, the training resumes from the last complete one: on a CPU to the same
    weights, bit for bit, as without the break.

    Args:
        evaluate: scores the model of a step on dev (`dev/<evaluator>/<metric>`); None: the last state is kept.
        primary_metric: key of the metric that picks the checkpoint, as `evaluate` spells it.
        merges_adapter: put the trained adapter into the weights, so that the saved model has none.
        on_evaluate: is called with step and primary metric after each evaluation.
        picks: whether the scores on dev pick the checkpoint; else the last one is kept, and they only show the way.
        pause: the share of the training at whose first evaluation it stops, if that is not its end.

    Raises:
        Paused: that share is done, now or in an earlier process, and not all of it. The model has the weights of the
            last step only where no checkpoint has them.
        Pruned: `on_evaluate` has stopped the training.
        TrainingError: the loss is not a number, or the training does not fit the machine.
    """
    from transformers import PrinterCallback, set_seed

    from embexp.training.callbacks import CheckpointCallback, JournalCallback, OnEvaluateCallback, ProgressCallback
    from embexp.training.processes import together

    found, most = last_checkpoint(plan.checkpoints), plan.trainer.get("max_seconds")
    _raise_if_paused(found, pause, most)
    set_seed(seed)  # a loss may draw weights of its own, and a resumed run has drawn less before it
    training = training_of(plan, model)
    loss, limit = training.module, plan.trainer.get("save_total_limit")
    progress = ProgressCallback(f"train {plan.name}", primary_metric)
    evaluated = [OnEvaluateCallback(on_evaluate, primary_metric)] if on_evaluate else []
    with together(plan.trainer.get("processes", 1), training, seed, found) as spread, stopping_after_step():
        # to its end: what the last step gave is in memory only
        saving = CheckpointCallback(loss, plan.checkpoints, limit, journal, seconds_before(plan), most, pause)
        callbacks = (JournalCallback(journal), *evaluated, progress, saving)
        trainer = training.trainer(_of_finite(evaluate, loss, plan), primary_metric, seed, callbacks)
        trainer.remove_callback(PrinterCallback)
        monitor = _LossMonitor(trainer, loss, plan)
        with monitor, closing(progress), _suggest_smaller_batches(plan.trainer), spread(trainer):
            state = train_on(trainer, saving, found)
        result = _result_of(plan, training, state, saving.seconds, picks)
        save_model(model, result.model_path, merges_adapter)
        result.write()
        journal.note_saved(f"The model of {plan.name} is saved.")
    return result


def _raise_if_paused(found: Checkpoint | None, pause: float | None, most_seconds: float | None) -> None:
    """Raise Paused where a training has come to its pause, with an evaluation there, before this process.

    A checkpoint of Ctrl-C may be beyond the pause without one.
    """
    if found is None or pause is None:
        return
    share = share_done(found.step, found.max_steps, found.seconds, most_seconds)
    logged = read_json(found.path / "trainer_state.json")["log_history"]
    evaluated = [line["step"] for line in logged if any(key.startswith("eval_") for key in line)]
    is_evaluated = any(step == found.step or is_reached(pause, step / found.max_steps) for step in evaluated)
    if share < 1 and is_reached(pause, share) and is_evaluated:
        raise Paused(found.step, share, found.best_step, found.seconds)


def _result_of(plan: StagePlan, training: Any, state: Any, seconds: float, picks: bool) -> StageResult:
    """What a training has come to, whose model has the weights that are kept."""
    checkpoint = best_checkpoint(plan.checkpoints, (picks and state.best_global_step) or 0)
    if checkpoint:
        training.load(checkpoint)
    return StageResult(
        folder=plan.folder,
        best_step=step_of(checkpoint) if checkpoint else state.global_step,
        num_steps=state.global_step,
        seconds=seconds,
        rows_per_second=state.epoch * plan.num_rows / seconds,
        was_chosen=picks and state.best_global_step is not None,
    )


def train_on(trainer: Any, saving: "CheckpointCallback", found: Checkpoint | None) -> Any:
    """Train from the checkpoint, or from the start where there is none; returns the trainer's state at the end.

    Inside of `stopping_after_step` Ctrl-C and SIGTERM are raised at the end of the step, once a checkpoint is written.
    """
    from transformers import TrainerState

    saving.trainer = trainer
    if found is None:
        saving.journal.note_saved("No step is saved yet: the training begins anew.")
        trainer.train()
    else:
        saving.note_saved(found.step, found.max_steps)
        load_loss_state(saving.loss, found.path)
        logger.info("Resuming from %s: step %s of %s.", found.path.name, found.step, found.max_steps)
        if found.step >= found.max_steps or saving.is_over:  # the trainer would do one step more
            return TrainerState.load_from_json(str(found.path / "trainer_state.json"))
        if (found.path / UNLOGGED).is_file():
            saving.on_begin = functools.partial(load_unlogged, trainer, found.path)
        trainer.train(resume_from_checkpoint=str(found.path))
    trainer.accelerator.unwrap_model(
        trainer.model, keep_fp32_wrapper=False
    )  # the model is not scored in half precision
    remove_unscheduled(saving.folder)
    return trainer.state


_SHOWN_ROWS = 32
_SHOWN_CHARS = 60  # of each text of the row that is shown


class _LossMonitor:
    """Checks the loss of every batch; use as a context while the trainer trains.

    Looking at a loss makes the CPU wait for the GPU. The losses of `trainer.check_loss_steps` steps are looked at
    together: before the loss of the last of them is used, and before a log line, an evaluation or a checkpoint.

    Raises:
        TrainingError: a loss that is not a finite number: the first such step, its batch's rows, and the likely cause,
            unless later steps were trained after it.
    """

    def __init__(self, trainer: Any, loss: "Module", plan: StagePlan) -> None:
        self.trainer = trainer
        self.loss = loss
        self.plan = plan
        self._held: list[tuple[int, int, list[Tensor]]] = []  # step, batch in it, losses that were not looked at
        self._batches = 0  # of the step that is being computed
        self._step = -1

    def __enter__(self) -> "_LossMonitor":
        from embexp.training.callbacks import BeforeRecordsCallback

        self.trainer.add_callback(BeforeRecordsCallback(self.look))
        losses = self.loss.losses if self.plan.sets else [self.loss]
        self._hooks = [loss.register_forward_hook(self._hold) for loss in losses]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        if kind is None:
            self.look()
        if kind is None and not _is_finite(self.loss):
            raise _diverged(self.trainer.args.learning_rate, "the last step")

    def _hold(self, module: "Module", inputs: tuple[Any, ...], output: Any) -> None:
        step = self.trainer.state.global_step
        self._batches, self._step = (self._batches + 1 if step == self._step else 1), step
        # A module gives one loss, several by their names, or one among a network's outputs.
        named = output if isinstance(output, dict) else {"loss": output}
        values = [named["loss"]] if "loss" in named else [*named.values()]
        self._held.append((step, self._batches - 1, [value.detach() for value in values]))
        if step - self._held[0][0] + 1 >= self.plan.trainer.get("check_loss_steps", 1):
            self.look(inputs[0] if inputs else ())

    def look(self, features: Sequence[dict[str, "Tensor"]] | None = None) -> None:
        """Check the losses since the last look.

        Args:
            features: of the last batch, whose loss was not used yet; None: all steps are done.
        """
        held, self._held = self._held, []
        for step, batch, values in _not_finite(held):
            rows = _batch_rows(self.trainer, step, batch)
            if features is not None and (step, batch) == held[-1][:2]:
                cause, fix = _likely_cause(self.trainer, features, self.loss)
            else:
                cause = "Later steps have changed the weights since, so that the cause cannot be seen."
                fix = (_slower(self.trainer.args.learning_rate), "trainer.check_loss_steps=1")
            raise TrainingError(
                f"The loss is {sum(value.sum().item() for value in values)} at step {step + 1}",
                expected="a finite number",
                note=f"{self._rows_line(rows)}\n{cause}",
                fix=fix,
            )

    def _rows_line(self, rows: Sequence[int]) -> str:
        """The batch's rows by their numbers in the training data (from 0), and the texts of the first one."""
        more = f" and {len(rows) - _SHOWN_ROWS:,} more" if len(rows) > _SHOWN_ROWS else ""
        dataset, start, of = self._set_of(rows[0])
        rows = [row - start for row in rows]
        row = dataset.splits["train"][rows[0]]
        texts = [str(row[column]) for column in dataset.text_columns]
        shown = " | ".join(text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…" for text in texts)
        numbers = listed(map(str, rows[:_SHOWN_ROWS]))
        return f"The batch is of rows {numbers}{more} of train{of}; row {rows[0]}: {shown}"

    def _set_of(self, row: int) -> tuple[EmbeddingDataset, int, str]:
        """The data set that a row is of, the number of the first one of it, and the name of a mixture's set."""
        start, parts = 0, self.plan.parts
        for part in parts:
            end = start + part.dataset.splits["train"].num_rows
            if row < end or part is parts[-1]:
                break
            start = end
        return part.dataset, start, f" of the set {part.name}" if self.plan.sets else ""


def _not_finite(held: "Sequence[tuple[int, int, list[Tensor]]]") -> "Sequence[tuple[int, int, list[Tensor]]]":
    """Those whose losses are not all finite: one look at the device for all of them."""
    import torch

    finite = [torch.stack([value.isfinite().all() for value in values]).all() for _, _, values in held]
    known = torch.stack(finite).tolist() if finite else []
    return [each for each, is_finite in zip(held, known, strict=True) if not is_finite]


def _of_finite(evaluate: DevEvaluation | None, loss: "Module", plan: StagePlan) -> DevEvaluation | None:
    """The evaluation of a model with finite weights; another one is refused, as its scores mean nothing."""

    def checked(model: "SentenceTransformer", step: int) -> dict[str, float]:
        if not _is_finite(loss):
            raise _diverged(plan.trainer.get("learning_rate", 5e-5), f"step {step}")
        return evaluate(model, step)

    return evaluate and checked


def _is_finite(loss: "Module") -> bool:
    """Whether all weights are. A finite sum says so in a tenth of the time; that of finite weights may be infinite."""
    return all(bool(weight.sum().isfinite() or weight.isfinite().all()) for weight in loss.parameters())


def _diverged(learning_rate: float, step: str) -> TrainingError:
    text, expected = f"After {step} the weights are not finite", "finite numbers, as with a smaller learning rate"
    return TrainingError(text, expected=expected, fix=_slower(learning_rate))


def _batch_rows(trainer: Any, step: int, batch: int) -> list[int]:
    """The rows of the batch after so many steps and batches, sampled again as the trainer sampled them."""
    loader = trainer.get_train_dataloader()
    accumulated = trainer.args.gradient_accumulation_steps
    steps_an_epoch = max(len(loader) // accumulated + bool(len(loader) % accumulated), 1)
    epoch, done = divmod(step, steps_an_epoch)
    for drawing in (loader, loader.batch_sampler):  # samplers depend on it; the trainer does so when an epoch begins
        if hasattr(drawing, "set_epoch"):
            drawing.set_epoch(epoch)
    batches = iter(getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler))  # of all processes
    for _ in range(done * accumulated + batch):
        next(batches)
    return [int(row) for row in next(batches)]


def _likely_cause(
    trainer: Any, features: Sequence[dict[str, "Tensor"]], loss: "Module"
) -> tuple[str, str | tuple[str, ...]]:
    """What the weights and the embeddings of the batch show about the cause, and what to type."""
    model, arguments = trainer.model.eval(), trainer.args  # in training, other processes may wait for its embeddings
    rate = _slower(arguments.learning_rate)
    trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
    half = next((str(weight.dtype) for weight in trained if str(weight.dtype) == "torch.float16"), None)
    if half:
        return "The weights are float16, which cannot be trained.", ("model.dtype=float32", "model.dtype=bfloat16")
    if not all(weight.isfinite().all() for weight in trained):
        clipping = "" if arguments.max_grad_norm else " trainer.max_grad_norm=1"
        return "The weights are no longer finite: an earlier step made them so.", rate + clipping
    if not all(embedding.isfinite().all() for embedding in _embeddings_of(model, features)):
        precision = "trainer.fp16=false trainer.bf16=true" if arguments.fp16 else rate
        return "The weights are finite, the model's embeddings of this batch are not: they overflow.", precision
    cause = "Weights and embeddings are finite: the loss itself is not on this batch. Look at its labels and scores,"
    return f"{cause} and at the loss's arguments (a scale that is too large, a temperature near 0).", rate


def _slower(learning_rate: float) -> str:
    """What to type for a tenth of the learning rate."""
    return f"trainer.learning_rate={learning_rate / 10:g}"


def _embeddings_of(model: "SentenceTransformer", features: Sequence[dict[str, "Tensor"]]) -> list["Tensor"]:
    """The model's embeddings of a batch, column by column, without gradients."""
    import torch

    with torch.no_grad():
        return [model(dict(column))["sentence_embedding"] for column in features if "input_ids" in column]
