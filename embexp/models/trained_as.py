"""What a model's weights were trained with (pooling, end of a text, mask, prompts), and what would go against it.

A model is trained with one way of reading a text. sentence-transformers takes any other without a word: a pooling that
is typed, a tokenizer that has lost the token at the end of a text, a flag of bidirectional attention that the network's
class does not read. The vectors are then worse, or those of another model. What is right is let through: where the
tokenizer gives a mask, last-token pooling finds the last token on whichever side the padding is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from embexp.core.arguments import LegalValues, problems_with
from embexp.core.file_contents import ADAPTER_CONFIG, json_in
from embexp.errors import Problem, did_you_mean, listed
from embexp.models.reading import FLAG, NO_EOS, READ_FLAG, appended, end_token
from embexp.models.weights import folders_of, network_config, tensor_names

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
MASKS = ("causal", "bidirectional")
PADDING_SIDES = LegalValues(one_of=("left", "right"), optional=True)
UNLIKE = LegalValues(one_of=("refuse", "warn"))
_ANYWAY = "model.unlike_training=warn"
_FACTS = ("pooling", "eos", "mask", "prompts")


class _Model(Protocol):
    """The arguments of a pretrained model that say how it reads a text."""

    pooling: Any
    eos: bool | str | None
    padding_side: str | None
    mask: str | None
    trained_with: Mapping[str, Any] | None
    trust_remote_code: bool


@dataclass(frozen=True)
class TrainedWith:
    """What is known of the training of some weights; what is not known is None or empty.

    Attributes:
        pooling: the modes whose outputs stand side by side.
        eos: whether every text ended with a token that the tokenizer appends.
        mask: causal or bidirectional; `why` says from what it is known.
        prompts: the model's own, by name; `default_prompt` is what goes before a text if none is named.
    """

    pooling: tuple[str, ...] = ()
    eos: bool | None = None
    mask: str | None = None
    why: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str = ""


def argument_problems(trained_with: Any, eos: Any) -> Iterator[Problem]:
    """The problems with `trained_with` and `eos` of a model's YAML."""
    if not (eos is None or isinstance(eos, bool) or (isinstance(eos, str) and eos.strip())):
        yield Problem(key="eos", given=eos, expected="true, the token, or null", fix=("eos=true",))
    if trained_with is None:
        return
    if not isinstance(trained_with, Mapping):
        fix = ("'trained_with={pooling: lasttoken}'",)
        yield Problem(key="trained_with", given=trained_with, expected=f"some of: {listed(_FACTS)}", fix=fix)
        return
    for name in (name for name in trained_with if name not in _FACTS):
        note, fix = did_you_mean(str(name), _FACTS), (f"~model.trained_with.{name}",)
        key, expected = f"trained_with.{name}", f"some of: {listed(_FACTS)}"
        yield Problem("is not known", key, trained_with[name], expected, note, fix)
    legal = {"mask": LegalValues(one_of=MASKS, optional=True), "eos": LegalValues(flag=True, optional=True)}
    pooling = trained_with.get("pooling")
    legal["pooling"] = LegalValues(one_of=POOLING_MODES, many=not isinstance(pooling, str), optional=True)
    for name, values in legal.items():
        yield from problems_with(f"trained_with.{name}", trained_with.get(name), values)


def trained_with(folder: Path | None, given: Mapping[str, Any] | None) -> TrainedWith:
    """What the files of a model say of its training, and `model.trained_with`, which comes before them.

    Args:
        folder: where the files are; None where they are on the Hub.
    """
    own = json_in(folder / "config_sentence_transformers.json") or {} if folder else {}
    prompts = {name: text for name, text in (own.get("prompts") or {}).items() if isinstance(text, str)}
    mask, why = _mask_in(folder) if folder else (None, "")
    files = TrainedWith(
        pooling=_pooling_in(folder) if folder else (),
        eos=_eos_in(folder) if folder else None,
        mask=mask,
        why=why,
        prompts=prompts,
        default_prompt=prompts.get(own.get("default_prompt_name"), ""),
    )
    known = {name: value for name, value in (given or {}).items() if value is not None}
    if "pooling" in known:
        known["pooling"] = _modes(known["pooling"])
    if "mask" in known:
        known["why"] = "model.trained_with.mask"
    return TrainedWith(**(vars(files) | known))


def _modes(pooling: Any) -> tuple[str, ...]:
    return (pooling,) if isinstance(pooling, str) else tuple(pooling or ())


