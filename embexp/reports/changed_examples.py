"""What training broke and what it mended: the examples whose error changed most, and the worst errors that are left.

How wrong a model is on one example is a number from 0 (right) to 1 (as wrong as can be). It does not depend on the
scale of the model's values, so that two models can be compared. Which one it is, is the *kind* of the example:

- `rank`, scored pairs: how far the rank of the predicted value is from the ranks that its gold score allows, as a share
  of all ranks. Pairs with the same gold score may stand in any order, so a score that 20 of 100 pairs have allows 20
  ranks. A model without an error on any example has the highest Spearman correlation that these gold scores permit.
- `binary`, pairs of label 1 or 0: for a positive one the share of negatives with a higher value, for a negative one the
  share of positives with a lower value; a tie counts half. No threshold is needed. The mean over the positives, and
  that over the negatives, is 1 - ROC AUC.
- `share`, a metric of each query in [0, 1] (reciprocal rank, nDCG, accuracy): 1 minus the metric. Gold is not read.
- `class`, a predicted class: 1 where it is not the gold one, else 0.

The change is the error of the base model minus that of the trained one: above 0 it got better, below 0 worse.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

Row = dict[str, Any]
SMALLEST_CHANGE = 1e-9  # less is a rounding error


def rows_of(
    examples: Mapping[str, Sequence[Any]], base: Sequence[Any], trained: Sequence[Any], gold: str = "gold"
) -> list[Row]:
    """Examples and both models' values as rows: `id`, `texts`, `gold` (None without one), `base`, `trained`.

    Args:
        examples: columns, one entry for each example: `id`, the true values, and texts, which are all other columns of
            strings; a text may be missing (None).
        base, trained: each model's values, one for each example.
        gold: the column of true values.
    """
    columns = [name for name in examples if name not in ("id", gold) and _are_texts(examples[name])]
    golds = examples.get(gold, [None] * len(base))
    return [
        {
            "id": examples["id"][place] if "id" in examples else str(place),
            "texts": [text for column in columns if (text := examples[column][place]) is not None],
            "gold": golds[place],
            "base": base[place],
            "trained": trained[place],
        }
        for place in range(len(base))
    ]


def _are_texts(values: Sequence[Any]) -> bool:
    """Whether a column holds texts; some rows may have none, as where a triplet has fewer negatives than others."""
    return any(isinstance(value, str) for value in values)


def with_errors(rows: Sequence[Mapping[str, Any]], kind: str) -> list[Row]:
    """The rows with `base_error`, `trained_error` and `change`; rows for which an error does not exist are left out.

    Args:
        rows: with `gold`, `base` and `trained`; all examples, because an error may depend on the other ones.
        kind: one of ERRORS.
    """
    import numpy

    gold = numpy.array([row.get("gold") for row in rows])
    errors = {
        f"{model}_error": ERRORS[kind](gold, numpy.array([row[model] for row in rows])) for model in ("base", "trained")
    }
    found = [
        {**row, "base_error": float(before), "trained_error": float(after), "change": float(before - after)}
        for row, before, after in zip(rows, *errors.values(), strict=True)
    ]
    return [row for row in found if row["change"] == row["change"]]


def broken(rows: Sequence[Row], number: int | None = None) -> list[Row]:
    """The rows that training made worse, most changed first; at most so many."""
    return sorted((row for row in rows if row["change"] < -SMALLEST_CHANGE), key=lambda row: row["change"])[:number]


def mended(rows: Sequence[Row], number: int | None = None) -> list[Row]:
    """The rows that training made better, most changed first; at most so many."""
    return sorted((row for row in rows if row["change"] > SMALLEST_CHANGE), key=lambda row: -row["change"])[:number]


def worst(rows: Sequence[Row], number: int | None = None) -> list[Row]:
    """The rows on which the trained model is wrong, worst first; at most so many."""
    wrong = (row for row in rows if row["trained_error"] > SMALLEST_CHANGE)
    return sorted(wrong, key=lambda row: -row["trained_error"])[:number]


def rank_errors(gold: "numpy.ndarray", values: "numpy.ndarray") -> "numpy.ndarray":
    """How far the rank of each value is from those that its gold score allows, in [0, 1]; nan where it has none."""
    import numpy
    from scipy.stats import rankdata

    known = numpy.isfinite(values)
    ranks, lowest, highest = rankdata(values[known]), rankdata(gold[known], "min"), rankdata(gold[known], "max")
    found = numpy.full(len(values), numpy.nan)
    found[known] = numpy.maximum(numpy.maximum(lowest - ranks, ranks - highest), 0) / max(known.sum() - 1, 1)
    return found


def binary_errors(gold: "numpy.ndarray", values: "numpy.ndarray") -> "numpy.ndarray":
    """For each value the share of the other class on its wrong side, in [0, 1]; nan where that class is empty."""
    import numpy

    is_positive, known = gold.astype(bool), numpy.isfinite(values)
    positives, negatives = (numpy.sort(values[known & chosen]) for chosen in (is_positive, ~is_positive))
    found = numpy.where(is_positive, 1 - _share_below(values, negatives), _share_below(values, positives))
    return numpy.where(known, found, numpy.nan)


def _share_below(values: "numpy.ndarray", others: "numpy.ndarray") -> "numpy.ndarray":
    """For each value the share of the sorted others that are lower; those that equal it count half."""
    import numpy

    if not len(others):
        return numpy.full(len(values), numpy.nan)
    below, not_above = (numpy.searchsorted(others, values, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(others))


def share_errors(gold: "numpy.ndarray", values: "numpy.ndarray") -> "numpy.ndarray":  # noqa: ARG001
    """What each value lacks to 1."""
    return 1 - values


def class_errors(gold: "numpy.ndarray", values: "numpy.ndarray") -> "numpy.ndarray":
    """1 where the predicted class is not the gold one, else 0."""
    return (gold != values).astype(float)


ERRORS: dict[str, Callable[["numpy.ndarray", "numpy.ndarray"], "numpy.ndarray"]] = {
    "rank": rank_errors,
    "binary": binary_errors,
    "share": share_errors,
    "class": class_errors,
}
# The kind of examples that a metric is taken of, by its statistic. Clusters have no names, so none of them is wrong.
KIND_OF = {
    "spearman": "rank",
    "pearson": "rank",
    "average_precision": "binary",
    "roc_auc": "binary",
    "best_accuracy": "binary",
    "best_f1": "binary",
    "mean": "share",
    "macro_f1": "class",
}
EXPLAINED = {
    "rank": "The error of a pair is how far its predicted rank is from the ranks that its gold score allows, "
    "as a share of all ranks.",
    "binary": "The error of a positive pair is the share of negative pairs with a higher score, that of a negative "
    "pair the share of positive pairs with a lower score.",
    "share": "The error of a query is 1 minus its metric.",
    "class": "The error of a text is 1 where its predicted class is wrong, else 0.",
}
