"""Classes of texts: how well a linear probe on the embeddings predicts them, and k-means finds them."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy

from embexp.core.arguments import COUNT, LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError, Problem, listed
from embexp.evaluation.example_evaluator import EVALUATED_SPLITS, EvaluatorOptions, ExampleEvaluator, Task
from embexp.evaluation.metrics import Measure
from embexp.steps.prompting import with_row_prompts

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Probe:
    """How a logistic regression is fitted."""

    inverse_regularisation: float  # scikit-learn's C: the less, the smaller the weights are kept
    max_iter: int  # of L-BFGS
    seed: int  # of the folds

    def predict(self, vectors: numpy.ndarray, classes: numpy.ndarray, evaluated: numpy.ndarray) -> numpy.ndarray:
        """The classes of the vectors `evaluated`, predicted by a probe that is fitted on `vectors` and `classes`."""
        fitted = self._fitted(vectors, classes)
        self._warn_unless_converged([fitted])
        return fitted.predict(evaluated)

    def predict_by_folds(self, vectors: numpy.ndarray, classes: numpy.ndarray, folds: int) -> numpy.ndarray:
        """The class of each vector, predicted by a probe that is fitted on all folds but its own."""
        from sklearn.model_selection import StratifiedKFold

        found, probes = numpy.empty_like(classes), []
        for others, own in StratifiedKFold(folds, shuffle=True, random_state=self.seed).split(vectors, classes):
            probes.append(self._fitted(vectors[others], classes[others]))
            found[own] = probes[-1].predict(vectors[own])
        self._warn_unless_converged(probes)
        return found

    def _fitted(self, vectors: numpy.ndarray, classes: numpy.ndarray) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # logged once for all folds
            return LogisticRegression(C=self.inverse_regularisation, max_iter=self.max_iter).fit(vectors, classes)

    def _warn_unless_converged(self, probes: list[Any]) -> None:
        unfinished = sum(int(probe.n_iter_.max() >= self.max_iter) for probe in probes)
        if unfinished:
            logger.warning(
                "%d of %d probes of a classification had not converged after max_iter=%d iterations. "
                "Type a larger max_iter, or a smaller inverse_regularisation.",
                unfinished, len(probes), self.max_iter,
            )  # fmt: skip


def _classes_of(rows: "Dataset") -> numpy.ndarray:
    """The class number of each row."""
    return numpy.asarray(rows["label"][:], dtype=int)


class _ClassTask(Task):
    """Texts with a class each.

    Args:
        names: the classes by their number; empty if they have none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def check(self, rows: "Dataset", where: str) -> None:
        number = len(set(rows["label"][:]))
        if number < 2:
            raise DataError(
                f"{where} has rows of {number} class{'es' if number != 1 else ''}",
                expected="two or more: name the column of the classes, or split the data anew with dataset.steps.split",
            )

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        """Text, name of the class if it has one, and its number as `gold`."""
        gold = _classes_of(rows).tolist()
        named = {"label": [self.names[number] for number in gold]} if self.names else {}
        return {"text": rows["text"][:], **named, "gold": gold}


_FOLDS, _TRAIN = ("folds", "train")
_ARGUMENTS = {
    "fit_on": (LegalValues(one_of=(_FOLDS, _TRAIN)), _FOLDS),
    "inverse_regularisation": (LegalValues(above=0), 1),
    "max_iter": (COUNT, 1000),
    "samples_per_label": (LegalValues(least=1, whole=True, optional=True), 8),
}


def classification_evaluator(
    name: str,
    dataset: EmbeddingDataset,
    fit_on: str,
    folds: int,
    samples_per_label: int | None,
    inverse_regularisation: float,
    max_iter: int,
    seed: int,
    **options: Unpack[EvaluatorOptions],
) -> ExampleEvaluator:
    """Accuracy and macro F1 of a logistic regression on the embeddings.

    Args:
        dataset: texts with a class each.
        fit_on: "folds": the probe that predicts a fold is fitted on the other folds of the evaluated split; "train": on
            the train split, as in mteb. That favours a model that was trained on these very rows.
        folds: their number, for fit_on "folds".
        samples_per_label: rows of each class to fit on, for fit_on "train"; None: all.
        inverse_regularisation, max_iter: of the probe (`_Probe`).
        seed: of the folds, and of the sampled rows.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: lists every invalid argument.
        DataError: no dev or test split, one with a single class or a class with fewer rows than folds, or no train
            split to fit on.
    """
    given = {
        "fit_on": fit_on,
        "folds": folds,
        "samples_per_label": samples_per_label,
        "inverse_regularisation": inverse_regularisation,
        "max_iter": max_iter,
    }
    refuse(_argument_problems(given), under=f"evaluator.{name}")
    task = _ClassificationTask(dataset.label_names, _Probe(inverse_regularisation, max_iter, seed), folds)
    if fit_on == _TRAIN:
        task.train = _train_rows(name, dataset, task, samples_per_label, seed)
    else:
        _check_folds(name, dataset, folds)
    return ExampleEvaluator(name, dataset, task, **options)


def _argument_problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    for key, (legal, usual) in _ARGUMENTS.items():
        yield from problems_with(key, given[key], legal, such_as=usual)
    if given["fit_on"] == _FOLDS:
        yield from problems_with("folds", given["folds"], LegalValues(least=2, whole=True), such_as=5)
        samples = given["samples_per_label"]
        if samples is not None and _ARGUMENTS["samples_per_label"][0].allow(samples):
            fix = ("samples_per_label=null", f"fit_on={_TRAIN}")
            yield Problem("has no effect on a probe that is fitted on folds", "samples_per_label", samples, fix=fix)


