"""What runs, as the tracker shows it: parameters, tags, and the configuration as a file."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from embexp.core.environment import environment_tags
from embexp.core.run_context import timed
from embexp.core.run_folder import CONFIG
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import listed
from embexp.experiment.datasets import stand_ins
from embexp.experiment.fingerprint import evaluated_rows
from embexp.experiment.plan import RunPlan
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import send_trainings

logger = logging.getLogger(__name__)


@timed("describing")
def record_params(plan: RunPlan, journal: Journal) -> None:
    """Record what runs: parameters, tags, configuration, trainings that the data took."""
    for stage in plan.stages:
        for report in stage.dataset.history:
            logger.info("%s: %s", stage.name, report)
    main, warnings = plan.stages[-1], [str(warning) for warning in plan.warnings]
    journal.result |= {
        "choices": dict(plan.choices),
        "seed": plan.seed,
        "base_model": "{id} from {source}: {location}".format(**plan.model_place),
        "data": data_lines(main.dataset),
        "warnings": warnings,
    }
    places = {"base_model": plan.model_place, **main.loss.locate()}
    journal.log_params(parameters(plan))
    journal.log_tags(
        environment_tags()
        | {f"data.{split}": value for split, value in main.dataset.fingerprints().items()}
        | {f"data.{key}": str(value) for key, value in main.dataset.provenance.items()}
        | {f"evaluated.{evaluator}": value for evaluator, value in evaluated_rows(plan).items()}
        | {f"{name}.{key}": value for name, place in places.items() for key, value in place.items() if value}
        | ({"data.warnings": "\n".join(warnings)} if warnings else {})
    )
    log_rows(main.dataset, journal)
    journal.log_artifact(plan.folder / CONFIG)
    if (overrides := plan.folder / ".hydra" / "overrides.yaml").is_file():
        journal.log_artifact(overrides)
    send_trainings(journal, [report for stage in plan.stages for report in stage.dataset.history])


def log_rows(dataset: EmbeddingDataset, journal: Journal) -> None:
    """Name the rows that a stage reads."""
    source = str(dataset.provenance.get("source", dataset.name))
    for split, digest in dataset.fingerprints().items():
        journal.log_data(dataset.name, split, digest, dataset.splits[split].num_rows, source)


def data_lines(dataset: EmbeddingDataset) -> list[str]:
    """What a stage trains on, and how it came to that."""
    rows = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in dataset.splits.items())
    return [f"{dataset.name} as {dataset.shape.name} ({rows} rows)", *(str(report) for report in dataset.history)]


def parameters(plan: RunPlan) -> dict[str, Any]:
    """The resolved configuration as flat parameters; `loss`, `model` and the like are the chosen names."""
    flat = dict(flattened(plan.config, ""))
    main, found = plan.stages[-1], stand_ins(plan.config)
    return flat | {
        **{key: plan.choices[key] for key in ("dataset", "model", "loss", "trainer")},
        # Runs of earlier versions had no silver and no negatives.
        **{key: plan.choices.get(key) or "none" for key in ("modifier", "adapt", "silver", "negatives")},
        **({"stand_ins": listed(f"{key}: {corpus}" for key, corpus in found.items())} if found else {}),
        "base_model": plan.model_place["id"],
        "dataset.shape": main.dataset.shape.name,
        "dataset.train_rows": main.dataset.splits["train"].num_rows,
    }


def flattened(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Nested tables as `(key, value)` with dots in the keys; `_target_` becomes `class`."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            name = "class" if key == "_target_" else key
            yield from flattened(inner, f"{path}.{name}" if path else str(name))
    elif not isinstance(value, Mapping):
        yield path, value
