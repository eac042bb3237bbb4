"""The data of a race: read once, for the losses that fit their shape and the models that read their texts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import OmegaConf

from embexp.config.compose import composed, instantiate, resolve
from embexp.config.session import option_files
from embexp.core.run_context import import_data_libraries
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import DataError, EmbexpError, ModelError
from embexp.experiment.datasets import DataBuilder, builder_of, dataset_name, offered_shapes, without_costly_steps
from embexp.experiment.routing import makeable, route_to_loss, routes_to_losses, shipped_losses
from embexp.experiment.settings_checks import Findings, usual_learning_rate
from embexp.experiment.unknown_tokens import findings_of, is_stand_in, sampled_texts
from embexp.inspection.suggestions import cannot_train, row_of
from embexp.models.tokens import models_for, scripts_of
from embexp.models.weights import refuse_unreachable
from embexp.racing.space import LEARNING_RATE, Dimension, name_of, some_of

# Groups that say nothing of the data: their keys may be for some candidates only.
_OF_TRAINING = ("loss", "modifier", "model", "adapt", "evaluator", "guard", "export", "merge", "test", "dev")
_MOST_LOSSES, _MOST_MODELS = 3, 3


@dataclass
class RaceData:
    """What the data of a race are, seen before it starts.

    Attributes:
        node: their YAML, as plain values.
        shapes: those in which a loss can have them.
        builder: has read them.
        refusals: for each model that was looked at why it cannot take part; None where it can.
    """

    node: Mapping[str, Any]
    dataset: EmbeddingDataset
    shapes: Sequence[str]
    builder: DataBuilder
    refusals: dict[str, ModelError | None] = field(default_factory=dict)

    def losses(self, needs_no_transformer: bool = False) -> list[str]:
        """Losses that train on these rows and need nothing else, the one that suits them best first.

        Args:
            needs_no_transformer: only those that train any model.
        """
        row = row_of(self.shapes[0], self.dataset.label_names) or {}
        ways, direct = routes_to_losses(self.shapes, self.builder.settings), []
        for name, accepted in shipped_losses().items():
            if ways[name] and not ways[name][1] and _needs_nothing(name):
                direct.append((accepted.index(ways[name][0]), name))
        named = [name for name in (row.get("loss"), *(row.get("others") or ())) if name and ways.get(name)]
        found = dict.fromkeys((*named, *(name for _, name in sorted(direct))))
        fitting = [each for each in found if self._can_make(each)]
        free = [each for each in fitting if not (needs_no_transformer and _needs(each).get("transformer"))]
        return free[:_MOST_LOSSES]

    def by_fit(self, space: Sequence[Dimension]) -> list[Dimension]:
        """A space with the losses first that read the data as they are; else its order stays."""
        ways = routes_to_losses(self.shapes, self.builder.settings)

        def is_converted(loss: str) -> bool:
            way = ways.get(loss)
            return not way or bool(way[1])

        return [
            replace(each, values=tuple(sorted(each.values, key=is_converted))) if each.name == "loss" else each
            for each in space
        ]

    def _can_make(self, loss: str) -> bool:
        """Whether the rows make a shape that the loss reads: ranked rows without any negative make no triplets."""
        accepted = shipped_losses()[loss]
        if self.dataset.shape.name != "ranked":
            return True
        return bool({*makeable(("positive_pair", "triplet"), self.dataset)} & {*accepted})

    def models(self, prior: Sequence[str], downloads: bool) -> tuple[list[str], list[str]]:
        """Base models that read the texts, in the order of `prior`, and those of them that are on the Hub only.

        One from scratch is among them only where there is no other.

        Args:
            downloads: whether those on the Hub may take part.
        """
        scripts = scripts_of(self.texts())
        trained, any_weights = (models_for(scripts, trained=each) for each in (True, False))
        far = [] if downloads else [name for name in prior if trained.get(name)]
        found = [name for name in prior if name in trained and name not in far]
        return (found or [name for name in prior if any_weights.get(name) is False])[:_MOST_MODELS], far

    def texts(self) -> list[str]:
        """Some of the texts that are trained on."""
        return sampled_texts(self.dataset, "train")

    def refuse_loss(self, loss: str) -> None:
        """Raise ShapeError where no conversion leads from the data to a loss; others than the shipped ones may."""
        if accepted := shipped_losses().get(loss):
            route_to_loss(self.shapes, accepted, self.dataset.name, loss, self.builder.settings)

    def refuse_model(self, config: Mapping[str, Any], name: str, may_download: bool) -> None:
        """Raise ModelError where the model of a configuration cannot be had, or cannot read the texts.

        Args:
            name: what the model is called.
            may_download: whether it may be fetched from the Hub.
        """
        key = json.dumps([config["model"], config["max_unknown_tokens"]], default=str)
        if key not in self.refusals:
            self.refusals[key] = self._refusal_of(config, name, may_download)
        if error := self.refusals[key]:
            raise error

    def _refusal_of(self, config: Mapping[str, Any], name: str, may_download: bool) -> ModelError | None:
        try:
            model = instantiate(config["model"])
            place = model.locate()
            if place["source"] == "hub" and not may_download:
                return ModelError("is not on this machine", key="model", given=name, fix="race.downloads=true")
            refuse_unreachable(place)
        except EmbexpError as error:
            return ModelError(*error.problems)
        findings = Findings() if is_stand_in(config, place) else findings_of(model, "model", name, self.texts(), config)
        return ModelError(*findings.errors) if findings.errors else None


def _needs(loss: str) -> Mapping[str, Any]:
    return OmegaConf.load(option_files("loss")[loss]).get("_needs_") or {}


def _needs_nothing(loss: str) -> bool:
    """Whether a loss needs no other model and no large batches, and is not another with less memory."""
    node = OmegaConf.load(option_files("loss")[loss])
    saves_memory = "gradient_cache" in (node.get("_traits_") or ())
    return not (node.get("_companions_") or _needs(loss).get("batch_size") or saves_memory)


def read_data(fixed: Sequence[str], space: Sequence[Dimension], builders: dict[str, DataBuilder]) -> RaceData:
    """The data that the candidates train on; of several the first.

    Raises:
        EmbexpError: they cannot be read, or hold nothing to train on.
    """
    first = [override for each in space for override in each.overrides(each.values[0]) if each.name != LEARNING_RATE]
    of_data = [each for each in (*fixed, *first) if name_of(each).partition(".")[0] not in _OF_TRAINING]
    config, choices = composed(of_data)
    resolved = resolve(config)
    import_data_libraries()
    node, builder = resolved["dataset"], builder_of(resolved, builders)
    start = node["shapes"][0] if node["shapes"] else None
    dataset = builder.read(without_costly_steps(node), dataset_name(node, choices), start)
    if reason := cannot_train(dataset):
        raise DataError(f"{dataset.name}: {reason}", expected="rows to train on", fix="dataset=<file or folder>")
    return RaceData(node, dataset, offered_shapes(node) or [dataset.shape.name], builder)


def default_space(data: RaceData, race: Mapping[str, Any]) -> tuple[list[Dimension], list[str]]:
    """Losses, models and learning rates that differ where nobody says what does, and which models were passed over."""
    models, far = data.models(race["models"], race["downloads"])
    losses = data.losses(needs_no_transformer=not _any_transformer(data, models))
    found = {"loss": losses, "model": models, LEARNING_RATE: [*map(str, race["learning_rates"] or ())]}
    space = [Dimension(key, tuple(values)) for key, values in found.items() if values]
    return space, [f"{some_of(far)}: on the Hub only (race.downloads=true fetches them)"] if far else []


def _any_transformer(data: RaceData, models: Sequence[str]) -> bool:
    """Whether a model has one."""
    return bool({*models} & {*models_for(scripts_of(data.texts()), needs_transformer=True)})


def rate_of(config: Mapping[str, Any], times: float) -> str:
    """So many times the learning rate that suits the model of a configuration, as it is typed.

    >>> rate_of({"model": {"_learning_rate_": 5e-5}}, 3.0)
    '0.00015'
    """
    return f"{times * (usual_learning_rate(config['model']) or config['trainer']['learning_rate']):g}"