def _check_folds(name: str, dataset: EmbeddingDataset, folds: int) -> None:
    """Raise DataError if a class has fewer rows than there are folds, naming all such classes."""
    small = {
        f"{split} {dataset.label_names[label] if dataset.label_names else label}": size
        for split in EVALUATED_SPLITS
        if split in dataset.splits
        for label, size in sorted(Counter(dataset.splits[split]["label"][:]).items())
        if size < folds
    }
    if not small:
        return
    least = min(small.values())
    fix = [f"evaluator.{name}.folds={least}"] if least > 1 else []
    fix += [f"evaluator.{name}.fit_on=train"] if "train" in dataset.splits else []
    found = listed(f"{label} ({size})" for label, size in small.items())
    raise DataError(
        f"is more than the rows of some classes of {dataset.name}: {found}",
        key=f"evaluator.{name}.folds",
        given=folds,
        expected=f"{folds} rows of each class or more, one for every fold",
        note="" if fix else "Add rows of these classes, or take them out of the data.",
        fix=fix,
    )


def _train_rows(name: str, dataset: EmbeddingDataset, task: _ClassTask, most: int | None, seed: int) -> "Dataset":
    """The rows that the probe is fitted on."""
    if "train" not in dataset.splits:
        raise DataError(
            f"needs a train split, and {dataset.name} has none (it has: {listed(dataset.splits)})",
            key=f"evaluator.{name}.fit_on",
            given=_TRAIN,
            expected="one to fit the probe on",
            fix=f"evaluator.{name}.fit_on={_FOLDS}",
        )
    rows = with_row_prompts(dataset).splits["train"]
    task.check(rows, f"{dataset.name}/train")
    if most is None:
        return rows
    random, classes = numpy.random.default_rng(seed), _classes_of(rows)
    places = [numpy.flatnonzero(classes == each) for each in numpy.unique(classes)]
    return rows.select(numpy.sort(numpy.concatenate([random.permutation(some)[:most] for some in places])))


class _ClassificationTask(_ClassTask):
    """Does a probe predict the class of a text? It is fitted on folds of the evaluated rows, or on `train`."""

    measures = (Measure("accuracy", "mean", "right"), Measure("macro_f1", "macro_f1", "class", "gold"))
    headline = ("accuracy", "macro_f1")

    def __init__(self, names: Sequence[str], probe: _Probe, folds: int) -> None:
        super().__init__(names)
        self.probe = probe
        self.folds = folds
        self.train: Dataset | None = None

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        """The evaluated texts, then those that the probe is fitted on."""
        return {"text": [*rows["text"][:], *(self.train["text"][:] if self.train else ())]}

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        gold, lengths = _classes_of(rows), numpy.linalg.norm(vectors["text"], axis=1)
        every = vectors["text"].astype(float) / (lengths.mean() or 1.0)  # longer ones would be regularised less
        evaluated, fitted_on = every[: len(gold)], every[len(gold) :]
        if self.train:
            found = self.probe.predict(fitted_on, _classes_of(self.train), evaluated)
        else:
            found = self.probe.predict_by_folds(evaluated, gold, self.folds)
        return {"right": (found == gold).astype(float), "class": found}


def clustering_evaluator(
    name: str, dataset: EmbeddingDataset, runs: int, batch_size: int, seed: int, **options: Unpack[EvaluatorOptions]
) -> ExampleEvaluator:
    """V-measure of as many clusters as there are classes, found by mini-batch k-means as in mteb.

    K-means depends on its start, which alone moves the V-measure by some hundredths. So it runs several times, the
    metric is the mean, and the interval covers the variance between starts and between texts.

    Args:
        dataset: texts with a class each.
        runs: of k-means. With a single one the interval does not cover the start.
        batch_size: texts in a mini-batch.
        seed: of the first run; the next runs have the next seeds.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: lists every invalid argument.
        DataError: no dev or test split, or one with a single class.
    """
    problems = (
        *problems_with("runs", runs, COUNT, such_as=20),
        *problems_with("batch_size", batch_size, COUNT, such_as=500),
        *problems_with("seed", seed, LegalValues(least=0, whole=True), such_as=42),
    )
    refuse(problems, under=f"evaluator.{name}")
    return ExampleEvaluator(name, dataset, _ClusteringTask(dataset.label_names, runs, batch_size, seed), **options)


class _ClusteringTask(_ClassTask):
    """Are clusters of embeddings the classes of their texts?"""

    measures = (Measure("v_measure", "v_measure", "cluster", "gold"),)
    headline = ("v_measure",)

    def __init__(self, names: Sequence[str], runs: int, batch_size: int, seed: int) -> None:
        super().__init__(names)
        self.batch_size = batch_size
        self.seeds = range(seed, seed + runs)

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        return {"text": rows["text"][:]}

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        """The clusters of each text, one from every run; the cluster itself with one run."""
        from sklearn.cluster import MiniBatchKMeans

        settings = {"n_clusters": len(set(_classes_of(rows).tolist())), "batch_size": self.batch_size, "n_init": "auto"}
        methods = [MiniBatchKMeans(**settings, random_state=seed) for seed in self.seeds]
        of_runs = [method.fit_predict(vectors["text"]).astype(int) for method in methods]
        if len(of_runs) == 1:
            return {"cluster": of_runs[0]}
        found = numpy.empty(rows.num_rows, dtype=object)  # an array of arrays: in a table a column of lists
        found[:] = [*numpy.stack(of_runs, axis=1)]
        return {"cluster": found}
