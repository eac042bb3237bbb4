"""What pairs are made of: the texts of the gold rows, and the pairs that must not be made of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embexp.data.dataset import EmbeddingDataset
from embexp.steps.comparing.row_keys import pair_keys
from embexp.steps.negatives.pool import keys_of

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPool:
    """Texts of gold rows. Two texts that differ in case, spaces and punctuation only are the same.

    Attributes:
        sides: the texts of gold's first and of its second column, in order.
        rest: pairs of the rows that are not gold: their labels are not known here.
        taken: keys (`pair_keys`) of the pairs of gold, dev and test, in either order.
        held_out: keys of the texts of dev and test.
        prompts: what goes before first and second texts, as `Encoder.encode` takes it.
    """

    sides: tuple[list[str], list[str]]
    rest: list[Pair]
    taken: "numpy.ndarray"
    held_out: "numpy.ndarray"
    prompts: tuple[str | None, str | None]

    def are_free(self, first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
        """Which pairs may be made, given the keys of their texts: not of one text, and not one that is taken."""
        import numpy

        return (first != second) & ~numpy.isin(pair_keys(first, second), self.taken)

    def free_pairs(self, pairs: Sequence[Pair]) -> tuple[list[Pair], Counter[str]]:
        """Those of the pairs that may be made, each once in whichever order it came first, and why others may not."""
        import numpy

        first, second = (keys_of([pair[side] for pair in pairs]) for side in (0, 1))
        free = self.are_free(first, second)
        is_first = numpy.zeros(len(pairs), bool)
        is_first[numpy.unique(pair_keys(first, second), return_index=True)[1]] = True
        reasons = {
            "of one text": first == second,
            "in gold, dev or test": (first != second) & ~free,
            "there before": free & ~is_first,
        }
        kept = [pairs[place] for place in numpy.flatnonzero(free & is_first).tolist()]
        return kept, Counter({reason: int(mask.sum()) for reason, mask in reasons.items() if mask.any()})

    def num_held_out(self, pairs: Sequence[Pair]) -> int:
        """How many of the pairs have a text that stands in dev or test, in another pair.

        Such pairs may be made: public sets of sentence pairs share sentences between their splits, too.
        """
        import numpy

        first, second = (numpy.isin(keys_of([pair[side] for pair in pairs]), self.held_out) for side in (0, 1))
        return int((first | second).sum())


class PairSampler(Protocol):
    """Finds pairs that are worth a label."""

    def sample(self, pool: PairPool) -> list[Pair]:
        """Pairs, best first; some of them may be taken or there twice."""


def pair_pool(dataset: EmbeddingDataset, gold: "Dataset", rest: "Dataset") -> PairPool:
    """The pool of some train rows of a data set of pairs."""
    import numpy

    columns = dataset.text_columns
    texts = tuple(gold[column][:] for column in columns)
    others = [rows for split, rows in dataset.splits.items() if split != "train"]
    keys = [[keys_of(rows[column][:]) for column in columns] for rows in (gold, *others)]
    none = numpy.empty(0, "uint64")
    return PairPool(
        texts,
        [*zip(*(rest[column][:] for column in columns), strict=True)],
        numpy.unique(numpy.concatenate([pair_keys(*sides) for sides in keys])),
        numpy.unique(numpy.concatenate([none, *(side for of_rows in keys[1:] for side in of_rows)])),
        tuple(dataset.prompts.of(column) for column in columns),
    )
