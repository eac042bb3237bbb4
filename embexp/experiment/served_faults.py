"""What is wrong with served vectors: the known faults of servers, each tried on the trained model.

The fault under which the trained model gives the vectors that were served is the cause. Vectors are compared by
direction first, then by length.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
from omegaconf import OmegaConf

from embexp.config.compose import instantiate
from embexp.config.trust import check_trusted
from embexp.core.run_folder import CONFIG, read_config
from embexp.errors import EmbexpError
from embexp.models.pretrained import PretrainedModel
from embexp.models.servings import (
    AS_TRAINED,
    NO_END,
    TOKENS,
    Serving,
    combined,
    num_tokens,
    other_servings,
    own_prompt,
    rounded,
    serve,
)
from embexp.models.weights import LOCAL, num_positions

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
ANOTHER, ADAPTER = "another model", "adapter"  # causes, of which all others may be parts
TRIED = 10  # short texts that each fault is tried on
_LEAST = 1e-5  # a cosine distance that is nothing, however exact the weights are
_LENGTHS = (16, 32, 64, 75, 77, 100, 128, 192, 256, 300, 384, 510, 512, 514, 768, 1000, 1024, 2048, 4096, 8192)
# What many models want before their texts; a server may add one by its own configuration.
_PROMPTS = (
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "Represent this sentence for searching relevant passages: ",
)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong: the cause, in what words, and what to do about it."""

    cause: str
    found: str
    remedy: str


@dataclasses.dataclass
class Case:
    """The trained model and what the server gave.

    Attributes:
        short, long: the texts; `served` their vectors, short ones first.
        noise: the greatest cosine distance that rounding to bfloat16 makes; up to twice that two vectors are one.
    """

    model: "SentenceTransformer"
    short: list[str]
    long: list[str]
    served: numpy.ndarray
    noise: float = 0.0

    @property
    def tolerance(self) -> float:
        return max(_LEAST, 2 * self.noise)

    def apart(self, serving: Serving, number: int = TRIED) -> float:
        """The greatest distance of short texts from what the server gave."""
        return float(distances(serve(self.model, serving, self.short[:number]), self.served[:number]).max())


def distances(first: numpy.ndarray, second: numpy.ndarray) -> numpy.ndarray:
    """1 - cosine, row by row; widths may differ, then all are 1."""
    if first.shape != second.shape:
        return numpy.ones(len(first))
    first, second = (each.astype("float64") for each in (first, second))
    norms = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
    return 1 - (first * second).sum(axis=1) / numpy.where(norms == 0, 1, norms)


def faults_of_form(case: Case, trained: numpy.ndarray) -> list[Fault]:
    """Vectors of another width, or of whole numbers."""
    served, width = case.served, trained.shape[1]
    whole = bool((served == numpy.round(served)).all() and numpy.abs(served).max() >= 1)
    if whole:
        kind = "one bit" if len(numpy.unique(served)) <= 2 else "8 bits"
        remedy = "request float vectors (model.encoding=float), or compare whole numbers by a distance made for them"
        return [Fault("quantisation", f"its vectors hold whole numbers, {kind} each", remedy)]
    if served.shape[1] == width:
        return []
    cut = served.shape[1] < width and distances(trained[:, : served.shape[1]], served)[: len(case.short)].max() < 0.01
    if cut:
        found = f"it cuts the vectors to {served.shape[1]} of {width} numbers"
        return [Fault("dimensions", found, f"request all of them (model.dimensions={width}), or none (null)")]
    return [Fault(ANOTHER, f"its vectors have {served.shape[1]} numbers, the trained model's {width}", _SERVE_IT)]


_SERVE_IT = "serve the folder stages/main/model of the run"


def faults_of_padding(case: Case, alone: numpy.ndarray) -> list[Fault]:
    """Vectors that depend on what else is in the request."""
    in_batch = float(distances(alone, case.served[: len(alone)]).max())
    trained = serve(case.model, AS_TRAINED, case.short[: len(alone)])
    if in_batch <= case.tolerance or distances(alone, trained).max() > case.tolerance:
        return []
    remedy = (
        "have it hand the attention mask to the model and the pooling, or send one text a request (model.batch_texts=1)"
    )
    return [Fault("padding", "the vector of a text depends on the other texts of its request", remedy)]


