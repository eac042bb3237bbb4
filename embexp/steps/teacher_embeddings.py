"""An encoder as teacher: the cosine of two embeddings as the score of a pair, and the embeddings of texts."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy

from embexp.core.arguments import COUNT, problems_with, refuse
from embexp.data.cache import CachedBlocks
from embexp.data.dataset import EmbeddingDataset
from embexp.errors import Problem, listed
from embexp.protocols import Encoder
from embexp.steps.conversions.conversion import Conversion, ConversionInput, Row
from embexp.steps.conversions.convert import convert, convert_to
from embexp.steps.negatives.pool import Pairs
from embexp.steps.negatives.retrievers import cosines


@dataclass(frozen=True)
class CosineScorer:
    """A PairScorer by the cosine of the embeddings of query and text, in [-1, 1].

    Args:
        query_prompt, document_prompt: of the texts of either side; empty for none, None for the model's own default.

    Raises:
        ConfigError: a prompt that is no text.
    """

    encoder: Encoder
    query_prompt: str | None
    document_prompt: str | None

    def __post_init__(self) -> None:
        prompts = {"query_prompt": self.query_prompt, "document_prompt": self.document_prompt}
        refuse(problem for name, prompt in prompts.items() for problem in _prompt_problems(f"scorer.{name}", prompt))

    def score(self, pairs: Sequence[tuple[str, str]]) -> numpy.ndarray:
        """One cosine per pair, float32 `(len(pairs),)`."""
        sides, places = [], []
        for side, prompt in enumerate((self.query_prompt, self.document_prompt)):
            place = {text: row for row, text in enumerate(dict.fromkeys(pair[side] for pair in pairs))}
            sides.append(self.encoder.encode([*place], prompt=prompt))
            places.append(numpy.array([place[pair[side]] for pair in pairs]))
        return cosines(Pairs(*places), *sides).astype("float32")


def embed_by_teacher(
    dataset: EmbeddingDataset,
    encoder: Encoder,
    source: str | None,
    prompt: str | None,
    block_texts: int,
    unfinished: Path | None = None,
) -> EmbeddingDataset:
    """The distinct texts of the data set, each with a teacher's embedding, in all splits; other labels are left out.

    With a `source`, all texts of a row get the embedding of that one. A translation gets that of its original, so that
    a model learns to embed both alike, in the space of a teacher that knows one language (Reimers & Gurevych 2020,
    arXiv:2004.09813). Texts are encoded and passed on block by block.

    Args:
        encoder: the teacher.
        source: the column whose text the teacher reads, such as anchor; None: each text itself.
        prompt: of what the teacher reads; empty for none, None for its own default.
        block_texts: texts that are encoded and stored at a time.
        unfinished: the folder that stores embeddings until all are there; None stores none.

    Raises:
        ConfigError: lists every invalid argument.
    """
    refuse(_problems(dataset, source, prompt, block_texts), under="dataset.steps.teacher_embeddings")
    if source is None and dataset.shape.name != "text":
        dataset = convert_to(dataset, "text")
    blocks = CachedBlocks(unfinished)

    def embedded(split: ConversionInput) -> Iterator[Row]:
        pairs = _distinct(split, source)
        while block := list(islice(pairs, block_texts)):
            read = [text for _, text in block]
            vectors = blocks.next(lambda read=read: encoder.encode(read, prompt=prompt))
            yield from ({"text": text, "label": vector} for (text, _), vector in zip(block, vectors, strict=True))

    of = f"of the row's {source}" if source else "of each text"
    made = convert(dataset, Conversion(dataset.shape.name, "embedded_text", embedded, f"the teacher's embedding {of}"))
    return replace(made, history=(*made.history[:-1], replace(made.history[-1], step="teacher embeddings")))


def _distinct(split: ConversionInput, source: str | None) -> Iterator[tuple[str, str]]:
    """Each text with the one that the teacher reads for it, every such pair once."""
    columns, seen = split.dataset.text_columns, set()
    for row in split.rows():
        for column in columns:
            pair = row[column], row[source or column]
            key = hashlib.blake2b("\0".join(pair).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            split.left_out["repeated texts"] += key in seen
            if key not in seen:
                seen.add(key)
                yield pair


def _problems(dataset: EmbeddingDataset, source: Any, prompt: Any, block_texts: Any) -> Iterator[Problem]:
    plain = [column for column in dataset.text_columns if not dataset.shape.text_lists]
    if source is not None and source not in plain:
        text = f"is no column of single texts in {dataset.name}, which is {dataset.shape.name}"
        yield Problem(text, "source", source, f"null, or one of: {listed(plain)}", fix=("source=null",))
    yield from _prompt_problems("prompt", prompt)
    yield from problems_with("block_texts", block_texts, COUNT, such_as=8192)


def _prompt_problems(key: str, prompt: Any) -> Iterator[Problem]:
    if not isinstance(prompt, str | None):
        expected = "a text, or null for the model's own prompt"
        yield Problem(key=key, given=prompt, expected=expected, fix=(f"{key}=null",))