def _pooling_in(folder: Path) -> tuple[str, ...]:
    """The modes of the pooling that was saved with a model, as older releases write them, too."""
    for module in json_in(folder / "modules.json") or ():
        if str(module.get("type")).endswith(".Pooling"):
            saved = json_in(folder / module["path"] / "config.json") or {}
            if "pooling_mode" in saved:
                return _modes(saved["pooling_mode"])
            return tuple(mode for mode, key in _OLDER_KEYS.items() if saved.get(key))
    return ()


_OLDER_KEYS = dict(zip(POOLING_MODES, (f"pooling_mode_{mode}" for mode in POOLING_MODES), strict=True))
_OLDER_KEYS |= {"cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens", "mean": "pooling_mode_mean_tokens"}
_OLDER_KEYS |= {"weightedmean": "pooling_mode_weightedmean_tokens"}


def _eos_in(folder: Path) -> bool | None:
    settings = (json_in(place / "tokenizer_config.json") or {} for place in folders_of(folder))
    return False if any(each.get(NO_EOS) for each in settings) else None


# Classes of networks with a decoder's weights whose attention sees the whole text: LLM2Vec's, NVIDIA's, GritLM's kin.
_SEES_ALL = re.compile(r"(Bi|Bidir\w*|Bidirectional|Encoder|NonCausal)(Model|ForMNTP|ForCausalLM)?$")


def network_of(folder: Path) -> dict[str, Any]:
    """The configuration of a model's network; of an adapter that of its base, where this is a folder."""
    for place in folders_of(folder):
        base = (json_in(place / ADAPTER_CONFIG) or {}).get("base_model_name_or_path")
        if base and Path(base).is_dir():
            return network_config(Path(base))
    return network_config(folder)


def _mask_in(folder: Path) -> tuple[str | None, str]:
    """The mask that a network was trained with, as its configuration says, and where it says so."""
    config = network_of(folder)
    if config.get("is_causal") is False:
        return "bidirectional", "is_causal=false in config.json"
    if config.get(FLAG):
        return "bidirectional", f"{FLAG}=true in config.json"
    named = [*(config.get("architectures") or ()), *(config.get("auto_map") or {}).values()]
    classes = [str(name).rpartition(".")[2] for name in named]
    if found := [name for name in classes if _SEES_ALL.search(name)]:
        return "bidirectional", f"{found[0]} in config.json"
    if config.get("model_type") == "gemma3_text" and _pooling_in(folder) == ("mean",):
        return "bidirectional", "EmbeddingGemma's pooling: mean over a Gemma 3"
    return None, ""


def is_decoder(config: Mapping[str, Any]) -> bool:
    """Whether transformers knows a network as a language model that reads from left to right, and as no other.

    Imports transformers.
    """
    from transformers.models.auto import modeling_auto

    kind = config.get("model_type")
    readers, fillers = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return kind in readers and kind not in fillers


def _mask_of(config: Mapping[str, Any], mask: str | None) -> str:
    """The mask that a decoder computes with."""
    sees_all = config.get("is_causal") is False or (config.get(FLAG) and config.get("model_type") in READ_FLAG)
    return mask or ("bidirectional" if sees_all else "causal")


