"""The pairs that may get a silver label: gold rows, their texts, and pairs that are excluded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embexp.data.arrow import select_rows
from embexp.data.dataset import EmbeddingDataset
from embexp.steps.dedup.row_keys import pair_keys
from embexp.steps.negatives.pool import Pairs, Pool, keys_of

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset


def divided_gold(rows: "Dataset", share: float, number: int | None, seed: int) -> tuple["Dataset", "Dataset"]:
    """The rows that keep their labels, and the rest, both in the order they had.

    Args:
        share: of the rows that stay gold, above 0 and at most 1.
        number: how many stay gold, in place of a share; None for the share.
    """
    import numpy

    wanted = min(number or max(1, round(share * rows.num_rows)), rows.num_rows)
    is_gold = numpy.zeros(rows.num_rows, bool)
    is_gold[numpy.random.default_rng(seed).permutation(rows.num_rows)[:wanted]] = True
    return select_rows(rows, is_gold), select_rows(rows, ~is_gold)


def search_pool(queries: Sequence[str], documents: Sequence[str], prompts: tuple[str | None, str | None]) -> Pool:
    """The pool in which every distinct query looks for every distinct document."""
    import numpy
    from datasets import Dataset

    none = Pairs(numpy.zeros(0, "int64"), numpy.zeros(0, "int64"))
    return Pool(_distinct(queries), _distinct(documents), Dataset.from_dict({}), none.left, none, none, none, prompts)


def _distinct(texts: Sequence[str]) -> list[str]:
    """The first of the texts that are the same but for case, spaces and punctuation."""
    import numpy

    first = numpy.unique(keys_of(texts), return_index=True)[1]
    return [texts[place] for place in sorted(first.tolist())]


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
        tuple(dataset.prompts.prompt_for(column) for column in columns),
    )
