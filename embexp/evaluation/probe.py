"""A linear probe: what a logistic regression can tell from embeddings alone."""

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Probe:
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


def at_mean_length_one(vectors: "numpy.ndarray") -> "numpy.ndarray":
    """The vectors, float64, all divided by their mean length, so that regularisation means the same for every model.

    Without it a model with longer embeddings would be regularised less. Unit vectors stay as they are.
    """
    import numpy

    return vectors.astype(float) / (numpy.linalg.norm(vectors, axis=1).mean() or 1.0)


def draw_of_each_class(classes: "numpy.ndarray", most: int, seed: int) -> "numpy.ndarray":
    """Places of rows drawn at random, up to so many of each class, ascending."""
    import numpy

    random = numpy.random.default_rng(seed)
    places = [numpy.flatnonzero(classes == each) for each in numpy.unique(classes)]
    return numpy.sort(numpy.concatenate([random.permutation(some)[:most] for some in places]))