def faults_of_direction(case: Case, folder: Path) -> list[Fault]:
    """The fault under which the trained model gives the directions that the server gives, for texts of any length."""
    plain = case.apart(AS_TRAINED, len(case.short))
    if plain <= case.tolerance:
        return _faults_of_truncation(case, AS_TRAINED, case.tolerance)
    singles = [*other_servings(case.model, _PROMPTS)]
    tried: list[tuple[tuple[str], Serving, float]] = []
    for cause, serving in singles:
        tried.append(((cause,), serving, case.apart(serving)))
        if tried[-1][2] <= case.tolerance:
            return [_fault(case.model, cause, serving), *_faults_of_truncation(case, serving, 2 * case.tolerance)]
    eight, four = (_rounding(case, bits) for bits in (8, 4))
    best = min(tried, key=lambda each: each[2])
    fits = min(max(case.tolerance, 2 * four), plain / 4)
    if best[2] > fits and (fault := _served_base(folder, case)):
        return [fault]
    if plain > 3 * four:
        likely = [each for cause in {**dict(singles)} for each in _nearest(tried, cause)]
        doubles = [(causes, serving, case.apart(serving, 4)) for causes, serving in combined(likely)]
        causes, serving, _ = min(doubles, key=lambda each: each[2])
        both = (causes, serving, case.apart(serving))
        best = both if best[2] > fits or both[2] <= case.tolerance else best
    if best[2] <= fits:
        faults = [_fault(case.model, cause, best[1]) for cause in best[0]]
        if best[2] > case.tolerance:
            faults.append(_rounded_fault(best[2], eight, four))
        return [*faults, *_faults_of_truncation(case, best[1], max(case.tolerance, 2 * best[2]))]
    if plain <= 3 * four:
        return [_rounded_fault(plain, eight, four), *_faults_of_truncation(case, AS_TRAINED, 3 * max(plain, four))]
    nearest = f"the nearest of all known faults ({' and '.join(best[0])}) leaves a cosine of {1 - best[2]:.4f}"
    return [Fault(ANOTHER, f"no known fault explains its vectors; {nearest}", _SERVE_IT)]


def _nearest(tried: Sequence[tuple[tuple[str], Serving, float]], cause: str) -> list[tuple[str, Serving]]:
    """The two faults of a cause that come nearest to what was served."""
    of_cause = sorted((each for each in tried if each[0] == (cause,)), key=lambda each: each[2])
    return [(cause, serving) for _, serving, _ in of_cause[:2]]


def _rounding(case: Case, bits: int) -> float:
    trained = serve(case.model, AS_TRAINED, case.short[:TRIED])
    return float(distances(serve(rounded(case.model, bits), AS_TRAINED, case.short[:TRIED]), trained).max())


def _rounded_fault(apart: float, eight: float, four: float) -> Fault:
    found = (
        f"all its vectors are a little off (cosine {1 - apart:.5f} at worst), as by weights of fewer bits "
        f"(rounding them alone to 8 bits gives {1 - eight:.5f}, to 4 bits {1 - four:.5f})"
    )
    remedy = "serve the weights in 16 or 32 bits, or measure what it costs: python -m embexp.evaluate model=<url>,<run>"
    return Fault("quantisation", found, remedy)


def _served_base(folder: Path, case: Case) -> Fault | None:
    """The fault where the untouched model gives the served vectors; None where it cannot be had from this machine."""
    node = read_config(folder).get("model") or {}
    if node.get("_target_") != f"{PretrainedModel.__module__}.{PretrainedModel.__name__}":
        return None
    try:
        plain = {**OmegaConf.to_container(node), "adapter": None}
        check_trusted({"model": plain}, folder / CONFIG, None)
        base = instantiate(plain)
        if base.locate()["source"] not in LOCAL or base.trust_remote_code:
            return None
        model = base.load(lambda: (), folder)
    except EmbexpError as error:
        logger.info("The untouched model was not tried: %s", error)
        return None
    model.prompts, model.default_prompt_name = case.model.prompts, case.model.default_prompt_name
    if distances(serve(model, AS_TRAINED, case.short[:TRIED]), case.served[:TRIED]).max() > case.tolerance:
        return None
    if node.get("adapter"):
        remedy = "have it apply the adapter (vLLM: --enable-lora, and the adapter's name as model.name), or merge it"
        return Fault(ADAPTER, "it serves the base without the trained adapter", f"{remedy}: model.adapter.merge=true")
    return Fault(ANOTHER, "it serves the untouched base model, not the trained one", _SERVE_IT)


def _faults_of_truncation(case: Case, serving: Serving, tolerance: float) -> list[Fault]:
    """Where long texts are cut, if that is not where the trained model cuts them."""
    wrong = _wrong_of_long(case, serving, tolerance)
    if not wrong.any():
        return []
    own = case.model.max_seq_length
    tokens = [num_tokens(case.model, text) for text in case.long]
    known = f"the trained model reads {own} tokens of a text"
    texts = [text for text, is_wrong in zip(case.long, wrong, strict=True) if is_wrong]
    target = case.served[len(case.short) :][wrong]

    def apart(limit: int, from_end: bool = False, tokens: str | None = serving.tokens) -> float:
        cut = dataclasses.replace(serving, max_tokens=limit, from_end=from_end, tokens=tokens)
        return float(distances(serve(case.model, cut, texts), target).max())

    remedy = f"have it read {own} tokens (max_seq_length in sentence_bert_config.json; what cuts texts elsewhere)"
    if apart(own, from_end=True) <= tolerance:
        return [Fault("truncation", "it cuts the beginning of a long text, not its end", "truncation_side=right")]
    if own and serving.tokens is None and min(apart(own + 1, tokens=NO_END), apart(own, tokens=NO_END)) <= tolerance:
        found = "it cuts the token at the end (EOS) off a long text, too"
        return [Fault("truncation", found, "have it cut as the tokenizer of the run's folder does (truncation=True)")]
    best = _nearest_limit(_limits(case.model, own, max(tokens)), apart)
    if apart(best) <= tolerance:
        return [Fault("truncation", f"it reads {best} tokens of a text; {known}", remedy)]
    shortest = min(number for number, is_wrong in zip(tokens, wrong, strict=True) if is_wrong)
    found = f"it treats texts from {shortest} tokens on otherwise; {known}"
    return [Fault("truncation", f"{found}, and no length explains it; it may read texts in parts", remedy)]


