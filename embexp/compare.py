"""`python -m embexp.compare run_a run_b`: two finished runs, or two configurations with several seeds, on one page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig


def main() -> None:
    """Compose the configuration and compare the two runs that were named."""
    from embexp.command import run_command

    sys.argv[1:] = with_runs(sys.argv[1:])
    run_command(compare, "compare")


def with_runs(arguments: Sequence[str]) -> list[str]:
    """The arguments with those that are no overrides and no options as the list `runs`.

    >>> with_runs(["runs/a", "runs/b", "resamples=500"])
    ['runs=["runs/a","runs/b"]', 'resamples=500']
    """
    from embexp.overrides import quoted

    runs = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    others = [argument for argument in arguments if argument not in runs]
    return [f"runs=[{','.join(map(quoted, runs))}]", *others] if runs else others


def compare(config: DictConfig, _choices: dict[str, Any] | None = None, _folder: Path | None = None) -> dict[str, Any]:
    """Compare two runs, print the page and write it where asked for; returns what it says.

    Raises:
        ConfigError: not two runs, or ones that have not finished or were judged on other examples.
    """
    from embexp.comparison import compare_runs
    from embexp.config import resolve
    from embexp.errors import ConfigError
    from embexp.reports.comparison_page import comparison_page
    from embexp.run_record import find_run, write_text

    resolved = resolve(config)
    runs = resolved["runs"]
    sides = [[run.strip() for run in side.split(",") if run.strip()] for side in runs]
    if len(sides) != 2 or not all(sides):
        raise ConfigError(
            f"{len(runs)} runs were named. Expected two: type python -m embexp.compare <run> <run>, each by its folder "
            "or its id in MLflow; seeds of one configuration with commas between them: <run>,<run>."
        )
    if resolved["resamples"] < 1 or resolved["examples"] < 0:
        raise ConfigError(
            f"resamples={resolved['resamples']} examples={resolved['examples']}: expected resamples from 1, examples "
            "from 0."
        )
    roots = [resolved["paths"][place] for place in ("runs", "sweeps", "tunings")]
    folders = [[find_run(run, roots) for run in side] for side in sides]
    found = compare_runs(*folders, resolved["resamples"], resolved["examples"])
    page = comparison_page(found)
    print(page)
    if resolved["output"]:
        write_text(Path(resolved["output"]), page)
    return found


if __name__ == "__main__":
    main()
