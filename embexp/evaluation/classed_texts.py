"""Texts with a class each, as examples: what classification and clustering share."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from embexp.errors import DataError

if TYPE_CHECKING:
    import numpy
    from datasets import Dataset


def classes_of(rows: "Dataset") -> "numpy.ndarray":
    """The class number of each row."""
    import numpy

    return numpy.asarray(rows["label"][:], dtype=int)


def examples_of(rows: "Dataset", names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Text, name of the class where it has one, and its number as `gold`."""
    gold = classes_of(rows).tolist()
    named = {"label": [names[number] for number in gold]} if names else {}
    return {"text": rows["text"][:], **named, "gold": gold}


def check_classes(rows: "Dataset", where: str) -> None:
    """Raise DataError unless the rows are of two classes or more."""
    number = len(set(rows["label"][:]))
    if number < 2:
        raise DataError(
            f"{where} has rows of {number} class{'es' if number != 1 else ''}: nothing can be told apart. "
            "Expected two or more: name the column of the classes, 'dataset.reader.columns={label: <your column>}', "
            "or split the data anew with dataset.steps.split."
        )


def sizes_below(least: int, rows: "Dataset", names: Sequence[str]) -> dict[str, int]:
    """The classes that have fewer rows than that, with how many they have."""
    counted = Counter(rows["label"][:])
    return {names[label] if names else str(label): size for label, size in sorted(counted.items()) if size < least}
