"""Cells that were judged on the same examples: only they can be ranked, and only their examples be paired."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from embexp.board.axes import Place
from embexp.board.by_examples import Kept, judge_by_examples, measure_in
from embexp.board.by_metrics import judge_by_metrics
from embexp.board.judged import JudgedGroup, MetricKeys
from embexp.board.varying import DATASET, MISSING
from embexp.errors import DataError
from embexp.evaluation.kept_examples import KeptExamples, read_examples
from embexp.tracking.mlflow_tracker import allowed_name

MOST_WITH_EXAMPLES = 60  # runs: of more the examples are not read, which would take minutes


@dataclass(frozen=True)
class Group:
    """Places on the same examples.

    Attributes:
        kept: the per-example values of all their runs; empty where they were not read.
    """

    places: tuple[Place, ...]
    keys: MetricKeys
    kept: Kept

    def judge(self, resamples: int) -> JudgedGroup:
        if self.kept:
            return judge_by_examples(self.places, self.kept, self.keys, resamples)
        return judge_by_metrics(self.places, self.keys)


def groups_of(places: Sequence[Place]) -> list[Group]:
    """The places by their metric and by the examples that it was taken of.

    Where the examples of any place cannot be read, or its runs were judged on different ones, those of all places on
    the same data are left alone: what is paired and what is not cannot be ranked together.
    """
    found = []
    reads = sum(len(place.entries) for place in places) <= MOST_WITH_EXAMPLES
    for several in _by_data(places):
        keys = MetricKeys(several[0].metric, several[0].entries[0].run)
        kept = [_kept(place, keys) if reads else None for place in several]
        if any(each is None for each in kept):
            found.append(Group(tuple(several), keys, {}))
            continue
        by_digest: dict[str, list[tuple[Place, Kept]]] = {}
        for place, of_place in zip(several, kept, strict=True):
            by_digest.setdefault(_digest(next(iter(of_place.values()))), []).append((place, of_place))
        for same in by_digest.values():
            every = {run: examples for _, of_place in same for run, examples in of_place.items()}
            found.append(Group(tuple(place for place, _ in same), keys, every))
    return found


def _by_data(places: Sequence[Place]) -> list[list[Place]]:
    """The places by metric and by the rows that it was taken of, as far as a tag (or the data set's name) tells."""
    found: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        run, keys = place.entries[0].run, MetricKeys(place.metric, place.entries[0].run)
        rows = run.tags.get(allowed_name(f"judged.{keys.evaluator}/{keys.split}"), run.params.get(DATASET, MISSING))
        found.setdefault((place.metric, rows), []).append(place)
    return [*found.values()]


def _kept(place: Place, keys: MetricKeys) -> Kept | None:
    """The per-example values of all runs of a place.

    None where a run has none of them, or others than the next, or where an untouched model that gives all examples one
    value has no score.
    """
    if not all(keys.base in entry.run.metrics for entry in place.entries):
        return None
    found: dict[str, KeptExamples] = {}
    for entry in place.entries:
        path = entry.run.examples(keys.examples)
        try:
            kept = read_examples(path) if path else None
        except DataError:  # an earlier version wrote them
            return None
        if kept is None or measure_in(kept.trained, keys) is None:
            return None
        found[entry.run.id] = kept
    return found if len({_digest(kept) for kept in found.values()}) == 1 else None


def _digest(kept: KeptExamples) -> str:
    """A hash of what the examples are: ids and texts."""
    texts = {name: values for name, values in kept.base.examples.items() if isinstance(values, list)}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
