"""`python -m embexp.export`: other forms of a finished run's model, or of any saved model."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from embexp.errors import ConfigError, ExportError, TrackingError
from embexp.exports.trained import Export, Exported

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

    Raises:
        EmbexpError: there is no such run or model, or an export does not fit; all that could be made was made.
    """
    from embexp.config import resolve
    from embexp.exportable import of_model, of_run
    from embexp.exports.delivery import make_exports, plan_exports
    from embexp.misfits import Misfits
    from embexp.reports.tables import export_lines

    resolved, misfits = resolve(config), Misfits()
    exports = plan_exports(resolved["export"], misfits)
    misfits.raise_if_any()
    if not exports:
        raise ConfigError("No export is chosen. Expected at least one: type export=[int8].")
    if bool(resolved["run"]) == bool(resolved["model"]):
        raise ConfigError("Expected one of: run=<folder of a finished run>, model=<folder of a saved model>.")
    _check_needs(exports, resolved)
    trained = of_run(Path(resolved["run"])) if resolved["run"] else of_model(resolved, choices)
    made = [*make_exports(exports, trained)]
    for line in export_lines([each.record() for each in made if not each.problem]):
        print(line)
    print(f"in {trained.output}/")
    if trained.run_folder:
        record_exports(trained.run_folder, trained.config, made)
    if failed := [each for each in made if each.problem]:
        raise ExportError(f"{len(failed)} of {len(made)} exports failed: {', '.join(each.name for each in failed)}.")
    return made


def _check_needs(exports: Sequence[Export], config: Node) -> None:
    """Raise ConfigError, for all exports at once, where one lacks the run or the texts that it needs."""
    have = {"run": config["run"], "texts": config["run"] or config["dataset"]}
    lacking = [f"export={each.name} {NEEDS[need]}" for each in exports for need in each.needs if not have[need]]
    if lacking:
        raise ConfigError("\n".join(lacking))


def record_exports(folder: Path, config: Node, made: Sequence[Exported]) -> None:
    """Add exports to the run's result.json, in place of earlier ones of the same name, and to its tracker's run."""
    from embexp.run_record import RESULT, held, read_record, write_json

    with held(folder):
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        names = {each.name for each in made}
        kept = [entry for entry in result.get("exports", []) if entry["name"] not in names]
        result["exports"] = kept + [each.record() for each in made]
        result["metrics"] |= {key: value for each in made for key, value in each.metrics.items()}
        write_json(folder / RESULT, result)
    record = read_record(folder)
    if Path(record["directory"]) != Path.cwd():
        logger.warning("Not sent to the run's tracker: the run is from another machine or directory.")
        return
    try:
        _track(config, record["name"], record["key"], folder / RESULT, made)
    except TrackingError as error:
        logger.warning("%s The exports are in %s and in its result.json.", error, folder)


def _track(config: Node, name: str, key: str, result: Path, made: Sequence[Exported]) -> None:
    from embexp.config import instantiate

    tracker = instantiate(config["tracking"])
    tracker.prepare()
    tracker.start(name, None, key)
    for each in made:
        if not each.problem:
            tracker.log_metrics(each.metrics)
            tracker.log_artifact(each.folder, f"exports/{each.name}")
    tracker.log_artifact(result)
    tracker.finish("FINISHED")


if __name__ == "__main__":
    main()
