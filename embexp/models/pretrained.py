"""Base models with published weights: from a path, an installed package, the Hugging Face cache or the Hub."""

import importlib.util
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from embexp.config.compose import model_named
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.core.environment import lack_of, pip_install
from embexp.data.dataset import Prompts
from embexp.data.sources import hub_is_reachable
from embexp.errors import ConfigError, ModelError, Problem, listed
from embexp.models.adapters import LoraAdapter, check_applied, keep_frozen, merge_adapter
from embexp.models.prompts import prompt_problems, prompts_of
from embexp.models.reading import mask_settings, set_limit, set_mask, set_reading
from embexp.models.trained_as import MASKS, PADDING_SIDES, POOLING_MODES, UNLIKE, argument_problems, misfits
from embexp.models.weights import (
    LOCAL,
    cannot_be_loaded,
    find_weights,
    is_adapter,
    network_config,
    num_positions,
    refuse_unreachable,
    remote_code,
)
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_DTYPES = LegalValues(one_of=("float32", "bfloat16", "float16"), optional=True)
_ATTENTIONS = LegalValues(one_of=("eager", "sdpa", "flash_attention_2"), optional=True)
FORWARDS = LegalValues(one_of=("packed", "plain"), optional=True)


def _check_files(folder: Path, num_layers: int | None, max_seq_length: int | None) -> None:
    """Refuse more layers or tokens than the network has, and an adapter where peft is not installed."""
    config = network_config(folder)
    _refuse_beyond("num_layers", num_layers, config.get("num_hidden_layers"), "The model has {} layers")
    _refuse_beyond("max_seq_length", max_seq_length, num_positions(config), "The model reads at most {} tokens")
    if is_adapter(folder) and (lack := lack_of("lora", imports=False)):
        text = f"the folder holds an adapter, which needs {lack.text}"
        raise ModelError(text, file=folder, expected="peft, or a model that was merged", fix=lack.fix)


def _refuse_beyond(name: str, number: int | None, most: int | None, note: str) -> None:
    if number is not None and most:
        legal = LegalValues(least=1, most=most, whole=True)
        if problems := [*problems_with(f"model.{name}", number, legal, most, note.format(most))]:
            raise ModelError(*problems)


