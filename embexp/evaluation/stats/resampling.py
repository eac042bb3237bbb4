"""Bootstrap resamples of examples (Efron & Tibshirani 1993), many at a time; what is drawn together.

Questions of one document, pairs of one premise, triplets of one anchor: a model that is lucky with one is lucky with
its neighbours, too. A bootstrap over rows takes them for independent; its interval is too short, and two equal models
come out as different in 8 to 35 of 100 cases instead of 5 (docs/error-rates.md). So whole groups are drawn (the cluster
bootstrap; Davison & Hinkley 1997, "Bootstrap Methods and their Application", section 3.8; Field & Welsh 2007,
"Bootstrapping clustered data", J. R. Statist. Soc. B 69, 369-390).

By default rows are a group that share a text, in the metrics that are means over rows or queries. In correlations,
average precision and ROC AUC shared texts hardly matter (at most 7 of 100), since a text's error meets other true
values in every row: there rows are drawn unless a column is named.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

CHUNK = 32  # resamples at a time: few, so that their arrays stay in the processor's cache


class Sample:
    """How often each example occurs in each of several resamples.

    Args:
        counts: float `(resamples, examples)`.
    """

    def __init__(self, counts: numpy.ndarray) -> None:
        self.counts = counts
        self.total = counts.sum(axis=1)
        self._known: dict[Any, tuple[Any, Any]] = {}

    def once(self, make: Callable[["Sample"], Any]) -> Any:
        """`make(self)`, computed once for each `make`, so that statistics share it."""
        return self._once(make, make)

    def only(self, rows: numpy.ndarray) -> "Sample":
        """The same sample restricted to some examples: bool `(examples,)`."""
        return self._once(rows, lambda sample: Sample(sample.counts[:, rows]))

    def _once(self, key: Any, make: Callable[["Sample"], Any]) -> Any:
        if id(key) not in self._known:
            self._known[id(key)] = (key, make(self))  # the key stays alive, so its id stays its own
        return self._known[id(key)][1]


def bootstrap_samples(
    examples: int, resamples: int, seed: int = 0, groups: numpy.ndarray | None = None
) -> Iterator[Sample]:
    """All resamples, in chunks; the same ones for the same arguments.

    Args:
        groups: the group of each example, `(examples,)`: whole groups are drawn; None: single examples.
    """
    random = numpy.random.default_rng(seed)
    if groups is not None:
        number_of = numpy.unique(groups, return_inverse=True)[1]
        for sample in bootstrap_samples(int(number_of.max()) + 1, resamples, seed):
            yield Sample(sample.counts[:, number_of])
        return
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        places = random.integers(0, examples, (size, examples)) + numpy.arange(size)[:, None] * examples
        yield Sample(numpy.bincount(places.ravel(), minlength=size * examples).reshape(size, examples).astype(float))


def observed_sample(examples: int) -> Sample:
    """The examples as they are: each once."""
    return Sample(numpy.ones((1, examples)))


AUTO = "auto"
GROUP = "group"  # a column of the examples: the number of the group that a row is in
_OF_LABELS = ("average_precision", "roc_auc", "best_accuracy", "best_f1")  # of two classes
_OF_MEANS = ("mean", "best_accuracy", "best_f1", "macro_f1")
_OF_PAIRS = ("spearman", "pearson")
# Columns of the examples whose texts tie rows together, for each kind of example; the first alone where all of them
# tie nearly everything to one group.
_TYING = (("sentence1", "sentence2"), ("anchor", "positive"), ("query", "relevant_document"), ("query", "positive"))
_TYING += (("first", "second"), ("text",))
_LARGEST = 0.2  # share of the rows: a larger group is no unit among others
FEW_UNITS, FEW_OF_A_CLASS = 50, 20
FEWEST_PAIRS = 5  # of a correlation: of four pairs no order of ranks is rarer than 2 in 4! = 24


def is_grouped_by_default(statistic: str) -> bool:
    """Whether rows that share a text are drawn together in this statistic."""
    return statistic in _OF_MEANS


def connected_groups(examples: Mapping[str, Sequence[Any]]) -> numpy.ndarray | None:
    """The number of the group of each row, of rows that share a text; None where no two rows share any.

    >>> connected_groups({"anchor": ["a", "b", "c", "a"], "positive": ["p", "q", "q", "r"]}).tolist()
    [0, 1, 1, 0]
    """
    columns = next((each for each in _TYING if all(name in examples for name in each)), ())
    for tying in dict.fromkeys((columns, columns[:1])):
        groups = _connected([examples[name] for name in tying]) if tying else numpy.zeros(0, dtype=int)
        if len(groups) and numpy.bincount(groups).max() <= max(2, _LARGEST * len(groups)):
            return groups if groups.max() + 1 < len(groups) else None
    return None


def numbered(values: Sequence[Any]) -> numpy.ndarray:
    """The group of each row by its value, numbered in order of appearance."""
    known: dict[Any, int] = {}
    return numpy.array([known.setdefault(value, len(known)) for value in values], dtype=int)


def _connected(columns: Sequence[Sequence[Any]]) -> numpy.ndarray:
    """The groups of rows that share a value in any of the columns, also through other rows."""
    root: dict[Any, Any] = {}

    def find(text: Any) -> Any:
        while root.setdefault(text, text) != text:
            root[text] = root[root[text]]
            text = root[text]
        return text

    for first, *others in zip(*columns, strict=True):
        for other in others:
            root[find(other)] = find(first)
    return numbered([find(text) for text in columns[0]])


@dataclass(frozen=True)
class Drawn:
    """What a bootstrap draws for a metric.

    Attributes:
        units: their number.
        groups: the group of each example, `(examples,)`; None where each is a unit.
        what: the examples of a group share: `text`, or a value of the column of that name; empty without groups.
        few: the number that decides where units, or examples of the rarer class, are few; 0: they are enough.
        least: half of the interval where no unit differs between the models: 3 / units for means, the upper limit of a
            share of which n units showed none (Hanley & Lippman-Hand 1983, "If nothing goes wrong, is everything all
            right?", JAMA 249, 1743-1745).
        too_few: one unit, one example of the rarer class, or a handful of pairs: no interval means anything.
    """

    units: int
    groups: numpy.ndarray | None = None
    what: str = ""
    few: int = 0
    least: float = 0.0
    too_few: bool = False

    def described(self) -> dict[str, Any]:
        """As plain values, for the row of a table."""
        return {"units": self.units, "unit": self.what, "few_units": self.few}


def drawn_in(measure: Any, examples: Mapping[str, Sequence[Any]], rows: int) -> Drawn:
    """What is drawn of these examples for a measure.

    Intervals of correlations hold from 20 examples on; those of means need 50 units, those of labels 20 of either.

    Args:
        measure: a `Measure`.
    """
    groups = examples.get(GROUP) if measure.unit else None
    units = rows if groups is None else len(numpy.unique(groups))
    few = units if measure.statistic in _OF_MEANS and units < FEW_UNITS else 0
    too_few = units < (FEWEST_PAIRS if measure.statistic in _OF_PAIRS else 2)
    if measure.statistic in _OF_LABELS:
        counts = numpy.unique(examples[measure.gold], return_counts=True)[1]
        rarer = int(counts.min()) if len(counts) > 1 else 0
        too_few = too_few or rarer < 2
        few = min(filter(None, (few, rarer if rarer < FEW_OF_A_CLASS else 0)), default=0)
    is_coarse = measure.statistic in _OF_MEANS and not measure.name.startswith("margin")  # may be equal by chance
    least = 3 / units if units and is_coarse else 0.0
    what = measure.unit or "" if groups is not None else ""
    return Drawn(units, groups, what, 0 if too_few else few, least, too_few)


def widening(units: int) -> tuple[float, float]:
    """For the interval of few units: Student's t of 95 %, and the factor on the standard error that resamples show.

    Resamples of k units have a variance too small by (k - 1) / k, and treat it as known.

    >>> [round(each, 2) for each in widening(10)]
    [2.26, 1.05]
    """
    from scipy.stats import t

    return float(t.ppf(0.975, units - 1)), math.sqrt(units / (units - 1))
