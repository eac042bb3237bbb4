"""The same negatives as sentence-transformers' own mining, where both do the same."""

import pytest
from mined_rows import guards, mined, negatives_of, pairs

from embexp.config.compose import compose, instantiate
from embexp.data.bundled import read_bundled
from embexp.models.encoding import ModelEncoder
from embexp.steps.conversions.convert import convert_to
from embexp.steps.negatives.retrievers import EmbeddingRetriever

MARGINS = [
    ({}, {}),
    ({"skip": 3, "within": 5}, {"range_min": 3, "range_max": 8}),
    ({"max_score": 0.8}, {"max_score": 0.8}),
    ({"margin": 0.02}, {"absolute_margin": 0.02}),
    ({"relative_margin": 0.05}, {"relative_margin": 0.05}),
]


@pytest.fixture(scope="module")
def rows():
    dataset = convert_to(read_bundled("finance", "ranked", "finance_en"), "positive_pair").splits["train"]
    distinct = dict(zip(dataset["anchor"][:], dataset["positive"][:], strict=True))  # a query with one positive each
    return [*{positive: query for query, positive in distinct.items()}.items()][:120]


@pytest.fixture(scope="module")
def model(rows, tmp_path_factory):
    import torch

    torch.manual_seed(0)
    texts = [text for row in rows for text in row]
    vectors = instantiate(compose(["model=static_scratch"]).model)  # at random, for words: like texts are near
    return vectors.load(lambda: texts, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(("ours", "theirs"), MARGINS)
def test_the_negatives_are_those_of_mine_hard_negatives(rows, model, ours, theirs):
    from sentence_transformers.util import mine_hard_negatives

    dataset = pairs(*((query, positive) for positive, query in rows))
    expected = mine_hard_negatives(
        dataset.splits["train"],
        model,
        num_negatives=3,
        output_format="n-tuple",
        verbose=False,
        **{"range_max": 50} | theirs,
    )
    by_query = {row["anchor"]: [row[f"negative_{number}"] for number in (1, 2, 3)] for row in expected}
    made = mined(dataset, EmbeddingRetriever(ModelEncoder(model)), guards=guards(**ours), num_negatives=3)
    enough = {
        query: negatives
        for query, negatives in zip(made.splits["train"]["query"][:], negatives_of(made), strict=True)
        if len(negatives) == 3
    }
    assert len(by_query) > 20
    assert enough == by_query
