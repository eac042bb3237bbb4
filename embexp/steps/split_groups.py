"""Which rows must stay together, which group goes to which split, and which negatives of train must go then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from embexp.data.arrow import batches_of, list_lengths, scores_without, select_rows, table_of_batches, without_items
from embexp.data.shapes import Shape, text_columns
from embexp.errors import DataError, listed
from embexp.steps.dedup.row_keys import comparable, mixed, text_hashes, text_keys

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset


@dataclass(frozen=True)
class RowGroups:
    """Groups of rows that stay together.

    Attributes:
        of_rows: the number of each row's group, int32 `(num_rows,)`.
        sizes: rows of each group, int64 `(num_groups,)`.
        keys: a 64-bit hash of each group, which depends on its own texts alone.
        texts: the number of each text, row by row, and `counts`, how many texts each row has.
    """

    of_rows: numpy.ndarray
    sizes: numpy.ndarray
    keys: numpy.ndarray
    texts: numpy.ndarray
    counts: numpy.ndarray


def connected_rows(rows: "Dataset", columns: list[str]) -> RowGroups:
    """Rows that share a text, directly or through other rows; a group's key is the smallest hash of its texts.

    Case, spaces and punctuation do not count, as in the leak audit.

    >>> from datasets import Dataset
    >>> connected_rows(Dataset.from_dict({"a": ["x", "y", "z"], "b": ["u", "v", "u"]}), ["a", "b"]).of_rows.tolist()
    [0, 1, 0]
    """
    hashes, counts = text_hashes(rows, columns, loosely=True)
    distinct, texts = numpy.unique(hashes, return_inverse=True)
    del hashes
    texts = texts.astype("int32")
    starts = numpy.cumsum(counts) - counts
    firsts = texts[starts]
    component = _components(len(distinct), numpy.repeat(firsts, counts), texts)
    # Texts are numbered by their hash: the first one of a component has its smallest.
    _, smallest = numpy.unique(component, return_index=True)
    return _numbered(component[firsts], distinct[smallest], texts, counts)


def identical_rows(rows: "Dataset", columns: list[str]) -> RowGroups:
    """Rows with the same texts in the same order."""
    hashes, counts = text_hashes(rows, columns, loosely=False)
    starts = numpy.cumsum(counts) - counts
    places = numpy.arange(len(hashes), dtype="int32") - numpy.repeat(starts.astype("int32"), counts)
    hashes_in_place = mixed(hashes ^ mixed(places))
    keys, group = numpy.unique(numpy.add.reduceat(hashes_in_place, starts), return_inverse=True)
    del hashes_in_place, places
    texts = numpy.unique(hashes, return_inverse=True)[1].astype("int32")
    return _numbered(group, keys, texts, counts)


def _numbered(group: numpy.ndarray, keys: numpy.ndarray, texts: numpy.ndarray, counts: numpy.ndarray) -> RowGroups:
    """The groups numbered in the order of their first rows."""
    _, first_rows, numbers = numpy.unique(group, return_index=True, return_inverse=True)
    order = numpy.argsort(first_rows)
    rank = numpy.empty_like(order)
    rank[order] = numpy.arange(len(order))
    of_rows = rank[numbers].astype("int32")
    return RowGroups(of_rows, numpy.bincount(of_rows), keys[group[first_rows[order]]], texts, counts)


def _components(num_nodes: int, one: numpy.ndarray, other: numpy.ndarray) -> numpy.ndarray:
    """The number of each node's component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    apart = one != other
    edges = (numpy.ones(int(apart.sum()), "int8"), (one[apart], other[apart]))
    return connected_components(coo_array(edges, shape=(num_nodes, num_nodes)), directed=False)[1]


@dataclass(frozen=True)
class Division:
    """The split of each group.

    Attributes:
        parts: the split of each group, as its place among `names`; the last one gets what the others leave.
        large: groups that are larger than the smallest split to make, and therefore in the last one.
    """

    names: tuple[str, ...]
    parts: numpy.ndarray
    large: numpy.ndarray


def divided(
    groups: RowGroups,
    shares: Mapping[str, float],
    seed: int,
    labels: numpy.ndarray | None,
    name: str,
    rest: str = "train",
) -> Division:
    """The groups divided so that each split gets its share of the rows.

    Without labels, a group's place in [0, 1) is a hash of the seed and its key, and each split is an interval there:
    added rows do not move the groups that they are not connected to. Only a group of about the size of the smallest
    split may move, and one that filled a split which was empty otherwise.
    With labels, each split takes its quota of every label in the order of the hashes: added rows move those near the
    cuts.

    Args:
        shares: the share of each split to make, in (0, 1), together below 1; `rest` gets the rest.
        labels: the label of each row as a whole number; a group has its most frequent one.

    Raises:
        DataError: too few groups for the splits.
    """
    names = (*shares, rest)
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
    groups: RowGroups, cuts: numpy.ndarray, place: numpy.ndarray, large: numpy.ndarray, label: numpy.ndarray
) -> numpy.ndarray:
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


def _most_frequent(groups: RowGroups, labels: numpy.ndarray) -> numpy.ndarray:
    """The label that most rows of each group have, the smallest one among equals."""
    num_labels = int(labels.max()) + 1
    pairs, counts = numpy.unique(groups.of_rows.astype("int64") * num_labels + labels, return_counts=True)
    group, label = pairs // num_labels, pairs % num_labels
    order = numpy.lexsort((label, -counts, group))
    _, first = numpy.unique(group[order], return_index=True)
    return label[order][first]


