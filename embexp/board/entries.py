"""Which runs count for a leaderboard, and by which metric each."""

from collections.abc import Iterable, Mapping, Sequence

from embexp.board.varying import Entry, counts
from embexp.errors import ConfigError, did_you_mean
from embexp.tracking.mlflow_tracker import allowed_name
from embexp.tracking.recorded_run import FINISHED, RecordedRun

OUTDATED = "embexp.outdated"  # a tag: the run's configuration, data or code has changed since
SPLITS = ("test", "dev")  # the one that judges first


def entries_of(runs: Sequence[RecordedRun], metric: str | None) -> list[Entry]:
    """The runs that have finished, are not outdated and have the metric.

    Args:
        metric: its key, with or without the split; None: each run's primary one.

    Raises:
        ConfigError: none of the runs that have finished has it.
    """
    finished = [run for run in runs if run.status == FINISHED and OUTDATED not in run.tags]
    found = [Entry(run, key) for run in finished if (key := _key_in(run, metric))]
    if metric and finished and not found:
        known = {key for run in finished for key in run.metrics if key.startswith(SPLITS)}
        hint = did_you_mean(allowed_name(metric), known)
        primary = next((run.primary for run in finished if run.primary), "test/sts/spearman_cosine")
        raise ConfigError(
            f"metric={metric}: none of {len(finished)} finished runs has it. Expected a key as MLflow shows it, such "
            f"as metric={primary}. {hint}".strip()
        )
    return found


def _key_in(run: RecordedRun, metric: str | None) -> str | None:
    """The full key of the metric in this run; None where it does not have it."""
    asked = metric or run.primary
    if asked is None:
        return None
    has_split = asked.partition("/")[0] in SPLITS
    keys = [asked] if has_split else [f"{split}/{asked}" for split in SPLITS]
    return next((key for key in keys if allowed_name(key) in run.metrics), None)


def newest(entries: Iterable[Entry]) -> list[Entry]:
    """The entries without those that were run again: of one configuration and seed the one that ended last."""
    found: dict[tuple, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.run.ended):
        found[_identity(entry.run.params)] = entry
    kept = {id(entry) for entry in found.values()}
    return [entry for entry in entries if id(entry) in kept]


def _identity(params: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in params.items() if counts(key)))
