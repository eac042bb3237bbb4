"""In which parameters runs differ, as far as it matters to their results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embexp.comparison import NOT_RESULTS
from embexp.config import describes
from embexp.reports.board_content import Labels
from embexp.tracking.recorded_run import RecordedRun

LOSS, MODEL, DATASET, SEED = "loss", "model", "dataset", "seed"
METRIC = "metric"  # a key as parameters are, where runs were judged by different metrics
CHOICES = (LOSS, MODEL, DATASET)
OF_COLUMNS = ("model.", "evaluator.")  # with them the untouched model, or what it is measured on, changes
DERIVED = ("base_model", "dataset.shape", "dataset.train_rows")  # follow from others, and are logged to be read
HOW_SURE = ("resamples", "dimensions", "precisions")  # of an evaluator: they change no primary metric
MISSING = "-"  # where a run does not have the parameter


@dataclass(frozen=True)
class Entry:
    """A run with the metric that it is ranked by."""

    run: RecordedRun
    metric: str

    def value(self, key: str) -> str:
        return self.metric if key == METRIC else self.run.params.get(key, MISSING)

    def values(self, keys: Iterable[str]) -> Labels:
        return tuple(self.value(key) for key in keys)


def varying(entries: Sequence[Entry], given: Sequence[str]) -> list[str]:
    """Parameters in which entries with the same values of the given ones differ, and that change a result.

    One that follows from those found before it is left out: names of choices (`trainer`) come before their values.
    """
    keys = sorted({key for entry in entries for key in entry.run.params}, key=lambda key: ("." in key, key))
    found: list[str] = []
    for key in keys:
        if key not in given and counts(key) and not is_seed(entries, key):
            found += [key] * (not follows(entries, key, [*given, *found]))
    return found


def is_seed(entries: Sequence[Entry], key: str) -> bool:
    """Whether a parameter is the seed, or always has its value."""
    return all(entry.value(key) == entry.run.seed for entry in entries)


def counts(key: str) -> bool:
    """Whether a parameter changes a result, and is not only told with others."""
    parts = key.split(".")
    of_sureness = parts[0] == "evaluator" and parts[-1] in HOW_SURE
    return not (parts[0] in NOT_RESULTS or key in DERIVED or of_sureness or any(map(describes, parts)))


def follows(entries: Sequence[Entry], key: str, others: Sequence[str]) -> bool:
    """Whether the values of others say what the value of the key is."""
    known: dict[Labels, str] = {}
    return all(known.setdefault(entry.values(others), entry.value(key)) == entry.value(key) for entry in entries)


def differs(entries: Sequence[Entry], key: str) -> bool:
    return len({entry.value(key) for entry in entries}) > 1