def _none_empty(
    parts: numpy.ndarray,
    place: numpy.ndarray,
    cuts: numpy.ndarray,
    large: numpy.ndarray,
    names: tuple[str, ...],
    name: str,
) -> numpy.ndarray:
    """An empty split gets the group nearest to its interval, from a split that has others."""
    bounds = [0.0, *cuts, 1.0]
    for part in range(len(names) - 1, -1, -1):
        held = numpy.bincount(parts, minlength=len(names))
        if held[part]:
            continue
        free = (held[parts] > 1) & ~large
        if not free.any():
            raise DataError(
                f"{name} cannot be divided into {listed((names[-1], *names[:-1]))}: its rows make {len(parts):,} "
                f"group(s) that stay together, {int(large.sum()):,} of them larger than a split, and nothing is left "
                f"for {names[part]}",
                expected="larger shares, no such split, or rows in place of texts, which lets a text be in two splits",
            )
        distance = numpy.maximum(bounds[part] - place, place - bounds[part + 1])
        parts[numpy.where(free, distance, numpy.inf).argmin()] = part
    return parts


_LISTS, _SCORES = "negatives", "negative_scores"


def tying_columns(shape: Shape) -> list[str]:
    """The text columns that tie rows together: all but negatives, which were often mined from the same few texts."""
    return [column for column in shape.texts if column != _LISTS]


def without_negatives_of(shape: Shape, splits: Mapping[str, "Dataset"]) -> tuple[dict[str, "Dataset"], list[str]]:
    """The splits, without the negatives of train that are queries or positives of dev or test; and what went, in words.

    A list loses them; in columns another negative of the row takes their place, and a row without another one goes.
    A text that is only a negative of dev or test may be one in train, too: it is a document of one corpus, as in
    retrieval benchmarks, and no query of dev or test was trained with it; the leak audit counts it among single texts.
    Case, spaces and punctuation do not count.
    """
    splits, rows = dict(splits), splits["train"]
    held_out = [part for name, part in splits.items() if name != "train"]
    has_lists = _LISTS in shape.texts
    columns = [_LISTS] if has_lists else text_columns(shape, rows.column_names)[len(shape.texts) :]
    if not held_out or not columns or not rows.num_rows:
        return splits, []
    taken = numpy.unique(numpy.concatenate([text_hashes(part, tying_columns(shape), True)[0] for part in held_out]))
    masks = [*_masks(rows, columns, taken)]
    num_texts = sum(int(mask.sum()) for mask in masks)
    if not num_texts:
        return splits, []
    schema = rows.features.arrow_schema.remove_metadata()
    remark = f"{num_texts:,} negatives of train left out, which are queries or positives of other splits"
    if has_lists:
        splits["train"] = table_of_batches(map(_shorter_lists, batches_of(rows), masks), schema)
        return splits, [remark]
    stay = numpy.concatenate([~mask.all(axis=1) for mask in masks])
    replaced = (
        _other_negatives(batch, columns, mask, shape.label) for batch, mask in zip(batches_of(rows), masks, strict=True)
    )
    splits["train"] = select_rows(table_of_batches(replaced, schema), stay)
    gone = int((~stay).sum())
    return splits, [remark + (f", with {gone:,} rows that had no other" if gone else "")]


def _masks(rows: "Dataset", columns: list[str], taken: numpy.ndarray) -> Iterator[numpy.ndarray]:
    """For each batch which negatives are among those taken: of lists one by one, else `(num_rows, num_columns)`."""
    for batch in batches_of(rows.select_columns(columns)):
        if columns == [_LISTS]:
            yield numpy.isin(text_keys(comparable(batch[_LISTS].combine_chunks().flatten())), taken)
        else:
            keys = [text_keys(comparable(batch[column].combine_chunks())) for column in columns]
            yield numpy.isin(numpy.stack(keys, axis=1), taken)


def _shorter_lists(batch: "pyarrow.Table", mask: numpy.ndarray) -> "pyarrow.Table":
    lists, names = batch[_LISTS].combine_chunks(), batch.column_names
    if _SCORES in names:
        scores = scores_without(batch[_SCORES].combine_chunks(), lists, ~mask)
        batch = batch.set_column(names.index(_SCORES), _SCORES, scores)
    return batch.set_column(names.index(_LISTS), _LISTS, without_items(lists, lists.flatten(), ~mask))


def _other_negatives(
    batch: "pyarrow.Table", columns: list[str], mask: numpy.ndarray, label: str | None
) -> "pyarrow.Table":
    """The rows with the next negative that is not in the mask in place of each that is, and with its score."""
    import pyarrow.compute

    many, places = len(columns), numpy.arange(len(columns))
    turns = (places[:, None] + places) % many  # for each negative itself, then those after it
    chosen = turns[places, numpy.argmin(mask[:, turns], axis=2)]
    texts = [batch[column].combine_chunks() for column in columns]
    for place, column in enumerate(columns):
        other = pyarrow.compute.choose(pyarrow.array(chosen[:, place]), *texts)
        batch = batch.set_column(batch.column_names.index(column), column, other)
    if label is None:
        return batch
    lists = batch[label].combine_chunks()
    lengths = list_lengths(lists)
    offsets = numpy.append(0, lengths.cumsum())
    order = numpy.arange(offsets[-1])
    first = offsets[1:] - many  # the scores of the negatives are the last ones of a row
    order[first[:, None] + places] = first[:, None] + chosen
    scored = pyarrow.ListArray.from_arrays(
        pyarrow.array(offsets, pyarrow.int32()), lists.flatten().take(pyarrow.array(order))
    )
    return batch.set_column(batch.column_names.index(label), label, scored)
