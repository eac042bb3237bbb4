"""`python -m embexp.evaluate model=a,b,c`: score models without training, and tell which are the best."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

Composed = tuple[DictConfig, dict[str, Any]]  # a configuration, and the chosen option of each group


def main() -> None:
    """Compose the configuration of every model, check all, score them, and print the table."""
    from embexp.command import run_command
    from embexp.overrides import each_model, expand_paths, quote_texts

    models, others = each_model(sys.argv[1:])
    sys.argv[1:] = [*models[0], *others]
    overrides = [each for each in others if not each.startswith("-") and ("=" in each or each.startswith("~"))]
    typed = quote_texts(expand_paths(overrides))

    def task(config: DictConfig, choices: dict[str, Any], folder: Path) -> None:
        from embexp.config import composed

        evaluate([(config, choices), *(composed([*model, *typed], "evaluate") for model in models[1:])], folder)

    run_command(task, "evaluate")


def evaluate(composed: Sequence[Composed], folder: Path) -> dict[str, Any]:
    """Score every model, log a run for each below a parent, and write table and results; returns the results.

    Raises:
        EmbexpError: whatever does not fit, of all models together, before any is loaded; or models that could not be
            scored, once all others were.
    """
    from embexp.candidates import plan_evaluation
    from embexp.run_record import held

    plan = plan_evaluation(composed, folder)
    with held(folder):
        from embexp.candidate_scores import score_candidates

        return score_candidates(plan)


if __name__ == "__main__":
    main()
