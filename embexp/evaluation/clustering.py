"""Clustering: whether the clusters that k-means finds among embeddings are the classes of the texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

import numpy

from embexp.core.arguments import COUNT, LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset
from embexp.evaluation.classification import ClassTask, classes_of
from embexp.evaluation.example_evaluator import EvaluatorOptions, ExampleEvaluator
from embexp.evaluation.metrics import Measure

if TYPE_CHECKING:
    from datasets import Dataset


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


class _ClusteringTask(ClassTask):
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

        settings = {"n_clusters": len(set(classes_of(rows).tolist())), "batch_size": self.batch_size, "n_init": "auto"}
        methods = [MiniBatchKMeans(**settings, random_state=seed) for seed in self.seeds]
        of_runs = [method.fit_predict(vectors["text"]).astype(int) for method in methods]
        if len(of_runs) == 1:
            return {"cluster": of_runs[0]}
        found = numpy.empty(rows.num_rows, dtype=object)  # an array of arrays: in a table a column of lists
        found[:] = [*numpy.stack(of_runs, axis=1)]
        return {"cluster": found}
