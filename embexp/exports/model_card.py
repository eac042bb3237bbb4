"""The model card: the run's own numbers, data and settings, in the form that the Hugging Face Hub reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.exports.card_facts import (
    base_facts,
    base_model_id,
    call_of,
    command_of,
    data_facts,
    hub_dataset,
    public,
    stage_facts,
    versions_of,
)
from embexp.exports.delivery import is_local
from embexp.reports.tables import loss_name

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TEMPLATE = Path(__file__).with_name("model_card.md")
CARD = "README.md"
_UNLICENSED = (
    "Nobody has chosen a license yet. The licenses of the training data and of the base model decide which ones are "
    "possible: read both before you share this model, then state one in the first lines of this file."
)


@dataclass(frozen=True)
class Sharing:
    """What only a person can say: where the model goes, under which license, in which languages, with which rows."""

    repo: str | None = None
    license: str | None = None
    data_license: str | None = None
    languages: Sequence[str] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    license_name: str | None = None
    license_link: str | None = None


def write_card(
    folder: Path,
    result: Mapping[str, Any],
    config: Mapping[str, Any],
    run_folder: Path | None = None,
    sharing: Sharing | None = None,
) -> Path:
    """Write the card into a model's folder, in place of the one that sentence-transformers writes there."""
    path = folder / CARD
    path.write_text(model_card(result, config, run_folder, sharing or Sharing()) + "\n", encoding="utf-8")
    return path


def model_card(result: Mapping[str, Any], config: Mapping[str, Any], run_folder: Path | None, sharing: Sharing) -> str:
    """The card's text: checked metadata for the Hub, then the table, data, training and license for people.

    Args:
        result: what stands in the run's result.json.
        config: its resolved configuration.
        run_folder: where `.hydra/overrides.yaml` tells the command.
    """
    from huggingface_hub import ModelCard

    choices = result["choices"]
    base, base_line = base_facts(result, config["model"])
    card = ModelCard.from_template(
        _card_data(result, config, sharing),
        template_path=str(_TEMPLATE),
        title=_title(result, sharing),
        base=base,
        base_facts=base_line,
        adapter_base=result.get("adapter_base"),
        adapter_is_local=is_local(result.get("adapter_base")),
        loss_name=loss_name(choices),
        data_name=choices["dataset"],
        verdict=_verdict(result),
        rows=[row for row in result["comparisons"] if row["headline"] or row["primary"]],
        judged_split=result["primary"]["split"],
        repo=sharing.repo,
        data_facts=[*data_facts(result, sharing.data_license)],
        examples=sharing.examples,
        stages=[*stage_facts(result, config)],
        loss_call=call_of(config["loss"]),
        modifier_call=call_of(config["modifier"]),
        training=result["training"],
        seed=result["seed"],
        trainer=[(key, public(value)) for key, value in config["trainer"].items() if not key.startswith("_")],
        command=command_of(run_folder),
        versions=versions_of(result),
        license_text=_license(sharing),
    )
    return card.content


def _card_data(result: Mapping[str, Any], config: Mapping[str, Any], sharing: Sharing) -> "ModelCardData":
    """The metadata, as huggingface_hub checks and writes it; what is not known is left out, never guessed."""
    from huggingface_hub import ModelCardData

    dataset = hub_dataset(config["dataset"])
    return ModelCardData(
        language=list(sharing.languages) or None,
        license=sharing.license,
        license_name=sharing.license_name,
        license_link=sharing.license_link,
        base_model=base_model_id(result),
        datasets=[dataset] if dataset else None,
        pipeline_tag="sentence-similarity",
        library_name="sentence-transformers",
        tags=["sentence-transformers", "sentence-similarity", "feature-extraction", "embexp"],
        model_name=_title(result, sharing),
        eval_results=[*_eval_results(result, config)],
    )


def _eval_results(result: Mapping[str, Any], config: Mapping[str, Any]) -> "list[EvalResult]":
    """The trained model's headline metrics on the splits that judge."""
    from huggingface_hub import EvalResult

    rows = [row for row in result["comparisons"] if row["headline"] or row["primary"]]
    tested = {row["evaluator"] for row in rows if row["split"] == "test"}
    own = config["evaluator"]
    return [
        EvalResult(
            task_type="semantic-similarity",
            task_name="Semantic Similarity",
            dataset_type=hub_dataset(own[row["evaluator"]].get("dataset") or config["dataset"]) or row["evaluator"],
            dataset_name=row["evaluator"] if own[row["evaluator"]].get("dataset") else result["choices"]["dataset"],
            dataset_split=row["split"],
            metric_type=row["metric"],
            metric_name=row["metric"].replace("_", " ").capitalize(),
            metric_value=round(row["trained"], 6),
        )
        for row in rows
        if row["split"] == "test" or row["evaluator"] not in tested
    ]


def _title(result: Mapping[str, Any], sharing: Sharing) -> str:
    names = result["choices"]
    return sharing.repo or f"{names['model']} trained with {loss_name(names)} on {names['dataset']}"


def _verdict(result: Mapping[str, Any]) -> str:
    """One sentence: how it compares with the untouched model."""
    primary = result["primary"]
    than = {
        "better": "better than",
        "worse": "worse than",
        "no difference": "not measurably different from",
        "no interval": "not compared by an interval with",
    }
    return (
        f"On {primary['split']} it is **{than[primary['verdict']]}** the untouched model: {primary['metric']} "
        f"{primary['trained']:.4f} against {primary['base']:.4f}."
    )


def _license(sharing: Sharing) -> str:
    if not sharing.license:
        return _UNLICENSED
    license = sharing.license
    if sharing.license_name:
        license = f"{sharing.license_name} ({sharing.license_link})"
    return f"{license}. License of the training data: {sharing.data_license or 'not stated'}."
