"""The runs that a leaderboard ranks, from folders or MLflow, and the metric of each."""

import functools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embexp.cli.quoting import unquoted
from embexp.core.escaping import say
from embexp.core.run_folder import (
    LAYOUT,
    LAYOUT_TAG,
    RECORD,
    RESULT,
    is_file_name,
    read_json,
    read_record,
    readable,
    status_of,
)
from embexp.errors import ConfigError, Problem, TrackingError, did_you_mean
from embexp.experiment.sides import EXAMPLES
from embexp.experiment.sweep_record import (
    PART_KEY,
    SHORT_ID,
    SWEEP,
    WHOLE,
    job_folders,
    job_numbers,
    read_sweep,
    searched_in,
    typed_in,
)
from embexp.leaderboards.axes import DATASET, LOSS, PART, RunEntry, changes_results
from embexp.protocols import Tracker
from embexp.tracking.mlflow_runs import (
    FINISHED,
    PRIMARY,
    MlflowRuns,
    RecordedRun,
    as_recorded_metrics,
    as_recorded_params,
)
from embexp.tracking.mlflow_tracker import MlflowTracker
from embexp.tracking.store_limits import allowed_name


def runs_in(folders: Iterable[Path]) -> list[RecordedRun]:
    """The run of each folder: RUNNING if it has begun but has no result; folders without either are left out.

    One that cannot be read is left out with a warning.
    """
    begun = [folder for folder in folders if (folder / RESULT).exists() or (folder / RECORD).exists()]
    return [run for _, run in readable(begun, _run_in)]


def runs_of_sweep(sweep: Path) -> list[RecordedRun]:
    """The runs of a sweep's folder, each with the overrides of its job and the search of its learning rate."""
    searched = searched_in(sweep)
    jobs = zip(job_folders(sweep), job_numbers(sweep), strict=True)  # several may have taken one run
    found = [(run, number) for folder, number in jobs for run in runs_in([folder])]
    typed = [typed_in(sweep / str(number)) for _, number in found]
    runs = [
        replace(run, typed=each, searched=searched.get(number, {}), params=run.params | _part(each))
        for (run, number), each in zip(found, typed, strict=True)
    ]
    return _as_their_wholes(runs)


def _as_their_wholes(runs: Sequence[RecordedRun]) -> list[RecordedRun]:
    """The runs; one that leaves sets out of a mixture is called by the data set and the losses of the mixture."""
    wholes = {_of_grid(run): run for run in runs if run.params.get(PART) == WHOLE}
    found = []
    for run in runs:
        whole = wholes.get(_of_grid(run), run) if PART in run.params and _in_mixture(run) else run
        named = {key: whole.params[key] for key in (DATASET, LOSS, "modifier") if key in whole.params}
        found.append(replace(run, params=run.params | named))
    return found


def _in_mixture(run: RecordedRun) -> bool:
    return any("mixture.sets." in each for each in run.typed)


def _of_grid(run: RecordedRun) -> tuple[str, ...]:
    """What a job has in common with those that leave something else out, and with its other seeds."""
    own = ("seed=", f"{PART_KEY}=", "++mixture.sets.")
    return tuple(each for each in run.typed if not each.startswith(own))


def _part(typed: Sequence[str]) -> dict[str, str]:
    """What a job leaves out, or trains on alone, as a parameter of its run."""
    given = [unquoted(each.partition("=")[2]) for each in typed if each.startswith(f"{PART_KEY}=")]
    return {PART: given[-1]} if given else {}


def _run_in(folder: Path) -> RecordedRun:
    path = folder / RESULT
    if not path.is_file():
        record = read_record(folder)
        return RecordedRun(record.get("id", ""), record["name"], "RUNNING", 0.0, {}, {}, {}, lambda _: None, folder)
    result, status = read_json(path), status_of(folder)
    tags = {allowed_name(key): str(value) for key, value in result.get("tags", {}).items()}
    return RecordedRun(
        id=result["run"].get("id") or str(folder),
        name=result["run"].get("name", folder.name),
        status=status,
        ended=path.stat().st_mtime,
        params=as_recorded_params(result.get("params", {})),
        metrics=as_recorded_metrics(result.get("metrics", {})),
        tags=tags | ({PRIMARY: result["primary"]["key"]} if "primary" in result else {}),
        examples=functools.partial(_examples_in, folder),
        folder=folder,
        page=result.get("page") or "",
    )


def _examples_in(folder: Path, name: str) -> Path | None:
    path = folder / EXAMPLES / f"{name}.parquet"
    return path if is_file_name(name) and path.is_file() else None


OUTDATED = "embexp.outdated"  # a tag: the run's configuration, data or code has changed since
_SPLITS = ("test", "dev")  # that of the verdict first


