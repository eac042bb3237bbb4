"""Averages of models' weights: sentence-transformers' own merge (mergekit), with what it refuses as messages of ours.

A weighted mean of the untouched and the trained weights keeps more of what the untouched model could do (Wortsman et
al. 2022, "Robust fine-tuning of zero-shot models", arXiv 2109.01903; of embedding models Xiao et al. 2023,
"LM-Cocktail", arXiv 2311.13534). A mean of several fine-tuned ones is often better than each (Wortsman et al. 2022,
"Model soups", arXiv 2203.05482). Both hold for models that began
with the same weights.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embexp.config.compose import instantiate
from embexp.core.environment import lack_of
from embexp.core.file_contents import ADAPTER_CONFIG
from embexp.errors import ConfigError, ExportError, ModelError, listed
from embexp.models.packed import set_forward
from embexp.models.stack import ModuleStack
from embexp.protocols import BaseModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def check_merges(name: str) -> None:
    """Raise ConfigError where mergekit is not installed; imports nothing."""
    if lack := lack_of("merge", imports=False):
        raise ConfigError(f"export={name} needs {lack.text}", fix=lack.fix)


def check_can_be_merged(name: str, model: BaseModel, source: str) -> None:
    """Raise ConfigError where a run's model has weights that begin at random, or is an adapter of its own.

    Args:
        name: of the export.
        source: where the base model's weights come from.
    """
    if source == "scratch":
        text = "averages weights with those that the run began with, which are random here"
        raise ConfigError(text, key="export", given=[name], expected="a base model with weights", fix="model=minilm")
    if isinstance(model, ModuleStack) and model.drawn:
        text = f"averages weights that began the same; those of {listed(model.drawn)} begin at random in each run"
        expected = "a base model with weights for all of its modules"
        raise ConfigError(text, key="export", given=[name], expected=expected, fix="model=minilm")
    if model.trains_adapter and not model.merges_adapter:
        raise ConfigError(
            "averages whole models; the run trains an adapter and keeps it apart",
            key="export",
            given=[name],
            expected="an adapter that is merged at the end",
            fix="model.adapter.merge=true",
        )


def check_was_whole(name: str, config: Mapping[str, Any], source: str) -> None:
    """The same for a run that has finished, by the YAML of its model: it cannot be trained otherwise any more.

    Raises:
        ExportError: as ConfigError there.
    """
    try:
        check_can_be_merged(name, instantiate(config), source)
    except ConfigError as error:
        raise ExportError(*(replace(problem, fix=()) for problem in error.problems)) from error


def load_whole(folder: Path) -> "SentenceTransformer":
    """A saved model whose weights can be averaged.

    Raises:
        ModelError: it is an adapter, whose base lies elsewhere, or cannot be loaded.
    """
    from sentence_transformers import SentenceTransformer

    if any(folder.rglob(ADAPTER_CONFIG)):
        text = "holds an adapter, and averages are those of whole models"
        raise ModelError(text, file=folder, expected="a model that was merged: train with model.adapter.merge=true")
    try:
        return SentenceTransformer(str(folder), local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"cannot be loaded: {str(error).splitlines()[0]}", file=folder) from error


def load_untouched(config: Mapping[str, Any], texts: Sequence[str]) -> "SentenceTransformer":
    """The model that a run began with, as its YAML says, as plain sentence-transformers loads it.

    Args:
        config: the YAML of the run's model.
        texts: of the training, for models that make something of them.
    """
    with tempfile.TemporaryDirectory() as place:
        adapter = {"adapter": None} if "adapter" in config else {}
        model = instantiate({**config, **adapter}).load(lambda: texts, Path(place))
        model.save_pretrained(f"{place}/untouched")
        return load_whole(Path(place) / "untouched")


def average(models: Sequence["SentenceTransformer"], weights: Sequence[float]) -> "SentenceTransformer":
    """The weighted mean of models' weights, as a model with the settings, prompts and dtype of the first.

    Numbers that are no fractions, such as positions, are not averaged but must be the same in all; tied weights stay
    tied. The models stay as they are.

    Args:
        models: two or more, of one architecture and with one tokenizer.
        weights: their shares; mergekit divides them by their sum.

    Raises:
        ModelError: their modules, settings, tokenizers or weights do not go together.
    """
    from sentence_transformers import SentenceTransformer

    _check_whole_numbers(models)
    dtype = next((each.dtype for each in models[0].parameters() if each.is_floating_point()), None)
    shares = {"weight": dict(enumerate(map(float, weights)))}
    try:
        merged = SentenceTransformer.merge([*models], "linear", parameters=shares, out_dtype=dtype)
    except (ValueError, TypeError, RuntimeError) as error:
        text = f"The weights cannot be averaged: {str(error).splitlines()[0]}"
        raise ModelError(text, expected="models that one base model was trained into, with one tokenizer") from error
    set_forward(merged, None)
    return merged


def _check_whole_numbers(models: Sequence["SentenceTransformer"]) -> None:
    import torch

    first, *others = (model.state_dict() for model in models)
    whole = {name: each for name, each in first.items() if not each.is_floating_point()}
    for name, values in whole.items():
        if any(name in other and not torch.equal(values.cpu(), other[name].cpu()) for other in others):
            text = f"The whole numbers {name} differ between the models, and have no mean"
            raise ModelError(text, expected="models that one base model was trained into")
