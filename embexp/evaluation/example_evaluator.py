"""An evaluator of a task: encodes the texts, computes the measures of every form, and keeps every example."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Required, TypedDict

import numpy

from embexp.core.arguments import RESAMPLES, LegalValues, problems_with, refuse
from embexp.data.dataset import EmbeddingDataset, Prompts
from embexp.errors import ConfigError, DataError, Problem, listed
from embexp.evaluation.metrics import Measure, value_of
from embexp.evaluation.scores import ID, Positives, Scores
from embexp.evaluation.stats.resampling import AUTO, GROUP, connected_groups, is_grouped_by_default, numbered
from embexp.models.encoding import check_finite
from embexp.protocols import Encoder
from embexp.steps.prompting import with_row_prompts

if TYPE_CHECKING:
    from datasets import Dataset

_PRECISIONS = ("float32", "int8", "binary")


@dataclass(frozen=True)
class _Form:
    """Embeddings cut to their first `dimensions` (None: all), then quantised."""

    dimensions: int | None = None
    precision: str = "float32"

    @property
    def suffix(self) -> str:
        """The ending of the metrics and columns of this form.

        >>> _Form(64, "int8").suffix
        '_dim64_int8'
        """
        cut = f"_dim{self.dimensions}" if self.dimensions else ""
        return cut if self.precision == "float32" else f"{cut}_{self.precision}"

    def apply(self, vectors: Mapping[str, numpy.ndarray]) -> Mapping[str, numpy.ndarray]:
        """The vectors of every column in this form, float32: int8 as -128 to 127, binary as -1 and 1.

        The ranges of int8 are those of all vectors together. The cosine of binary vectors is
        1 - 2 * Hamming distance / dimensions: it ranks as the Hamming distance does.
        """
        if self.dimensions:
            known = min(values.shape[1] for values in vectors.values())
            if self.dimensions > known:
                raise ConfigError(
                    f"is more than the {known} of the model's embeddings",
                    key="evaluator.<name>.dimensions",
                    given=self.dimensions,
                    expected=f"{known} at most: leave {self.dimensions} out",
                )
            vectors = {column: values[:, : self.dimensions] for column, values in vectors.items()}
        if self.precision == "binary":
            return {column: numpy.where(values > 0, 1, -1).astype("float32") for column, values in vectors.items()}
        if self.precision != "int8":
            return vectors
        from sentence_transformers.util import quantize_embeddings

        every = numpy.concatenate([*vectors.values()])
        ranges = numpy.stack([every.min(axis=0), every.max(axis=0)])
        whole = {column: quantize_embeddings(values, "int8", ranges=ranges) for column, values in vectors.items()}
        return {column: values.astype("float32") for column, values in whole.items()}


def _listed(given: Any) -> list[Any]:
    """The values of a list, none of null, or a single value."""
    return [*given] if isinstance(given, list | tuple) else [] if given is None else [given]


def _combine_forms(name: str, dimensions: Sequence[int] | None, precisions: Sequence[str] | None) -> tuple[_Form, ...]:
    """The embeddings as they are, then every other combination of the configured dimensions and precisions."""
    sizes, kinds = _listed(dimensions), _listed(precisions)
    checks = (
        ("dimensions", sizes, LegalValues(many=True, least=2, whole=True), "[256,128,64]"),  # 1: cosine is 1 or -1
        ("precisions", kinds, LegalValues(many=True, one_of=_PRECISIONS), "[int8,binary]"),
    )
    problems = (
        each for key, given, legal, usual in checks if given for each in problems_with(key, given, legal, usual)
    )
    refuse(problems, under=f"evaluator.{name}")
    cut = dict.fromkeys((None, *sizes))
    return tuple(_Form(size, precision) for precision in dict.fromkeys(("float32", *kinds)) for size in cut)


EVALUATED_SPLITS = ("dev", "test")
NO_LEAKS = "no_leaks"  # a column of booleans: examples that were not seen in training


# What to type for data without dev and test: a step that is there gets ratios, else it is added.
_SPLIT_ANEW, _SPLIT = "dataset.steps.split.ratios=[8,1,1]", "+step@dataset.steps.split=split"


class Task(Protocol):
    """What is evaluated: the texts of a row, the model's values of them, and the metrics.

    Attributes:
        measures: all measures.
        headline: the most important metrics, the primary one first.
    """

    measures: tuple[Measure, ...]
    headline: tuple[str, ...]

    def check(self, rows: "Dataset", where: str) -> None:
        """Raise DataError if no metric exists on these rows, such as when all gold values are equal."""

    def texts(self, rows: "Dataset") -> dict[str, list[str]]:
        """The texts to encode, by the text column whose prompt they get."""

    def examples(self, rows: "Dataset") -> dict[str, Sequence[Any]]:
        """The texts and true values of each example; an example may be one row or several."""

    def example_of(self, rows: "Dataset") -> Sequence[int]:
        """The example of each row, -1 for a row that is part of none; the row itself by default."""
        return range(rows.num_rows)

    def positives(self, rows: "Dataset") -> list[tuple[str, str]]:
        """Pairs of texts that mean the same, from the first and the last of the columns of `texts`; none by default."""
        return []

    def doubts(self, rows: "Dataset", where: str) -> Iterator[Problem]:
        """What is unusual about these rows; nothing by default."""
        return iter(())

    def predict(self, rows: "Dataset", vectors: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        """The model's values for each example.

        Args:
            vectors: by column, in the order of `texts`.
        """


class EvaluatorOptions(TypedDict, total=False):
    """The arguments of every evaluator besides its own: see ExampleEvaluator."""

    resamples: Required[int]
    leaked: Mapping[str, numpy.ndarray] | None
    dimensions: Sequence[int] | None
    precisions: Sequence[str] | None
    group: str | None


class ExampleEvaluator:
    """Evaluates encoders on a task.

    Args:
        name: the evaluator's name in metric keys.
        dataset: with a split dev or test.
        resamples: the number of bootstrap resamples of an interval.
        leaked: for each split the rows that are also in the training data, bool `(num_rows,)`. If there are any, the
            headline metrics are also given without them (`<metric>_no_leaks`).
        dimensions, precisions: further forms of the embeddings, for the headline metrics.
        group: what rows share that are drawn together behind an interval: a column; None: nothing; auto: texts, in
            metrics that are means (`stats/resampling.py`).

    Raises:
        ConfigError: an invalid argument.
        DataError: no dev or test split, or one on which no metric exists.
    """

    def __init__(
        self,
        name: str,
        dataset: EmbeddingDataset,
        task: Task,
        resamples: int,
        leaked: Mapping[str, numpy.ndarray] | None = None,
        dimensions: Sequence[int] | None = None,
        precisions: Sequence[str] | None = None,
        group: str | None = None,
    ) -> None:
        refuse(problems_with("resamples", resamples, RESAMPLES, such_as=2000), under=f"evaluator.{name}")
        self.name = name
        self._read, self.dataset = dataset, with_row_prompts(dataset)
        self.task = task
        self.resamples = resamples
        self.forms = _combine_forms(name, dimensions, precisions)
        self.splits = tuple(split for split in EVALUATED_SPLITS if split in dataset.splits)
        self.group = group
        self._check()
        self.leaked = self._leaked_examples(leaked or {})
        self.measures = tuple(self._all_measures())
        self.primary_metric = task.headline[0]
        unseen = (f"{self.primary_metric}_{NO_LEAKS}",) if self.leaked else ()
        self.headline_metrics = (*task.headline, *unseen)

    def with_prompts(self, prompts: Prompts) -> "ExampleEvaluator":
        """The evaluator with prompts of a model before its texts; the same where its data bring prompts."""
        if self._read.prompts.named:
            return self
        made = copy.copy(self)
        in_text = self._read.prompts.in_text
        made.dataset = with_row_prompts(replace(self._read, prompts=replace(prompts, in_text=in_text)))
        return made

    def _check(self) -> None:
        if not self.splits:
            raise DataError(
                f"evaluator={self.name} reads {self.dataset.name}, which has neither a dev nor a test split "
                f"(it has: {listed(self.dataset.splits)})",
                expected="one: split the data with dataset.steps.split, or choose an evaluator with data of its own",
                fix=_SPLIT_ANEW if any(report.step == "split" for report in self.dataset.history) else _SPLIT,
            )
        for split in self.splits:
            rows = self.dataset.splits[split]
            self.task.check(rows, f"{self.dataset.name}/{split}")
            known = [*dict.fromkeys((*rows.column_names, *self.task.examples(rows)))]
            if self.group not in (None, AUTO, *known):
                raise ConfigError(
                    f"is no column of {self.dataset.name}/{split}",
                    key=f"evaluator.{self.name}.group",
                    given=self.group,
                    expected=f"one of: {listed(known)}; or auto, or null",
                    fix=f"evaluator.{self.name}.group=auto",
                )

    def doubts(self) -> list[Problem]:
        """What is unusual about the data, for a warning."""
        named = ((split, f"{self.dataset.name}/{split}") for split in self.splits)
        return [doubt for split, where in named for doubt in self.task.doubts(self.dataset.splits[split], where)]

    def _leaked_examples(self, leaked: Mapping[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
        """For each split which examples were not seen; empty if none leaked, or no metric exists without them."""
        if not any(mask.any() for mask in leaked.values()):
            return {}
        unseen = {}
        for split in self.splits:
            rows, mask = self.dataset.splits[split], leaked[split]
            example_of = numpy.asarray(self.task.example_of(rows))
            seen = numpy.zeros(example_of.max() + 1, dtype=bool)
            seen[example_of[mask & (example_of >= 0)]] = True
            unseen[split] = ~seen
            try:
                self.task.check(rows.select(numpy.flatnonzero((example_of >= 0) & ~seen[example_of])), split)
            except DataError:
                return {}
        return unseen

    def _all_measures(self) -> list[Measure]:
        headline = [measure for measure in self.task.measures if measure.name in self.task.headline]
        unseen = [measure.without(NO_LEAKS) for measure in headline] if self.leaked else []
        other_forms = [measure.in_form(form.suffix) for form in self.forms[1:] for measure in headline]
        measures = [*self.task.measures, *unseen, *other_forms]
        return [replace(measure, unit=self._unit_of(measure)) for measure in measures]

    def _unit_of(self, measure: Measure) -> str | None:
        if self.group != AUTO:
            return self.group
        return "text" if is_grouped_by_default(measure.statistic) else None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """All metrics that `score` reports."""
        return tuple(measure.name for measure in self.measures)

    def texts(self, split: str) -> dict[str | None, list[str]]:
        """The texts that `score` encodes, by the prompt before them."""
        found: dict[str | None, list[str]] = {}
        for column, texts in self.task.texts(self.dataset.splits[split]).items():
            found.setdefault(self.dataset.prompts.prompt_for(column), []).extend(texts)
        return found

    def positives(self, split: str) -> Positives:
        """Pairs of texts that mean the same."""
        rows = self.dataset.splits[split]
        columns = [*self.task.texts(rows)]
        first, second = zip(*self.task.positives(rows), strict=True) if self.task.positives(rows) else ((), ())
        prompts = self.dataset.prompts.prompt_for(columns[0]), self.dataset.prompts.prompt_for(columns[-1])
        return Positives(list(first), list(second), prompts)

    def score(self, encoder: Encoder, split: str) -> Scores:
        """Metrics and per-example values on a split; every distinct text is encoded once after each prompt."""
        rows = self.dataset.splits[split]
        examples = {key: _array(values) for key, values in self.task.examples(rows).items()}
        number = len(next(iter(examples.values())))
        examples = {ID: [f"{split}-{example}" for example in range(number)], **examples}
        if self.leaked:
            examples[NO_LEAKS] = self.leaked[split]
        if (groups := self._groups(rows, examples)) is not None:
            examples[GROUP] = groups
        vectors = self._vectors(encoder, split)
        predicted = {}
        for form in self.forms:
            found = self.task.predict(rows, form.apply(vectors))
            if form.suffix:  # in other forms only the headline metrics
                headline = [measure for measure in self.task.measures if measure.name in self.task.headline]
                found = {measure.predicted: found[measure.predicted] for measure in headline}
            predicted |= {f"{column}{form.suffix}": values for column, values in found.items()}
        columns = {**examples, **predicted}
        metrics = {measure.name: value_of(measure, columns) for measure in self.measures}
        return Scores(split, examples, predicted, metrics, self.measures)

    def _groups(self, rows: "Dataset", examples: Mapping[str, Any]) -> numpy.ndarray | None:
        """The group of each example; None where each is drawn by itself."""
        if self.group in (None, AUTO):
            return connected_groups(examples) if self.group else None
        if self.group in examples:
            return numbered(examples[self.group])
        value_of_row = dict(zip(reversed(self.task.example_of(rows)), reversed(rows[self.group][:]), strict=True))
        return numbered([value_of_row[example] for example in range(len(examples[ID]))])

    def _vectors(self, encoder: Encoder, split: str) -> dict[str, numpy.ndarray]:
        """The embeddings of every column, each after its prompt; columns with one prompt are encoded together."""
        vectors = {
            prompt: check_finite(encoder.encode(texts, prompt), texts) for prompt, texts in self.texts(split).items()
        }
        taken = dict.fromkeys(vectors, 0)
        found = {}
        for column, texts in self.task.texts(self.dataset.splits[split]).items():
            prompt = self.dataset.prompts.prompt_for(column)
            found[column] = vectors[prompt][taken[prompt] : taken[prompt] + len(texts)]
            taken[prompt] += len(texts)
        return found


def _array(values: Sequence[Any]) -> Any:
    """Numbers and truth values as an array; texts stay a list."""
    is_number = len(values) > 0 and isinstance(values[0], int | float | numpy.number | numpy.bool_)
    return numpy.asarray(values) if is_number else list(values)
