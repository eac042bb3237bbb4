"""What happens while a trainer trains: log lines to the journal, a progress bar."""

from collections.abc import Callable
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from embexp.tracking.journal import Journal

COUNTERS = ("epoch", "num_input_tokens_seen", "train_tokens_per_second")  # what the trainer logs besides losses


class JournalCallback(TrainerCallback):
    """Passes losses, the parts of one that has several, and dev scores to the journal, all under `train/`.

    `dev/` without `train/` is the score of the model that is kept in the end, which need not be the last one.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        losses = {f"train/{key}": value for key, value in logs.items() if key not in COUNTERS}
        self.journal.log_metrics(losses, state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        scores = {f"train/{key}": value for key, value in dev_metrics(metrics).items()}
        self.journal.log_metrics(scores, state.global_step)


def dev_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """The evaluators' own metrics among those that the trainer reports, without its prefix.

    >>> dev_metrics({"eval_dev/sts/spearman_cosine": 0.5, "eval_runtime": 1.0})
    {'dev/sts/spearman_cosine': 0.5}
    """
    return {key.removeprefix("eval_"): float(value) for key, value in metrics.items() if key.startswith("eval_dev/")}


class WatchCallback(TrainerCallback):
    """Tells each value of the primary metric on dev, once it is logged, to whoever watches the run."""

    def __init__(self, watch: Callable[[int, float], None], primary_metric: str) -> None:
        self.watch = watch
        self.primary_metric = primary_metric

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self.watch(state.global_step, dev_metrics(metrics)[self.primary_metric])


class EpochCallback(TrainerCallback):
    """Tells whoever makes the batches which epoch begins, or is gone on with: its `epoch`, from 0."""

    def __init__(self, maker: Any) -> None:
        self.maker = maker

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.maker.epoch = int(state.epoch or 0)


class ProgressCallback(TrainerCallback):
    """One line on the terminal: steps, time left, last loss, last dev score."""

    def __init__(self, title: str, primary_metric: str) -> None:
        self.title = title
        self.primary_metric = primary_metric
        self.shown: dict[str, str] = {}
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self.title, unit="step", mininterval=0.5)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        self._show(loss=logs.get("loss"))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **kwargs: Any) -> None:
        self._show(dev=metrics.get(f"eval_{self.primary_metric}"))

    def close(self) -> None:
        """Leave the line as it is, however the training ended."""
        if self.bar is not None:
            self.bar.close()

    def _show(self, **values: float | None) -> None:
        self.shown.update({key: f"{value:.4f}" for key, value in values.items() if value is not None})
        if self.bar is not None:
            self.bar.set_postfix(self.shown, refresh=False)
