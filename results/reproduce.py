"""`python -m results.reproduce`: the recipes measured on real data, resumable, and RESULTS.md of what they gave."""

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
    from embexp.core.run_folder import read_json
    from results.plan import following
    from results.recipes import read_recipes, run_recipes

    settings, size_name = resolve(config), choices["reproduce/size@size"]
    seconds = _seconds(settings["budget"])
    recipes = read_recipes(settings, size_name, choices["tracking"])
    chosen = [each for each in recipes if settings["only"] is None or each.name in settings["only"]]
    if chosen:
        instantiate(settings["tracking"]).prepare()  # once, before sweeps that run side by side
    output, codes = _output_folder(settings["output"], settings["more"]), {}
    path = output / _ROWS / f"{size_name}.json"
    found = _write_found(recipes, [each.name for each in chosen or recipes], codes, path)
    listed, more = (
        (chosen, ()) if seconds is None else ([], (following(chosen, lambda: read_json(path), codes), seconds))
    )
    sweeps = run_recipes(listed, settings["size"]["side_by_side"], *more)
    with closing(sweeps) as ended:  # stops what runs, however we end
        for recipe, code in ended:
            codes[recipe.name] = code
            found = _write_found(recipes, [recipe.name], codes, path)
    for failure in found["failures"]:
        print(f"failed     {failure}")
    print(f"in         {output / _PAGE}")
    if any(codes.values()):
        sys.exit(1)
    return found


def _seconds(given: Any) -> float | None:
    """The seconds of a budget; None without one.

    Raises:
        ConfigError: it is no time.
    """
    from embexp.errors import ConfigError
    from embexp.racing.budget import read_budget

    budget = read_budget(given)
    if budget.examples is not None:
        raise ConfigError("is no time", "budget", given, "hours, minutes or seconds", fix=("budget=8h", "budget=90m"))
    return budget.seconds


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
    recipes: Sequence["Recipe"], changed: Sequence[str], codes: Mapping[str, int], path: Path
) -> dict[str, Any]:
    """What the sweeps have found so far, written to `path` and to the page, so that a kill loses nothing finished.

    What sweeps have found that are not here, or have not ended, stays as it was.

    Args:
        changed: the names of the recipes whose sweeps are read; the rows and pairs of the others are those of `path`.
        codes: exit codes of the sweeps that this call ran.
    """
    from embexp.core.run_folder import read_json, write_json, write_text
    from results.findings import progress
    from results.page import results_page
    from results.recipes import failures_of

    found: dict[str, Any] = {"size": path.stem, "rows": [], "pairs": [], "failures": []}
    earlier = read_json(path) if path.is_file() else found
    for recipe in recipes:
        now = _ended_findings(recipe) if recipe.name in changed else {"rows": []}
        source = now if now["rows"] else earlier
        for key in ("rows", "pairs"):
            found[key] += [each for each in source.get(key, ()) if each["recipe"] == recipe.name]
        recorded = [each for each in earlier["failures"] if each.startswith(f"{recipe.name}: ")]
        found["failures"] += failures_of(recipe.latest, codes[recipe.name]) if recipe.name in codes else recorded
    found["progress"] = progress([recipe.name for recipe in recipes], found)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    sizes = [read_json(each) for each in sorted(path.parent.glob("*.json"))]
    notes = path.parent / _NOTES
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    write_text(path.parent.parent / _PAGE, results_page(sizes, text))
    return found


def _ended_findings(recipe: "Recipe") -> dict[str, list[dict[str, Any]]]:
    """What a recipe's sweep with the most seeds that has ended found; what of one that has not is only logged."""
    from results.findings import findings_of

    sweep = recipe.latest_ended
    found = findings_of(sweep)
    if sweep.has_ended:
        return found
    for row in found["rows"]:
        named, num_seeds = f"{recipe.name} {row['variant']}".strip(), len(row["seeds"])
        message = "%s so far: %s %.4f, seeds: %s; it is written once its sweep has ended."
        logger.info(message, named, row["metric"], row["score"][0], num_seeds)
    return {"rows": [], "pairs": []}


if __name__ == "__main__":
    main()
