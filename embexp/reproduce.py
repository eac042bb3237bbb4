"""`python -m embexp.reproduce`: the recipes measured on real data, resumable, and RESULTS.md of what they gave."""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from embexp.recipes.recipe import Recipe

logger = logging.getLogger(__name__)
PAGE, FOUND, NOTES = "RESULTS.md", "results", "notes.md"  # below `output`; NOTES is a person's, in FOUND


def main() -> None:
    """Compose the configuration, run the recipes, write the page."""
    from embexp.command import run_command

    sys.argv[1:] = as_overrides(sys.argv[1:])
    run_command(reproduce, "reproduce")


def as_overrides(arguments: Sequence[str]) -> list[str]:
    """The arguments for Hydra: `size` chooses from its group.

    >>> as_overrides(["size=gpu", "only=[sbert_mnrl]"])
    ['reproduce/size@size=gpu', 'only=[sbert_mnrl]']
    """
    return [f"reproduce/size@{each}" if each.startswith("size=") else each for each in arguments]


def reproduce(config: DictConfig, choices: dict[str, Any], _folder: Path | None = None) -> dict[str, Any]:
    """Run what is not finished, and write what all runs of this size found; returns that.

    Raises:
        ConfigError: names of recipes that there are not.
        TrackingError: MLflow's store cannot be opened.
    """
    from embexp.config import instantiate, resolve
    from embexp.recipes.recipe import recipes_of
    from embexp.recipes.running import run_recipes

    settings = resolve(config)
    recipes = recipes_of(settings, choices["tracking"])
    chosen = [each for each in recipes if settings["only"] is None or each.name in settings["only"]]
    if chosen:
        instantiate(settings["tracking"]).prepare()  # once, before sweeps that run side by side
    output, codes = Path(settings["output"]), {}
    path = output / FOUND / f"{choices['reproduce/size@size']}.json"
    found = show(recipes, recipes, codes, path)
    for recipe, code in run_recipes(chosen, settings["size"]["side_by_side"]):
        codes[recipe.name] = code
        found = show(recipes, [recipe], codes, path)
    for failure in found["failures"]:
        print(f"failed     {failure}")
    print(f"in         {output / PAGE}")
    if any(codes.values()):
        sys.exit(1)
    return found


def show(
    recipes: Sequence["Recipe"], changed: Sequence["Recipe"], codes: Mapping[str, int], path: Path
) -> dict[str, Any]:
    """What was found so far, in its file and on the page: who is killed leaves what was finished."""
    found = gather(recipes, changed, codes, path)
    write_page(path.parent.parent)
    return found


def gather(
    recipes: Sequence["Recipe"], changed: Sequence["Recipe"], codes: Mapping[str, int], path: Path
) -> dict[str, Any]:
    """What the sweeps found, written to `path`; rows of sweeps that are not here, measured elsewhere, stay.

    Args:
        changed: the recipes whose sweeps are read; the rows of the others are those of `path`.
        codes: exit codes of the sweeps that were run now.
    """
    from embexp.recipes.findings import failures_of, findings_of
    from embexp.run_record import write_json

    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"rows": [], "failures": []}
    rows, failures = [], []
    for recipe in recipes:
        known = [row for row in earlier["rows"] if row["recipe"] == recipe.name]
        rows += (findings_of(recipe) if recipe in changed else []) or known
        told = [each for each in earlier["failures"] if each.startswith(f"{recipe.name}: ")]
        failures += failures_of(recipe, codes[recipe.name]) if recipe.name in codes else told
    found = {"size": path.stem, "rows": rows, "failures": failures}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def write_page(output: Path) -> None:
    """RESULTS.md of all sizes that were measured, here or elsewhere."""
    from embexp.reports.results_page import results_page
    from embexp.run_record import write_text

    sizes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((output / FOUND).glob("*.json"))]
    notes = output / FOUND / NOTES
    write_text(output / PAGE, results_page(sizes, notes.read_text(encoding="utf-8") if notes.is_file() else ""))


if __name__ == "__main__":
    main()