def _wrong_of_long(case: Case, serving: Serving, tolerance: float) -> numpy.ndarray:
    """Which long texts have other vectors than these, by more than rounding to bfloat16 changes their own."""
    if not case.long:
        return numpy.zeros(0, dtype=bool)
    trained = serve(case.model, serving, case.long)
    apart = distances(trained, case.served[len(case.short) :])
    wrong = apart > tolerance
    if wrong.any():
        texts = [text for text, is_wrong in zip(case.long, wrong, strict=True) if is_wrong]
        noise = distances(serve(rounded(case.model, 16), serving, texts), trained[wrong])
        wrong[wrong] = apart[wrong] > 2 * noise
    return wrong


def _nearest_limit(likely: Sequence[int], apart: Callable[[int], float]) -> int:
    """The length at which texts come nearest to what was served: of the likely ones, then ever closer around that."""
    tried = {limit: apart(limit) for limit in likely}
    while True:
        best = min(tried, key=tried.__getitem__)
        low = max((each for each in tried if each < best), default=best)
        high = min((each for each in tried if each > best), default=best)
        if tried[best] <= _LEAST or high - low <= 2:
            return best
        between = {int(each) for each in numpy.linspace(low, high, 10)} - {*tried}
        if not between:
            return best
        tried |= {limit: apart(limit) for limit in between}


def _limits(model: "SentenceTransformer", own: int | None, longest: int) -> list[int]:
    """Lengths that are likely, up to what the network has positions for."""
    network = model.transformers_model
    most = num_positions(network.config.to_dict()) if network is not None else None
    likely = {*_LENGTHS, *((own + change for change in (-2, -1, 1, 2)) if own else ()), longest}
    return sorted(each for each in likely if 4 <= each <= min(most or longest, longest) and each != own)


def faults_of_length(case: Case, trained: numpy.ndarray) -> list[Fault]:
    """Vectors of other lengths than the trained model's: normalised by one of both alone."""
    number = len(case.short)
    norms = [numpy.linalg.norm(each[:number].astype("float64"), axis=1) for each in (case.served, trained)]
    served, own = ("1" if abs(each - 1).max() < 0.02 else f"{each.min():.3g} to {each.max():.3g}" for each in norms)
    if served == own == "1" or numpy.abs(norms[0] / norms[1] - 1).max() < 0.02:
        return []
    found = f"its vectors have lengths of {served}, those of the trained model of {own}"
    if own == "1":
        remedy = "divide each vector by its length, there or in the client: until then dot products are wrong"
    else:
        remedy = "have it leave the lengths as they are (TEI: 'model.parameters={normalize: false}')"
    return [Fault("normalisation", found, remedy)]


def _fault(model: "SentenceTransformer", cause: str, serving: Serving) -> Fault:
    if cause == "prompt":
        own = own_prompt(model)
        if serving.prompt:
            extra = f"; the trained model {f'has {own!r} there' if own else 'has none'}"
            remedy = "start it without a prompt of its own, or with that of the model"
            return Fault(cause, f"it puts {serving.prompt!r} before each text{extra}", remedy)
        remedy = f"have it, or the clients, put {own!r} before each text (TEI: --default-prompt; here: model.prompt)"
        return Fault(cause, f"it leaves out the model's prompt {own!r}", remedy)
    if cause == "pooling":
        own = next(module.pooling_mode for module in model if type(module).__name__ == "Pooling")
        remedy = f"have it pool by {own} (TEI: --pooling; the folder's own 1_Pooling/config.json says so)"
        return Fault(cause, f"it pools by {serving.pooling}; the model was trained with {own}", remedy)
    if cause == "modules":
        remedy = "serve it with sentence-transformers or TEI, which read modules.json"
        return Fault(cause, f"it leaves out the model's module {serving.without}", remedy)
    if cause in ("EOS", "special tokens"):
        remedy = "serve it with the tokenizer of the run's folder, which adds the special tokens (add_special_tokens)"
        return Fault(cause, f"it reads texts {TOKENS[serving.tokens]}", remedy)
    return Fault(cause, "it reads texts in lower case", "serve it with the tokenizer of the run's folder")
