"""What tests of mining share: pools of a few texts, a retriever whose scores one can choose, the step with its YAML."""

from dataclasses import dataclass, field

import numpy
import pyarrow

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.steps.negatives.candidates import _best_first, lowest_scores
from embexp.steps.negatives.guards import Guards
from embexp.steps.negatives.pool import make_pool

NO_CORPUS = pyarrow.array([], pyarrow.string())
OPEN = {"skip": 0, "within": 50, "max_score": None, "margin": None, "relative_margin": None, "near_duplicate": None}


@dataclass(frozen=True)
class GivenScores:
    """Scores each query with each document as a table says; pairs that it lacks score 0."""

    table: dict[tuple[str, str], float] = field(default_factory=dict)
    has_scores: bool = True

    def problems(self):
        return iter(())

    def search(self, pool, k):
        scores = numpy.array(
            [[self.table.get((query, document), 0.0) for document in pool.documents] for query in pool.queries]
        )
        places = numpy.broadcast_to(numpy.arange(len(pool.documents)), scores.shape)
        of_positives = scores[pool.positives.left, pool.positives.right]
        found = _best_first(scores, places, k)
        return type(found)(found.places, found.scores, lowest_scores(pool.positives, of_positives, len(pool.queries)))


def guards(**changes):
    return Guards(**OPEN | changes)


def pairs(*rows, **splits):
    """Positive pairs of train, and of other splits."""
    return dataset_of(
        "mine", "positive_pair", {split: columns(some) for split, some in {"train": rows, **splits}.items()}
    )


def columns(rows):
    return {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}


def ranked(*rows, **more):
    """Ranked train rows of (query, positives, negatives)."""
    names = ("query", "positives", "negatives")
    return dataset_of(
        "mine", "ranked", {"train": dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) | more}
    )


def pool(*rows, corpus=(), others=(), symmetric=False, **more):
    """The pool of ranked train rows."""
    rows = ranked(*rows, **more).splits["train"]
    further, others = pyarrow.array(list(corpus), pyarrow.string()), numpy.array(others, "uint64")
    return make_pool(rows, further, others, (None, None), symmetric)


def call(negatives, *overrides):
    """The step as its YAML calls it."""
    return resolve(compose([f"negatives={negatives}", *overrides]))["dataset"]["steps"]["negatives"]


def mined(dataset, retriever=None, guards=None, negatives="bm25", overrides=(), **changes):
    """The data set after the step; a retriever and guards of one's own stand in for those of the YAML."""
    node = call(negatives, *(f"dataset.steps.negatives.{override}" for override in overrides)) | changes
    own = {key: value for key, value in {"retriever": retriever, "guards": guards}.items() if value is not None}
    return instantiate({key: value for key, value in node.items() if key not in own}, dataset=dataset, **own)


def negatives_of(dataset, split="train"):
    return dataset.splits[split]["negatives"][:]
