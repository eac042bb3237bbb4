"""The results of an evaluation: metrics, per-example values on disk, and the difference of two models."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy

from embexp.data.formats import check_parquet
from embexp.errors import DataError, listed
from embexp.evaluation.metrics import Measure, Statistics, separates_nothing, value_of
from embexp.evaluation.stats.paired_tests import bootstrap_differences, interval_and_p
from embexp.evaluation.stats.resampling import GROUP, Drawn, drawn_in
from embexp.evaluation.stats.seeds import Interval, Parts
from embexp.evaluation.stats.verdicts import Margins, default_margins, margin_of, verdict
from embexp.protocols import Encoder
from embexp.reports.verdict_words import COLLAPSED, IDENTICAL, TOO_FEW

ID = "id"


@dataclass(frozen=True)
class Scores:
    """One model's scores on one split.

    Attributes:
        examples: id, texts and true values of each example; the same for every model, `(n,)` each.
        predicted: the model's values for each example, `(n,)` each, by name (`cosine`).
        metrics: metric name to value, such as `spearman_cosine`.
        measures: how the metrics with per-example values are computed.
        results: as another library has measured them, in its own form.
    """

    split: str
    examples: Mapping[str, Sequence[Any]]
    predicted: Mapping[str, numpy.ndarray]
    metrics: Mapping[str, float]
    measures: tuple[Measure, ...] = ()
    results: tuple[Any, ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that measures are computed from."""
        return {**self.examples, **self.predicted}


@dataclass(frozen=True)
class Difference:
    """Trained minus base of one metric, on the same examples.

    Attributes:
        low, high: ends of the 95 % interval of the difference; nan without per-example values.
        p: of no difference, two-sided; nan likewise.
        finding: what is known besides: IDENTICAL, COLLAPSED, TOO_FEW, or nothing.
        margin: the smallest difference worth having.
        drawn: what the bootstrap drew; None without per-example values.
        verdict: the finding; else that of the interval, see stats/verdicts.py.
    """

    metric: str
    base: float
    trained: float
    low: float
    high: float
    p: float = math.nan
    finding: str = ""
    margin: float = field(kw_only=True)
    drawn: Drawn | None = None

    @property
    def value(self) -> float:
        return self.trained - self.base

    @property
    def interval(self) -> Interval:
        """To be stretched to other levels, as Student's t of so many units is."""
        units = (self.drawn.few or self.drawn.units) if self.drawn else math.inf
        return Interval(self.value, self.low, self.high, Parts(degrees_of_examples=units - 1))

    @property
    def verdict(self) -> str:
        return self.finding or verdict(self.low, self.high, self.margin)


@dataclass(frozen=True)
class Positives:
    """Pairs of texts that mean the same, with their prompts; for alignment."""

    first: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    prompts: tuple[str | None, str | None] = (None, None)


class Evaluator(Protocol):
    """Evaluates an encoder on the splits dev and test of one data set.

    The primary metric gives the verdict unless another is configured; the headline metrics are in the closing table,
    all others only in the run's folder and in the tracker.
    """

    name: str
    primary_metric: str
    headline_metrics: tuple[str, ...]
    resamples: int

    @property
    def splits(self) -> tuple[str, ...]:
        """Which of dev and test there are."""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics that `score` reports."""

    def texts(self, split: str) -> Mapping[str | None, list[str]]:
        """The texts that `score` encodes, by the prompt before them; without those that are not known beforehand."""

    def positives(self, split: str) -> Positives:
        """Pairs of texts that mean the same; none if the data have none."""

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example scores on a split."""


