"""What runs, as the tracker shows it: parameters, tags, and the configuration as a file."""

import logging
from collections.abc import Mapping
from typing import Any

from embexp.costs import COSTS
from embexp.environment import environment_tags
from embexp.identity import judged_on
from embexp.plan import RunPlan
from embexp.run_record import CONFIG
from embexp.stopwatch import WATCH
from embexp.tracking.journal import Journal

logger = logging.getLogger(__name__)


@WATCH.part("describing")
def describe(plan: RunPlan, journal: Journal) -> None:
    """Record what runs: parameters, tags, and the configuration as a file; from here on costs are counted."""
    COSTS.begin()
    for stage in plan.stages:
        for report in stage.dataset.history:
            logger.info("%s: %s", stage.name, report)
    main = plan.stages[-1]
    journal.result |= {
        "choices": dict(plan.choices),
        "seed": plan.seed,
        "base_model": "{id} from {source}: {location}".format(**plan.model_place),
        "data": data_lines(plan),
        "warnings": list(plan.warnings),
    }
    journal.log_params(parameters(plan))
    journal.log_tags(
        environment_tags()
        | {f"data.{split}": value for split, value in main.dataset.fingerprints().items()}
        | {f"data.{key}": str(value) for key, value in main.dataset.provenance.items()}
        | {f"judged.{evaluator}": value for evaluator, value in judged_on(plan).items()}
        | {f"base_model.{key}": value for key, value in plan.model_place.items() if value}
        | {
            f"{argument}.{key}": value
            for argument, place in main.loss.locate().items()
            for key, value in place.items()
            if value
        }
        | ({"data.warnings": "\n".join(plan.warnings)} if plan.warnings else {})
    )
    for split, digest in main.dataset.fingerprints().items():
        source = str(main.dataset.provenance.get("source", main.dataset.name))
        journal.log_data(main.dataset.name, split, digest, main.dataset.splits[split].num_rows, source)
    journal.log_artifact(plan.folder / CONFIG)
    if (plan.folder / ".hydra" / "overrides.yaml").is_file():
        journal.log_artifact(plan.folder / ".hydra" / "overrides.yaml")


def data_lines(plan: RunPlan) -> list[str]:
    """What the main stage trains on, and how it came to that."""
    main = plan.stages[-1].dataset
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in main.splits.items())
    return [f"{main.name} as {main.shape.name} ({rows} rows)", *(str(report) for report in main.history)]


def parameters(plan: RunPlan) -> dict[str, Any]:
    """The resolved configuration as flat parameters; `loss`, `model` and the like are the chosen names."""
    flat = dict(_flattened(plan.config, ""))
    main = plan.stages[-1]
    return flat | {
        "dataset": plan.choices["dataset"],
        "model": plan.choices["model"],
        "loss": plan.choices["loss"],
        "modifier": plan.choices["modifier"] or "none",
        "negatives": plan.choices.get("negatives") or "none",  # runs of earlier versions had no such choice
        "trainer": plan.choices["trainer"],
        "base_model": plan.model_place["id"],
        "dataset.shape": main.dataset.shape.name,
        "dataset.train_rows": main.dataset.splits["train"].num_rows,
    }


def _flattened(value: Any, path: str):
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            name = "class" if key == "_target_" else key
            yield from _flattened(inner, f"{path}.{name}" if path else str(name))
    elif not isinstance(value, Mapping):
        yield path, value
