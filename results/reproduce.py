"""`python -m results.reproduce`: the recipes measured on real data, resumable, and RESULTS.md of what they gave."""

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from results.recipes import Recipe

logger = logging.getLogger(__name__)
_PAGE, _ROWS, _NOTES = "RESULTS.md", "results", "notes.md"  # below `output`; NOTES, in ROWS, is written by a person
_LONGEST_NAME = 60  # characters of the overrides in the name of a folder


def main() -> None:
    """Compose the configuration, run the recipes, write the page."""
    from embexp.cli.app import run_command

    sys.argv[1:] = as_overrides(sys.argv[1:])
    run_command(reproduce, "reproduce")


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """The arguments for Hydra: `size` chooses from its group.

    >>> as_overrides(["size=gpu", "only=[sbert_mnrl]"])
    ['reproduce/size@size=gpu', 'only=[sbert_mnrl]']
    """
    return [f"reproduce/size@{each}" if each.startswith("size=") else each for each in arguments]


def reproduce(config: DictConfig, choices: dict[str, Any], _folder: Path | None = None) -> dict[str, Any]:
    """Run what is not finished; write and return what all runs of this size found.

    Raises:
        ConfigError: unknown recipes, recipes that are not measured at this size, or a missing folder of data.
        TrackingError: MLflow's store cannot be opened.
    """
    from embexp.config.compose import instantiate, resolve
    from results.recipes import read_recipes, run_recipes

    settings, size_name = resolve(config), choices["reproduce/size@size"]
    recipes = read_recipes(settings, size_name, choices["tracking"])
    chosen = [each for each in recipes if settings["only"] is None or each.name in settings["only"]]
    if chosen:
        instantiate(settings["tracking"]).prepare()  # once, before sweeps that run side by side
    output, codes = _output_folder(settings["output"], settings["more"]), {}
    path = output / _ROWS / f"{size_name}.json"
    found = _write_found(recipes, chosen or recipes, codes, path)
    with closing(run_recipes(chosen, settings["size"]["side_by_side"])) as ended:  # stops what runs, however we end
        for recipe, code in ended:
            codes[recipe.name] = code
            found = _write_found(recipes, [recipe], codes, path)
    for failure in found["failures"]:
        print(f"failed     {failure}")
    print(f"in         {output / _PAGE}")
    if any(codes.values()):
        sys.exit(1)
    return found


def _output_folder(output: str, more: Sequence[str]) -> Path:
    """The folder of page and rows; rows measured with `more` get one of their own, as they compare with no others.

    >>> _output_folder(".", ["trainer=smoke"]).as_posix()
    'results/with_trainer=smoke_d861fbef'
    """
    from embexp.experiment.fingerprint import digest

    if not more:
        return Path(output)
    named = re.sub(r"[^\w.=-]+", "_", "_".join(more))[:_LONGEST_NAME]
    return Path(output) / _ROWS / f"with_{named}_{digest([*more])[:8]}"


def _write_found(
    recipes: Sequence["Recipe"], changed: Sequence["Recipe"], codes: Mapping[str, int], path: Path
) -> dict[str, Any]:
    """What the sweeps have found so far, written to `path` and to the page, so that a kill loses nothing finished.

    Rows of sweeps that are not here, or have not ended, stay as they were.

    Args:
        changed: the recipes whose sweeps are read; the rows of the others are those of `path`.
        codes: exit codes of the sweeps that this call ran.
    """
    from embexp.core.run_folder import write_json, write_text
    from results.findings import results_page
    from results.recipes import failures_of

    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": [], "failures": []}
    rows, failures = [], []
    for recipe in recipes:
        known = [row for row in earlier["rows"] if row["recipe"] == recipe.name]
        rows += (_rows_of(recipe) if recipe in changed else []) or known
        recorded = [each for each in earlier["failures"] if each.startswith(f"{recipe.name}: ")]
        failures += failures_of(recipe, codes[recipe.name]) if recipe.name in codes else recorded
    found = {"size": path.stem, "rows": rows, "failures": failures}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    sizes = [json.loads(each.read_text(encoding="utf-8")) for each in sorted(path.parent.glob("*.json"))]
    notes = path.parent / _NOTES
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    write_text(path.parent.parent / _PAGE, results_page(sizes, text))
    return found


def _rows_of(recipe: "Recipe") -> list[dict[str, Any]]:
    """The rows of a sweep that has ended; those of one that has not are only logged."""
    from results.findings import findings_of

    found = findings_of(recipe)
    if recipe.has_ended:
        return found
    for row in found:
        named, num_seeds = f"{recipe.name} {row['variant']}".strip(), len(row["seeds"])
        message = "%s so far: %s %.4f, seeds: %s; it is written once its sweep has ended."
        logger.info(message, named, row["metric"], row["score"][0], num_seeds)
    return []


if __name__ == "__main__":
    main()
