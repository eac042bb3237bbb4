"""Synonyms from a file of groups, such as the Chinese thesaurus Cilin (同义词词林)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embexp.errors import DataError

_KEY = "dataset.steps.augment_synonyms_zh.method.source.path"
_FORM = (
    "Expected a UTF-8 text file with words of one meaning on each line: 银行 钱庄, or as in Cilin Dm04A02= 银行 钱庄."
)


@dataclass(frozen=True)
class SynonymGroups:
    """Synonyms by a text file: the words of a line, with spaces between them, mean the same.

    A line may begin with a code of Cilin: with = its words mean the same; with # they only belong together and with @
    a word stands alone, so these lines are passed over.

    Raises:
        DataError: no file was named, or it cannot be read, or holds no group.
    """

    path: str | None

    def __post_init__(self) -> None:
        if self.path is None:
            raise DataError(f"No file of synonyms was named. {_FORM} Type {_KEY}=<file>.")
        if not Path(self.path).is_file():
            raise DataError(f"{self.path} is no file. {_FORM} Type {_KEY}=<file>.")
        if not _synonyms(self.path):
            raise DataError(f"{self.path} holds no group of synonyms. {_FORM}")

    def of(self, word: str) -> Sequence[str]:
        """The synonyms of a word, in the order of the file."""
        return _synonyms(self.path).get(word, ())


@functools.cache
def _synonyms(path: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in _text(path).splitlines():
        code, *words = line.split() or [""]
        if code.endswith(("#", "@")):
            continue
        words = words if code.endswith("=") else [code, *words]
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in found.items() if others}


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8: {error}. {_FORM} Type iconv -f gb18030 -t utf-8 <file>.") from error