def compare(base: Scores, trained: Scores, resamples: int, margins: Margins | None = None) -> list[Difference]:
    """The difference of every metric that both have, with its interval: a paired bootstrap over the examples.

    Args:
        margins: the smallest differences worth having; None: those of conf/verdict/default.yaml.
    """
    margins = default_margins() if margins is None else margins
    statistics, first = Statistics(), base.columns
    second = {**base.examples, **trained.predicted}  # the same arrays of true values, so that they are prepared once
    paired = [measure for measure in base.measures if measure in trained.measures]
    statistics_of = [tuple(statistics.statistic_for(each, model) for model in (first, second)) for each in paired]
    rows = len(base.examples[ID]) if paired else 0
    drawn = {measure.name: drawn_in(measure, base.examples, rows) for measure in paired}
    known: dict[str, tuple[float, float, float]] = {}
    for is_grouped in (False, True):  # resamples of single examples, and of groups
        named = [measure.name for measure in paired if (drawn[measure.name].groups is not None) == is_grouped]
        pairs = [pair for measure, pair in zip(paired, statistics_of, strict=True) if measure.name in named]
        groups = drawn[named[0]].groups if named else None
        for name, values in zip(named, bootstrap_differences(pairs, rows, resamples, groups=groups), strict=True):
            if not drawn[name].too_few:
                known[name] = interval_and_p(
                    trained.metrics[name] - base.metrics[name], values, drawn[name].few, drawn[name].least
                )
    findings = {measure.name: collapse_finding(measure, base, trained) for measure in paired}
    findings = {name: found or (TOO_FEW if drawn[name].too_few else "") for name, found in findings.items()}
    return [
        Difference(
            metric,
            value,
            trained.metrics[metric],
            *known.get(metric, (math.nan,) * 3),
            findings.get(metric, ""),
            margin=margin_of(metric, margins),
            drawn=drawn.get(metric),
        )
        for metric, value in base.metrics.items()
        if metric in trained.metrics
    ]


def collapse_finding(measure: Measure, first: Scores, second: Scores) -> str:
    """COLLAPSED where only the second model gives all examples one similarity, IDENTICAL where both do."""
    if not separates_nothing(measure, second.columns):
        return ""
    return IDENTICAL if separates_nothing(measure, first.columns) else COLLAPSED


def undefined_metrics(scores: Scores) -> tuple[list[str], str]:
    """The metrics that are nan, and why."""
    names = [name for name, value in scores.metrics.items() if math.isnan(value)]
    measures = {measure.name: measure for measure in scores.measures}
    first = measures.get(names[0]) if names else None
    if first is None:
        return names, "the task gave no number"
    values = scores.columns[first.predicted]
    if separates_nothing(first, scores.columns):
        return names, f"all {len(values):,} examples have one {first.predicted}, {values[0]:.4g}"
    return names, "the true values are the same in all examples"


def verdict_split(evaluator: Evaluator) -> str:
    """The split of the verdict: test, or dev without a test split."""
    return "test" if "test" in evaluator.splits else "dev"


_BASE, _TRAINED = "base_", "trained_"
_MEASURES = b"measures"  # key of the file's metadata


@dataclass(frozen=True)
class KeptExamples:
    """The scores of a run's two models on one split of one evaluator."""

    base: Scores
    trained: Scores


def write_examples(path: Path, models: Mapping[str, Scores]) -> None:
    """Per-example scores of models as Parquet: id, texts, gold, and `<model>_<column>` of each model.

    A run's models are `base` and `trained`. The file's metadata hold the measures under `measures`, as JSON, so that
    the metrics can be computed again.
    """
    import pyarrow
    import pyarrow.parquet

    first = next(iter(models.values()))
    columns = dict(first.examples)
    for column in first.predicted:
        columns |= {f"{name}_{column}": scores.predicted[column] for name, scores in models.items()}
    measures = json.dumps([asdict(measure) for measure in first.measures])
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    metadata = {**(table.schema.metadata or {}), _MEASURES: measures.encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path, write_page_checksum=True)


