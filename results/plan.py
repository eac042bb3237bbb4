"""What a budget is spent on: recipes without a result first, then those with questions that more seeds may decide."""

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from embexp.leaderboards.bottom_line import MOST_SEEDS
from results.findings import is_open
from results.recipes import Recipe


def following(
    recipes: Sequence[Recipe], found: Callable[[], Mapping[str, Any]], codes: Mapping[str, int]
) -> Callable[[Set[str]], Recipe | None]:
    """Gives the next sweep to run each time that it is asked, by the names of the recipes that run; None: none for now.

    A sweep is given once. Of recipes with open questions that with the fewest seeds comes first: one that was measured
    elsewhere has none here, and is measured with those of its size before it gets more.

    Args:
        found: reads the rows and pairs of the size as they are by then.
        codes: exit codes of the recipes that have been run; one that failed is not tried again.
    """
    given: set[Path] = set()

    def next_sweep(running: Set[str]) -> Recipe | None:
        now = found()
        measured = {row["recipe"] for row in now["rows"]}
        waiting = []
        for recipe in recipes:
            sweep = recipe.latest if recipe.name not in measured else _next(recipe)
            is_asked = recipe.name not in measured or is_open(now, recipe.name)
            is_free = recipe.name not in running and not codes.get(recipe.name) and sweep.folder not in given
            if is_asked and is_free and len(sweep.seeds) <= MOST_SEEDS:
                waiting.append(sweep)
        chosen = min(waiting, key=lambda each: (each.name in measured, len(each.seeds)), default=None)
        if chosen:
            given.add(chosen.folder)
        return chosen

    return next_sweep


def _next(recipe: Recipe) -> Recipe:
    """The sweep that was begun and has not ended, else the one with one seed more."""
    latest = recipe.latest
    return latest.with_next_seed if latest.has_ended else latest
