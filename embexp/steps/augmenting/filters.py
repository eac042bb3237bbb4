"""Which changed texts must not stay: those in dev or test, and those too near their source or too far from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.data.dataset import EmbeddingDataset
from embexp.protocols import Encoder
from embexp.steps.comparing.row_keys import comparable, text_keys
from embexp.steps.comparing.text_hashes import text_hashes

if TYPE_CHECKING:
    import numpy

Change = tuple[str, str]  # a text before and after
Filter = Callable[[Sequence[Change]], "list[str | None]"]  # why each change must not stay, None where it may


@dataclass(frozen=True)
class HeldOut:
    """Refuses texts that stand in dev or test, but for case, spaces and punctuation."""

    keys: "numpy.ndarray"

    @classmethod
    def of(cls, dataset: EmbeddingDataset) -> "HeldOut":
        """The filter for the texts of dev and test of a data set."""
        import numpy

        others = [rows for split, rows in dataset.splits.items() if split != "train"]
        hashes = [text_hashes(rows, dataset.text_columns, loosely=True)[0] for rows in others]
        return cls(numpy.unique(numpy.concatenate([numpy.empty(0, "uint64"), *hashes])))

    def __call__(self, changes: Sequence[Change]) -> list[str | None]:
        import numpy
        import pyarrow

        after = pyarrow.array([after for _, after in changes], pyarrow.string())
        found = numpy.isin(text_keys(comparable(after)), self.keys)
        return ["in dev or test" if each else None for each in found]


@dataclass(frozen=True)
class SimilarityBand:
    """Refuses texts whose cosine to their source is below `lowest` or above `highest`, as an encoder sees it.

    Args:
        lowest, highest: in [-1, 1]; None for no bound.
    """

    lowest: float | None
    highest: float | None
    encoder: Encoder

    def __call__(self, changes: Sequence[Change]) -> list[str | None]:
        before, after = (self._unit_vectors([change[place] for change in changes]) for place in (0, 1))
        return [self._reason(similarity) for similarity in (before * after).sum(axis=1).tolist()]

    def _reason(self, similarity: float) -> str | None:
        if self.lowest is not None and similarity < self.lowest:
            return f"less similar than {self.lowest}"
        if self.highest is not None and similarity > self.highest:
            return f"more similar than {self.highest}"
        return None

    def _unit_vectors(self, texts: Sequence[str]) -> "numpy.ndarray":
        import numpy

        vectors = self.encoder.encode(texts)
        return vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