def _check_attention(attention: str | None) -> None:
    """Refuse FlashAttention where there is no GPU, or no package with its code; imports torch."""
    if attention != "flash_attention_2":
        return
    key, fix = "model.attention", "model.attention=sdpa"
    import torch
    from transformers.utils import is_flash_attn_2_available

    if not torch.cuda.is_available():
        raise ModelError("needs an NVIDIA GPU; there is none", key=key, given=attention, fix=fix)
    if not is_flash_attn_2_available() and importlib.util.find_spec("kernels") is None:
        text = "needs the package kernels or flash-attn; neither is installed"
        raise ModelError(text, key=key, given=attention, fix=(f"{pip_install()} kernels", fix))


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainedModel:
    """A model with published weights: from the first of path, package, cache and Hub that has them.

    Args:
        id: id on the Hugging Face Hub.
        path: a local folder, or an id: given by `model=<path or id>`.
        package: an installed Python package whose folder `model` holds the weights.
        revision: commit, branch or tag on the Hub; with one, the package is ignored.
        sha256: of the weights file in the package; another file is refused.
        max_seq_length: longest input in tokens, longer texts are cut; None keeps the model's own.
        num_layers: keep only the first layers; None keeps all.
        pooling: how tokens become one vector (`POOLING_MODES`), or several ways side by side; None keeps the model's.
        eos: append the tokenizer's end-of-sequence token to every text (of Qwen3 <|endoftext|>, as it was trained), or
            the token that is named, where the tokenizer appends none.
        padding_side: left or right; None keeps the tokenizer's.
        mask: causal or bidirectional, of a decoder's attention; None: as its files say.
        trained_with: what the weights were trained with where their files do not say so: pooling, eos, mask, prompts.
        unlike_training: whether to refuse what goes against that, or to warn of it.
        dtype: float32, bfloat16 or float16: type of the weights, in training, too, which float16 is refused for; None
            keeps that of the files.
        attention: eager, sdpa or flash_attention_2; None leaves the choice to transformers.
        forward: packed: without padding; plain: as sentence-transformers computes; None: packed on a CPU.
        adapter: is trained in place of the transformer's own weights; None trains these.
        trust_remote_code: run code that comes with the weights. Never on by itself.
        stand_in: a model by name whose weights are used where this model's are not in a folder or package: to try
            things out without a network.
        prompts: texts by name that go before texts and are saved with the model; {task} stands for the task. "saved":
            those that the folder has. None: the model's own default one, where it has one.
        prompt: which of them: auto (by the task of the first evaluator), sides (query and document), or the name of
            the one of all texts; None: nothing goes before any text.
        task: what an instruct model is to find.
        rebuild: makes a folder of the weights in another way where the Hub does not answer.

    Raises:
        ConfigError: a value is none of those named here.
    """

    has_transformer: ClassVar[bool] = True

    id: str | None = None
    path: str | None = None
    package: str | None = None
    revision: str | None = None
    sha256: str | None = None
    max_seq_length: int | None = None
    num_layers: int | None = None
    pooling: str | Sequence[str] | None = None
    eos: bool | str | None = None
    padding_side: str | None = None
    mask: str | None = None
    trained_with: Mapping[str, Any] | None = None
    unlike_training: str = "refuse"
    dtype: str | None = None
    attention: str | None = None
    forward: str | None = None
    adapter: LoraAdapter | None = None
    trust_remote_code: bool = False
    stand_in: str | None = None
    prompts: Mapping[str, str] | str | None = None
    prompt: str | None = "auto"
    task: str | None = None
    rebuild: Callable[[], dict[str, str]] | None = None

    def __post_init__(self) -> None:
        many = self.pooling is not None and not isinstance(self.pooling, str)
        pooling = LegalValues(one_of=POOLING_MODES, many=many, optional=True)
        length = LegalValues(least=1, most=10**7, whole=True, optional=True)
        problems = [
            *problems_with("path", self.path, LegalValues(text=True, optional=True), "null"),
            *problems_with("max_seq_length", self.max_seq_length, length, 128),
            *problems_with("pooling", self.pooling or None, pooling, "mean"),
            *problems_with("padding_side", self.padding_side, PADDING_SIDES, "left"),
            *problems_with("mask", self.mask, LegalValues(one_of=MASKS, optional=True), "causal"),
            *problems_with("unlike_training", self.unlike_training, UNLIKE, "refuse"),
            *argument_problems(self.trained_with, self.eos),
            *problems_with("dtype", self.dtype, _DTYPES, "float32"),
            *problems_with("attention", self.attention, _ATTENTIONS, "sdpa"),
            *problems_with("forward", self.forward, FORWARDS, "packed"),
            *prompt_problems(self.prompts, self.prompt, self.task),
        ]
        if not (self.rebuild is None or callable(self.rebuild)):
            problems.append(Problem("is nothing to call", "rebuild", self.rebuild, "null", fix=("~rebuild",)))
        refuse(problems, under="model")

    @property
    def trains_adapter(self) -> bool:
        """Whether an adapter is trained in place of the transformer's own weights."""
        return self.adapter is not None

    @property
    def merges_adapter(self) -> bool:
        """Whether the trained adapter goes into the weights of the model that is kept."""
        return self.adapter is not None and self.adapter.merge

    def locate(self) -> dict[str, str]:
        """Where the weights come from: id, source (path, package, cache or hub), location, revision, sha256.

        Raises:
            ModelError: a given path has no model, the package's weights are not the expected ones, no id is given,
                the files do not go with the arguments, or they bring code that is not trusted.
        """
        place = find_weights(self.id, self.path, self.package, self.revision, self.sha256)
        if self.stand_in and place["source"] in ("cache", "hub"):
            place = model_named("model.stand_in", self.stand_in).locate()
        elif self.rebuild and place["source"] == "hub" and not self.path and not self.revision:
            place = place if hub_is_reachable() else {**place, **self.rebuild()}
        if place["source"] in LOCAL:
            folder = Path(place["location"])
            if not self.trust_remote_code and (code := remote_code(folder)):
                raise ModelError(
                    f"The model {place['id']} cannot be loaded without running code of its own: {listed(code)}",
                    expected="a model of classes that transformers and sentence-transformers know",
                    note="Read that code first, and trust it only then",
                    fix="model.trust_remote_code=true",
                )
            _check_files(folder, self.num_layers, self.max_seq_length)
        return place

    def check(self) -> None:
        """Refuse what this machine lacks, what cannot be trained, and what goes against the weights' training."""
        self.check_machine()
        try:
            place = self.locate()
        except ModelError:  # is reported where the model is found
            return
        if self._is_stood_in(place):
            return
        refuse_unreachable(place)
        found = [*misfits(self, place, place["source"] in LOCAL)]
        if found and self.unlike_training == "refuse":
            raise ModelError(*found)
        for problem in found:
            logger.warning("%s", replace(problem, fix=problem.fix[:-1]))

    def check_machine(self) -> None:
        """Refuse an attention that this machine lacks, and a type of weights that cannot be trained."""
        _check_attention(self.attention)
        if self.adapter:
            self.adapter.check()
        if self.dtype == "float16":
            text = "cannot be trained: steps as small as a learning rate vanish in it, or the loss becomes nan"
            fix = ("model.dtype=bfloat16", "model.dtype=float32 trainer.fp16=true")
            raise ConfigError(text, key="model.dtype", given=self.dtype, expected="wider weights", fix=fix)

    def _is_stood_in(self, place: Mapping[str, str]) -> bool:
        return bool(self.stand_in) and place["id"] != (self.path or self.id)

    def prompts_for(self, kind: str) -> Prompts | None:
        """What goes before the texts of a task; None leaves it to the saved model."""
        return prompts_of(self, kind)

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """The model as sentence-transformers loads it, changed as the arguments say.

        An adapter that the weights came with is merged, so that all of the model can be trained. Where an adapter is
        trained on a base that is not as its files are, the base is written to `folder`/base, for loading it again.

        Raises:
            ModelError: the Hub does not answer, what lies there is no model, or it does not go with the arguments.
        """
        from embexp.models.packed import set_forward

        place = self.locate()
        if self.trust_remote_code and place["source"] in LOCAL:
            logger.warning("model.trust_remote_code=true: %s", remote_code(Path(place["location"])) or "no code")
        if self._is_stood_in(place):
            wanted = self.path or self.id
            logger.warning("model.stand_in=%s: its weights stand in for those of %s.", self.stand_in, wanted)
        model = self._read(place)
        keep_frozen(model)
        if place["source"] in LOCAL and is_adapter(Path(place["location"])):
            check_applied(model, Path(place["location"]))
        came_with_adapter = merge_adapter(model)
        set_limit(model, self.max_seq_length)
        if self.num_layers is not None:
            _keep_first_layers(model, self.num_layers)
        if self.pooling:
            _set_pooling(model, self.pooling)
        if self._is_stood_in(place):  # what the YAML says of reading is of other weights
            set_reading(model, None, None, False)
        else:
            set_reading(model, self.eos, self.padding_side, self.unlike_training == "warn")
            if self.mask:
                set_mask(model, self.mask)
        if self.adapter:
            changed = came_with_adapter or bool(self.adapter.bits) or "rebuilt" in place  # which may be deleted
            changed = changed or self.num_layers is not None or self.dtype is not None or self.mask is not None
            changed = changed or (place["source"] == "hub" and bool(self.revision))  # which an adapter does not name
            _remember_base(model, folder / "base" if changed else None)
            self.adapter.attach(model)
        set_forward(model, self.forward)
        return model

    def _quantised(self) -> dict[str, Any]:
        return self.adapter.loading(self.dtype) if self.adapter else {}

    def _read(self, place: dict[str, str]) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer

        refuse_unreachable(place)

        arguments: dict[str, Any] = {"dtype": self.dtype, "attn_implementation": self.attention}
        try:
            return SentenceTransformer(
                place["location"],
                revision=self.revision if place["source"] == "hub" else None,
                trust_remote_code=self.trust_remote_code,
                model_kwargs={key: value for key, value in arguments.items() if value} | self._quantised(),
                config_kwargs=mask_settings(self.mask),
            )
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(cannot_be_loaded(place, str(error))) from error


