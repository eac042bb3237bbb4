"""What training broke and what it mended: the examples whose error changed most, as Markdown.

The error of a model on one example is a number from 0 (right) to 1 (as wrong as possible). It does not depend on the
scale of the model's values, so that two models can be compared. The *kind* of the example defines it:

- `rank`, scored pairs: how far the rank of the predicted value is from the ranks that its gold score allows, as a share
  of all ranks. Pairs with the same gold score may be in any order, so a score of 20 of 100 pairs allows 20 ranks. A
  model without an error on any example has the highest Spearman correlation that these gold scores permit.
- `binary`, pairs of label 1 or 0: for a positive one the share of negatives with a higher value, for a negative one the
  share of positives with a lower value; a tie counts half. No threshold is needed. The mean over the positives, and
  that over the negatives, is 1 - ROC AUC.
- `share`, a metric of each query in [0, 1] (reciprocal rank, nDCG, accuracy): 1 minus the metric. Gold is not read.
- `class`, a predicted class: 1 where it is not the gold one, else 0.

The change is the error of the base model minus that of the trained one: above 0 it got better, below 0 worse.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from embexp.core.escaping import as_markdown_text, markdown_table
from embexp.reports.tables import shortened

_Row = dict[str, Any]
_SMALLEST_CHANGE = 1e-9  # less is a rounding error


def rows_of(
    examples: Mapping[str, Sequence[Any]], base: Sequence[Any], trained: Sequence[Any], gold: str = "gold"
) -> list[_Row]:
    """Examples and both models' values as rows: `id`, `texts`, `gold` (None without one), `base`, `trained`.

    Args:
        examples: columns, one entry for each example: `id`, the true values, and texts, which are all other columns of
            strings; a text may be missing (None).
        base, trained: each model's values, one for each example.
        gold: the column of true values.
    """
    columns = [
        name for name in examples if name not in ("id", gold) and any(isinstance(text, str) for text in examples[name])
    ]
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


def with_errors(rows: Sequence[Mapping[str, Any]], kind: str) -> list[_Row]:
    """The rows with `base_error`, `trained_error` and `change`; rows for which an error does not exist are left out.

    Args:
        rows: with `gold`, `base` and `trained`; all examples, because an error may depend on the other ones.
        kind: one of ERRORS.
    """
    gold = numpy.array([row.get("gold") for row in rows])
    errors = {
        f"{model}_error": ERRORS[kind](gold, numpy.array([row[model] for row in rows])) for model in ("base", "trained")
    }
    found = [
        {**row, "base_error": float(before), "trained_error": float(after), "change": float(before - after)}
        for row, before, after in zip(rows, *errors.values(), strict=True)
    ]
    return [row for row in found if row["change"] == row["change"]]


def broken(rows: Sequence[_Row], number: int | None = None) -> list[_Row]:
    """The rows that training made worse, most changed first; at most so many."""
    return sorted((row for row in rows if row["change"] < -_SMALLEST_CHANGE), key=lambda row: row["change"])[:number]


def mended(rows: Sequence[_Row], number: int | None = None) -> list[_Row]:
    """The rows that training made better, most changed first; at most so many."""
    return sorted((row for row in rows if row["change"] > _SMALLEST_CHANGE), key=lambda row: -row["change"])[:number]


def _worst(rows: Sequence[_Row], number: int | None = None) -> list[_Row]:
    """The rows on which the trained model is wrong, worst first; at most so many."""
    wrong = (row for row in rows if row["trained_error"] > _SMALLEST_CHANGE)
    return sorted(wrong, key=lambda row: -row["trained_error"])[:number]


def _rank_errors(gold: numpy.ndarray, values: numpy.ndarray) -> numpy.ndarray:
    """How far the rank of each value is from those that its gold score allows, in [0, 1]; nan where it has none."""
    from scipy.stats import rankdata

    known = numpy.isfinite(values)
    ranks, lowest, highest = rankdata(values[known]), rankdata(gold[known], "min"), rankdata(gold[known], "max")
    found = numpy.full(len(values), numpy.nan)
    found[known] = numpy.maximum(numpy.maximum(lowest - ranks, ranks - highest), 0) / max(known.sum() - 1, 1)
    return found


def _binary_errors(gold: numpy.ndarray, values: numpy.ndarray) -> numpy.ndarray:
    """For each value the share of the other class on its wrong side, in [0, 1]; nan where that class is empty."""
    is_positive, known = gold.astype(bool), numpy.isfinite(values)
    positives, negatives = (numpy.sort(values[known & chosen]) for chosen in (is_positive, ~is_positive))
    found = numpy.where(is_positive, 1 - _share_below(values, negatives), _share_below(values, positives))
    return numpy.where(known, found, numpy.nan)


def _share_below(values: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
    """For each value the share of the sorted others that are lower; those that equal it count half."""
    if not len(others):
        return numpy.full(len(values), numpy.nan)
    below, not_above = (numpy.searchsorted(others, values, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(others))


def _share_errors(gold: numpy.ndarray, values: numpy.ndarray) -> numpy.ndarray:  # noqa: ARG001
    """What each value lacks to 1."""
    return 1 - values


def _class_errors(gold: numpy.ndarray, values: numpy.ndarray) -> numpy.ndarray:
    """1 where the predicted class is not the gold one, else 0."""
    return (gold != values).astype(float)


ERRORS: dict[str, Callable[[numpy.ndarray, numpy.ndarray], numpy.ndarray]] = {
    "rank": _rank_errors,
    "binary": _binary_errors,
    "share": _share_errors,
    "class": _class_errors,
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
_EXPLANATIONS = {
    "rank": "The error of a pair is how far its predicted rank is from the ranks that its gold score allows, "
    "as a share of all ranks.",
    "binary": "The error of a positive pair is the share of negative pairs with a higher score, that of a negative "
    "pair the share of positive pairs with a lower score.",
    "share": "The error of a query is 1 minus its metric.",
    "class": "The error of a text is 1 where its predicted class is wrong, else 0.",
}


_TEXT_COLUMNS = 160  # of each text in the file, in the width of Latin letters
_HEADINGS = ("error", "gold", "base", "trained", "texts")


def write_changed(path: Path, subject: str, rows: Sequence[_Row], kind: str, number: int) -> None:
    """A Markdown page: the examples that training broke, those it mended, and the worst errors of the trained model.

    Args:
        subject: what the page is about, such as the run and the data.
        rows: of `with_errors`.
        kind: one of `changed_examples.ERRORS`.
        number: how many examples each table has at most.
    """
    lines = [
        f"# Changed examples: {as_markdown_text(subject)}",
        "",
        f"{_summary(rows)} {_EXPLANATIONS[kind]}",
        *_section("What training broke", broken(rows, number), "Training made no example worse."),
        *_section("What training mended", mended(rows, number), "Training made no example better."),
        *_section("Worst errors of the trained model", _worst(rows, number), "The trained model makes no error."),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _summary(rows: Sequence[_Row]) -> str:
    """How many examples changed for better and for worse.

    >>> _summary([{"change": 0.5}, {"change": -0.1}, {"change": 0.0}])
    'Of 3 examples 1 got worse and 1 got better.'
    """
    return f"Of {len(rows):,} examples {len(broken(rows)):,} got worse and {len(mended(rows)):,} got better."


def _section(heading: str, rows: Sequence[_Row], without: str) -> list[str]:
    if not rows:
        return ["", f"## {heading}", "", without]
    return ["", f"## {heading}", "", *markdown_table(_HEADINGS, map(_cells, rows), right=range(len(_HEADINGS) - 1))]


def _cells(row: _Row) -> tuple[str, ...]:
    """Error before and after, gold, base, trained, texts."""
    error = f"{row['base_error']:.0%} -> {row['trained_error']:.0%}"
    values = (_shown(row.get("gold")), _shown(row["base"]), _shown(row["trained"]))
    return error, *values, "\n".join(shortened(str(text), _TEXT_COLUMNS) for text in row["texts"])


def _shown(value: Any) -> str:
    """A number with three digits after the point, a whole one without, anything else as it is.

    >>> _shown(0.87654), _shown(1), _shown(1.0), _shown("NUM"), _shown(None)
    ('0.877', '1', '1', 'NUM', '')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return shortened(value, 20)
    number = float(value)
    return f"{number:.0f}" if number.is_integer() else f"{number:.3f}"
