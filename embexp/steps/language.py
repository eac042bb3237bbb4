"""Keeping the rows whose texts are in certain languages."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import did_you_mean, listed
from embexp.steps.kept_rows import keep_rows
from embexp.steps.refusals import refuse

if TYPE_CHECKING:
    import pyarrow
    from py3langid.langid import LanguageIdentifier

_UNDECIDED = "und"
_NO_LANGUAGE = "zxx"  # what the identifier says of numbers and code
# Relatives that short texts of a larger language are easily taken for: they count as the larger one.
_PART_OF = {"wuu": "zh", "yue": "zh", "pcm": "en", "nn": "no", "ary": "ar", "arz": "ar", "gcf": "fr", "gcr": "fr"}
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_CJK_WEIGHT = 3  # one says about as much as three letters
_LETTER = re.compile(r"[^\W\d_]")


def keep_languages(
    dataset: EmbeddingDataset,
    languages: Sequence[str],
    columns: Sequence[str] | None = None,
    min_chars: int = 20,
    min_probability: float = 0.5,
) -> EmbeddingDataset:
    """The data set without the rows that have a text in another language, in all splits.

    A text stays where the language is not sure: it is short, has no letters, or no language is likely enough. A list
    of texts (ranked rows) is judged as one text.

    Args:
        languages: ISO 639-1 codes, such as [en, zh].
        columns: the text columns to look at; None for all.
        min_chars: shorter texts stay; a Chinese, Japanese or Korean character counts as three.
        min_probability: of the other language, in [0, 1], above which a text is in it.

    Raises:
        ConfigError: lists every unknown language and column and every number out of range.
        DataError: a split would be left without rows.
    """
    import numpy

    refuse("keep_languages", _faults(dataset, languages, columns, min_chars, min_probability))
    names = list(columns or dataset.text_columns)
    keep, removed = {}, Counter()
    for split, rows in dataset.splits.items():
        foreign = [
            _foreign(batch, languages, min_chars, min_probability)
            for batch in batches_of(rows.select_columns(names), "languages")
        ]
        codes = [code for batch in foreign for code in batch]
        keep[split] = numpy.array([code is None for code in codes], dtype=bool)
        removed.update(code for code in codes if code)
    reason = ", ".join(f"{count:,} {code}" for code, count in removed.most_common()) or "no other language"
    return keep_rows(dataset, "keep_languages", keep, reason)


def detect(texts: Iterable[str], min_chars: int = 20, min_probability: float = 0.5) -> list[str]:
    """The language of each text as its ISO 639-1 code; "und" where it is not sure. Arguments as in `keep_languages`.

    >>> detect(["Der schnelle Fuchs springt über den Hund.", "一个男人正在弹吉他。", "Hallo", "+49 (0)30 1234567890 1"])
    ['de', 'zh', 'und', 'und']
    """
    return [
        _language(text, min_probability) if _weight(text) >= min_chars and _LETTER.search(text) else _UNDECIDED
        for text in texts
    ]


def _foreign(
    batch: "pyarrow.Table", languages: Sequence[str], min_chars: int, min_probability: float
) -> list[str | None]:
    """For each row the first language among its texts that is not asked for."""
    accepted = {*languages, _UNDECIDED}
    columns = [detect(map(_as_one, column.to_pylist()), min_chars, min_probability) for column in batch.columns]
    return [next((code for code in codes if code not in accepted), None) for codes in zip(*columns, strict=True)]


def _language(text: str, min_probability: float) -> str:
    code, probability = _identifier().classify(text)
    code = _PART_OF.get(code, code)
    if probability < min_probability:  # the relatives of a language may have it together
        total = Counter()
        for name, share in _identifier().rank(text):
            total[_PART_OF.get(name, name)] += share
        code, probability = total.most_common(1)[0]
    return code if probability >= min_probability and code != _NO_LANGUAGE else _UNDECIDED


def _weight(text: str) -> int:
    return len(text) + (_CJK_WEIGHT - 1) * len(_CJK.findall(text))


def _as_one(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "\n".join(value)


@functools.cache
def _identifier() -> "LanguageIdentifier":
    """An identifier of our own: the library's global one is anybody's to restrict."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _faults(
    dataset: EmbeddingDataset,
    languages: Sequence[str],
    columns: Sequence[str] | None,
    min_chars: int,
    min_probability: float,
) -> Iterator[str]:
    known = sorted({*_identifier().labels} - {*_PART_OF, _NO_LANGUAGE})
    if isinstance(languages, str) or not languages:
        yield f"languages={languages!r} must be a list of codes, such as languages=[en,zh]."
        languages = ()
    if isinstance(columns, str):
        yield f"columns={columns!r} must be a list, such as columns=[{columns}], or null for all text columns."
        columns = ()
    for code in languages:
        if code in _PART_OF:
            yield f"languages: {code} counts as {_PART_OF[code]}: type that."
        elif code not in known:
            hint = did_you_mean(str(code), known)
            yield f"languages: {code!r} is not known. Known: {listed(known)}. {hint}".strip()
    for column in columns or ():
        if column not in dataset.text_columns:
            yield f"columns: {column!r} is no text column. Expected some of: {listed(dataset.text_columns)}."
    if min_chars < 0:
        yield f"min_chars={min_chars} must be 0 or more."
    if not 0 <= min_probability <= 1:
        yield f"min_probability={min_probability} must be in [0, 1]."
