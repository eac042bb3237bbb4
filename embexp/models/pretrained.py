"""Base models with published weights: from a path, an installed package, the Hugging Face cache or the Hub."""

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from embexp.config.compose import model_named
from embexp.errors import ConfigError, ModelError, did_you_mean, listed
from embexp.models.adapters import PEFT_IS_MISSING, LoraAdapter, has_adapter, merge_adapter
from embexp.models.network import POOLING_MODES, keep_first_layers, pool_by, too_many_layers
from embexp.models.weights import (
    LOCAL,
    check_remote_code,
    find_weights,
    is_adapter,
    network_config,
    num_positions,
    remote_code,
)
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_DTYPES = ("float32", "bfloat16", "float16")
_ATTENTIONS = ("eager", "sdpa", "flash_attention_2")
_FORWARDS = ("packed", "plain")


def check_names(
    pooling: str | Sequence[str] | None, dtype: str | None, attention: str | None, forward: str | None
) -> None:
    """Refuse values that are none of the known ones, all at once.

    Raises:
        ConfigError: for each of them, what was given, the known ones, and the nearest.
    """
    modes = [pooling] if isinstance(pooling, str) else pooling or []
    problems = [
        f"model.{key}={value} is not known. Expected one of: {listed(known)}. {did_you_mean(value, known)}".strip()
        for key, values, known in (
            ("pooling", modes, POOLING_MODES),
            ("dtype", [dtype], _DTYPES),
            ("attention", [attention], _ATTENTIONS),
            ("forward", [forward], _FORWARDS),
        )
        for value in values
        if value is not None and value not in known
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def _check_files(folder: Path, num_layers: int | None, max_seq_length: int | None) -> None:
    """Refuse what the files of a model show to be impossible.

    Raises:
        ModelError: more layers or tokens than the network has, or an adapter where peft is not installed.
    """
    config = network_config(folder)
    there, positions = config.get("num_hidden_layers"), num_positions(config)
    if num_layers is not None and there and not 1 <= num_layers <= there:
        raise too_many_layers(num_layers, there)
    if max_seq_length is not None and positions and not 1 <= max_seq_length <= positions:
        raise ModelError(
            f"model.max_seq_length={max_seq_length} does not fit: the model reads at most {positions} tokens. "
            f"Type model.max_seq_length=<1 to {positions}>."
        )
    if is_adapter(folder) and importlib.util.find_spec("peft") is None:
        raise ModelError(f"{folder} holds an adapter; {PEFT_IS_MISSING}, or give a model that was merged.")


def _check_attention(attention: str | None) -> None:
    """Refuse FlashAttention where it cannot run; imports torch.

    Raises:
        ModelError: there is no GPU, or no package with its code.
    """
    if attention != "flash_attention_2":
        return
    import torch
    from transformers.utils import is_flash_attn_2_available

    if not torch.cuda.is_available():
        raise ModelError(
            "model.attention=flash_attention_2 needs an NVIDIA GPU; there is none. Type model.attention=sdpa."
        )
    if not is_flash_attn_2_available() and importlib.util.find_spec("kernels") is None:
        raise ModelError(
            "model.attention=flash_attention_2 needs the package kernels or flash-attn; neither is installed. "
            "Type pip install kernels, or model.attention=sdpa."
        )


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainedModel:
    """A model that somebody trained before; the first of path, package, cache and Hub that has it is taken.

    Args:
        id: id on the Hugging Face Hub.
        path: a local folder, or an id: given by `model=<path or id>`.
        package: an installed Python package whose folder `model` holds the weights.
        revision: commit, branch or tag on the Hub; with one, a package is passed over.
        sha256: of the weights file in the package; another file is refused.
        max_seq_length: longest input in tokens, longer texts are cut; None keeps the model's own.
        num_layers: keep only the first layers; None keeps all.
        pooling: how tokens become one vector (`POOLING_MODES`), or several ways side by side; None keeps the model's.
        dtype: float32, bfloat16 or float16: type of the weights, in training, too, which float16 is refused for; None
            keeps that of the files.
        attention: eager, sdpa or flash_attention_2; None leaves the choice to transformers.
        forward: packed: without padding; plain: as sentence-transformers computes; None: packed on a CPU.
        adapter: what is trained in place of the transformer's own weights; None for these.
        trust_remote_code: run code that comes with the weights. Never on by itself.
        stand_in: a model by name whose weights are taken where those of this one are not in a folder or package: to
            try things out with no network.

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
    dtype: str | None = None
    attention: str | None = None
    forward: str | None = None
    adapter: LoraAdapter | None = None
    trust_remote_code: bool = False
    stand_in: str | None = None

    def __post_init__(self) -> None:
        check_names(self.pooling, self.dtype, self.attention, self.forward)

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
        if place["source"] in LOCAL:
            folder = Path(place["location"])
            if not self.trust_remote_code:
                check_remote_code(place["id"], folder)
            _check_files(folder, self.num_layers, self.max_seq_length)
        return place

    def check(self) -> None:
        """Refuse an attention that this machine lacks, and a type of weights that cannot be trained."""
        _check_attention(self.attention)
        if self.dtype == "float16":
            raise ConfigError(
                "model.dtype=float16 cannot be trained: steps as small as a learning rate vanish in it, or the loss "
                "becomes nan. Expected wider weights: type model.dtype=bfloat16, or model.dtype=float32 "
                "trainer.fp16=true."
            )

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
        if self.stand_in and place["id"] != (wanted := self.path or self.id):
            logger.warning("model.stand_in=%s: its weights stand in for those of %s.", self.stand_in, wanted)
        model = self._read(place)
        came_with_adapter = has_adapter(model)
        merge_adapter(model)
        if self.max_seq_length:
            model.max_seq_length = self.max_seq_length
        if self.num_layers is not None:
            keep_first_layers(model, self.num_layers)
        if self.pooling:
            pool_by(model, self.pooling)
        if self.adapter:
            changed = came_with_adapter or self.num_layers is not None or self.dtype is not None
            _remember_base(model, folder / "base" if changed else None)
            self.adapter.attach(model)
        set_forward(model, self.forward)
        return model

    def _read(self, place: dict[str, str]) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer

        arguments: dict[str, Any] = {"dtype": self.dtype, "attn_implementation": self.attention}
        try:
            return SentenceTransformer(
                place["location"],
                revision=self.revision if place["source"] == "hub" else None,
                trust_remote_code=self.trust_remote_code,
                model_kwargs={key: value for key, value in arguments.items() if value},
            )
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(_cannot_be_loaded(place, str(error))) from error


def _remember_base(model: "SentenceTransformer", copy: Path | None) -> None:
    """Have the adapter's files name the place of its base: a copy of it, or the folder or id it came from."""
    network = model.transformers_model
    if network is None:
        raise ModelError("model.adapter=lora was given; the model has no transformer. Type model.adapter=null.")
    if copy:
        network.save_pretrained(copy)
    place = Path(copy or network.name_or_path)
    network.name_or_path = str(place.resolve()) if place.is_dir() else network.name_or_path


def _cannot_be_loaded(place: dict[str, str], reason: str) -> str:
    what = f"Model {place['location']} ({place['source']}) cannot be loaded: {reason.splitlines()[0]} "
    if "trust_remote_code" in reason:
        return f"{what}It brings code of its own: read it, and if you trust it, type model.trust_remote_code=true."
    return (
        f"{what}Expected weights on disk, in the Hugging Face cache, or a connection to the Hub: "
        "give a folder with model.path=<folder>, or choose model=minilm, which needs no network."
    )
