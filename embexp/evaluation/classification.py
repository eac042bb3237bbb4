"""Classification: how well a linear probe on the embeddings tells the classes of texts apart."""

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, DataError, did_you_mean, listed
from embexp.evaluation.example_evaluator import EVALUATED_SPLITS, EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.metrics import Measure
from embexp.steps.prompting import with_row_prompts

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Probe:
    """How a logistic regression is fitted.

    Attributes:
        inverse_regularisation: scikit-learn's C: the less, the smaller the weights are kept.
        max_iter: of L-BFGS, at most.
        seed: of the folds.
    """

    inverse_regularisation: float
    max_iter: int
    seed: int

    def predict(self, vectors: "numpy.ndarray", classes: "numpy.ndarray", judged: "numpy.ndarray") -> "numpy.ndarray":
        """The classes of the vectors `judged`, as told by a probe that is fitted on others.

        Args:
            vectors: to fit on, `(texts, dim)`, with their `classes`, `(texts,)`.
        """
        fitted = self._fitted(vectors, classes)
        self._say_unless_converged([fitted])
        return fitted.predict(judged)

    def predict_by_folds(self, vectors: "numpy.ndarray", classes: "numpy.ndarray", folds: int) -> "numpy.ndarray":
        """The class of each vector, as told by a probe that is fitted on all folds but its own.

        Every fold holds the same share of each class; which vector is in which fold depends on the seed alone.
        """
        import numpy
        from sklearn.model_selection import StratifiedKFold

        found, probes = numpy.empty_like(classes), []
        for others, own in StratifiedKFold(folds, shuffle=True, random_state=self.seed).split(vectors, classes):
            probes.append(self._fitted(vectors[others], classes[others]))
            found[own] = probes[-1].predict(vectors[own])
        self._say_unless_converged(probes)
        return found

    def _fitted(self, vectors: "numpy.ndarray", classes: "numpy.ndarray") -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told once for all folds
            return LogisticRegression(C=self.inverse_regularisation, max_iter=self.max_iter).fit(vectors, classes)

    def _say_unless_converged(self, probes: list[Any]) -> None:
        unfinished = sum(int(probe.n_iter_.max() >= self.max_iter) for probe in probes)
        if unfinished:
            logger.warning(
                "%d of %d probes of a classification had not converged after max_iter=%d iterations. "
                "Type a larger max_iter, or a smaller inverse_regularisation.",
                unfinished, len(probes), self.max_iter,
            )  # fmt: skip

    def faults(self) -> Iterator[str]:
        """What cannot be meant, as `<argument>=<value>: expected ...`."""
        if not self.inverse_regularisation > 0:
            yield f"inverse_regularisation={self.inverse_regularisation}: expected a number above 0 (1 is usual)."
        if self.max_iter < 1:
            yield f"max_iter={self.max_iter}: expected 1 or more (1000 is usual)."


def _at_mean_length_one(vectors: "numpy.ndarray") -> "numpy.ndarray":
    """The vectors, float64, all divided by their mean length, so that regularisation means the same for every model.

    Without it a model with longer embeddings would be regularised less. Unit vectors stay as they are.
    """
    import numpy

    return vectors.astype(float) / (numpy.linalg.norm(vectors, axis=1).mean() or 1.0)


def _sample_of_each_class(classes: "numpy.ndarray", most: int, seed: int) -> "numpy.ndarray":
    """Places of rows drawn at random, up to so many of each class, ascending."""
    import numpy

    random = numpy.random.default_rng(seed)
    places = [numpy.flatnonzero(classes == each) for each in numpy.unique(classes)]
    return numpy.sort(numpy.concatenate([random.permutation(some)[:most] for some in places]))


def classes_of(rows: "Dataset") -> "numpy.ndarray":
    """The class number of each row."""
    import numpy

    return numpy.asarray(rows["label"][:], dtype=int)


