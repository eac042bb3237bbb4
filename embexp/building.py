"""Building a data set as its YAML says: read it, apply its steps, bring it to a shape. Runs and commands share this."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embexp.config import instantiate
from embexp.data.cache import cached_step, identity_of, step_key, unfinished_folder
from embexp.data.dataset import EmbeddingDataset
from embexp.dataset_steps import applying, offered_shapes, steps_of, with_models
from embexp.steps.conversions.conversion_settings import ConversionSettings
from embexp.steps.convert import convert
from embexp.steps.routes import Way

Node = Mapping[str, Any]
MOST_BUILT = 8  # data sets that a builder holds on to


def dataset_name(node: Node, choices: Mapping[str, Any]) -> str:
    """What a person calls a dataset: the YAML's name, or the last part of the path or id that was given."""
    reader = node["reader"]
    given = {"file": reader.get("path"), "hub": reader.get("id")}.get(str(choices["dataset"]))
    return Path(given).name.partition(".")[0] if given else str(choices["dataset"])


class DataBuilder:
    """Builds the data sets of a run, a sweep or a command; what was built a moment ago is not built again.

    Args:
        settings: what conversions need to know.
        cache: the folder that keeps what steps made, None to make everything anew.
    """

    def __init__(self, settings: ConversionSettings, cache: str | Path | None) -> None:
        self.settings = settings
        self.cache = Path(cache) if cache else None
        self._built: dict[str, EmbeddingDataset] = {}

    def read(self, node: Node, name: str, shape: str | None) -> EmbeddingDataset:
        """The rows of a dataset YAML in one of its shapes, after its steps.

        Raises:
            EmbexpError: the data cannot be read, or a step refuses them; the message names the step.
        """
        key = json.dumps([node["reader"], node["steps"], name, shape], default=str)
        if key not in self._built:
            self._built[key] = self._stepped(node, instantiate(node["reader"], name=name, shape=shape))
            for oldest in [*self._built][:-MOST_BUILT]:
                del self._built[oldest]
        return self._built[key]

    def _stepped(self, node: Node, dataset: EmbeddingDataset) -> EmbeddingDataset:
        steps = steps_of(node)
        identity = identity_of(dataset) if self.cache and steps else ""
        for key, step in steps.items():
            if self.cache:
                identity = step_key(identity, with_models(step))
                folders = {"cache": self.cache, "unfinished": unfinished_folder(self.cache, identity)}
                dataset = cached_step(self.cache, identity, dataset, applying(key, step, folders))
            else:
                dataset = applying(key, step, dict.fromkeys(("cache", "unfinished")))(dataset)
        return dataset

    def in_shape(self, node: Node, name: str, way_to: Callable[[list[str]], Way]) -> EmbeddingDataset:
        """The data set, read and converted on the way that `way_to` finds from the shapes it offers.

        Raises:
            EmbexpError: whatever reading, steps or conversions refuse.
        """
        offered = offered_shapes(node)
        start = way_to(offered)[0] if offered else None
        if start not in (node["shapes"] or []):  # a step makes that shape
            start = node["shapes"][0] if node["shapes"] else None
        dataset = self.read(node, name, start)
        for conversion in way_to([dataset.shape.name])[1]:
            dataset = convert(dataset, conversion, self.settings)
        return dataset


def builder_of(config: Mapping[str, Any], others: dict[str, DataBuilder] | None = None) -> DataBuilder:
    """The builder that a resolved configuration asks for: its group `conversion` and `paths.cache`.

    Args:
        others: builders by what they were asked for with: of these one is taken again, and a new one added.

    Raises:
        ConfigError: conversion settings out of range.
    """
    key = json.dumps([config["conversion"], config["paths"]["cache"]], default=str)
    others = {} if others is None else others
    if key not in others:
        others[key] = DataBuilder(instantiate(config["conversion"]), config["paths"]["cache"])
    return others[key]
