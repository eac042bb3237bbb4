"""The step `teacher_embeddings`: texts with a teacher's embeddings, which a model shall give for them."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from embexp.data.dataset import EmbeddingDataset
from embexp.data.kept_arrays import KeptBlocks
from embexp.errors import listed
from embexp.protocols import Encoder
from embexp.steps.conversions.conversion import Conversion, Row, Source
from embexp.steps.convert import convert, convert_to
from embexp.steps.refusals import count_faults, refuse


def embed_by_teacher(
    dataset: EmbeddingDataset,
    encoder: Encoder,
    source: str | None,
    prompt: str | None,
    block_texts: int,
    unfinished: Path | None = None,
) -> EmbeddingDataset:
    """The distinct texts of the data set, each with a teacher's embedding, in all splits; other labels are left out.

    With a `source`, all texts of a row get the embedding of that one: a translation that of what it translates, so that
    a model learns to embed both alike in the space of a teacher that knows one language (Reimers & Gurevych 2020,
    arXiv:2004.09813). Texts are encoded and passed on block by block.

    Args:
        encoder: the teacher.
        source: the column whose text the teacher reads, such as anchor; None: each text itself.
        prompt: goes before what the teacher reads; empty for none, None for its own default.
        block_texts: after so many texts what was encoded is kept.
        unfinished: the folder that keeps embeddings until all are there; None keeps none.

    Raises:
        ConfigError: lists every argument that does not fit.
    """
    refuse("teacher_embeddings", _faults(dataset, source, prompt, block_texts))
    if source is None and dataset.shape.name != "text":
        dataset = convert_to(dataset, "text")
    blocks = KeptBlocks(unfinished)

    def embedded(split: Source) -> Iterator[Row]:
        pairs = _distinct(split, source)
        while block := list(islice(pairs, block_texts)):
            read = [text for _, text in block]
            vectors = blocks.next(lambda read=read: encoder.encode(read, prompt=prompt))
            yield from ({"text": text, "label": vector} for (text, _), vector in zip(block, vectors, strict=True))

    of = f"of the row's {source}" if source else "of each text"
    made = convert(dataset, Conversion(dataset.shape.name, "embedded_text", embedded, f"the teacher's embedding {of}"))
    return replace(made, history=(*made.history[:-1], replace(made.history[-1], step="teacher embeddings")))


def _distinct(split: Source, source: str | None) -> Iterator[tuple[str, str]]:
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


def _faults(dataset: EmbeddingDataset, source: Any, prompt: Any, block_texts: Any) -> Iterator[str]:
    plain = [column for column in dataset.text_columns if not dataset.shape.text_lists]
    if source is not None and source not in plain:
        yield (
            f"source={source} is no column of single texts in {dataset.name}, which is {dataset.shape.name}. Expected "
            f"null or one of: {listed(plain)}."
        )
    if not isinstance(prompt, str | None):
        yield f"prompt={prompt} must be a text, or null for the teacher's own default."
    yield from count_faults(1, block_texts=block_texts)