def entries_of(runs: Sequence[RecordedRun], metric: str | None) -> list[RunEntry]:
    """The runs that have finished, are not outdated and have the metric (None: each run's primary one).

    Raises:
        ConfigError: no finished run has it.
    """
    finished = [run for run in runs if run.status == FINISHED and OUTDATED not in run.tags]
    if older := [run.name for run in finished if run.tags.get(LAYOUT_TAG) != str(LAYOUT)]:
        raise ConfigError(
            f"{len(older)} of {len(finished)} finished runs were made by an earlier version of embexp, "
            f"such as {older[0]}",
            expected="runs of this version: run their sweep again, or leave them out",
            fix=f"'filter=tags.`{LAYOUT_TAG}` = \"{LAYOUT}\"'",
        )
    found = [RunEntry(run, key) for run in finished if (key := _key_in(run, metric))]
    if metric and finished and not found:
        known = {key for run in finished for key in run.metrics if key.startswith(_SPLITS)}
        hint, text = did_you_mean(allowed_name(metric), known), f"is in none of {len(finished)} finished runs"
        primary = next((run.primary for run in finished if run.primary), "test/sts/spearman_cosine")
        fix = (f"metric={primary}",)
        raise ConfigError(Problem(text, "metric", metric, "a key as MLflow shows it", hint, fix))
    return found


def _key_in(run: RecordedRun, metric: str | None) -> str | None:
    """The full key of the metric in this run; None if it does not have it."""
    wanted = metric or run.primary
    if wanted is None:
        return None
    has_split = wanted.partition("/")[0] in _SPLITS
    keys = [wanted] if has_split else [f"{split}/{wanted}" for split in _SPLITS]
    return next((key for key in keys if allowed_name(key) in run.metrics), None)


def newest(entries: Iterable[RunEntry]) -> list[RunEntry]:
    """Of each configuration and seed only the entry that ended last."""
    found: dict[frozenset, RunEntry] = {}
    for entry in sorted(entries, key=lambda entry: entry.run.ended):
        found[frozenset((key, value) for key, value in entry.run.params.items() if changes_results(key))] = entry
    kept = {id(entry) for entry in found.values()}
    return [entry for entry in entries if id(entry) in kept]


ARTIFACTS = "leaderboard"  # the folder of its files, in a sweep's folder and among its parent's artifacts


@dataclass(frozen=True)
class RunSource:
    """Where the runs of a leaderboard come from.

    Attributes:
        folder: the sweep's; None if its runs come from MLflow.
        parent: the id of the sweep's own run in the tracker; None without a sweep or a tracker.
    """

    runs: list[RecordedRun]
    folder: Path | None = None
    parent: str | None = None


def source_of(settings: Mapping[str, Any], tracker: Tracker, scratch: Path) -> RunSource:
    """The runs of a sweep, from its folder if there is one, else from MLflow; without a sweep all runs of a filter.

    Args:
        scratch: for files of runs that come from MLflow.

    Raises:
        ConfigError: no such sweep, a filter that MLflow does not understand, or no MLflow.
        TrackingError: the store does not answer.
    """
    given = settings["of_sweep"]
    folder = _sweep_folder(given, Path(settings["paths"]["sweeps"])) if given else None
    has_store = isinstance(tracker, MlflowTracker)
    if folder:
        return RunSource(runs_of_sweep(folder), folder, read_sweep(folder)["id"] if has_store else None)
    if not has_store:
        what = f"sweep={given} is no sweep's folder" if given else "No sweep was given"
        raise ConfigError(
            f"{what}, and there is no MLflow (tracking=none)",
            expected="a sweep's folder, or its id",
            fix=("sweep=<sweeps>/<date>/<time>", "tracking=mlflow"),
        )
    store = MlflowRuns(tracker, scratch)
    if not given:
        return RunSource(store.matching(settings["filter"] or ""))
    if len(given) == SHORT_ID:
        tracker.attach(given)
    else:
        tracker.take_up(given)
    return RunSource(store.below(tracker.run_id), None, tracker.run_id)


def _sweep_folder(given: str, root: Path) -> Path | None:
    """The folder that was given, or that of the sweep with this id below the root."""
    folder = Path(given).expanduser()
    if (folder / SWEEP).is_file():
        return folder
    if folder.is_dir():
        text, fix = f"is no sweep's folder: there is no {SWEEP} in it", (f"sweep={root}/<date>/<time>",)
        raise ConfigError(Problem(text, "sweep", given, "the folder or the id of a sweep", fix=fix))
    folders = (path.parent for path in sorted(root.glob(f"*/*/{SWEEP}")))
    ids = readable(folders, lambda place: read_sweep(place)["id"])
    return next((folder for folder, id in ids if id == given), None)


def send_leaderboard(folder: Path, source: RunSource, tracker: Tracker) -> None:
    """Store the files with the sweep's own run; if the tracker does not have it, say so: they are in the folder."""
    try:
        if source.folder:
            tracker.attach(source.parent)
        tracker.log_artifact(folder, ARTIFACTS)
    except TrackingError as error:
        if not source.folder:
            raise
        say(f"The files were not sent: {error}", file=sys.stderr)
        return
    say(f"tracked    {tracker.where()}, {ARTIFACTS}/")
