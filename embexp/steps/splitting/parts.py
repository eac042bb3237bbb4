"""Which group goes to which split: by its hash, or by quotas for every label in the order of the hashes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embexp.errors import DataError, listed
from embexp.steps.comparing.row_keys import mixed
from embexp.steps.splitting.groups import Groups

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class Division:
    """Groups divided among splits.

    Attributes:
        parts: the split of each group, as its place among `names`; the last one is train.
        large: groups that are larger than the smallest split to be made, and so are in train.
    """

    names: tuple[str, ...]
    parts: "numpy.ndarray"
    large: "numpy.ndarray"


def divided(
    groups: Groups, shares: Mapping[str, float], seed: int, labels: "numpy.ndarray | None", name: str
) -> Division:
    """The groups divided so that each split gets its share of the rows.

    Without labels, a group's place in [0, 1) is a hash of the seed and its key, and each split is an interval there:
    rows that are added to the data do not move the groups that they are not connected to. Only a group whose size is
    near that of the smallest split may move, and one that filled a split which would have stayed empty.
    With labels, each split takes its quota of every label in the order of the hashes: rows that are added move
    those near the cuts.

    Args:
        shares: the share of each split to be made, in (0, 1), together below 1; train gets the rest.
        labels: the label of each row as a whole number; groups count with their most frequent one.

    Raises:
        DataError: too few groups for the splits.
    """
    import numpy

    names = (*shares, "train")
    place = mixed(groups.keys, seed).astype("float64") / 2.0**64
    large = groups.sizes > max(1, int(min(shares.values()) * groups.sizes.sum()))
    cuts = numpy.cumsum(list(shares.values()))
    if labels is None:
        parts = numpy.searchsorted(cuts, place, side="right")
    else:
        parts = _by_quota(groups, cuts, place, large, _most_frequent(groups, labels))
    parts[large] = len(shares)
    parts = _none_empty(parts, place, cuts, large, names, name)
    return Division(names, parts.astype("int8"), large)


def _by_quota(
    groups: Groups, cuts: "numpy.ndarray", place: "numpy.ndarray", large: "numpy.ndarray", label: "numpy.ndarray"
) -> "numpy.ndarray":
    import numpy

    parts = numpy.full(len(place), len(cuts))
    rows_of_label = numpy.bincount(label, weights=groups.sizes)
    order = numpy.lexsort((place, label))
    order = order[~large[order]]
    sizes, labels = groups.sizes[order], label[order]
    before = numpy.cumsum(sizes) - sizes
    starts = numpy.searchsorted(labels, numpy.arange(len(rows_of_label)))
    within = before - numpy.append(before, 0)[starts[labels]]  # rows of the same label that came before
    quotas = numpy.rint(numpy.outer(rows_of_label, cuts))[labels]
    parts[order] = (within[:, None] + sizes[:, None] / 2 > quotas).sum(axis=1)
    return parts


def _most_frequent(groups: Groups, labels: "numpy.ndarray") -> "numpy.ndarray":
    """The label that most rows of each group have, the smallest one among equals."""
    import numpy

    num_labels = int(labels.max()) + 1
    pairs, counts = numpy.unique(groups.of_rows.astype("int64") * num_labels + labels, return_counts=True)
    group, label = pairs // num_labels, pairs % num_labels
    order = numpy.lexsort((label, -counts, group))
    _, first = numpy.unique(group[order], return_index=True)
    return label[order][first]


def _none_empty(
    parts: "numpy.ndarray",
    place: "numpy.ndarray",
    cuts: "numpy.ndarray",
    large: "numpy.ndarray",
    names: tuple[str, ...],
    name: str,
) -> "numpy.ndarray":
    """A split that would stay empty gets the group nearest to its interval, from a split that has others."""
    import numpy

    bounds = [0.0, *cuts, 1.0]
    for part in range(len(names) - 1, -1, -1):
        held = numpy.bincount(parts, minlength=len(names))
        if held[part]:
            continue
        free = (held[parts] > 1) & ~large
        if not free.any():
            raise DataError(_too_few(names, parts, large, names[part], name))
        distance = numpy.maximum(bounds[part] - place, place - bounds[part + 1])
        parts[numpy.where(free, distance, numpy.inf).argmin()] = part
    return parts


def _too_few(names: tuple[str, ...], parts: "numpy.ndarray", large: "numpy.ndarray", empty: str, name: str) -> str:
    return (
        f"{name} cannot be divided into {listed((names[-1], *names[:-1]))}: its rows make {len(parts):,} group(s) "
        f"that stay together, {int(large.sum()):,} of them larger than a split, and nothing is left for {empty}. "
        "Type larger shares, such as dataset.steps.split.ratios=[2,1,1], 0 to do without a split, "
        "or dataset.steps.split.by=rows, which lets a text be in two splits."
    )
