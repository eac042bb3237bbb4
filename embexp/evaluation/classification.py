"""Classification: how well a linear probe on the embeddings tells the classes of texts apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from embexp.data.dataset import EmbeddingDataset
from embexp.errors import ConfigError, DataError, did_you_mean, listed
from embexp.evaluation.classed_texts import check_classes, classes_of, examples_of, sizes_below
from embexp.evaluation.example_evaluator import JUDGING, EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.measures import Measure
from embexp.evaluation.probe import Probe, at_mean_length_one, draw_of_each_class
from embexp.steps.prompting import with_row_prompts

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

FOLDS, TRAIN = FIT_ON = ("folds", "train")


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
        inverse_regularisation, max_iter: of the probe (`Probe`).
        seed: of the folds, and of the rows that are drawn.
        options: of every evaluator (`ExampleEvaluator`).

    Raises:
        ConfigError: lists every argument that cannot be meant; or an option that is wrong.
        DataError: no dev or test split, one with a single class or with a class that has fewer rows than there are
            folds, or no train split to fit on.
    """
    probe = Probe(inverse_regularisation, max_iter, seed)
    if faults := [*_faults(fit_on, folds, samples_per_label), *probe.faults()]:
        raise ConfigError("\n".join(f"evaluator.{name}.{fault}" for fault in faults))
    if fit_on == TRAIN:
        task = ClassificationTask(dataset.label_names, probe, train=_train_rows(name, dataset, samples_per_label, seed))
    else:
        _check_folds(name, dataset, folds)
        task = ClassificationTask(dataset.label_names, probe, folds=folds)
    return ExampleEvaluator(name, dataset, task, **options)


def _faults(fit_on: str, folds: int, samples_per_label: int | None) -> Iterator[str]:
    if fit_on not in FIT_ON:
        yield f"fit_on={fit_on}: expected one of {listed(FIT_ON)}. {did_you_mean(fit_on, FIT_ON)}".strip()
    if fit_on == FOLDS and folds < 2:
        yield f"folds={folds}: expected 2 or more (5 is usual)."
    if samples_per_label is not None and samples_per_label < 1:
        yield f"samples_per_label={samples_per_label}: expected 1 or more (8 is usual), or null for all rows."
    elif samples_per_label is not None and fit_on == FOLDS:
        yield f"samples_per_label={samples_per_label} has no effect with fit_on=folds: expected null, or fit_on=train."


def _check_folds(name: str, dataset: EmbeddingDataset, folds: int) -> None:
    """Raise DataError where a class has fewer rows than there are folds, naming all such classes."""
    splits = [split for split in JUDGING if split in dataset.splits]
    small = {split: sizes_below(folds, dataset.splits[split], dataset.label_names) for split in splits}
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
    return rows.select(draw_of_each_class(classes_of(rows), samples_per_label, seed))


class ClassificationTask:
    """Texts with a class each: does a probe tell it?

    Args:
        names: the classes by their number.
        folds: of the judged rows, for a probe that is fitted on them.
        train: the rows to fit the probe on in place of folds.
    """

    measures = (Measure("accuracy", "mean", "right"), Measure("macro_f1", "macro_f1", "class", "gold"))
    headline = ("accuracy", "macro_f1")

    def __init__(self, names: Sequence[str], probe: Probe, folds: int = 0, train: "Dataset | None" = None) -> None:
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
        every, gold = at_mean_length_one(vectors["text"]), classes_of(rows)
        judged, fitted_on = every[: len(gold)], every[len(gold) :]
        if self.train:
            found = self.probe.predict(fitted_on, classes_of(self.train), judged)
        else:
            found = self.probe.predict_by_folds(judged, gold, self.folds)
        return {"right": (found == gold).astype(float), "class": found}
