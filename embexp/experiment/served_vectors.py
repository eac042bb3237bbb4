"""`embexp compare <run> model=<url>`: are the served vectors those of the trained model, and if not, what is wrong?

Texts of the run's own examples are embedded by the server and by the trained model.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from embexp.core.run_context import import_training_libraries
from embexp.core.run_folder import status_of
from embexp.errors import ConfigError
from embexp.evaluation.scores import ID, read_examples
from embexp.experiment.served_faults import (
    ADAPTER,
    ANOTHER,
    TRIED,
    Case,
    Fault,
    distances,
    faults_of_direction,
    faults_of_form,
    faults_of_length,
    faults_of_padding,
)
from embexp.experiment.sides import EXAMPLES
from embexp.models.served import ServedModel
from embexp.models.served_encoder import ServedEncoder
from embexp.models.servings import AS_TRAINED, num_tokens, rounded, serve

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SAME, SAME_RANKING, OTHER = "same vectors", "same ranking", "other vectors"
_SHORT = 32  # short texts
_SHORT_TOKENS = 20  # that a short text has at most
# Tokens of long texts, up to about twice what the model reads.
_LONG = (48, 96, 160, 288, 600, 1200, 2400, 4800, 9600, 18000)
_NEIGHBOURS = 3


def compare_with_served(folder: Path, server: ServedModel) -> dict[str, Any]:
    """What the comparison of a run's trained model with a URL finds.

    Raises:
        ConfigError: the run has no trained model, or keeps no texts.
        EndpointError: the server cannot be reached or used.
    """
    place = folder / "stages" / "main" / "model"
    if not place.is_dir():
        raise ConfigError(f"{folder} holds no trained model: the run is {status_of(folder)}.")
    texts = _texts_of(folder)
    server.check()
    import_training_libraries()
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(place)).eval()
    encoder = ServedEncoder(dataclasses.replace(server, cache=None))
    short, long = _short_texts(model, texts), _long_texts(model, texts)
    served = encoder.encode([*short, *long])
    case = Case(model, short, long, served)
    trained = serve(model, AS_TRAINED, [*short, *long])
    if faults := faults_of_form(case, trained):
        return _result(folder, server, faults, case, trained if served.shape == trained.shape else None)
    case.noise = float(distances(serve(rounded(model, 16), AS_TRAINED, short[:TRIED]), trained[:TRIED]).max())
    alone = ServedEncoder(dataclasses.replace(server, cache=None, batch_texts=1))
    faults = faults_of_padding(case, alone.encode(short[:TRIED])) or faults_of_direction(case, folder)
    if all(fault.cause not in (ANOTHER, ADAPTER) for fault in faults):
        faults += faults_of_length(case, trained)
    return _result(folder, server, faults, case, trained)


def _texts_of(folder: Path) -> list[str]:
    """The distinct texts of the examples that the run keeps."""
    found: dict[str, None] = {}
    for path in sorted((folder / EXAMPLES).glob("*.parquet")):
        for name, values in read_examples(path).trained.examples.items():
            if name != ID and len(values) and isinstance(values[0], str):
                found |= dict.fromkeys(text for text in values if text and text.strip())
    texts = [text for text in found if len(text) > 1]
    if len(texts) < _NEIGHBOURS + 1:
        raise ConfigError(
            f"The run in {folder} keeps {len(texts)} texts", expected="one with examples of its evaluators"
        )
    return texts


def _short_texts(model: "SentenceTransformer", texts: Sequence[str]) -> list[str]:
    """Texts from all over, cut to a few words, some of them after each prompt of the model."""
    some = [texts[place] for place in numpy.unique(numpy.linspace(0, len(texts) - 1, 4 * _SHORT).astype(int))]
    every = [*dict.fromkeys(_cut(model, text) for text in some)]
    chosen = [every[place] for place in numpy.unique(numpy.linspace(0, len(every) - 1, _SHORT).astype(int))]
    prompts = [prompt for prompt in dict.fromkeys(model.prompts.values()) if prompt]
    return [*chosen, *(prompt + text for prompt in prompts for text in chosen[:3])]


def _cut(model: "SentenceTransformer", text: str) -> str:
    """The beginning of a text, short enough that no server cuts it."""
    words, sign = (text.split(), " ") if " " in text else ([*text], "")
    words = words[:_SHORT_TOKENS]
    while num_tokens(model, sign.join(words)) > _SHORT_TOKENS and len(words) > 1:
        words = words[: -max(1, len(words) // 5)]
    return sign.join(words)


def _long_texts(model: "SentenceTransformer", texts: Sequence[str]) -> list[str]:
    """Texts of ever more tokens, the longest about twice as long as the model reads.

    Each goes on with another text, repeated, so that its end says something else than its beginning: of a mixture the
    second half hardly changes a mean over thousands of tokens.
    """
    if not num_tokens(model, "a"):
        return []
    most, special = 2.2 * (model.max_seq_length or 600), num_tokens(model, "")
    found, parts, tokens = [], [], special
    for place, wanted in enumerate(each for each in _LONG if each <= most):
        repeated = texts[place % len(texts)]
        size = max(num_tokens(model, repeated) - special, 1)
        times = max(-(-(wanted - tokens) // size), 0)
        parts, tokens = [*parts, *[repeated] * times], tokens + times * size
        found.append(" ".join(parts))
    return [*dict.fromkeys(found)]


def _result(
    folder: Path, server: ServedModel, faults: list[Fault], case: Case, trained: numpy.ndarray | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "run": str(folder),
        "served": server.short_name,
        "address": server.address,
        "texts": {"short": len(case.short), "long": len(case.long)},
        "longest_tokens": num_tokens(case.model, case.long[-1]) if case.long else None,
        "faults": [dataclasses.asdict(fault) for fault in faults],
    }
    verdict = OTHER if faults else SAME
    if trained is not None:
        short = len(case.short)
        kept = _neighbours_kept(trained[:short], case.served[:short])
        apart = distances(trained, case.served)
        found |= {
            "greatest_difference": float(numpy.abs(trained - case.served).max()),
            "lowest_cosine": float(1 - apart.max()),
            "neighbours_kept": kept,
            "bfloat16_cosine": 1 - case.noise,
        }
        only_scale = faults and {fault.cause for fault in faults} <= {"normalisation", "quantisation"}
        verdict = SAME_RANKING if only_scale and kept == 1 and case.noise else verdict
    return {"verdict": verdict} | found


def _neighbours_kept(trained: numpy.ndarray, served: numpy.ndarray) -> float:
    """The share of each text's nearest neighbours by cosine that are also served as such."""
    nearest = []
    for vectors in (trained, served):
        unit = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
        similarities = unit @ unit.T
        numpy.fill_diagonal(similarities, -2)
        nearest.append(numpy.argsort(-similarities, axis=1, kind="stable")[:, :_NEIGHBOURS])
    both = [len({*first} & {*second}) for first, second in zip(*nearest, strict=True)]
    return float(numpy.mean(both) / _NEIGHBOURS)


def served_page(found: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    names = {fault["cause"]: None for fault in found["faults"]}
    head = f"{found['verdict']}{': ' if names else ''}{', '.join(names)}"
    lines = [f"# {found['served']} and the model of {found['run']}", "", f"**{head}**", ""]
    for fault in found["faults"]:
        lines += [f"- {fault['cause']}: {fault['found']}. To set it right: {fault['remedy']}."]
    lines += [""] * bool(found["faults"])
    longest = f" of up to {found['longest_tokens']:,} tokens" if found["longest_tokens"] else ""
    rows = [("texts", f"{found['texts']['short']} short, {found['texts']['long']} long{longest}")]
    if "lowest_cosine" in found:
        rows += [
            ("greatest difference of a number", f"{found['greatest_difference']:.2g}"),
            ("lowest cosine", f"{found['lowest_cosine']:.6f}"),
            ("nearest neighbours kept", f"{100 * found['neighbours_kept']:.0f} %"),
        ]
        if found["bfloat16_cosine"] < 1:
            rows += [("lowest cosine by rounding to bfloat16", f"{found['bfloat16_cosine']:.6f}")]
    lines += ["| what | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"
