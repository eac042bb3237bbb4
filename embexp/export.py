"""`python -m embexp.export`: other forms of a finished run's model, or of any saved model."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from embexp.errors import ConfigError, ExportError, TrackingError
from embexp.exports.trained import Export, Exported

if TYPE_CHECKING:
    from embexp.exports.trained import TrainedModel
    from embexp.protocols import Tracker

logger = logging.getLogger(__name__)
Node = Mapping[str, Any]
NEEDS = {
    "run": "needs the result of a run: type run=<folder of a finished run>.",
    "texts": "needs texts to calibrate on: type dataset=<data set with a train split>.",
}


def main() -> None:
    """Compose the configuration and export what it names."""
    from embexp.command import run_command

    run_command(export, "export")


def export(config: DictConfig, choices: dict[str, Any], _folder: Path | None = None) -> list[Exported]:
    """Make the exports, tell what they measured, and add them to the run's result; returns what was made.

    A run's folder is held meanwhile, so that two commands do not write to it at once.

    Raises:
        EmbexpError: there is no such run or model, or an export does not fit; all that could be made was made.
    """
    from embexp.config import resolve
    from embexp.exportable import of_model, of_run
    from embexp.exports.delivery import plan_exports
    from embexp.misfits import Misfits
    from embexp.run_record import find_run, held

    resolved, misfits = resolve(config), Misfits()
    exports = plan_exports(resolved["export"], misfits)
    misfits.raise_if_any()
    if not exports:
        raise ConfigError("No export is chosen. Expected at least one: type export=[int8].")
    if bool(resolved["run"]) == bool(resolved["model"]):
        raise ConfigError("Expected one of: run=<folder of a finished run>, model=<folder of a saved model>.")
    _check_needs(exports, resolved)
    if resolved["model"]:
        return _deliver(exports, of_model(resolved, choices))
    folder = find_run(resolved["run"], [resolved["paths"][place] for place in ("runs", "sweeps", "tunings")])
    with held(folder):
        return _deliver(exports, of_run(folder))


def _deliver(exports: Sequence[Export], trained: "TrainedModel") -> list[Exported]:
    from embexp.exports.delivery import make_exports
    from embexp.reports.tables import export_lines

    made = [*make_exports(exports, trained)]
    for line in export_lines([each.record() for each in made if not each.problem]):
        print(line)
    if not all(each.problem for each in made):
        print(f"in {trained.output}/")
    if trained.run_folder:
        record_exports(trained.run_folder, trained.config, made)
    if failed := [each for each in made if each.problem]:
        raise ExportError(
            f"{len(failed)} of {len(made)} exports failed, as was told above: "
            f"{', '.join(each.name + _left(each) for each in failed)}."
        )
    return made


def _left(failed: Exported) -> str:
    return " (the earlier one stays as it is)" if failed.folder.is_dir() else ""


def _check_needs(exports: Sequence[Export], config: Node) -> None:
    """Raise ConfigError, for all exports at once, where one lacks the run or the texts that it needs."""
    have = {"run": config["run"], "texts": config["run"] or config["dataset"]}
    lacking = [
        f"export={each.name} {NEEDS[need]}" for each in exports for need in each.needs if not have.get(need, True)
    ]
    if lacking:
        raise ConfigError("\n".join(lacking))


def record_exports(folder: Path, config: Node, made: Sequence[Exported]) -> None:
    """Add exports to the run's result.json, in place of earlier ones of the same name, and to its tracker's run.

    One that failed is told there only where no earlier one is whole: that one stays, and so does what is told of it.
    """
    from embexp.run_record import RESULT, read_record, write_json

    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    earlier = {entry["name"]: entry for entry in result.get("exports", [])}
    told = {each.name: each for each in made if not each.problem or _failed(earlier.get(each.name))}
    result["exports"] = [entry for name, entry in earlier.items() if name not in told]
    result["exports"] += [each.record() for each in told.values()]
    replaced = tuple(f"export/{each.name}/" for each in made if not each.problem)
    result["metrics"] = {key: value for key, value in result["metrics"].items() if not key.startswith(replaced)}
    result["metrics"] |= {key: value for each in made for key, value in each.metrics.items()}
    write_json(folder / RESULT, result)
    record = read_record(folder)
    if Path(record["directory"]) != Path.cwd():
        logger.warning("Not sent to the run's tracker: the run is from another machine or directory.")
        return
    try:
        _track(config, record["key"], folder / RESULT, made)
    except TrackingError as error:
        logger.warning("%s The exports are in %s and in its result.json.", error, folder)


def _failed(earlier: Node | None) -> bool:
    """Whether there is no earlier export, or one that has a problem."""
    return earlier is None or "problem" in earlier


def _track(config: Node, key: str, result: Path, made: Sequence[Exported]) -> None:
    """Add to the tracker's run, which stays closed as it is; metrics that it has already are not sent again."""
    from embexp.config import instantiate

    tracker: Tracker = instantiate(config["tracking"])
    tracker.attach(key)
    for each in made:
        if not each.problem:
            there = tracker.latest(each.metrics)
            fresh = {name: value for name, value in each.metrics.items() if there.get(name) != value}
            if finite := {name: value for name, value in fresh.items() if math.isfinite(value)}:
                tracker.log_metrics(finite)
            tracker.log_artifact(each.folder, f"exports/{each.name}")
    tracker.log_artifact(result)


if __name__ == "__main__":
    main()
