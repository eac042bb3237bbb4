"""Models made of modules that a YAML names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from embexp.config.compose import check_arguments, instantiate
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError, ModelError, Problem
from embexp.models.adapters import LoraAdapter, refuse_adapter
from embexp.models.modules import INPUTS, KINDS, module_class, stack_problems
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import FROM_SCRATCH
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module


@dataclass(frozen=True)
class StaticModel:
    """One vector per token, averaged: no attention, so it encodes many times faster.

    Tokenizer and first token vectors are those of a transformer's input embeddings.

    Args:
        source: the transformer whose tokenizer and input embeddings are used.
        adapter: is refused: there is no transformer to adapt.

    Raises:
        ConfigError: an adapter.
    """

    has_transformer: ClassVar[bool] = False
    trains_adapter: ClassVar[bool] = False
    merges_adapter: ClassVar[bool] = False

    source: PretrainedModel
    adapter: LoraAdapter | None = None

    def __post_init__(self) -> None:
        refuse_adapter(self.adapter or self.source.adapter)

    def prompts_for(self, kind: str) -> Prompts | None:
        """What goes before the texts of a task, as the source says."""
        return self.source.prompts_for(kind)

    def locate(self) -> dict[str, str]:
        """Where the source's weights come from."""
        return self.source.locate()

    def check(self) -> None:
        """Refuse what the source refuses, but for how it reads a text: of that only the token vectors are left."""
        self.source.check_machine()

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """A SentenceTransformer with one StaticEmbedding module."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        transformer = replace(self.source, forward="plain").load(training_texts, folder)  # it never computes
        vectors = transformer[0].auto_model.get_input_embeddings().weight.detach().clone()
        return SentenceTransformer(modules=[StaticEmbedding(transformer.tokenizer, embedding_weights=vectors)])


_Call = Mapping[str, Any]


def module_stack(
    modules: Mapping[str, _Call], base: _Call | None = None, adapter: _Call | None = None
) -> "ModuleStack":
    """A model of the base's transformer, if there is one, and these modules, in their order.

    Args:
        modules: for each module what its YAML calls; the width of its input may be left out.
        base: the YAML of a pretrained model; only its transformer is used.
        adapter: the YAML of an adapter, trained in place of the transformer's own weights.

    Raises:
        ConfigError: a stack that cannot be trained, or would not be the same once saved and loaded, with the reason.
    """
    refuse(stack_problems(modules, base is not None))
    if not base:
        refuse_adapter(adapter)
    elif base.get("adapter") is not None:
        fix = ("~model.base.adapter model/adapter=lora",)
        raise ConfigError("is what model.adapter gives", key="model.base.adapter", given=base["adapter"], fix=fix)
    return ModuleStack(modules, instantiate({**base, "adapter": adapter}) if base else None)


@dataclass(frozen=True)
class ModuleStack:
    """Modules one after the other, as sentence-transformers trains and saves them."""

    modules: Mapping[str, _Call]
    base: PretrainedModel | None

    @property
    def has_transformer(self) -> bool:
        """Whether the first module is a transformer."""
        return self.base is not None

    @property
    def trains_adapter(self) -> bool:
        """Whether an adapter is trained in place of the transformer's own weights."""
        return self.base is not None and self.base.trains_adapter

    @property
    def merges_adapter(self) -> bool:
        """Whether the trained adapter goes into the weights of the model that is kept."""
        return self.base is not None and self.base.merges_adapter

    @property
    def drawn(self) -> tuple[str, ...]:
        """The modules whose weights begin at random, by their classes."""
        kinds = dict.fromkeys(map(module_class, self.modules.values()))
        return tuple(kind for kind in kinds if kind in KINDS and KINDS[kind].draws)

    def prompts_for(self, kind: str) -> Prompts | None:
        """What goes before the texts of a task, as the base says."""
        return self.base.prompts_for(kind) if self.base else None

    def locate(self) -> dict[str, str]:
        """Where the transformer's weights come from; without one there is nothing to find."""
        return self.base.locate() if self.base else dict(FROM_SCRATCH)

    def check(self) -> None:
        """Refuse arguments that a module does not take, and what the base refuses.

        Raises:
            ConfigError: all such arguments, at once.
        """
        problems: list[Problem] = []
        for name, call in self.modules.items():
            try:
                check_arguments(dict(call), {"training_texts": None} if module_class(call) in INPUTS else {})
            except ConfigError as error:
                problems += [problem.under(f"model.modules.{name}") for problem in error.problems]
        refuse(problems)
        if self.base:
            self.base.check_machine()

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The model; weights that do not come from the base are random, by the run's seed.

        Raises:
            ModelError: a width that was given is not that of the module before.
        """
        from sentence_transformers import SentenceTransformer

        base = self.base.load(training_texts, folder) if self.base else None
        modules = [base[0]] if base else []
        for name, call in self.modules.items():
            modules.append(_build(name, call, modules, training_texts))
        prompts = {"prompts": base.prompts, "default_prompt_name": base.default_prompt_name} if base else {}
        return SentenceTransformer(modules=modules, **prompts)


def _build(name: str, call: _Call, before: list["Module"], training_texts: TextSource) -> "Module":
    kind = module_class(call)
    if kind in INPUTS:
        return instantiate(dict(call), training_texts=training_texts())
    found = {}
    if KINDS[kind].width:
        last = next(module for module in reversed(before) if hasattr(module, "get_embedding_dimension"))
        found[KINDS[kind].width] = last.get_embedding_dimension()
    if kind == "WeightedLayerPooling":
        config = before[0].auto_model.config
        config.output_hidden_states = True
        found["num_hidden_layers"] = config.num_hidden_layers
        legal = LegalValues(least=0, most=config.num_hidden_layers, whole=True)
        note = f"The transformer has {config.num_hidden_layers} layers (0 is its input)"
        layer_start = f"model.modules.{name}.layer_start"
        if problems := [*problems_with(layer_start, call.get("layer_start", 4), legal, 0, note)]:
            raise ModelError(*problems)
    for key, value in found.items():
        if call.get(key) not in (None, value):
            text, own_key = f"was given; the model before it has {value}", f"model.modules.{name}.{key}"
            raise ModelError(text, key=own_key, given=call[key], note="Leave it out")
    return instantiate({key: value for key, value in call.items() if key not in found}, **found)
