"""Ranked rows: a query with lists of positives and negatives, and optional teacher scores."""

from collections.abc import Callable, Iterator

from embexp.data.arrow import batches_of
from embexp.errors import ShapeError, listed
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row, prompt_of

SCORES = {"positive_scores": "positives", "negative_scores": "negatives"}


def _positive_pairs(source: ConversionInput) -> Iterator[Row]:
    """One row for each positive."""
    for row in source.rows():
        source.left_out["queries without positives"] += not row["positives"]
        for positive in row["positives"]:
            yield {"anchor": row["query"], "positive": positive, **prompt_of(row)}


def _triplets(source: ConversionInput) -> Iterator[Row]:
    """One row for each positive, with the next negatives of the query; after the last one the first comes again."""
    for row, place, chosen in _with_negatives(source):
        yield _triplet(row, place, chosen)


def _scored_triplets(source: ConversionInput) -> Iterator[Row]:
    """Triplets with the teacher's scores as label: that of the positive, then those of the negatives.

    Queries without a score for each of their texts are left out, and so are dev and test if only train was scored.
    """
    columns = source.table.column_names
    train = source.dataset.splits.get("train", source.table)
    if source.split != "train" and not {*SCORES} & {*columns} and {*SCORES} <= {*train.column_names}:
        source.left_out[f"queries of {source.split}, which has no teacher's scores"] += source.table.num_rows
        return
    if missing := [name for name in SCORES if name not in columns]:
        text = f"{source.dataset.name}/{source.split} has no {' and no '.join(missing)} (it has: {listed(columns)})"
        raise ShapeError(
            text, expected="a teacher's score for each text, or a loss that takes triplet", fix="loss=mnrl"
        )
    for row, place, chosen in _with_negatives(source, _all_scored):
        scores = [row["positive_scores"][place], *(row["negative_scores"][negative] for negative in chosen)]
        yield _triplet(row, place, chosen) | {"label": scores}


def _triplet(row: Row, place: int, chosen: list[int]) -> Row:
    negatives = {f"negative_{number}": row["negatives"][negative] for number, negative in enumerate(chosen, 1)}
    return {"anchor": row["query"], "positive": row["positives"][place], **negatives, **prompt_of(row)}


def _all_scored(row: Row) -> bool:
    """Whether each text of the row has a teacher's score."""
    return all(
        row[scores] is not None and len(row[scores]) == len(row[texts]) and None not in row[scores]
        for scores, texts in SCORES.items()
    )


def _with_negatives(
    source: ConversionInput, wanted: Callable[[Row], bool] = lambda _: True
) -> Iterator[tuple[Row, int, list[int]]]:
    """Each row with the place of a positive and the places of its negatives, equally many in every row."""
    many = min(source.settings.max_negatives or 1, _longest(source))
    for row in source.rows():
        if not wanted(row):
            source.left_out["queries without a teacher's score for each text"] += 1
            continue
        available = len(row["negatives"])
        source.left_out["queries without positives or negatives"] += not (available and row["positives"])
        for place in range(len(row["positives"]) if available else 0):
            yield row, place, [(place * many + turn) % available for turn in range(many)]


def _longest(source: ConversionInput) -> int:
    """The most negatives that a row of any split has: the splits must have the same columns."""
    import pyarrow.compute

    lengths = (
        pyarrow.compute.max(pyarrow.compute.list_value_length(batch["negatives"])).as_py() or 0
        for rows in source.dataset.splits.values()
        for batch in batches_of(rows.select_columns(["negatives"]))
    )
    return max(lengths, default=0)


_EACH = "one row per positive"
FROM_RANKED_LISTS = (
    Conversion("ranked", "triplet", _triplets, f"{_EACH}, each with {{negatives}}"),
    Conversion("ranked", "positive_pair", _positive_pairs, _EACH),
    Conversion("ranked", "scored_triplet", _scored_triplets, f"{_EACH}, each with {{negatives}} and their scores"),
)
