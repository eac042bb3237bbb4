"""embexp: the referee of fine-tuned text-embedding models. `embexp.run(...)` is `embexp ...` from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from embexp.api import Report, Run
    from embexp.errors import EmbexpError

__version__ = "0.1.0"
__all__ = ["EmbexpError", "Report", "Run", "compare", "evaluate", "leaderboard", "load", "run"]
_LAZY = {"EmbexpError": "embexp.errors", "Report": "embexp.api", "Run": "embexp.api"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'embexp' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def run(*overrides: str, config_dir: "str | Path | None" = None) -> "Run":
    """Train a model and evaluate it against its untouched self, as `embexp <overrides>` does.

    Args:
        overrides: as they are typed: `run("model=static", "loss=cosent", "dataset=faq.csv")`. `resume=<folder>` resumes
            an interrupted run. A sweep (`-m`) is for the command line.
        config_dir: a folder with YAML files of your own.

    Raises:
        EmbexpError: something in the configuration or the data is wrong.
    """
    from embexp.api import make_run

    return make_run(overrides, config_dir)


def load(run: "str | Path") -> "Run":
    """A run that was made before.

    Args:
        run: its folder, or its id in MLflow when it is below the configured `paths`.

    Raises:
        EmbexpError: there is no such run.
    """
    from embexp.api import find

    return find(run)


def evaluate(*overrides: str, config_dir: "str | Path | None" = None) -> "Report":
    """Score models without training, as `embexp evaluate model=a,b <overrides>` does: a line of the table per model.

    Raises:
        EmbexpError: something in the configuration or the data is wrong, or a model cannot be scored.
    """
    from embexp.api import score

    return score(overrides, config_dir)


def compare(
    first: "Run | str | Path | Sequence[Run | str | Path]",
    second: "Run | str | Path | Sequence[Run | str | Path]",
    *overrides: str,
    config_dir: "str | Path | None" = None,
) -> "Report":
    """Compare two finished runs, as `embexp compare <first> <second>` does: a line of the table per metric.

    Args:
        first, second: a run, its folder or its id in MLflow; several are seeds of one configuration.

    Raises:
        EmbexpError: a run is missing or has not finished, or they share no evaluator with the same examples.
    """
    from embexp.api import set_side_by_side

    return set_side_by_side(first, second, overrides, config_dir)


def leaderboard(*overrides: str, config_dir: "str | Path | None" = None) -> "Report":
    """Rank finished runs, as `embexp leaderboard sweep=<sweep> <overrides>` does: a line of the table per cell.

    Raises:
        EmbexpError: there is no such sweep, filter, parameter, metric or cost.
    """
    from embexp.api import rank

    return rank(overrides, config_dir)
