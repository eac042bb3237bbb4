"""How similarities lie for pairs of each gold score or label: whether a model tells apart what people tell apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

MOST_VALUES = 10  # different gold scores with a line each; of more fifths are made
PARTS = 5  # of the gold scores from 0 to 1
HEADINGS = ("model", "gold", "pairs", "5 %", "median", "95 %")


def spread_of(gold: Sequence[float], similarities: Sequence[float]) -> list[tuple[str, int, float, float, float]]:
    """Gold, number of pairs, and the 5 %, 50 % and 95 % quantiles of their similarity, the lowest gold first.

    Args:
        gold: in [0, 1], or labels 0 and 1, `(n,)`; of more than ten values fifths are made.
        similarities: of the same pairs, `(n,)`.

    >>> spread_of([0, 0, 1], [0.25, 0.25, 0.5])
    [('0', 2, 0.25, 0.25, 0.25), ('1', 1, 0.5, 0.5, 0.5)]
    """
    import numpy

    gold, similarities = numpy.asarray(gold, dtype=float), numpy.asarray(similarities, dtype=float)
    return [
        (name, int(member.sum()), *numpy.quantile(similarities[member], (0.05, 0.5, 0.95)).tolist())
        for name, member in _groups(gold)
        if member.any()
    ]


def _groups(gold: "numpy.ndarray") -> Iterator[tuple[str, "numpy.ndarray"]]:
    import numpy

    if len(values := numpy.unique(gold)) <= MOST_VALUES:
        yield from ((f"{value:g}", gold == value) for value in values)
        return
    part = numpy.minimum((gold * PARTS).astype(int), PARTS - 1)
    for number in range(PARTS):
        end = "]" if number == PARTS - 1 else ")"
        yield f"[{number / PARTS:g}, {(number + 1) / PARTS:g}{end}", part == number


def spread_markdown(title: str, gold: Sequence[float], models: Mapping[str, Sequence[float]]) -> str:
    """The spread of every model's similarities as a table in Markdown.

    Args:
        models: each one's similarities by its name.
    """
    lines = [HEADINGS, ["---"] * len(HEADINGS)]
    for model, similarities in models.items():
        for name, number, *quantiles in spread_of(gold, similarities):
            lines.append((model, name, f"{number:,}", *(f"{value:.3f}" for value in quantiles)))
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"
