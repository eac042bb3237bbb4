"""Keeping the rows whose texts are in certain languages."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy

from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset, keep_rows

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

    A text stays where its language is uncertain: it is short, has no letters, or no language is likely enough. A list
    of texts (ranked rows) counts as one text.

    Args:
        languages: ISO 639-1 codes, such as [en, zh].
        columns: the text columns that count; None for all.
        min_chars: shorter texts stay; a Chinese, Japanese or Korean character counts as three.
        min_probability: in [0, 1]; a text is in another language when that is at least as likely.

    Raises:
        ConfigError: lists every unknown language and column and every number out of range.
        DataError: a split would be left without rows.
    """
    known = sorted({*_identifier().labels} - {*_PART_OF, _NO_LANGUAGE})
    note = ". ".join(f"The code {code} counts as {_PART_OF[code]}" for code in _PART_OF if code in (languages or ()))
    legal_columns = LegalValues(many=True, one_of=tuple(dataset.text_columns), optional=True)
    problems = [*problems_with("languages", languages, LegalValues(many=True, one_of=tuple(known)), "[en,zh]", note)]
    problems += problems_with("columns", columns or None, legal_columns, such_as="null")
    problems += problems_with("min_chars", min_chars, LegalValues(least=0), such_as=20)
    problems += problems_with("min_probability", min_probability, LegalValues(least=0, most=1), such_as=0.5)
    refuse(problems)
    names = list(columns or dataset.text_columns)
    keep, removed = {}, Counter()
    for split, rows in dataset.splits.items():
        batches = batches_of(rows.select_columns(names), "languages")
        codes = [code for batch in batches for code in _foreign(batch, languages, min_chars, min_probability)]
        keep[split] = numpy.array([code is None for code in codes], dtype=bool)
        removed.update(code for code in codes if code)
    reason = ", ".join(f"{count:,} {code}" for code, count in removed.most_common()) or "no other language"
    return keep_rows(dataset, "keep_languages", keep, reason)


def _detect(texts: Iterable[str], min_chars: int = 20, min_probability: float = 0.5) -> list[str]:
    """The language of each text as its ISO 639-1 code; "und" where it is uncertain. Arguments as in `keep_languages`.

    >>> _detect(["Der schnelle Fuchs springt über den Zaun.", "一个男人正在弹吉他。", "Hallo", "+49 (0)30 123456"])
    ['de', 'zh', 'und', 'und']
    """
    found = []
    for text in texts:
        weight = len(text) + (_CJK_WEIGHT - 1) * len(_CJK.findall(text))
        is_long_enough = weight >= min_chars and _LETTER.search(text)
        found.append(_language(text, min_probability) if is_long_enough else _UNDECIDED)
    return found


def _foreign(
    batch: "pyarrow.Table", languages: Sequence[str], min_chars: int, min_probability: float
) -> list[str | None]:
    """For each row the first language among its texts that is not wanted."""
    accepted = {*languages, _UNDECIDED}
    columns = []
    for column in batch.columns:
        texts = (value if isinstance(value, str) else "\n".join(value) for value in column.to_pylist())
        columns.append(_detect(texts, min_chars, min_probability))
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


@functools.cache
def _identifier() -> "LanguageIdentifier":
    """An identifier of our own: any code can restrict the library's global one."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
