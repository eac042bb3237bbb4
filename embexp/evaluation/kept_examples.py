"""Per-example scores as a run keeps them, to take statistics of them again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embexp.errors import DataError
from embexp.evaluation.measures import Measure, value_of
from embexp.evaluation.scores import ID, Scores

BASE, TRAINED = "base_", "trained_"
MEASURES = b"measures"  # key of the file's metadata


@dataclass(frozen=True)
class KeptExamples:
    """The scores of a run's two models on one split of one evaluator."""

    base: Scores
    trained: Scores


def write_examples(path: Path, base: Scores, trained: Scores) -> None:
    """Per-example scores of both models as Parquet: id, texts, gold, base_<column>, trained_<column>.

    The measures stand in the file's metadata under `measures`, as JSON: with them the metrics can be taken again.
    """
    import pyarrow
    import pyarrow.parquet

    columns = dict(base.examples)
    for column, values in base.predicted.items():
        columns[f"{BASE}{column}"] = values
        columns[f"{TRAINED}{column}"] = trained.predicted[column]
    measures = json.dumps([asdict(measure) for measure in base.measures])
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    metadata = {**(table.schema.metadata or {}), MEASURES: measures.encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)


def write_report(path: Path, base: Scores, trained: Scores, column: str) -> None:
    """The examples with one value of both models, as a CSV that spreadsheets open with Chinese in it.

    Args:
        column: of the values that the primary metric is taken of.
    """
    import csv

    columns = {**base.examples, "base": base.predicted[column], "trained": trained.predicted[column]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_examples(path: Path) -> KeptExamples:
    """What `write_examples` wrote.

    Raises:
        DataError: an earlier version of embexp wrote the file, without the measures.
    """
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    if MEASURES not in (table.schema.metadata or {}):
        raise DataError(
            f"{path} does not say how its metrics are taken: an earlier version of embexp wrote it. Expected a run of "
            "this version: run its command again."
        )
    columns = {name: _values(table[name]) for name in table.column_names}
    measures = tuple(Measure(**each) for each in json.loads(table.schema.metadata[MEASURES]))
    examples = {name: values for name, values in columns.items() if not name.startswith((BASE, TRAINED))}
    split = str(examples[ID][0]).partition("-")[0]
    return KeptExamples(*(_scores(split, examples, columns, prefix, measures) for prefix in (BASE, TRAINED)))


def _scores(
    split: str, examples: Mapping[str, Any], columns: Mapping[str, Any], prefix: str, measures: tuple[Measure, ...]
) -> Scores:
    predicted = {name.removeprefix(prefix): values for name, values in columns.items() if name.startswith(prefix)}
    every = {**examples, **predicted}
    return Scores(split, examples, predicted, {each.name: value_of(each, every) for each in measures}, measures)


def _values(column: Any) -> Any:
    """Numbers, truth values and lists of them as an array, all else as a list."""
    import numpy
    import pyarrow

    kind = column.type
    if pyarrow.types.is_list(kind):
        lists = column.to_pylist()
        found = numpy.empty(len(lists), dtype=object)
        found[:] = lists
        return found
    is_number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind)
    return column.to_numpy() if is_number else column.to_pylist()
