"""Tasks of the package mteb, evaluated as on its leaderboard, with data from the Hub or from copies in a folder."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import lack_of
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError, DataError, Problem, did_you_mean, listed
from embexp.evaluation.library_evaluators import kept_random_state
from embexp.evaluation.scores import ID, Positives, Scores
from embexp.protocols import Encoder

if TYPE_CHECKING:
    import torch
    from mteb import AbsTask, TaskResult

_SIDES = ("query", "document")  # of mteb's texts, in tasks that have both
_BATCH = 1024  # texts per call of mteb


def mteb_evaluator(
    name: str, tasks: Sequence[str], folder: str | None, prompts: Mapping[str, str] | None
) -> "_MtebEvaluator":
    """The main score of each task, without an interval: mteb keeps no values of single examples.

    Args:
        tasks: names of mteb's tasks or of its benchmarks, such as `MTEB(eng, v2)`, or dotted paths of the user's own
            task classes.
        folder: copies of the tasks' data sets as on the Hub, each in `<folder>/<id on the Hub>`; None for the Hub.
        prompts: of queries and documents, in tasks that have both; other texts get none then. None: the model's own
            default prompt before all texts.

    Raises:
        ConfigError: mteb is not installed, or there is no such task, side or folder.
        DataError: a task's data cannot be loaded.
    """
    if lack := lack_of("mteb"):
        raise ConfigError(f"evaluator={name} needs {lack.text}", fix=lack.fix)
    empty = Problem("is empty", "tasks", expected="names of mteb's tasks", fix=("tasks=[STSBenchmark]",))
    problems = [] if tasks else [empty]
    if prompts:
        legal = LegalValues(one_of=_SIDES, many=True)
        problems += problems_with("prompts", [*prompts], legal, such_as="{query: 'query: '}")
    refuse(problems, under=f"evaluator.{name}")
    with kept_random_state():
        made = [each for task in dict.fromkeys(tasks) for each in _tasks(name, task)]
        made = [*{each.metadata.name: each for each in made}.values()]
        for task in made:
            for part in _parts_of(task):
                _load(name, part, folder)
    return _MtebEvaluator(name, made, prompts)


def _tasks(name: str, task: str) -> list["AbsTask"]:
    """One of mteb's tasks or the user's own by a dotted path; of a benchmark all, in its languages and subsets."""
    from mteb.get_tasks import TASK_LIST

    known = {each.metadata.name: each for each in TASK_LIST}
    kind, key, benchmarks = known.get(task) or _own_class(task), f"evaluator.{name}.tasks", {}
    if kind is None:
        benchmarks = _benchmarks()
    if kind is None and task not in benchmarks:
        text, fix = f"names {task}, which mteb does not know", f"{key}=[STSBenchmark]"
        expected = f"one of its {len(known):,} tasks or benchmarks, or the dotted path of a task class of your own"
        raise ConfigError(text, key=key, expected=expected, note=did_you_mean(task, [*known, *benchmarks]), fix=fix)
    found = [kind()] if kind else list(benchmarks[task].tasks)
    if others := sorted({other for each in found for other in each.metadata.modalities} - {"text"}):
        about = (
            f"names {task}, which is about {listed(others)}" if kind else f"names {task}, also about {listed(others)}"
        )
        raise ConfigError(about, key=key, expected="tasks of text")
    return found


def _benchmarks() -> dict[str, Any]:
    """mteb's benchmarks by their names and short names."""
    import mteb

    return {name: each for each in mteb.get_benchmarks() for name in (each.name, *(each.aliases or ()))}


def _own_class(path: str) -> type | None:
    """The task class of that dotted path; None if there is none."""
    from mteb import AbsTask

    module, _, attribute = path.rpartition(".")
    try:
        is_path = bool(module) and attribute[:1].isupper()  # else a version, such as STS22.v2
        found = getattr(importlib.import_module(module), attribute, None) if is_path else None
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            return None
        raise
    return found if isinstance(found, type) and issubclass(found, AbsTask) else None


def _parts_of(task: "AbsTask") -> list["AbsTask"]:
    """The tasks whose results make up a task's: itself, or the parts of an aggregate."""
    from mteb.abstasks.aggregated_task import AbsTaskAggregate

    return list(task.metadata.tasks) if isinstance(task, AbsTaskAggregate) else [task]


def _load(name: str, task: "AbsTask", folder: str | None) -> None:
    """Read the task's data, from its copy in the folder if one is given."""
    hub = task.metadata.dataset["path"]
    if folder is not None:
        place, key = Path(folder) / hub, f"evaluator.{name}.folder"
        if not place.is_dir():
            text, expected = (
                f"holds no {hub}, which {task.metadata.name} reads",
                "a copy of it there, or null for the Hub",
            )
            fix = (f"hf download {hub} --repo-type dataset --local-dir {place}", f"{key}=null")
            raise ConfigError(text, key=key, given=folder, expected=expected, fix=fix)
        task.metadata = task.metadata.model_copy(update={"dataset": task.metadata.dataset | {"path": str(place)}})
    try:
        task.load_data()
    except (OSError, ValueError) as error:  # what datasets and the Hub's client raise
        raise DataError(
            f"The data of mteb's {task.metadata.name} ({hub}) cannot be loaded: {error}",
            expected=f"them on the Hub, or a copy in <folder>/{hub}",
            fix=f"evaluator.{name}.folder=<folder>",
        ) from error


