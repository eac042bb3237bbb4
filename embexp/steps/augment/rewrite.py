"""More rows to train on: copies whose texts a language model rewrote, or that were translated and back."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random

from embexp.core.arguments import refuse
from embexp.data.arrow import batches_of
from embexp.data.dataset import EmbeddingDataset
from embexp.protocols import Encoder, Translator
from embexp.steps.augment.augment import augment, augment_problems
from embexp.steps.augment.provenance import methods_of
from embexp.steps.dedup.row_keys import texts_of_batch
from embexp.steps.llm.batch import request_all
from embexp.steps.llm.chat import Request, prompt_problems
from embexp.steps.llm.endpoint import Endpoint


def _replaced(texts: Mapping[str, Sequence[str]], number: int, text: str, _: Random) -> str:
    """One of the texts that a model made of a text; one without any stays as it is."""
    return texts[text][number] if text in texts else text


def rewrite(
    dataset: EmbeddingDataset,
    endpoint: Endpoint,
    prompt: Mapping[str, str],
    made_by: str,
    instruction: str | None = None,
    columns: Sequence[str] | None = None,
    copies: int = 1,
    min_similarity: float | None = None,
    max_similarity: float | None = None,
    encoder: Encoder | None = None,
    seed: int = 42,
    examples: int = 3,
    cache: Path | None = None,
) -> EmbeddingDataset:
    """The data set with copies of its train rows after them, whose texts a language model wrote; dev and test stay.

    One request for each distinct text, for as many versions as there are copies. Otherwise as `augment`.

    Args:
        prompt: `system` (or null) and `user`, with {text}, {number} of versions and {instruction} in their places.
        instruction: what to do with a text, where the prompt has a place for it.
        cache: the folder for answers; None caches none.

    Raises:
        ConfigError: lists every argument that does not fit.
        EndpointError: the server cannot be reached or used; answers that came are cached.
    """
    places = ["text", "number", *(["instruction"] if instruction else [])]
    band = (min_similarity, max_similarity, encoder)
    problems = augment_problems(dataset, columns, made_by, copies, examples, seed, *band)
    refuse([*problems, *endpoint.problems(), *prompt_problems(prompt, places)])
    sources = _sources_of(dataset, list(columns or dataset.text_columns))
    values = {"number": str(copies), "instruction": instruction or ""}
    requests = [Request.filled(prompt, values | {"text": text}, copies) for text in sources]
    outcome = request_all(endpoint, requests, made_by, cache)
    answers = {text: made for text, made in zip(sources, outcome.texts, strict=True) if made}
    made = dataset.after(f"ask for {made_by}", dataset.splits, outcome.report())
    for number in range(copies):
        shown = examples if number == 0 else 0
        made = augment(made, partial(_replaced, answers, number), made_by, columns, 1, *band, seed, shown)
    return made


def _sources_of(dataset: EmbeddingDataset, columns: list[str]) -> list[str]:
    """The distinct texts of train rows that are not copies, in their order."""
    if "train" not in dataset.splits:
        return []
    rows, texts = dataset.splits["train"], {}
    methods = methods_of(rows)
    for batch in batches_of(rows.select_columns(columns)):
        found, counts = texts_of_batch(batch, columns)
        of_row = iter(found.to_pylist())
        for count in counts:
            own, is_source = [next(of_row) for _ in range(count)], next(methods) is None
            texts |= dict.fromkeys(own if is_source else [])
    return [*texts]


def back_translate(
    dataset: EmbeddingDataset,
    there: Translator,
    back: Translator,
    made_by: str,
    columns: Sequence[str] | None = None,
    copies: int = 1,
    min_similarity: float | None = None,
    max_similarity: float | None = None,
    encoder: Encoder | None = None,
    seed: int = 42,
    examples: int = 3,
) -> EmbeddingDataset:
    """The data set with copies of its train rows after them, translated there and back; dev and test stay.

    The method is that of Sennrich et al. 2016 (arXiv:1511.06709), to paraphrase. Each distinct text is translated once
    for each copy. Otherwise as `augment`: a text that comes back as it was makes no copy.

    Args:
        there, back: into the other language, and from it; both are loaded before anything is translated.
        copies: more than one differ only where a translator samples tokens; each copy has a seed of its own.

    Raises:
        ConfigError: lists every argument that does not fit.
        ModelError: a translation model cannot be loaded.
    """
    band = (min_similarity, max_similarity, encoder)
    refuse(augment_problems(dataset, columns, made_by, copies, examples, seed, *band))
    there.load()
    back.load()
    sources = _sources_of(dataset, list(columns or dataset.text_columns))
    versions = [back.translate(there.translate(sources, seed + number), seed + number) for number in range(copies)]
    by_text = {}
    for text, *made in zip(sources, *versions, strict=True):
        different = [version for version in dict.fromkeys(made) if version]
        by_text[text] = [*different, *[text] * (copies - len(different))]  # a text gets no copy that is like it
    for number in range(copies):
        shown = examples if number == 0 else 0
        dataset = augment(dataset, partial(_replaced, by_text, number), made_by, columns, 1, *band, seed, shown)
    return dataset
