"""The tasks of a race done by a process: a candidate trained to a level, or its run brought to its end."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from embexp.cli.app import MISTAKES
from embexp.cli.messages import explain
from embexp.cli.quoting import quoted
from embexp.config.compose import composed, instantiate
from embexp.core.claims import held
from embexp.core.redaction import MASK
from embexp.core.run_context import RunContext, only_warnings
from embexp.core.run_folder import RECORD, is_closed, read_json, readable, write_json
from embexp.errors import ConfigError, TrackingError, TrainingError
from embexp.experiment.pausing import measure_of
from embexp.experiment.plan import RunPlan, plan_run
from embexp.experiment.resume import resumed
from embexp.experiment.rungs import finish, train_to
from embexp.protocols import Tracker
from embexp.racing.record import Entrant, run_folder
from embexp.racing.rounds import Result, Task
from embexp.racing.space import name_of
from embexp.sweep.jobs import Job, Outcome, record_death, take_finished
from embexp.training.trainer_values import batch_size_of, steps_of

_TASKS = "tasks"  # in a race's folder: what each task came to


def examples_read(plan: RunPlan, steps: int | None = None) -> int:
    """Examples that the main stage reads in so many steps; None: in all of its training."""
    stage = plan.stages[-1]
    number = steps_of(stage.trainer, stage.num_rows) if steps is None else steps
    return number * batch_size_of(stage.trainer) * stage.trainer.get("gradient_accumulation_steps", 1)


def with_secrets(overrides: Sequence[str], fixed: Sequence[str]) -> list[str]:
    """The overrides of a candidate; those that were recorded without their secret as they are typed now.

    >>> with_secrets(["loss=mnrl", "tracking.uri=sqlite://me:***@host"], ["tracking.uri=sqlite://me:x@host"])
    ['loss=mnrl', 'tracking.uri=sqlite://me:x@host']
    """
    now = {name_of(each): each for each in fixed}
    return [now.get(name_of(each), each) if MASK in each else each for each in overrides]


@dataclass
class TaskRunner:
    """Does tasks of a race, in a process of its own as well: the job of a number is the task of that number.

    Args:
        config: of the race, unresolved.
        fixed: the overrides of all runs as they are typed now, with the secrets that are recorded nowhere.
        measure: the metric and the rows of dev that all candidates have to be measured by.
        entrants: the candidates, by number.
        seeds: of the runs of a candidate, in the order in which they are trained.
        place: the race's folder.
        parent: the id of the race's run.
        warned: the warnings that were shown already: each is shown once.
    """

    config: DictConfig
    id: str
    fixed: Sequence[str]
    measure: Mapping[str, str]
    entrants: Mapping[int, Entrant]
    seeds: Sequence[int]
    place: Path
    parent: str
    tasks: Mapping[int, Task] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    root = "races"
    _builders: dict[str, Any] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_builders": {}, "warned": set()}

    def seed_of(self, task: Task) -> int:
        return self.seeds[task.level.seed]

    def folder(self, job: Job) -> Path:
        task = self.tasks[job.number]
        return run_folder(self.place, task.candidate, self.seed_of(task))

    def run(self, job: Job) -> Outcome:
        """How the task ended; after an error that is not its own it has no result, and is done once more later."""
        task = self.tasks[job.number]
        with held(self.folder(job), waits=True), only_warnings(self.warned):  # a shell without workers may be at it
            try:
                result = self.result(task) or self._do(task)
            except (ConfigError, TrackingError) as error:
                return Outcome(error=str(error))
        return Outcome(error=result.error) if result.error else Outcome(result.value)

    def result(self, task: Task) -> Result | None:
        """What a task came to; None while it has not ended."""
        path = self._path(task)
        found = readable([path] if path.is_file() else [], read_json)
        return next((Result(**content) for _, content in found), None)

    def _path(self, task: Task) -> Path:
        return self.place / _TASKS / f"{task.number}.json"

    def _do(self, task: Task) -> Result:
        """Train, and write what came of it; what is no fault of the candidate is raised."""
        from torch import OutOfMemoryError

        start, folder = time.perf_counter(), run_folder(self.place, task.candidate, self.seed_of(task))
        try:
            result = self._train(task)
        except (*MISTAKES, OutOfMemoryError) as error:
            has_changed = isinstance(error, ConfigError) and (folder / RECORD).is_file()
            if isinstance(error, TrackingError) or has_changed:
                raise
            result = Result(error=f"{type(error).__name__}: {explain(error)}")
        passed = time.perf_counter() - start
        before = sum(each.trained for each in self._earlier(task))
        trained = max(0.0, result.trained - before)
        self._write(task, replace(result, trained=trained, seconds=max(passed, trained)))
        return self.result(task)

    def _write(self, task: Task, result: Result) -> None:
        self._path(task).parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path(task), asdict(result))

    def _train(self, task: Task) -> Result:
        """What the task comes to; `trained` and `examples` are those of the run since its beginning."""
        folder = run_folder(self.place, task.candidate, self.seed_of(task))
        context = RunContext(self.parent, self.id, self._builders)
        plan = self.plan(task, folder, context)
        if not (folder / RECORD).is_file() and (other := take_finished(plan, self.id)):
            plan, folder = replace(plan, folder=other), other
        if task.is_finish:
            if not is_closed(folder):
                finish(plan, context=context)
            return Result(train_to(plan, 1.0, context=context).value)
        is_taken = is_closed(folder)
        rung = train_to(plan, task.level.share, context=context)
        if not math.isfinite(rung.value):
            raise TrainingError("The metric on dev is not a number: all embeddings may be the same.")
        if is_taken:
            return Result(rung.value, is_taken=True, scores=str(rung.examples))
        examples = examples_read(plan, rung.step) - sum(each.examples for each in self._earlier(task))
        return Result(rung.value, trained=rung.seconds, examples=examples, scores=str(rung.examples))

    def _earlier(self, task: Task) -> list[Result]:
        """What earlier tasks of the same run came to."""
        own = task.candidate, task.level.seed
        earlier = (each for each in self.tasks.values() if each.number < task.number)
        results = (self.result(each) for each in earlier if (each.candidate, each.level.seed) == own)
        return [result for result in results if result]

    def plan(self, task: Task, folder: Path, context: RunContext) -> RunPlan:
        """The run of a candidate with a seed: with the configuration it began with, where it has begun.

        Raises:
            ConfigError: it would be measured differently from the others.
        """
        entrant = self.entrants[task.candidate]
        overrides = with_secrets(entrant.overrides, self.fixed)
        config, choices = composed([*overrides, f"seed={self.seed_of(task)}"])
        if (folder / RECORD).is_file() and not is_closed(folder):
            config, choices = resumed(folder, [each for each in self.fixed if each.startswith("tracking.uri=")], config)
        plan = plan_run(config, choices, folder, context=context)
        if (now := measure_of(plan)) != self.measure:
            text = f"It would be measured by {now['metric']} on rows {now['rows'][:8]}"
            expected = f"{self.measure['metric']} on rows {self.measure['rows'][:8]}, as the others"
            raise ConfigError(text, expected=expected)
        tags = {"embexp.race": self.id, "embexp.candidate": entrant.name}
        return replace(plan, name=f"{entrant.name}, seed {plan.seed}", tags=tags)

    def tracker(self) -> Tracker:
        return instantiate(OmegaConf.to_container(self.config.tracking, resolve=True))

    def give_up(self, job: Job, error: str) -> None:
        task = self.tasks[job.number]
        if self.result(task) is None:
            record_death(self.folder(job), self.tracker(), error, self.entrants[task.candidate].overrides)
            self._write(task, Result(error=error))

    def stores(self) -> dict[str, str]:
        return {"tracking.uri": self.tracker().store()}

    def again(self) -> tuple[str, list[str]]:
        return "embexp.race", [f"hydra.run.dir={quoted(str(self.place))}"]
