"""What the trials of a study are measured by: the same for all of them, and never the test split."""

from pathlib import Path

from embexp.errors import ConfigError
from embexp.identity import digest, judged_on
from embexp.plan import RunPlan
from embexp.tuning.record import read_study


def measure_of(plan: RunPlan) -> dict[str, str]:
    """Key of the metric on dev by which a trial is measured, and a hash of the rows.

    Raises:
        ConfigError: there is no dev split, and choosing on test would leave no honest number.
    """
    evaluator = next(each for each in plan.evaluators if each.name == plan.primary_evaluator)
    if "dev" not in evaluator.splits:
        raise ConfigError(
            f"{evaluator.name} has no dev split, only {', '.join(evaluator.splits)}. Expected one to choose by: the "
            "best of many trials on test says nothing of other data. Type an evaluator that has one, such as "
            "evaluator=[stsb], or split the data: step=[split]."
        )
    rows = judged_on(plan).get(f"{evaluator.name}/dev", "")
    return {"metric": f"dev/{evaluator.name}/{plan.primary_metric}", "rows": digest(rows)}


def check_measure(folder: Path, plan: RunPlan) -> None:
    """Raise ConfigError where a trial would be measured differently from the others of its study."""
    before, now = read_study(folder)["measure"], measure_of(plan)
    if before != now:
        what = f"by {now['metric']}, not {before['metric']}" if before["metric"] != now["metric"] else "on other rows"
        raise ConfigError(
            f"The trial would be measured {what}. Expected the same for all trials of a study: name an evaluator with "
            "rows of its own, such as evaluator=[stsb], or begin another study with tune.seed=<number>."
        )