def _keep_first_layers(model: "SentenceTransformer", num_layers: int) -> None:
    """Drop all transformer layers after the first `num_layers`, in place."""
    from torch.nn import ModuleList

    network: Any = model[0].auto_model
    there = network.config.num_hidden_layers
    _refuse_beyond("num_layers", num_layers, there, "The model has {} layers")
    stacks = [
        (module, name)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, ModuleList) and len(child) == there
    ]
    if not stacks:
        text = "was given; the layers of this model cannot be cut"
        raise ModelError(text, key="model.num_layers", given=num_layers, fix="model.num_layers=null")
    parent, name = stacks[0]
    setattr(parent, name, getattr(parent, name)[:num_layers])
    network.config.num_hidden_layers = num_layers


def _set_pooling(model: "SentenceTransformer", pooling: str | Sequence[str]) -> None:
    """Give the model another pooling, in place: one of `POOLING_MODES`, or several, put side by side."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    place = next((number for number, module in enumerate(model) if isinstance(module, Pooling)), None)
    if place is None:
        text = f"was given; the model pools no tokens ({' + '.join(type(module).__name__ for module in model)})"
        raise ModelError(text, key="model.pooling", given=pooling, fix="model.pooling=null")
    old = model[place]
    pooled = Pooling(old.embedding_dimension, pooling, old.include_prompt)
    behind = [module for module in [*model][place + 1 :] if hasattr(module, "get_embedding_dimension")]
    width, expected = pooled.get_embedding_dimension(), old.get_embedding_dimension()
    if behind and width != expected:
        text = f"gives {width} numbers; {type(behind[0]).__name__} after it expects {expected}"
        raise ModelError(text, key="model.pooling", given=pooling, expected="a single mode", fix="model.pooling=cls")
    model[place] = pooled


def _remember_base(model: "SentenceTransformer", copy: Path | None) -> None:
    """Have the adapter's files name the place of its base: a copy of it, or the folder or id it came from."""
    network = model.transformers_model
    if network is None:
        text = "was given; the model has no transformer"
        raise ModelError(text, key="model.adapter", given="lora", fix="model.adapter=null")
    if copy:
        network.save_pretrained(copy)
    place = Path(copy or network.name_or_path)
    network.name_or_path = str(place.resolve()) if place.is_dir() else network.name_or_path
