"""Words replaced by synonyms: from WordNet (versions 2 to 3.1) or a file of groups such as Cilin."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from embexp.errors import DataError, listed
from embexp.steps.augment.text_changes import ShareOfWords, sample_places
from embexp.steps.word_tokenizer import Word, text_of, words_of

_FORM = "a UTF-8 text file with words of one meaning on each line: 银行 钱庄, or as in Cilin Dm04A02= 银行 钱庄"


@dataclass(frozen=True)
class SynonymGroups:
    """Synonyms of a text file: the words of a line, with spaces between them, mean the same.

    A line may begin with a code of Cilin: one that ends in = has synonyms; lines with # (related words) and @ (single
    words) are skipped.

    Raises:
        DataError: there is no such file, or it cannot be read, or has no group.
    """

    path: str | None

    def __post_init__(self) -> None:
        text = None
        if self.path is None:
            text = "names no file of synonyms"
        elif not Path(self.path).is_file():
            text = "is not a file"
        elif not _synonyms_of_groups(self.path):
            text = "has no group of synonyms"
        if text:
            raise DataError(text, key="path", given=self.path, expected=_FORM, fix="path=<file>")

    def synonyms_of(self, word: str) -> Sequence[str]:
        """The synonyms of a word, in the order of the file."""
        return _synonyms_of_groups(self.path).get(word, ())


@functools.cache
def _synonyms_of_groups(path: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "iconv -f gb18030 -t utf-8 <file>"
        raise DataError(f"is not in UTF-8: {error}", key="path", given=path, expected=_FORM, fix=fix) from error
    for line in content.splitlines():
        code, *words = line.split() or [""]
        if code.endswith(("#", "@")):
            continue
        words = words if code.endswith("=") else [code, *words]
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in found.items() if others}


PARTS = ("noun", "verb", "adj", "adv")  # of speech; one file of each kind for each
_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand: galore(ip)


@dataclass(frozen=True)
class WordNet:
    """Synonyms of a word in the part of speech that it is used in most, by its most frequent senses (Miller 1995).

    The part of speech is the one whose senses occur most in WordNet's own texts. WordNet has base forms only, so other
    forms ("banks", "rose") have no synonyms here.

    Args:
        folder: holds index.noun, data.noun and so on, as in Debian's wordnet-base or nltk's corpora/wordnet.
        senses: how many senses of a word count, the most frequent first.

    Raises:
        DataError: a file is missing.
    """

    folder: str
    senses: int

    def __post_init__(self) -> None:
        files = [f"{kind}.{part}" for kind in ("index", "data") for part in PARTS]
        if missing := [name for name in files if not (Path(self.folder) / name).is_file()]:
            text, fix = f"lacks {listed(missing)}", "folder=<folder with index.noun>"
            expected = (
                "the files of WordNet, of apt-get install wordnet-base (/usr/share/wordnet) or wordnet.princeton.edu"
            )
            raise DataError(text, key="folder", given=self.folder, expected=expected, fix=fix)

    def synonyms_of(self, word: str) -> Sequence[str]:
        """The synonyms of a word in lower case, the most frequent sense first."""
        return _synonyms(self.folder, self.senses).get(word, ())


@functools.cache
def _synonyms(folder: str, senses: int) -> dict[str, tuple[str, ...]]:
    """Synonyms by word; all words are read in half a second."""
    best: dict[str, tuple[int, tuple[str, ...]]] = {}
    for part in PARTS:
        synsets = dict(_synsets(Path(folder) / f"data.{part}"))
        for word, num_tagged, offsets in _entries(Path(folder) / f"index.{part}"):
            if word not in best or num_tagged > best[word][0]:
                others = (other for offset in offsets[:senses] for other in synsets[offset] if other.lower() != word)
                best[word] = num_tagged, tuple(dict.fromkeys(others))
    files = [path for part in PARTS if (path := Path(folder) / f"{part}.exc").is_file()]
    irregular = {fields[0] for path in files for fields in _lines(path)}  # may look like base forms: `rose rise`
    return {word: others for word, (_, others) in best.items() if others and word not in irregular}


def _lines(path: Path) -> Iterator[list[str]]:
    """The fields of each entry; the lines of the licence begin with a space."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith(" "):
                yield line.split()


def _synsets(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each set of synonyms with its offset: `02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 ...`."""
    for fields in _lines(path):
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        yield fields[0], [_MARKER.sub("", word).replace("_", " ") for word in words]


def _entries(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    """Each single word, how many of its senses occur in texts, and its sets: `dog n 7 5 @ ~ 7 1 02084071 ...`."""
    for fields in _lines(path):
        num_senses = int(fields[2])
        if "_" not in fields[0]:
            yield fields[0], int(fields[-num_senses - 1]), fields[-num_senses:]


class _SynonymSource(Protocol):
    def synonyms_of(self, word: str) -> Sequence[str]: ...  # of a word in lower case


@dataclass(frozen=True)
class Synonyms(ShareOfWords):
    """Replaces a share of the words by a synonym each (Zhang et al. 2015; Wei & Zou 2019, EDA).

    Words such as "the" and "not" (scikit-learn's stop words) stay, and words with capitals, mostly names, unless they
    come first.
    """

    source: _SynonymSource

    def __call__(self, text: str, rng: Random) -> str:
        words = words_of(text)
        known = dict(self._known(words))
        for place in sample_places(known, len(words), self.share, rng):
            core, synonym = words[place].core, rng.choice(known[place])
            same_case = synonym[0].upper() + synonym[1:] if core[0].isupper() else synonym
            words[place] = words[place]._replace(core=same_case)
        return text_of(words)

    def _known(self, words: Sequence[Word]) -> Iterator[tuple[int, Sequence[str]]]:
        """The places of words that have synonyms, with these."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        for place, word in enumerate(words):
            lower = word.core.lower()
            is_plain = word.core[1:] == lower[1:] and (place == 0 or word.core == lower)
            if lower and is_plain and lower not in ENGLISH_STOP_WORDS and (synonyms := self.source.synonyms_of(lower)):
                yield place, synonyms
