"""Synonyms of English words from the files of WordNet (Princeton's own format, versions 2 to 3.1)."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embexp.errors import DataError

PARTS = ("noun", "verb", "adj", "adv")  # of speech; one file of each kind for each
_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand: galore(ip)


@dataclass(frozen=True)
class WordNet:
    """Synonyms of a word in the part of speech that it is used in most, by its most frequent senses (Miller 1995).

    Which part that is, is told by the number of its senses that were found in WordNet's texts. Words stand there in
    their base forms, so others ("banks", "rose") have no synonyms here.

    Args:
        folder: holds index.noun, data.noun and so on, as in Debian's wordnet-base or nltk's corpora/wordnet.
        senses: how many of the word's senses count, the most frequent first.

    Raises:
        DataError: a file is not there.
    """

    folder: str
    senses: int

    def __post_init__(self) -> None:
        _check(Path(self.folder))

    def of(self, word: str) -> Sequence[str]:
        """The synonyms of a word in lower case, the most frequent sense first."""
        return _synonyms(self.folder, self.senses).get(word, ())


def _check(folder: Path) -> None:
    missing = [
        f"{kind}.{part}" for kind in ("index", "data") for part in PARTS if not (folder / f"{kind}.{part}").is_file()
    ]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}. Expected the files of WordNet: apt-get install wordnet-base puts "
            "them into /usr/share/wordnet; elsewhere unpack WordNet's own archive (wordnet.princeton.edu) and name the "
            "folder: dataset.steps.augment_synonyms.method.source.folder=<folder with index.noun>."
        )


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
    irregular = {word for part in PARTS for word in _irregular(Path(folder) / f"{part}.exc")}
    return {word: others for word, (_, others) in best.items() if others and word not in irregular}


def _irregular(path: Path) -> Iterator[str]:
    """Forms of other words, which may look like base forms: `rose rise`."""
    return (fields[0] for fields in _lines(path)) if path.is_file() else iter(())


def _lines(path: Path) -> Iterator[list[str]]:
    """The fields of each entry; the licence stands in lines that begin with a space."""
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
    """Each single word, how many of its senses were found in texts, and its sets: `dog n 7 5 @ ~ 7 1 02084071 ...`."""
    for fields in _lines(path):
        num_senses = int(fields[2])
        if "_" not in fields[0]:
            yield fields[0], int(fields[-num_senses - 1]), fields[-num_senses:]