def examples_of(rows: "Dataset", names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Text, name of the class where it has one, and its number as `gold`."""
    gold = classes_of(rows).tolist()
    named = {"label": [names[number] for number in gold]} if names else {}
    return {"text": rows["text"][:], **named, "gold": gold}


def check_classes(rows: "Dataset", where: str) -> None:
    """Raise DataError unless the rows are of two classes or more."""
    number = len(set(rows["label"][:]))
    if number < 2:
        raise DataError(
            f"{where} has rows of {number} class{'es' if number != 1 else ''}: nothing can be told apart. "
            "Expected two or more: name the column of the classes, 'dataset.reader.columns={label: <your column>}', "
            "or split the data anew with dataset.steps.split."
        )


def _sizes_below(least: int, rows: "Dataset", names: Sequence[str]) -> dict[str, int]:
    """The classes that have fewer rows than that, with how many they have."""
    counted = Counter(rows["label"][:])
    return {names[label] if names else str(label): size for label, size in sorted(counted.items()) if size < least}


_FOLDS, _TRAIN = _FIT_ON = ("folds", "train")


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
        fit_on: "folds": each fold of the judged split is told by a probe fitted on its other folds; "train": by one
            fitted on the train split, as mteb does. A model that was trained on these very rows has an unfair one.
        folds: how many, for fit_on "folds".
        samples_per_label: rows of each class to fit on, for fit_on "train"; None: all.
        inverse_regularisation, max_iter: of the probe (`_Probe`).
        seed: of the folds, and of the rows that are drawn.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: lists every argument that cannot be meant; or an option that is wrong.
        DataError: no dev or test split, one with a single class or with a class that has fewer rows than there are
            folds, or no train split to fit on.
    """
    probe = _Probe(inverse_regularisation, max_iter, seed)
    if faults := [*_argument_problems(fit_on, folds, samples_per_label), *probe.faults()]:
        raise ConfigError("\n".join(f"evaluator.{name}.{fault}" for fault in faults))
    if fit_on == _TRAIN:
        task = _ClassificationTask(
            dataset.label_names, probe, train=_train_rows(name, dataset, samples_per_label, seed)
        )
    else:
        _check_folds(name, dataset, folds)
        task = _ClassificationTask(dataset.label_names, probe, folds=folds)
    return ExampleEvaluator(name, dataset, task, **options)


def _argument_problems(fit_on: str, folds: int, samples_per_label: int | None) -> Iterator[str]:
    if fit_on not in _FIT_ON:
        yield f"fit_on={fit_on}: expected one of {listed(_FIT_ON)}. {did_you_mean(fit_on, _FIT_ON)}".strip()
    if fit_on == _FOLDS and folds < 2:
        yield f"folds={folds}: expected 2 or more (5 is usual)."
    if samples_per_label is not None and samples_per_label < 1:
        yield f"samples_per_label={samples_per_label}: expected 1 or more (8 is usual), or null for all rows."
    elif samples_per_label is not None and fit_on == _FOLDS:
        yield f"samples_per_label={samples_per_label} has no effect with fit_on=folds: expected null, or fit_on=train."


def _check_folds(name: str, dataset: EmbeddingDataset, folds: int) -> None:
    """Raise DataError where a class has fewer rows than there are folds, naming all such classes."""
    splits = [split for split in EVALUATED_SPLITS if split in dataset.splits]
    small = {split: _sizes_below(folds, dataset.splits[split], dataset.label_names) for split in splits}
    sizes = [size for of_split in small.values() for size in of_split.values()]
    if not sizes:
        return
    found = listed(f"{split} {label} ({size})" for split, of_split in small.items() for label, size in of_split.items())
    ways = [f"evaluator.{name}.folds={min(sizes)}"] if min(sizes) > 1 else []
    ways += [f"evaluator.{name}.fit_on=train"] if "train" in dataset.splits else []
    advice = f"Type {' or '.join(ways)}." if ways else "Add rows of these classes, or take them out of the data."
    raise DataError(
        f"evaluator.{name}.folds={folds}: {dataset.name} has classes with fewer rows: {found}. "
        f"Expected {folds} rows of each class or more, one for every fold. {advice}"
    )


def _train_rows(name: str, dataset: EmbeddingDataset, samples_per_label: int | None, seed: int) -> "Dataset":
    """The rows that the probe is fitted on."""
    if "train" not in dataset.splits:
        raise DataError(
            f"evaluator.{name}.fit_on=train: {dataset.name} has no train split (it has: {listed(dataset.splits)}). "
            f"Expected one to fit the probe on. Type evaluator.{name}.fit_on=folds."
        )
    rows = with_row_prompts(dataset).splits["train"]
    check_classes(rows, f"{dataset.name}/train")
    if samples_per_label is None:
        return rows
    return rows.select(_sample_of_each_class(classes_of(rows), samples_per_label, seed))


class _ClassificationTask:
    """Texts with a class each: does a probe tell it?

    Args:
        names: the classes by their number.
        folds: of the judged rows, for a probe that is fitted on them.
        train: the rows to fit the probe on in place of folds.
    """

    measures = (Measure("accuracy", "mean", "right"), Measure("macro_f1", "macro_f1", "class", "gold"))
    headline = ("accuracy", "macro_f1")

    def __init__(self, names: Sequence[str], probe: _Probe, folds: int = 0, train: "Dataset | None" = None) -> None:
        self.names = tuple(names)
        self.probe = probe
        self.folds = folds
        self.train = train

    def check(self, rows: "Dataset", where: str) -> None:
        """Raise DataError when there are not two classes."""
        check_classes(rows, where)

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        """The judged texts, then those that the probe is fitted on."""
        return {"text": [*rows["text"][:], *(self.train["text"][:] if self.train else ())]}

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        return examples_of(rows, self.names)

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        return range(rows.num_rows)

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        return []

    def predict(self, rows: "Dataset", vectors: Mapping[str, "numpy.ndarray"]) -> dict[str, "numpy.ndarray"]:
        every, gold = _at_mean_length_one(vectors["text"]), classes_of(rows)
        judged, fitted_on = every[: len(gold)], every[len(gold) :]
        if self.train:
            found = self.probe.predict(fitted_on, classes_of(self.train), judged)
        else:
            found = self.probe.predict_by_folds(judged, gold, self.folds)
        return {"right": (found == gold).astype(float), "class": found}
