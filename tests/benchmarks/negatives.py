"""Hard negatives: BM25 compared with rank_bm25, and the search for near texts with the time of encoding them.

    EMBEXP_DATA=<folder> python tests/benchmarks/negatives.py [--repeats 1]

BM25: 10,000 queries over 100,000 short documents (sentences of AllNLI and QQP; without data, of drawn words), from
texts to negatives, with all that the step does. rank_bm25 (`pip install rank_bm25`) makes its index of the same terms
and then scores one query after the other; it is asked SAMPLE queries, and their seconds are scaled to all. Both pick
the best 50 documents of each query.

With 1,000,000 documents BM25 stands alone (rank_bm25 is not asked), and embeddings of static vectors by
`index=ivf` beside `index=exact`.

Near texts: the most similar other sentence of each of 10,000 distinct ones, exactly, with the encoding; the peer only
encodes them, with the same encoder. Imports and loading the model are not timed.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import workloads
from harness import Case, main, seconds_of, sized

QUERIES = sized(10_000, 20)
SAMPLE = sized(20, 2)  # queries that rank_bm25 is asked
RANKED_BY_PEER = 200_000  # documents, at most
FOUND = sized(50, 5)  # documents that are looked for
PUBLIC = {
    ("nli", "all_nli_train.parquet"): ("premise", "hypothesis"),
    ("qqp", "train.parquet"): ("question1", "question2"),
}
CASES = [
    Case(
        "BM25, 10,000 queries, 100,000 documents", 0.01, {"work": "bm25", "queries": QUERIES, "documents": 10 * QUERIES}
    ),
    Case(
        "BM25, 10,000 queries, 1,000,000 documents",
        math.inf,
        {"work": "bm25", "queries": QUERIES, "documents": sized(1_000_000, 200)},
    ),
    Case(
        "embedding, static vectors, 10,000 queries, 1,000,000 documents",
        math.inf,
        {"work": "static", "queries": QUERIES, "documents": sized(1_000_000, 200)},
    ),
    Case("most similar pair, 10,000 sentences", 1.05, {"work": "nearest", "queries": QUERIES, "documents": QUERIES}),
]


def sentences(number: int) -> list[str]:
    """So many distinct short texts."""
    if workloads.HAS_DATA:
        found = list(islice(dict.fromkeys(public_sentences()), number))
        if len(found) == number:
            return found
    return drawn_sentences(number)


def public_sentences() -> Iterator[str]:
    """Every sentence of SNLI, MNLI and the Quora questions, as often as it is there."""
    for place, columns in PUBLIC.items():
        for row in workloads.read_parquet(*place):
            yield from (row[column] for column in columns)


def drawn_sentences(number: int) -> list[str]:
    """Sentences of 8 to 16 words, which are as frequent as in a language (Zipf), each with a number of its own."""
    import numpy

    random = numpy.random.default_rng(1)
    frequency = 1 / numpy.arange(20, 30_020)
    words = random.choice(30_000, (number, 16), p=frequency / frequency.sum())
    lengths = random.integers(8, 17, number)
    return [
        f"{place} " + " ".join(f"w{word}" for word in row[:length])
        for place, (row, length) in enumerate(zip(words.tolist(), lengths.tolist(), strict=True))
    ]


def embexp_side(work: str, queries: int, documents: int) -> float:
    if work == "bm25":
        return bm25_seconds(queries, documents)
    if work == "static":
        return static_seconds(queries, documents, "ivf")
    from embexp.core.nearest_neighbours import nearest

    encoder, texts = encoder_of_minilm(), sentences(documents)

    def find() -> None:
        import numpy

        vectors = encoder.encode(texts)
        found = nearest(vectors, vectors, 1, "cosine", excluded=numpy.arange(len(vectors)))
        found.scores[:, 0].argmax()

    return seconds_of(find)


def peer_side(work: str, queries: int, documents: int) -> float:
    if work == "bm25":
        return rank_bm25_seconds(queries, documents) if documents <= RANKED_BY_PEER else math.nan
    if work == "static":
        return static_seconds(queries, documents, "exact")
    encoder, texts = encoder_of_minilm(), sentences(documents)
    return seconds_of(lambda: encoder.encode(texts))


def bm25_seconds(queries: int, documents: int) -> float:
    """Seconds from the rows to their negatives, all that the step does with them."""
    from embexp.steps.negatives.retrievers import Bm25Retriever

    retriever = Bm25Retriever("english", k1=1.5, b=0.75)
    retriever.search(small_pool(), 1)  # what is loaded once
    return mining_seconds(retriever, queries, documents)


def static_seconds(queries: int, documents: int, index: str) -> float:
    """The same by embeddings of `model=static`, encoding included; what ivf finds of the exact search is printed."""
    import logging

    from embexp.models.encoding import FrozenEncoder
    from embexp.steps.negatives.retrievers import EmbeddingRetriever

    logging.basicConfig(level=logging.INFO)
    return mining_seconds(EmbeddingRetriever(FrozenEncoder("static"), index), queries, documents)


def mining_seconds(retriever: Any, queries: int, documents: int) -> float:
    """Seconds of the step: to each query one positive, the other documents among its candidates."""
    from embexp.data.row_checks import dataset_of
    from embexp.steps.conversions.conversion import default_settings
    from embexp.steps.negatives.guards import Guards
    from embexp.steps.negatives.mine import mine_negatives

    texts = sentences(queries + documents)
    columns = {"query": texts[:queries], "positives": [[text] for text in texts[queries : 2 * queries]]}
    others: list[list[str]] = [[] for _ in range(queries)]
    others[0] = texts[2 * queries :]  # the other documents stand in one row
    dataset = dataset_of("mnli", "ranked", {"train": columns | {"negatives": others}})
    guards = Guards(0, FOUND - 1, None, None, None, near_duplicate=0.8)
    options = {"num_negatives": 1, "choose": "top", "given": "replace", "too_few": "keep"}
    options |= {"splits": ["train"], "corpus": None, "seed": 1}
    return seconds_of(lambda: mine_negatives(dataset, retriever, guards, default_settings(), **options))


def rank_bm25_seconds(queries: int, documents: int) -> float:
    """Seconds of rank_bm25 on the same terms: its index, and all queries at the rate of the sample."""
    import numpy
    from rank_bm25 import BM25Okapi

    from embexp.steps.word_tokenizer import Terms

    texts, terms = sentences(queries + documents), Terms("english")
    indexes: list[BM25Okapi] = []

    def build() -> None:
        indexes.append(BM25Okapi([terms.numbers_of(text) for text in texts[queries:]]))

    def ask() -> None:
        for text in texts[:SAMPLE]:
            scores = indexes[0].get_scores(terms.numbers_of(text))
            numpy.argpartition(scores, -FOUND)[-FOUND:]

    return seconds_of(build) + seconds_of(ask) * queries / SAMPLE


def small_pool():
    """A pool of one query, to load stemmer, stop words and packages with."""
    import numpy
    import pyarrow

    from embexp.data.row_checks import dataset_of
    from embexp.steps.negatives.pool import make_pool

    rows = dataset_of("one", "ranked", {"train": {"query": ["a bond"], "positives": [["a loan"]], "negatives": [[]]}})
    nothing = pyarrow.array([], pyarrow.string())
    return make_pool(rows.splits["train"], nothing, numpy.zeros(0, "uint64"), (None, None), symmetric=False)


def encoder_of_minilm():
    """embexp's encoder of MiniLM, warmed up."""
    from embexp.models.encoding import ModelEncoder
    from embexp.models.packed import set_forward

    model = workloads.minilm()
    set_forward(model, None)
    encoder = ModelEncoder(model)
    encoder.encode(["a first text"] * 8)
    return encoder


if __name__ == "__main__":
    main(__file__, __doc__, CASES, {"embexp": embexp_side, "peer": peer_side})