def read_examples(path: Path) -> KeptExamples:
    """The scores of a run's two models that `write_examples` wrote.

    Raises:
        DataError: the file is damaged, or an earlier version of embexp wrote it, without the measures.
    """
    import pyarrow.parquet

    try:
        check_parquet(path, pyarrow.parquet.read_metadata(path))
        table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
    except (OSError, pyarrow.ArrowException) as error:
        text, expected = f"cannot be read: {str(error).splitlines()[0]}", "the examples as the run wrote them"
        raise DataError(text, file=path, expected=expected, note="Run its command again") from error
    if _MEASURES not in (table.schema.metadata or {}):
        text = "no measures in the metadata: an earlier version of embexp wrote this file"
        raise DataError(text, file=path, expected="a run of this version: run its command again")
    columns = {name: _values(table[name]) for name in table.column_names}
    measures = tuple(Measure(**each) for each in json.loads(table.schema.metadata[_MEASURES]))
    examples = {name: values for name, values in columns.items() if not name.startswith((_BASE, _TRAINED))}
    split = str(examples[ID][0]).partition("-")[0]
    scores = []
    for prefix in (_BASE, _TRAINED):
        predicted = {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
        metrics = {each.name: value_of(each, {**examples, **predicted}) for each in measures}
        scores.append(Scores(split, examples, predicted, metrics, measures))
    return KeptExamples(*scores)


def _values(column: Any) -> Any:
    """Numbers, truth values and lists of them as an array, all else as a list."""
    import pyarrow

    kind = column.type
    if pyarrow.types.is_list(kind):
        lists = column.to_pylist()
        found = numpy.empty(len(lists), dtype=object)
        found[:] = lists
        return found
    is_number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
    return column.to_numpy() if is_number else column.to_pylist()


_TRUE_TEXTS = ("label", "relevant_document", "positive")  # columns of texts that are true values


def on_common_examples(several: Sequence[Scores]) -> tuple[list[Scores], str]:
    """The scores of several models on the examples that all have with the same texts and true values.

    Of a measure that leaves examples out (`no_leaks`) those count that count for all models.

    Returns:
        The scores, in the order of the first one's examples, and what was left out; an empty text where nothing was.
    """
    masks = {measure.where for scores in several for measure in scores.measures if measure.where}
    known = [_numbered(scores, masks) for scores in several]
    common = set.intersection(*({*each} for each in known))
    places = [each for each in known[0] if each in common]
    rows = [numpy.array([each[example] for example in places], dtype=int) for each in known]
    first = several[0].examples
    examples = {name: _selected(values, rows[0]) for name, values in first.items() if name not in masks}
    for mask in masks:
        counting = [
            each.examples[mask][taken] for each, taken in zip(several, rows, strict=True) if mask in each.examples
        ]
        examples[mask] = numpy.logical_and.reduce(counting)
    partial = dict.fromkeys(measure for scores in several for measure in scores.measures if measure.where)
    found = []
    for each, taken in zip(several, rows, strict=True):
        predicted = {name: values[taken] for name, values in each.predicted.items()}
        more = [measure for measure in partial if measure.predicted in predicted]
        measures = tuple(dict.fromkeys([*each.measures, *more]))
        found.append(replace(each, examples=examples, predicted=predicted, measures=measures))
    return found, _what_is_missing(known, common)


_Example = tuple[str, str, int]  # texts, true values, and how many examples before it have the same


def _numbered(scores: Scores, masks: set[str]) -> dict[_Example, int]:
    """The place of each example by what it is."""
    texts, truths = [], []
    for name, values in scores.examples.items():
        if name not in masks and name not in (ID, GROUP):
            (texts if isinstance(values, list) and name not in _TRUE_TEXTS else truths).append(values)
    found: dict[_Example, int] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for place in range(len(scores.examples[ID])):
        example = repr([each[place] for each in texts]), repr([each[place] for each in truths])
        found[*example, seen[example]] = place
        seen[example] += 1
    return found


def _selected(values: Any, rows: numpy.ndarray) -> Any:
    return [values[row] for row in rows] if isinstance(values, list) else values[rows]


def _what_is_missing(known: Sequence[Mapping[_Example, int]], common: set[_Example]) -> str:
    """How many examples were left out, and why."""
    left = [[example for example in each if example not in common] for each in known]
    texts = [Counter(text for text, *_ in each) for each in left]
    others = sum(min(each[text] for each in texts) for text in texts[0])  # the same texts are in all of them
    missing = sum(max(each[text] for each in texts) for text in {*chain(*texts)}) - others
    left_out, number = others + missing, others + missing + len(common)
    reasons = {"with other true values": others, "not in all of them": missing}
    why = listed(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    return f"{left_out:,} of {number:,} examples ({why})" if left_out else ""
