"""The pairs that may get a silver label: gold rows, their texts, and pairs that are excluded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embexp.data.arrow import select_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.dedup.row_keys import pair_keys
from embexp.steps.negatives.pool import keys_of

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset


def split_gold(rows: "Dataset", share: float, number: int | None, seed: int) -> tuple["Dataset", "Dataset"]:
    """The rows that keep their labels, and the others, both in their order.

    Args:
        share: of the rows that stay gold, above 0 and at most 1.
        number: how many stay gold, in place of a share; None for the share.
    """
    import numpy

    wanted = min(number or max(1, round(share * rows.num_rows)), rows.num_rows)
    is_gold = numpy.zeros(rows.num_rows, bool)
    is_gold[numpy.random.default_rng(seed).permutation(rows.num_rows)[:wanted]] = True
    return select_rows(rows, is_gold), select_rows(rows, ~is_gold)


Pair = tuple[str, str]


@dataclass(frozen=True)
class PairPool:
    """Texts of gold rows. Texts that differ only in case, spaces and punctuation are the same.

    Attributes:
        sides: the texts of gold's first and of its second column, in order.
        rest: pairs of the other rows, without their labels.
        taken: keys (`pair_keys`) of the pairs of gold, dev and test, in either order.
        held_out: keys of the texts of dev and test.
        prompts: of first and second texts, as `Encoder.encode` takes them.
    """

    sides: tuple[list[str], list[str]]
    rest: list[Pair]
    taken: "numpy.ndarray"
    held_out: "numpy.ndarray"
    prompts: tuple[str | None, str | None]

    def are_free(self, first: "numpy.ndarray", second: "numpy.ndarray") -> "numpy.ndarray":
        """Which pairs may be made, given the keys of their texts: two texts that are not a pair yet."""
        import numpy

        return (first != second) & ~numpy.isin(pair_keys(first, second), self.taken)

    def free_pairs(self, pairs: Sequence[Pair]) -> tuple[list[Pair], Counter[str]]:
        """The pairs that may be made, each once in the order of its first time, and why others may not."""
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
        """How many of the pairs have a text that is in another pair of dev or test.

        Such pairs are allowed: public sets of sentence pairs share sentences between their splits, too.
        """
        import numpy

        first, second = (numpy.isin(keys_of([pair[side] for pair in pairs]), self.held_out) for side in (0, 1))
        return int((first | second).sum())


class PairSampler(Protocol):
    """Finds pairs to label."""

    def sample(self, pool: PairPool) -> list[Pair]:
        """Pairs, best first; some may be taken already or come twice."""


def make_pair_pool(dataset: EmbeddingDataset, gold: "Dataset", rest: "Dataset") -> PairPool:
    """The pool of the train rows of a data set of pairs, divided into gold and the rest."""
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
        tuple(dataset.prompts.prompt_for(column) for column in columns),
    )