def _pooling_of(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The pooling that sentence-transformers gives a model: the saved one, else last token or mean by the network."""
    architectures = config.get("architectures") or [""]
    last = architectures[0].endswith("ForCausalLM") and config.get("is_causal", True)
    return _pooling_in(folder) or (("lasttoken",) if last else ("mean",))


def misfits(model: _Model, place: Mapping[str, str], is_local: bool) -> Iterator[Problem]:
    """What goes against the training of the weights, or gives no text its own vector. Imports transformers.

    Args:
        place: where the weights come from.
        is_local: whether that is a folder; otherwise only `trained_with` is known.
    """
    folder = Path(place["location"]) if is_local else None
    known, config = trained_with(folder, model.trained_with), network_of(folder) if folder else {}
    decodes = is_decoder(config)
    pooling = _modes(model.pooling) or (_pooling_of(folder, config) if folder else known.pooling)
    own_code = model.trust_remote_code and "AutoModel" in (config.get("auto_map") or {})
    mask = model.mask or (known.mask if own_code else None)  # that code brings the mask
    yield from _pooling_problems(model, known, pooling, decodes and _mask_of(config, mask) == "causal")
    yield from _mask_problems(model, known, config, decodes, mask)
    if folder:
        yield from _padding_problems(model, folder, config)
        if not model.eos and known.eos is not False and ("lasttoken" in pooling or known.eos):
            yield from _eos_problems(folder, model.eos, model.trust_remote_code)


def _pooling_problems(model: _Model, known: TrainedWith, pooling: tuple[str, ...], causal: bool) -> Iterator[Problem]:
    key, given = "model.pooling", model.pooling
    if known.pooling:
        if {*pooling} != {*known.pooling} and "lasttoken" in {*pooling} ^ {*known.pooling}:
            text = f"is not what the model was trained with, {'+'.join(known.pooling)}"
            own = known.pooling[0] if len(known.pooling) == 1 else f"[{','.join(known.pooling)}]"
            yield Problem(text, key, given, f"{own}, or null", fix=(f"{key}={own}", _ANYWAY))
    elif causal and (blind := [mode for mode in pooling if mode in ("cls", "mean", "mean_sqrt_len_tokens")]):
        meant = f" (here {blind[0]})" if given is None else ""
        seen = "the token that it takes sees no other" if blind[0] == "cls" else "the first tokens see none after them"
        text = f"does not go with causal attention{meant}: {seen}"
        fix = (f"{key}=lasttoken", *(["model.mask=bidirectional"] if blind[0] != "cls" else []), _ANYWAY)
        yield Problem(text, key, given, "lasttoken: the last token has read the whole text", fix=fix)


def _mask_problems(
    model: _Model, known: TrainedWith, config: Mapping[str, Any], decodes: bool, mask: str | None
) -> Iterator[Problem]:
    key, given = "model.mask", model.mask
    if config and not decodes:
        if given == "causal":
            text = f"has no effect: the attention of {config.get('model_type')} sees the whole text"
            yield Problem(text, key, given, "null", fix=(f"{key}=null",))
        return
    trained = known.mask or ("causal" if decodes and known.pooling == ("lasttoken",) else None)
    used = _mask_of(config, mask) if config or mask else None
    if not trained or not used or trained == used:
        return
    why = f" ({known.why})" if known.why else " (last-token pooling, and nothing says otherwise)"
    does = "leaves" if given is None else "makes"
    text = f"{does} the attention {used}; the model was trained with a {trained} one{why}"
    yield Problem(text, key, given, trained, fix=(f"{key}={trained}", _ANYWAY))


_BY_PLACE = ("position_embeddings.weight", "wpe.weight", "wpe.embedding.weight")  # learned positions
_BY_MASK = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "data2vec-text", "roberta-prelayernorm", "opt")


def _padding_problems(model: _Model, folder: Path, config: Mapping[str, Any]) -> Iterator[Problem]:
    settings = next(filter(None, (json_in(each / "tokenizer_config.json") for each in folders_of(folder))), {})
    key, given, inputs = "model.padding_side", model.padding_side, settings.get("model_input_names")
    if given is None and inputs and "attention_mask" not in inputs:
        side = settings.get("padding_side", "right")
        text = (
            "leaves the tokenizer without a mask (model_input_names in tokenizer_config.json): the padding of a batch"
        )
        expected = "left or right: with either the tokenizer gives a mask"
        text += " is read as text, and the last token of a shorter text is padding"
        yield Problem(text, key, given, expected, fix=(f"{key}={side}", _ANYWAY))
    learned = any(name.endswith(_BY_PLACE) for place in folders_of(folder) for name in tensor_names(place))
    side = given or settings.get("padding_side", "right")
    if side == "left" and learned and config.get("model_type") not in _BY_MASK:
        text = "moves a text to other positions, of which the network has learned a vector each: a text's vector would"
        text += " depend on the batch"
        yield Problem(text, key, given or side, "right", fix=(f"{key}=right", _ANYWAY))


def _tokenizer_in(folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    for place in folders_of(folder):
        if (place / "tokenizer_config.json").is_file() or (place / "tokenizer.json").is_file():
            try:
                return AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code)
            except (OSError, ValueError, ImportError):  # is reported where the model is loaded
                return None
    return None


def _eos_problems(folder: Path, given: bool | str | None, trust_remote_code: bool) -> Iterator[Problem]:
    tokenizer = _tokenizer_in(folder, trust_remote_code)
    if tokenizer is None or appended(tokenizer) is not None:
        return
    token, own = end_token(tokenizer, network_of(folder).get("model_type")), tokenizer.eos_token or tokenizer.sep_token
    others = [each for each in tokenizer.all_special_tokens if each != tokenizer.bos_token]
    named = [token] if token else others[:1]
    fix = ["model.eos=true"] if token and token == own else [f"'model.eos=\"{each}\"'" for each in named]
    yield Problem(
        "leaves texts without a token at their end: last-token pooling reads whatever piece of a word comes last",
        "model.eos",
        given,
        f"{token or 'an end-of-sequence token'} at the end of every text",
        "Models of last-token pooling are trained with one; if this one was not, let it pass",
        fix=(*fix, _ANYWAY),
    )
