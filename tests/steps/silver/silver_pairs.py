"""What tests of silver pairs share: gold pairs of a few texts, a sampler and a teacher whose answers one can choose."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy

from embexp.data.row_checks import dataset_of
from embexp.steps.silver.silver import add_silver

PLAIN = {
    "gold_share": 1.0,
    "num_gold": None,
    "num_pairs": None,
    "min_confidence": None,
    "like_gold": False,
    "seed": 42,
}


@dataclass
class GivenPairs:
    """Samples the same pairs always."""

    pairs: list

    def sample(self, pool):
        return list(self.pairs)


@dataclass
class GivenLabels:
    """A teacher and labeller in one: outputs as a table says (one number, or one of each class); it lists its work."""

    table: dict = field(default_factory=dict)
    trainings: tuple = (Path("training"),)
    dev_scores: dict = field(default_factory=lambda: {"spearman": (0.0, 0.75)})
    fitted: list = field(default_factory=list)

    def fit(self, train, dev, kind, num_classes, cache):
        self.fitted.append((train.to_dict(), dev.to_dict() if dev is not None else None, kind, num_classes))
        return self

    def label(self, pairs):
        return numpy.array([numpy.atleast_1d(self.table.get(pair, 0.5)) for pair in pairs], "float32")


def scored(*rows, **splits):
    """Scored pairs of train, and of other splits."""
    return dataset_of(
        "mine", "scored_pair", {split: _columns(some, "score") for split, some in {"train": rows, **splits}.items()}
    )


def classed(*rows, names=("no", "maybe", "yes")):
    """Pairs with classes in train."""
    return dataset_of("mine", "class_pair", {"train": _columns(rows, "label")}, names)


def binary(*rows):
    """Pairs that are labelled 0 or 1 in train."""
    return dataset_of("mine", "binary_pair", {"train": _columns(rows, "label")})


def _columns(rows, label):
    return dict(zip(("sentence1", "sentence2", label), map(list, zip(*rows, strict=True)), strict=True))


def with_silver(dataset, pairs, teacher=None, **changes):
    """The data set after the step."""
    return add_silver(dataset, **PLAIN | {"sampler": GivenPairs(pairs), "teacher": teacher or GivenLabels()} | changes)


def silver_of(dataset):
    """The silver rows of train: both texts and the label."""
    rows = dataset.splits["train"].to_dict()
    label = dataset.shape.label
    return [
        row[:3]
        for row in zip(rows["sentence1"], rows["sentence2"], rows[label], rows["made_by"], strict=True)
        if row[3] == "silver"
    ]
