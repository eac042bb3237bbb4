"""One training in several processes: the same steps, weights and loss as in one process with the larger batch.

A batch has `trainer.processes` x `per_device_train_batch_size` rows. Each process embeds its part of it; embeddings and
labels are gathered, and each computes the loss of the whole batch, of whatever kind it is: in-batch negatives, rankings
and mined triplets are those of all rows. The mean of the gradients is then that of the whole batch.

Imports torch: import it in functions only.
"""

import contextlib
import functools
import hashlib
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import column_merging_disabled
from torch.utils.data import BatchSampler
from transformers import TrainerCallback

from embexp.core.launch import Launch
from embexp.core.ranks import Group, LostProcessError, sessions_of, several
from embexp.core.run_context import import_training_libraries
from embexp.errors import TrainingError
from embexp.training.checkpoints import Checkpoint, load_loss_state

_Spread = Callable[[Any], contextlib.AbstractContextManager[None]]
_END, _STEP, _COMPARE = 0, 1, 2  # what rank 0 says before each step, and at the end


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient is that of the process's own rows, times the number of processes.

    Every process computes the same loss of the same rows, so the others' gradients for these rows need not be added up:
    they are the same. The factor makes up for the mean that is taken over the processes.
    """

    @staticmethod
    def forward(context: Any, local: torch.Tensor, group: Group) -> torch.Tensor:
        context.group, context.rows = group, len(local)
        return group.gathered(local)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        start = context.group.rank * context.rows
        return gradient[start : start + context.rows] * context.group.size, None


class _Part(BatchSampler):
    """A process's part of every batch. Rows that cannot be shared out evenly are left out: fewer than processes."""

    def __init__(self, whole: BatchSampler, group: Group, num_rows: int) -> None:
        self.batch_sampler, self.rank, self.size = whole, group.rank, group.size
        self.sampler, self.drop_last = whole.sampler, whole.drop_last
        self.batch_size = whole.batch_size // group.size
        left = num_rows % whole.batch_size
        self.num_batches = len(whole) - (not whole.drop_last and 0 < left < group.size)

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batch_sampler:
            if rows := len(batch) // self.size:
                yield batch[self.rank * rows : (self.rank + 1) * rows]

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


class _EndedByRank0(Exception):  # noqa: N818
    """Rank 0 takes no further step; with what it said."""


class _Steps(TrainerCallback):
    """Begins each step in all processes, and seeds what is random in it by seed, step and rank.

    So a training that is resumed draws what the one without a break has drawn, without a random state for each process.
    Python's and NumPy's numbers are the same in all, for losses that draw widths or layers; torch's are not: dropout.
    """

    def __init__(self, group: Group, seed: int) -> None:
        self.group, self.seed = group, seed

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if (said := self.group.word(_STEP)) != _STEP:
            raise _EndedByRank0(said)
        random.seed(_number(self.seed, state.global_step))
        numpy.random.seed(_number(self.seed, state.global_step) % 2**32)
        torch.manual_seed(_number(self.seed, state.global_step, self.group.rank))


