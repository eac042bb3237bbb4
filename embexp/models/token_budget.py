"""Rows of like length put together, so that what they are padded to stays within so many tokens."""

from collections.abc import Sequence


def ranges_within(budget: int, lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Where groups of neighbouring rows begin and end; a row longer than the budget is a group of its own.

    Args:
        budget: most tokens of a group: its rows times the longest of them.
        lengths: tokens of each row, sorted, either way.

    >>> ranges_within(9, [2, 2, 3, 9, 9]), ranges_within(9, [10, 3, 3, 3, 1])
    ([(0, 3), (3, 4), (4, 5)], [(0, 1), (1, 4), (4, 5)])
    """
    ranges, start, widest = [], 0, 0
    for row, length in enumerate(lengths):
        widest = max(widest, length)
        if row > start and widest * (row + 1 - start) > budget:
            ranges.append((start, row))
            start, widest = row, length
    return [*ranges, (start, len(lengths))]
