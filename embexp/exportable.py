"""Models to export: that of a finished run with its evaluators and data, or any model by its path."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from embexp.building import DataBuilder, builder_of, dataset_name
from embexp.config import instantiate
from embexp.data.dataset import EmbeddingDataset
from embexp.drafts import MAIN, draft_stage, stages_of
from embexp.errors import ConfigError
from embexp.evaluation.scores import Evaluator
from embexp.exports.trained import TrainedModel
from embexp.judges import plan_evaluators
from embexp.misfits import Misfits
from embexp.models.encoding import ModelEncoder
from embexp.models.text_memory import TextMemory
from embexp.plan import plan_stage
from embexp.run_record import CONFIG, RESULT, read_record, status_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Node = Mapping[str, Any]


def of_run(folder: Path) -> TrainedModel:
    """The model of a finished run, with the evaluators and the training data that its configuration names.

    Raises:
        ConfigError: the run in the folder has not finished.
        EmbexpError: its data cannot be read any more.
    """
    from sentence_transformers import SentenceTransformer

    if (status := status_of(folder)) != "FINISHED":
        how = "was interrupted" if status == "RUNNING" else f"ended as {status}"
        raise ConfigError(
            f"The run in {folder} {how}. Expected one that has finished: type python -m embexp resume={folder}, "
            "which goes on with it; then export."
        )
    _check_directory(folder)
    _quiet()
    config = OmegaConf.to_container(OmegaConf.load(folder / CONFIG), resolve=True)
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    evaluators, dataset = _judges_and_data(config, result["choices"])
    model = folder / "stages" / MAIN / "model"
    return TrainedModel(
        folder=model,
        output=folder / "exports",
        encoder=_encoder(SentenceTransformer(str(model))),
        evaluators=evaluators,
        dataset=dataset,
        result=result,
        config=config,
        run_folder=folder,
    )


def _check_directory(folder: Path) -> None:
    """Raise ConfigError when the run began in another directory, to which its relative paths belong."""
    began = Path(read_record(folder)["directory"])
    if began.is_dir() and began != Path.cwd():
        raise ConfigError(
            f"The run in {folder} began in {began}, to which its relative paths belong. "
            f"Type it there: cd {began} && python -m embexp.export run={folder.resolve()} ..."
        )


def _judges_and_data(config: Node, names: Mapping[str, str]) -> tuple[tuple[Evaluator, ...], EmbeddingDataset]:
    """The run's evaluators and the data of its main stage, built anew as its plan did."""
    builder, misfits = builder_of(config), Misfits()
    drafts = [draft_stage(name, node, config, names, builder) for name, node in stages_of(config)]
    trained_on = [plan_stage(draft, Path(draft.name), builder).dataset for draft in drafts]
    evaluators, _, _ = plan_evaluators(config, names["dataset"], trained_on, builder, misfits)
    misfits.raise_if_any()
    return evaluators, trained_on[-1]


def of_model(config: Node, choices: Mapping[str, Any]) -> TrainedModel:
    """A model as its YAML says, saved anew in the output; evaluators and data where they were named.

    Raises:
        EmbexpError: there is no such model, or data that cannot be read.
    """
    _quiet()
    builder, base = builder_of(config), instantiate(config["model"])
    dataset = _dataset(config, choices, builder)
    evaluators = _evaluators(config, dataset, builder) if config["evaluator"] else ()
    output = Path(config["output"] or f"exports/{Path(base.locate()['id']).name}")
    folder = output / "model"
    model = base.load(lambda: dataset.texts("train") if dataset else (), output)
    model.save_pretrained(str(folder))
    return TrainedModel(folder, output, _encoder(model), evaluators, dataset)


def _dataset(config: Node, choices: Mapping[str, Any], builder: DataBuilder) -> EmbeddingDataset | None:
    if not config["dataset"]:
        return None
    name = dataset_name(config["dataset"], choices)
    return builder.in_shape(config["dataset"], name, lambda offered: (offered[0], ()))


def _evaluators(config: Node, dataset: EmbeddingDataset | None, builder: DataBuilder) -> tuple[Evaluator, ...]:
    """The evaluators that were named, on their own data or on those that were named beside them.

    Raises:
        ConfigError: one that reads the run's data, where there are none.
    """
    reading = {name: node for name, node in config["evaluator"].items() if node["_reads_"]}
    lacking = [name for name, node in reading.items() if not node.get("dataset")]
    if lacking and not dataset:
        raise ConfigError(
            f"evaluator={lacking[0]} reads the data set that is trained on, and none was named. "
            "Type dataset=<data set>, or an evaluator with data of its own: evaluator=[stsb]."
        )
    misfits, name = Misfits(), dataset.name if dataset else ""
    evaluators, _, _ = plan_evaluators(config | {"primary_metric": None}, name, [], builder, misfits)
    misfits.raise_if_any()
    return evaluators


def _quiet() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()


def _encoder(model: "SentenceTransformer") -> TextMemory:
    """An encoder that computes as a run's does: without padding, where that can be."""
    from embexp.models.forward_choice import arrange_forward

    arrange_forward(model, None)
    return TextMemory(ModelEncoder(model, progress="encoding"))
