"""Scoring a model: embexp's evaluator and encoder against sentence-transformers' own. Loading the model is not timed.

EMBEXP_DATA=<folder> python tests/benchmarks/scoring.py
"""

import workloads
from harness import Case, main, matrix_products_per_second, seconds_of, sized

FUNCTIONS = ["cosine", "dot", "euclidean", "manhattan"]
WITH_DATA = [
    Case("STS-B validation, evaluator, four similarities", 0.8, {"work": "evaluate", "texts": "stsb"}),
    Case("MNLI premises (long-tailed)", 0.8, {"work": "encode", "texts": "premises"}),
    Case("MNLI pairs, each premise three times", 0.8, {"work": "encode", "texts": "repeated"}),
]
CASES = [
    Case("bundled questions (short)", 1.0, {"work": "encode", "texts": "bundled"}),
    Case("texts of one length, sorted (the worst case)", 1.05, {"work": "encode", "texts": "even"}),
]


def texts_of(name: str) -> list[str]:
    """A few thousand texts, none twice unless that is the point."""
    if name == "stsb":
        first, second, _ = workloads.scored_pairs("stsb", "dev")
        return [*first, *second]
    if name == "premises":
        return list(dict.fromkeys(premise for premise, _ in workloads.mnli_pairs(sized(2000, 10))))
    if name == "repeated":
        pairs = workloads.mnli_pairs(sized(700, 10))
        return [text for premise, hypothesis in pairs for text in (premise, premise, premise, hypothesis)]
    if name == "even":
        return [
            f"{word} {number % 10} {number // 10 % 10} {number // 100}"
            for number in range(sized(900, 10))
            for word in "ab"
        ]
    found = list(dict.fromkeys(text for pair in workloads.bundled_pairs() for text in pair))
    return found[: sized(len(found), 20)]


def embexp_side(work: str, texts: str) -> float:
    from embexp.data.row_checks import dataset_of
    from embexp.evaluation.similarity import similarity_evaluator
    from embexp.models.encoding import ModelEncoder
    from embexp.models.packed import set_forward

    model = workloads.minilm()
    set_forward(model, None)
    encoder = ModelEncoder(model)
    encoder.encode(["a first text"] * 8)
    if work == "encode":
        chosen = texts_of(texts)
        return seconds_of(lambda: encoder.encode(chosen))
    first, second, gold = workloads.scored_pairs("stsb", "dev")
    gold = [score / 5 for score in gold]
    dataset = dataset_of("stsb", "scored_pair", {"dev": {"sentence1": first, "sentence2": second, "score": gold}})
    evaluator = similarity_evaluator("stsb", dataset, FUNCTIONS, resamples=40)
    return seconds_of(lambda: evaluator.score(encoder, "dev"))


def peer_side(work: str, texts: str) -> float:
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    model = workloads.minilm()
    model.encode(["a first text"] * 8)
    if work == "encode":
        chosen = texts_of(texts)
        return seconds_of(lambda: model.encode(chosen))
    first, second, gold = workloads.scored_pairs("stsb", "dev")
    evaluator = EmbeddingSimilarityEvaluator(first, second, gold, similarity_fn_names=FUNCTIONS)
    return seconds_of(lambda: evaluator(model))


def limit(work: str, texts: str) -> float:  # noqa: ARG001
    """Seconds of the layers' arithmetic on the real tokens, each text once."""
    return workloads.arithmetic_of(list(dict.fromkeys(texts_of(texts))), 1) / matrix_products_per_second()


if __name__ == "__main__":
    cases = [*WITH_DATA, *CASES] if workloads.HAS_DATA else CASES
    main(__file__, __doc__, cases, {"embexp": embexp_side, "peer": peer_side}, limit)
