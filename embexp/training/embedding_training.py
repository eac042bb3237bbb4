"""What trains a stage's weights, by sentence-transformers' trainer or another one, and with which arguments."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from embexp.config.compose import instantiate, parameters_of
from embexp.core.launch import launched
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Problem, TrainingError
from embexp.steps.prompting import with_row_prompts
from embexp.training.checkpoints import load_weights
from embexp.training.stages import StagePlan
from embexp.training.token_batches import set_batches
from embexp.training.trainer_values import bf16_on_cpu, without_budgets

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from torch.nn import Module
    from transformers import Trainer, TrainerCallback

logger = logging.getLogger(__name__)
DevEvaluation = Callable[["SentenceTransformer", int], dict[str, float]]  # of a model at a step


def column_prompts(dataset: EmbeddingDataset, model: "SentenceTransformer") -> dict[str, str]:
    """The prompt of each text column that has one: the data set's, else the model's default one.

    sentence-transformers puts the model's default prompt before the texts that it encodes, but not before those that
    it trains on: a model would be trained without the prompt that it is evaluated with.
    """
    default = model.prompts.get(model.default_prompt_name) or ""
    own = {column: dataset.prompts.prompt_for(column) for column in dataset.text_columns}
    if default and None in own.values():
        logger.info("The data name no prompts: training puts the model's own %r before every text.", default)
    prompts = {column: default if prompt is None else prompt for column, prompt in own.items()}
    return {column: prompt for column, prompt in prompts.items() if prompt}


def training_arguments(
    plan: StagePlan,
    evaluates: bool,
    primary_metric: str | None,
    seed: int,
    prompts: Mapping[str, Any] | None = None,
    **sampling: Any,
) -> Any:
    """The trainer's arguments: those of the YAML, and those that only a run knows, as far as their class takes them.

    Args:
        primary_metric: picks the checkpoint; None: the last one is kept.
        sampling: how the batches of a mixture are drawn.
    """
    given = {key: value for key, value in without_budgets(plan.trainer, plan.num_rows).items() if key not in sampling}
    given |= {"save_total_limit": None}  # the callback removes old ones once the new one is whole
    if not evaluates:
        given |= {"eval_strategy": "no"}
    runtime = {
        "output_dir": str(plan.checkpoints),
        "seed": seed,
        "batch_sampler": plan.loss.batch_sampler,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": has_cuda(),
        "accelerator_config": {"non_blocking": has_cuda()},  # the next batch is copied while the GPU computes
        "remove_unused_columns": False,  # the columns are those that the loss reads
        "prompts": dict(prompts) if prompts else None,
        **sampling,
    }
    runtime |= bf16_on_cpu(plan.trainer)
    if given.get("eval_strategy", "no") != "no" and primary_metric:
        runtime |= {"metric_for_best_model": primary_metric, "greater_is_better": True}
    known = parameters_of(given["_target_"]) or ()
    runtime = {key: value for key, value in runtime.items() if key not in given and key in known}
    logging.getLogger("sentence_transformers.base.training_args").addFilter(_is_no_advice)
    return on_one_gpu(instantiate(given, **runtime), plan.trainer.get("processes", 1))


def _is_no_advice(record: logging.LogRecord) -> bool:
    """Whether a message does not warn of DataParallel, which `on_one_gpu` leaves out."""
    return "DataParallel" not in record.getMessage()


def on_one_gpu(arguments: Any, processes: int = 1) -> Any:
    """The arguments, which train on one GPU: transformers would put a batch on each one that it sees (DataParallel)."""
    if (seen := arguments.n_gpu) > 1:
        if processes == 1:
            logger.info("%d GPUs are seen, and one trains. trainer.processes=%d trains on all of them.", seen, seen)
        arguments._n_gpu = 1
    return arguments


def check_precision(trainer: Mapping[str, Any]) -> None:
    """Raise TrainingError if this machine cannot train in the requested precision.

    sentence-transformers takes `fp16` on a CPU without a word and trains in single precision.
    """
    import torch

    cuda, problems = torch.cuda.is_available(), []
    if trainer.get("fp16") and not cuda:
        problems.append(("fp16", "needs a GPU and has no effect on a CPU", "false without a GPU", ""))
    if trainer.get("bf16") and cuda and not torch.cuda.is_bf16_supported():
        problems.append(("bf16", "needs a GPU that knows bfloat16", "fp16 on this one", " trainer.fp16=true"))
    if trainer.get("bf16") and not cuda and not _cpu_multiplies_bf16():
        problems.append(("bf16", "needs a GPU, or a CPU that multiplies bfloat16", "false on this machine", ""))
    if problems:
        raise TrainingError(
            *(
                Problem(text, f"trainer.{key}", True, expected, fix=(f"trainer.{key}=false{instead}",))
                for key, text, expected, instead in problems
            )
        )


_BF16 = ("amx_bf16", "avx512_bf16", "bf16")  # the instructions of x86 and of ARM, as torch calls them


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU trains, and has instructions for bfloat16: without them it would be slower, not faster."""
    import torch

    known = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not tell
    return not torch.backends.mps.is_available() and any(known.get(name) for name in _BF16)