def _number(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


@contextlib.contextmanager
def _spread(trainer: Any, loss: torch.nn.Module, group: Group) -> Iterator[None]:
    """Inside, the trainer trains its part of each batch, with the loss and the gradients of the whole batch."""
    draw, step, is_training = trainer.get_batch_sampler, trainer.training_step, False
    trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]

    def get_batch_sampler(dataset: Any, batch_size: int, **settings: Any) -> BatchSampler:
        return _Part(draw(dataset, batch_size=batch_size * group.size, **settings), group, len(dataset))

    def training_step(*given: Any, **named: Any) -> torch.Tensor:
        nonlocal is_training
        is_training = True
        try:
            with column_merging_disabled():  # merged columns would be gathered in another order
                value = step(*given, **named)
        finally:
            is_training = False
        if trainer.accelerator.sync_gradients:
            group.average([parameter.grad for parameter in trained if parameter.grad is not None])
        return value

    def gather_embeddings(_module: torch.nn.Module, _given: Any, output: dict[str, Any]) -> dict[str, Any]:
        if not is_training or not trainer.model.training:
            return output
        return {**output, "sentence_embedding": _Gather.apply(output["sentence_embedding"], group)}

    def gather_labels(_module: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(group.gathered(each) if isinstance(each, torch.Tensor) else each for each in given)

    trainer.get_batch_sampler, trainer.training_step = get_batch_sampler, training_step
    trainer.add_callback(_Steps(group, trainer.args.seed))
    embedding = [each for each in loss.modules() if isinstance(each, SentenceTransformer)]  # copies and guides, too
    hooks = [each.register_forward_hook(gather_embeddings) for each in embedding]
    hooks.append(loss.register_forward_pre_hook(gather_labels))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def together(size: int, training: Any, seed: int, found: Checkpoint | None) -> Iterator[_Spread]:
    """In rank 0: so many processes, each with a copy of the training; makes the context in which its trainer trains.

    Raises:
        ConfigError: the launcher has started another number.
        LostProcessError: one of them has ended.
    """
    if size == 1:
        yield lambda trainer: contextlib.nullcontext()
        return
    import cloudpickle

    with several(size, _device()) as group:
        task = training, seed, found, max(1, torch.get_num_threads() // size)
        group.hand_out(cloudpickle.dumps(task))
        yield functools.partial(_leading, loss=training.module, group=group, start=found.step if found else 0)


@contextlib.contextmanager
def _leading(trainer: Any, loss: torch.nn.Module, group: Group, start: int) -> Iterator[None]:
    """In rank 0: `_spread`, and the end of the training in the others, whose weights must be the same."""
    with _spread(trainer, loss, group):
        yield
        has_trained = trainer.state.global_step > start
        group.word(_COMPARE if has_trained else _END)
        if has_trained and len({*_sums(loss, group)}) > 1:
            text = f"The {group.size} processes ended with different weights"
            raise TrainingError(text, expected="the same", note="Is a layer or an optimizer random in each?")


def _sums(loss: torch.nn.Module, group: Group) -> list[float]:
    own = sum(each.detach().double().abs().sum() for each in loss.parameters() if each.requires_grad)
    return group.gathered(own.reshape(1)).tolist()


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def train_along(launch: Launch) -> None:
    """What another process than that of rank 0 does: train along whenever that trains; the last line of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 ends the step first, and this process then
    import_training_libraries()
    for group in sessions_of(launch, _device()):
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            _train(group)
        except LostProcessError:
            os._exit(0)
        except BaseException as error:
            group.store.set("failure", f"Process {group.rank} of {group.size}: {type(error).__name__}: {error}")
            print(f"Process {group.rank} of {group.size}:", file=sys.stderr)
            raise
        signal.signal(signal.SIGTERM, before)
        group.close()


def _train(group: Group) -> None:
    """Train along with rank 0, without evaluations, checkpoints and records."""
    import pickle

    from transformers import PrinterCallback, set_seed
    from transformers.dynamic_module_utils import init_hf_modules

    init_hf_modules()  # where the code of models from the Hub lies
    training, seed, found, threads = pickle.loads(group.hand_out())
    torch.set_num_threads(threads)
    silent = {"save_strategy": "no", "logging_strategy": "no"}
    training.plan = replace(training.plan, trainer={**training.plan.trainer, **silent})
    set_seed(seed)
    trainer = training.trainer(None, "", seed, [])
    trainer.remove_callback(PrinterCallback)
    if found:
        load_loss_state(training.module, found.path)
    try:
        with _spread(trainer, training.module, group):
            trainer.train(resume_from_checkpoint=str(found.path) if found else None)
        said = group.word()
    except _EndedByRank0 as end:
        said = end.args[0]
    if said == _COMPARE:
        _sums(training.module, group)
