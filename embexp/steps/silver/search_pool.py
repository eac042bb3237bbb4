"""Texts as retrievers search them: each once, with no known answers."""

from collections.abc import Sequence

from embexp.steps.negatives.pool import Pairs, Pool, keys_of


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
