"""More rows to train on: copies of rows with changed texts."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy

from embexp.core.arguments import COUNT, COUNT_FROM_0, TEXT, LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of, table_of_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import MADE_BY, training_columns
from embexp.errors import Problem, listed
from embexp.protocols import Encoder
from embexp.steps.augment.provenance import Row, made_of, schema_with_sources, with_source, with_sources
from embexp.steps.augment.text_changes import TextChange, change_text, shown_change
from embexp.steps.dedup.row_keys import comparable, text_hashes, text_keys

if TYPE_CHECKING:
    from datasets import Dataset

_Change = tuple[str, str]  # a text before and after
_Filter = Callable[[Sequence[_Change]], "list[str | None]"]  # why each change is left out, None where it is kept


@dataclass(frozen=True)
class HeldOut:
    """A filter against texts of dev and test; case, spaces and punctuation do not count."""

    keys: numpy.ndarray

    @classmethod
    def from_dataset(cls, dataset: EmbeddingDataset) -> "HeldOut":
        """The filter for the texts of dev and test of a data set."""
        others = [rows for split, rows in dataset.splits.items() if split != "train"]
        hashes = [text_hashes(rows, dataset.text_columns, loosely=True)[0] for rows in others]
        return cls(numpy.unique(numpy.concatenate([numpy.empty(0, "uint64"), *hashes])))

    def __call__(self, changes: Sequence[_Change]) -> list[str | None]:
        import pyarrow

        after = pyarrow.array([after for _, after in changes], pyarrow.string())
        found = numpy.isin(text_keys(comparable(after)), self.keys)
        return ["in dev or test" if each else None for each in found]


@dataclass(frozen=True)
class _SimilarityBand:
    """A filter against texts whose cosine to their source is below `lowest` or above `highest`; None for no bound."""

    lowest: float | None
    highest: float | None
    encoder: Encoder

    def __call__(self, changes: Sequence[_Change]) -> list[str | None]:
        vectors = (self.encoder.encode([change[place] for change in changes]) for place in (0, 1))
        before, after = (
            each / numpy.maximum(numpy.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in vectors
        )
        return [self._reason(similarity) for similarity in (before * after).sum(axis=1).tolist()]

    def _reason(self, similarity: float) -> str | None:
        if self.lowest is not None and similarity < self.lowest:
            return f"less similar than {self.lowest}"
        if self.highest is not None and similarity > self.highest:
            return f"more similar than {self.highest}"
        return None


_TRIES = 5  # until a copy differs from its source and from the other copies


class _Copy(NamedTuple):
    row: Row
    changes: list[_Change]  # the texts that differ


@dataclass
class _Copies:
    """Makes copies of rows in which texts of some columns are changed."""

    method: TextChange
    made_by: str
    columns: Sequence[str]
    per_row: int
    seed: int
    filters: Sequence[_Filter]  # that copies must pass, in this order
    num_examples: int
    examples: list[_Change] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    num_made: int = 0

    def after_sources(self, rows: "Dataset", id_columns: Sequence[str]) -> Iterator[Row]:
        """Each row, with its id, and after it the copies that are kept; rows that are copies get none."""
        for batch in batches_of(rows, f"augment by {self.made_by}"):
            sources = [with_source(row, id_columns) for row in batch.to_pylist()]
            copies = [list(self._copies_of(row)) for row in sources]
            stays = iter(self._stay([copy for of_row in copies for copy in of_row]))
            for source, of_row in zip(sources, copies, strict=True):
                yield source
                for copy in compress(of_row, stays):
                    self.num_made += 1
                    if len(self.examples) < self.num_examples:
                        self.examples.append(copy.changes[0])
                    yield copy.row

    def _copies_of(self, source: Row) -> Iterator[_Copy]:
        made: list[Row] = []
        for number in range(self.per_row if source[MADE_BY] is None else 0):
            tries = (self._copy(source, number, attempt) for attempt in range(_TRIES))
            differing = (copy for copy in tries if copy.changes and copy.row not in made)
            if copy := next(differing, None):
                made.append(copy.row)
                yield copy
            else:
                self.left_out["without a change" if not made else "without another change"] += 1

    def _copy(self, source: Row, *seeds: int) -> _Copy:
        changed, changes = {}, []
        for column in self.columns:
            before = source[column] if isinstance(source[column], list) else [source[column]]
            after = [change_text(text, self.method, self.seed, self.made_by, column, *seeds) for text in before]
            changes += [each for each in zip(before, after, strict=True) if each[0].strip() != each[1].strip()]
            changed[column] = after if isinstance(source[column], list) else after[0]
        return _Copy(made_of(source, self.made_by, **changed), changes)

    def _stay(self, copies: Sequence[_Copy]) -> list[bool]:
        """Which copies pass all filters; a filter sees only what passed those before it."""
        stay = [True] * len(copies)
        for reasons_against in self.filters:
            places = [place for place, copy in enumerate(copies) if stay[place] for _ in copy.changes]
            changes = [change for copy in compress(copies, stay) for change in copy.changes]
            for place, reason in zip(places, reasons_against(changes) if changes else [], strict=True):
                if reason and stay[place]:
                    stay[place] = False
                    self.left_out[reason] += 1
        return stay


_MADE_OF_TEXTS = ("twin_text", "noised_text")  # one column repeats the other: both would have to change alike

logger = logging.getLogger(__name__)


def augment(
    dataset: EmbeddingDataset,
    method: TextChange,
    made_by: str,
    columns: Sequence[str] | None = None,
    copies: int = 1,
    min_similarity: float | None = None,
    max_similarity: float | None = None,
    encoder: Encoder | None = None,
    seed: int = 42,
    examples: int = 3,
) -> EmbeddingDataset:
    """The data set with copies of its train rows after them, in which a method changed texts; dev and test stay.

    A copy has the label of its source, its id in `made_from` and the method's name in `made_by`; the step `split` keeps
    it with its source, the step `leave_out` removes it again. Copies are not copied: several such steps add up. Left
    out are copies that are like their source or another copy, or that have a text of dev or test.

    Args:
        method: changes a text; one that it cannot change stays (see text_changes.TextChange).
        columns: the text columns to change, all of them in each copy; None for all.
        copies: how many of each row.
        min_similarity, max_similarity: cosine of each changed text to its source, as `encoder` sees it, in [-1, 1].
        examples: how many changes are logged and kept in the report.

    Raises:
        ConfigError: lists every argument that does not fit.
    """
    band = (min_similarity, max_similarity, encoder)
    refuse(augment_problems(dataset, columns, made_by, copies, examples, seed, *band))
    filters = [HeldOut.from_dataset(dataset), *([_SimilarityBand(*band)] if encoder else [])]
    names = list(columns or dataset.text_columns)
    making = _Copies(method, made_by, names, copies, seed, filters, examples)
    splits = {}
    for split, rows in dataset.splits.items():
        if split == "train":
            ids = training_columns(dataset.shape, rows.column_names)
            splits[split] = table_of_rows(making.after_sources(rows, ids), schema_with_sources(rows, dataset))
        else:
            splits[split] = with_sources(rows, dataset)
    shown = [shown_change(*change) for change in making.examples]
    for line in shown:
        logger.info("%s: %s: %s", dataset.name, made_by, line)
    if not making.num_made:
        logger.warning("%s: %s made no row: no text could be changed and kept.", dataset.name, made_by)
    counts = listed(f"{count:,} {reason}" for reason, count in making.left_out.items())
    reason = f"{making.num_made:,} made of train" + (f"; left out: {counts}" if making.left_out else "")
    return dataset.after(f"augment by {made_by}", splits, reason, shown)


def augment_problems(
    dataset: EmbeddingDataset, columns: Any, made_by: Any, copies: Any, examples: Any, seed: Any, *band: Any
) -> Iterator[Problem]:
    """What is wrong with the arguments of a step that adds copies of rows, whatever changes their texts."""
    min_similarity, max_similarity, encoder = band
    if dataset.shape.name in _MADE_OF_TEXTS:
        yield Problem(f"{dataset.name} is {dataset.shape.name}: augment its texts before they get that shape")
    known = LegalValues(many=True, one_of=tuple(dataset.text_columns), optional=True)
    yield from problems_with("columns", columns or None, known, such_as="null")
    yield from problems_with("made_by", made_by, TEXT, such_as="typos")
    yield from problems_with("copies", copies, COUNT, such_as=1)
    yield from problems_with("examples", examples, COUNT_FROM_0, such_as=3)
    yield from problems_with("seed", seed, COUNT_FROM_0, such_as=42)
    cosine = LegalValues(least=-1, most=1, optional=True)
    wrong = list(problems_with("min_similarity", min_similarity, cosine, such_as=0.7))
    wrong += problems_with("max_similarity", max_similarity, cosine, such_as=0.99)
    yield from wrong
    has_bounds = (min_similarity, max_similarity) != (None, None)
    if None not in (min_similarity, max_similarity) and not wrong:
        below = LegalValues(least=-1, below=max_similarity)
        note = "It must be below max_similarity"
        yield from problems_with("min_similarity", min_similarity, below, such_as="null", note=note)
    if has_bounds and encoder is None:
        fix = "'encoder={_target_: embexp.models.encoding.FrozenEncoder, model: minilm}'"
        text = "was given, but min_similarity and max_similarity need a model"
        yield Problem(text, key="encoder", given=None, expected="an encoder", fix=(fix,))
    if encoder is not None and not has_bounds:
        fix = ("min_similarity=0.7", "encoder=null")
        yield Problem("has no effect without min_similarity or max_similarity", key="encoder", fix=fix)