class _MtebEvaluator:
    """Evaluates encoders on loaded tasks, each on the splits that mteb evaluates, which count as test."""

    splits = ("test",)
    resamples = 0  # there are no examples to sample

    def __init__(self, name: str, tasks: Sequence["AbsTask"], prompts: Mapping[str, str] | None) -> None:
        self.name = name
        self.tasks = tuple(tasks)
        self.prompts = prompts
        self.metric_names = tuple(task.metadata.name for task in tasks)
        self.primary_metric = self.metric_names[0]
        self.headline_metrics = self.metric_names

    def with_prompts(self, prompts: Prompts) -> "_MtebEvaluator":
        """The evaluator with prompts of a model before its texts; the same where prompts were given."""
        if self.prompts is not None:
            return self
        sides = {"query": "query", "document": "positives", "": "text"}  # "": of tasks without sides
        found = {side: prompts.prompt_for(column) or "" for side, column in sides.items()}
        return _MtebEvaluator(self.name, self.tasks, found)

    def texts(self, split: str) -> dict[str | None, list[str]]:
        """None: mteb gives its texts only when they are encoded."""
        return {}

    def positives(self, split: str) -> Positives:
        """None."""
        return Positives()

    def score(self, encoder: Encoder, split: str) -> Scores:
        """The main score of each task: the mean over its splits and languages, as on the leaderboard."""
        metrics, kept = {}, []
        with kept_random_state():
            for task in self.tasks:
                results, name = [self._result(part, encoder) for part in _parts_of(task)], task.metadata.name
                whole = results[0] if results[0].task_name == name else task.combine_task_results(results)
                metrics[name] = float(whole.get_score())
                kept += results
        return Scores(split, {ID: []}, {}, metrics, results=tuple(kept))

    def write_results(self, folder: Path, model: str, revision: str, scores: Scores) -> list[Path]:
        """Write what mteb measured in its own format, which `mteb.ResultCache(folder).load_results()` reads.

        Args:
            model, revision: what it is called there, as `<owner>/<name>`.
        """
        from mteb import ResultCache
        from mteb.models.model_meta import ModelMeta

        cache = ResultCache(folder)
        meta = ModelMeta.create_empty({"name": model, "revision": revision})
        for result in scores.results:
            cache.save_to_cache(result, meta)
        return [cache.get_task_result_path(each.task_name, meta) for each in scores.results]

    def _result(self, task: "AbsTask", encoder: Encoder) -> "TaskResult":
        """The result of the task, of which every model gets a fresh copy and so the same random numbers."""
        import mteb

        fresh = _fresh(task)
        quiet: dict[str, Any] = {"co2_tracker": False, "cache": None, "show_progress_bar": False}
        quiet["encode_kwargs"] = {"batch_size": _BATCH, "show_progress_bar": False}
        return mteb.evaluate(_MtebEncoder(encoder, self.prompts), fresh, **quiet).task_results[0]


def _fresh(task: "AbsTask") -> "AbsTask":
    """A copy that has drawn nothing yet, with the data, subsets and splits of the task."""
    fresh = type(task)(seed=task.seed)
    for kept in ("metadata", "hf_subsets", "_eval_splits", "dataset", "data_loaded"):
        setattr(fresh, kept, getattr(task, kept))
    return fresh


class _MtebEncoder:
    """An Encoder with the interface that mteb expects."""

    def __init__(self, encoder: Encoder, prompts: Mapping[str, str] | None) -> None:
        self.encoder = encoder
        self.prompts = prompts

    @property
    def mteb_model_meta(self) -> Any:
        """What mteb knows about the model: nothing."""
        from mteb.models.model_meta import ModelMeta

        return ModelMeta.create_empty()

    def encode(self, inputs: "torch.utils.data.DataLoader", *, prompt_type: Any = None, **others: Any) -> numpy.ndarray:
        """Embeddings of the texts in all batches, float32 `(texts, dim)`."""
        texts = [text for batch in inputs for text in batch["text"]]
        side = prompt_type.value if prompt_type else ""
        return self.encoder.encode(texts, None if self.prompts is None else self.prompts.get(side, ""))

    def similarity(self, embeddings1: Any, embeddings2: Any) -> "torch.Tensor":
        """Cosine of each with each."""
        from sentence_transformers.util import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> "torch.Tensor":
        """Cosine of each pair."""
        from sentence_transformers.util import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)