def check_processes(number: int) -> None:
    """Raise TrainingError if this machine has fewer GPUs than processes, or one of another kind."""
    import torch

    if number == 1 or launched():  # a launcher's processes see a GPU each
        return
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else None
    if gpus is not None and number > gpus:
        text, fix = f"is more than the {gpus} GPUs that are seen", (f"trainer.processes={gpus}",)
        raise TrainingError(text, key="trainer.processes", given=number, expected="a GPU for each", fix=fix)
    if gpus is None and torch.backends.mps.is_available():
        text, fix = "needs NVIDIA GPUs, or none at all", ("trainer.processes=1",)
        raise TrainingError(text, key="trainer.processes", given=number, expected="1 on this machine", fix=fix)


def has_cuda() -> bool:
    """Whether there is a GPU that torch can use."""
    import torch

    return torch.cuda.is_available()


class _Training(Protocol):
    """A model with what is trained along with it, in place.

    Attributes:
        module: gives the loss of a batch; holds all weights that are trained.
    """

    module: "Module"

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "Trainer":
        """The trainer, ready to start; `evaluate`, if any, scores dev; its `primary_metric` picks the checkpoint."""

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint that the trainer wrote."""


def training_of(plan: StagePlan, model: "SentenceTransformer") -> _Training:
    """The training that the stage's loss needs (`_trained_by_` in its YAML); it may initialise weights."""
    trained_by = "embexp.training.mixture_training.MixtureTraining" if plan.sets else plan.loss.trained_by
    return instantiate({"_target_": trained_by}, plan=plan, model=model)


# The card of a checkpoint. sentence-transformers' own takes 0.2 seconds a checkpoint; a run writes its model's card.
_CARD = Path(__file__).parent / "checkpoint_card.md"


class EmbeddingTraining:
    """A Training by the loss of the stage; the best checkpoint on dev is the one to keep."""

    def __init__(self, plan: StagePlan, model: "SentenceTransformer") -> None:
        self.plan = plan
        self.model = model
        self.dataset = with_row_prompts(plan.dataset)
        self.module = plan.loss.build(model, self.dataset)

    def trainer(
        self, evaluate: DevEvaluation | None, primary_metric: str, seed: int, callbacks: "Sequence[TrainerCallback]"
    ) -> "SentenceTransformerTrainer":
        """The trainer, which puts the prompts of the data before their texts."""
        prompts = column_prompts(self.dataset, self.model)
        arguments = training_arguments(self.plan, evaluate is not None, primary_metric, seed, prompts)
        rows = self.dataset.training_rows()
        return trainer_of(self.plan, self.model, arguments, rows, self.module, evaluate, callbacks)

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of a checkpoint."""
        load_weights(self.model, checkpoint)


def trainer_of(
    plan: StagePlan,
    model: "SentenceTransformer",
    arguments: Any,
    rows: Any,
    loss: Any,
    evaluate: DevEvaluation | None,
    callbacks: "Sequence[TrainerCallback]",
) -> "SentenceTransformerTrainer":
    """sentence-transformers' trainer for one data set and its loss, or for several by their names."""
    from sentence_transformers import SentenceTransformerTrainer

    from embexp.models.packed import compute_columns_together

    compute_columns_together(model, loss.values() if isinstance(loss, dict) else [loss])
    card = model.model_card_data
    card.widget = [{"text": ""}]  # keeps the trainer from putting training texts there
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=loss,
        evaluator=as_sentence_transformers_evaluator(evaluate) if evaluate else None,
        callbacks=[*callbacks],
    )
    card.widget, card.train_datasets = [], []  # the latter holds examples of the training rows
    card.template_path = _CARD
    set_batches(trainer, plan)
    return trainer


def as_sentence_transformers_evaluator(evaluate: DevEvaluation) -> Any:
    """The evaluation as the trainer wants it: sentence-transformers' evaluator class is its extension point."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    class DevEvaluator(BaseEvaluator):
        def __call__(self, model: "SentenceTransformer", *args: Any, steps: int, **kwargs: Any) -> dict[str, float]:
            with _in_full_precision(model):
                return evaluate(model, steps)

    return DevEvaluator()


@contextmanager
def _in_full_precision(model: Any) -> Iterator[None]:
    """Without the half precision that accelerate puts around a model's forward to train it, as it was scored before."""
    if original := model.__dict__.get("_original_forward"):
        in_training, model.forward = model.forward, original
    try:
        yield
    finally:
        if original:
            model.forward = in_training
