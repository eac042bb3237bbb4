"""Finding texts that are nearly the same, by MinHash signatures first and exactly afterwards."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rensa import RMinHash

Document = tuple[str, ...]
NGRAM, NUM_PERM, SEED = 3, 128, 42  # characters in an n-gram, hashes in a signature; the defaults of all searches
_RECALL = 0.98  # share of the pairs exactly at the threshold that signatures must find; of nearer ones, more
_DEVIATIONS = 4  # standard deviations of an estimate from a signature that count as chance: 1 pair in 30,000 is further


class NearIndex:
    """Documents by number, in which near ones are found.

    A document is one or more comparable texts (see row_keys.comparable). Two are near when, text by text, the sets
    of their character n-grams have a Jaccard similarity of `threshold` or more. Candidates come from MinHash
    signatures in bands (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4), which may miss a few pairs
    next to the threshold; each candidate is then measured exactly, so nothing is near by an accident of hashes.
    A document takes about a kilobyte besides its texts.

    >>> index = NearIndex(threshold=0.5)
    >>> index.add(("thecatsat",))
    >>> index.find(("thecatsits",)), index.find(("adogran",))
    (0, None)
    """

    def __init__(self, threshold: float, ngram: int = NGRAM, num_perm: int = NUM_PERM, seed: int = SEED) -> None:
        from rensa import RMinHashLSH

        self._threshold, self._ngram, self._seed = threshold, ngram, seed
        bands, rows = bands_for(threshold, num_perm)
        self._num_perm = bands * rows
        self._bands = RMinHashLSH(threshold, self._num_perm, bands)
        # A signature that is further below the threshold than chance explains rules its document out.
        self._lowest_estimate = threshold - _DEVIATIONS * (threshold * (1 - threshold) / self._num_perm) ** 0.5
        self._signatures: list[RMinHash] = []
        self._documents: list[Document] = []

    def add(self, document: Document) -> None:
        """Give a document the next number, from 0."""
        self._add(document, self._signature(document))

    def find(self, document: Document) -> int | None:
        """The number of the first document that is near this one, None when there is none."""
        return self._find(document, self._signature(document))

    def find_or_add(self, document: Document) -> int | None:
        """The number of the first document that is near this one, which is added only when there is none."""
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
            if similarity(document, self._documents[place], self._ngram) >= self._threshold:
                return place
        return None

    def _signature(self, document: Document) -> "RMinHash":
        """Of the n-grams of all texts together, each with the place of its text.

        The Jaccard similarity of these sets lies between the lowest and the highest of the single texts, so no near
        pair is lost by looking at all texts at once.
        """
        from rensa import RMinHash

        signature = RMinHash(self._num_perm, self._seed)
        signature.update(
            [f"{place}:{gram}" for place, text in enumerate(document) for gram in ngrams(text, self._ngram)]
        )
        return signature


def ngrams(text: str, length: int) -> set[str]:
    """All runs of `length` characters; a shorter text is its only one.

    >>> sorted(ngrams("banana", 3)), ngrams("ab", 3)
    (['ana', 'ban', 'nan'], {'ab'})
    """
    return {text[start : start + length] for start in range(max(1, len(text) - length + 1))}


def similarity(first: Document, second: Document, ngram: int) -> float:
    """The lowest Jaccard similarity, text by text, of the sets of character n-grams; 0 to 1.

    >>> similarity(("abcd", "xyz"), ("abcd", "xyz"), 3), similarity(("abcd",), ("abce",), 3)
    (1.0, 0.3333333333333333)
    """
    lowest = 1.0
    for one, other in zip(first, second, strict=True):
        if one != other:
            left, right = ngrams(one, ngram), ngrams(other, ngram)
            lowest = min(lowest, len(left & right) / len(left | right))
    return lowest


def bands_for(threshold: float, num_perm: int) -> tuple[int, int]:
    """How many bands of how many hashes: the longest bands that find RECALL of the pairs at the threshold.

    >>> bands_for(0.8, 128)
    (18, 7)
    """
    rows = [rows for rows in range(1, num_perm + 1) if 1 - (1 - threshold**rows) ** (num_perm // rows) >= _RECALL]
    longest = max(rows, default=1)
    return num_perm // longest, longest


def faults_of_search(
    threshold: float, ngram: int = NGRAM, num_perm: int = NUM_PERM, name: str = "threshold"
) -> Iterator[str]:
    """What cannot be meant, a line for each fault; `name` is what the caller calls the threshold."""
    if not 0 < threshold <= 1:
        yield f"{name}={threshold} must be above 0, at most 1: the lowest Jaccard similarity of near texts (0.8)."
    if ngram < 1:
        yield f"ngram={ngram} must be 1 or more: the characters of an n-gram."
    if num_perm < 16:
        yield f"num_perm={num_perm} must be 16 or more: the hashes of a signature, such as 128."
