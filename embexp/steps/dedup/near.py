"""Finding texts that are nearly the same, first by MinHash signatures, then exactly."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import COUNT, SHARE, LegalValues, problems_with
from embexp.errors import Problem

if TYPE_CHECKING:
    from rensa import RMinHash

Document = tuple[str, ...]
NGRAM, NUM_PERM, SEED = 3, 128, 42  # characters in an n-gram, hashes in a signature; the defaults of all searches
_RECALL = 0.98  # share of the pairs exactly at the threshold that signatures must find; of nearer ones, more
_DEVIATIONS = 4  # standard deviations of an estimate from a signature that may be chance: 1 pair in 30,000 is further


class NearIndex:
    """Finds near documents among numbered ones.

    A document is one or more comparable texts (see row_keys.comparable). Two are near when, text by text, the sets
    of their character n-grams have a Jaccard similarity of `threshold` or more. Candidates come from MinHash
    signatures in bands (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4), which may miss a few pairs
    close to the threshold; each candidate's similarity is then computed exactly. A document takes about a kilobyte
    besides its texts.

    >>> index = NearIndex(threshold=0.5)
    >>> index.add(("thecatsat",))
    >>> index.find(("thecatsits",)), index.find(("adogran",))
    (0, None)
    """

    def __init__(self, threshold: float, ngram: int = NGRAM, num_perm: int = NUM_PERM, seed: int = SEED) -> None:
        from rensa import RMinHashLSH

        self._threshold, self._ngram, self._seed = threshold, ngram, seed
        bands, rows = _bands_for(threshold, num_perm)
        self._num_perm = bands * rows
        self._bands = RMinHashLSH(threshold, self._num_perm, bands)
        # A signature this far below the threshold is no matter of chance: its document is not near.
        self._lowest_estimate = threshold - _DEVIATIONS * (threshold * (1 - threshold) / self._num_perm) ** 0.5
        self._signatures: list[RMinHash] = []
        self._documents: list[Document] = []

    def add(self, document: Document) -> None:
        """Give a document the next number, from 0."""
        self._add(document, self._signature(document))

    def find(self, document: Document) -> int | None:
        """The number of the first near document, None when there is none."""
        return self._find(document, self._signature(document))

    def find_or_add(self, document: Document) -> int | None:
        """The number of the first near document; None when there is none, and the document is added."""
        signature = self._signature(document)
        found = self._find(document, signature)
        if found is None:
            self._add(document, signature)
        return found

    def _add(self, document: Document, signature: "RMinHash") -> None:
        self._bands.insert(len(self._documents), signature)
        self._signatures.append(signature)
        self._documents.append(document)

    def _find(self, document: Document, signature: "RMinHash") -> int | None:
        for place in sorted(set(self._bands.query(signature))):
            if signature.jaccard(self._signatures[place]) < self._lowest_estimate:
                continue
            if _similarity(document, self._documents[place], self._ngram) >= self._threshold:
                return place
        return None

    def _signature(self, document: Document) -> "RMinHash":
        """The signature of the n-grams of all texts, each with the place of its text: as similar as the texts are."""
        from rensa import RMinHash

        signature = RMinHash(self._num_perm, self._seed)
        placed = [f"{place}:{gram}" for place, text in enumerate(document) for gram in ngrams(text, self._ngram)]
        signature.update(placed)
        return signature


def ngrams(text: str, length: int) -> set[str]:
    """All runs of `length` characters; a shorter text is its only one.

    >>> sorted(ngrams("banana", 3)), ngrams("ab", 3)
    (['ana', 'ban', 'nan'], {'ab'})
    """
    return {text[start : start + length] for start in range(max(1, len(text) - length + 1))}


def _similarity(first: Document, second: Document, ngram: int) -> float:
    """The lowest Jaccard similarity, text by text, of the sets of character n-grams; 0 to 1.

    >>> _similarity(("abcd", "xyz"), ("abcd", "xyz"), 3), _similarity(("abcd",), ("abce",), 3)
    (1.0, 0.3333333333333333)
    """
    lowest = 1.0
    for one, other in zip(first, second, strict=True):
        if one != other:
            left, right = ngrams(one, ngram), ngrams(other, ngram)
            lowest = min(lowest, len(left & right) / len(left | right))
    return lowest


def _bands_for(threshold: float, num_perm: int) -> tuple[int, int]:
    """The number of bands and of hashes in each: the longest bands that find `_RECALL` of the pairs at the threshold.

    >>> _bands_for(0.8, 128)
    (18, 7)
    """
    rows = [rows for rows in range(1, num_perm + 1) if 1 - (1 - threshold**rows) ** (num_perm // rows) >= _RECALL]
    longest = max(rows, default=1)
    return num_perm // longest, longest


def near_search_problems(
    threshold: Any, ngram: Any = NGRAM, num_perm: Any = NUM_PERM, name: str = "threshold"
) -> Iterator[Problem]:
    """What is wrong with the arguments of a search; `name` is the caller's name of the threshold."""
    note = "It is the lowest Jaccard similarity of near texts"
    yield from problems_with(name, threshold, SHARE, such_as=0.8, note=note)
    yield from problems_with("ngram", ngram, COUNT, such_as=NGRAM, note="It is the number of characters")
    at_least_16 = LegalValues(least=16, whole=True)
    yield from problems_with("num_perm", num_perm, at_least_16, such_as=NUM_PERM, note="It is the number of hashes")
