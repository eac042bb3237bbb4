"""Contrastive and triplet loss on fixed vectors, against values computed by hand for each distance."""

import math

import pytest
import torch

from embexp.errors import ConfigError
from embexp.losses.distances import (
    batch_all,
    batch_hard,
    batch_hard_soft_margin,
    batch_semi_hard,
    contrastive,
    online_contrastive,
    triplet,
)


class GivenVectors(torch.nn.Module):
    """A model whose embeddings are its input."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def value_of(loss, columns, labels=None):
    """The loss of columns of vectors, one row of each column an example."""
    features = [{"vectors": torch.tensor(column)} for column in columns]
    return loss(features, None if labels is None else torch.tensor(labels)).item()


# The two rows are 0 and 1 apart by cosine, 2 and 5 by euclidean, 2 and 7 by manhattan distance.
LEFT = [[1.0, 0.0], [4.0, 0.0]]
RIGHT = [[3.0, 0.0], [0.0, 3.0]]


@pytest.mark.parametrize(
    ("distance", "margin", "labels", "expected"),
    [
        ("cosine", 0.5, [1, 1], 0.5 * (0**2 + 1**2) / 2),
        ("cosine", 0.5, [0, 0], 0.5 * (0.5**2 + 0) / 2),  # the second row is further apart than the margin
        ("cosine", 1.5, [0, 0], 0.5 * (1.5**2 + 0.5**2) / 2),
        ("euclidean", 6.0, [1, 0], 0.5 * (2**2 + (6 - 5) ** 2) / 2),
        ("manhattan", 9.0, [1, 0], 0.5 * (2**2 + (9 - 7) ** 2) / 2),
    ],
)
def test_contrastive_pulls_label_1_together_and_pushes_label_0_beyond_the_margin(distance, margin, labels, expected):
    loss = contrastive(GivenVectors(), distance=distance, margin=margin)
    assert value_of(loss, [LEFT, RIGHT], labels) == pytest.approx(expected, abs=1e-4)


def test_contrastive_without_size_average_sums_over_the_batch():
    mean, total = (contrastive(GivenVectors(), size_average=average) for average in (True, False))
    assert value_of(total, [LEFT, RIGHT], [1, 1]) == pytest.approx(0.5)
    assert value_of(mean, [LEFT, RIGHT], [1, 1]) == pytest.approx(0.25)


# From the anchor: cosine distances 0 and 0.4, euclidean 1 and 4, manhattan 1 and 4.
ANCHOR, NEAR = [[1.0, 0.0]], [[2.0, 0.0]]
FAR = {"cosine": [[0.6, 0.8]], "euclidean": [[1.0, 4.0]], "manhattan": [[3.0, 2.0]]}


@pytest.mark.parametrize(
    ("distance", "margin", "expected"),
    [
        ("cosine", 0.5, 0 - 0.4 + 0.5),
        ("cosine", 0.3, 0.0),
        ("euclidean", 5.0, 1 - 4 + 5),
        ("euclidean", 2.0, 0.0),
        ("manhattan", 5.0, 1 - 4 + 5),
        ("manhattan", 2.0, 0.0),
    ],
)
def test_triplet_asks_the_negative_to_be_further_by_the_margin(distance, margin, expected):
    loss = triplet(GivenVectors(), distance=distance, margin=margin)
    assert value_of(loss, [ANCHOR, NEAR, FAR[distance]]) == pytest.approx(expected, abs=1e-4)


def test_triplet_costs_more_when_the_negative_is_the_nearer_one():
    assert value_of(triplet(GivenVectors()), [ANCHOR, FAR["cosine"], NEAR]) == pytest.approx(0.4 - 0 + 0.5)


def test_triplet_is_the_mean_over_the_batch():
    columns = [ANCHOR * 2, NEAR + FAR["cosine"], FAR["cosine"] + NEAR]
    assert value_of(triplet(GivenVectors()), columns) == pytest.approx((0.1 + 0.9) / 2)


@pytest.mark.parametrize(
    ("distance", "margin", "labels", "expected"),
    [
        ("cosine", 0.5, [1, 0], 0.0),  # the positive is nearer than the negative: no pair is hard
        ("cosine", 1.5, [0, 1], (1.5 - 0) ** 2 + 1**2),  # the negative is nearer: both are
        ("euclidean", 6.0, [0, 1], (6 - 2) ** 2 + 5**2),
        ("manhattan", 9.0, [0, 1], (9 - 2) ** 2 + 7**2),
    ],
)
def test_online_contrastive_sums_over_hard_pairs_only(distance, margin, labels, expected):
    loss = online_contrastive(GivenVectors(), distance=distance, margin=margin)
    assert value_of(loss, [LEFT, RIGHT], labels) == pytest.approx(expected, abs=1e-4)


# Two classes of two on a line through the origin's quarter circle: cosine distances 0 within and 1 between classes;
# euclidean 1 within each class.
BY_CLASS = [[[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 2.0]]]
CLASSES = [0, 0, 1, 1]


@pytest.mark.parametrize("make", [batch_all, batch_hard, batch_semi_hard])
@pytest.mark.parametrize(("margin", "expected"), [(0.5, 0.0), (1.25, 0.25)])
def test_batch_losses_by_cosine_ask_strangers_to_be_further_by_the_margin(make, margin, expected):
    assert value_of(make(GivenVectors(), margin=margin), BY_CLASS, CLASSES) == pytest.approx(expected, abs=1e-4)


def test_batch_hard_by_euclidean_distance():
    # Classmates are 1 apart; the nearest stranger is 2 ** 0.5 from the short vectors, 5 ** 0.5 from the long ones.
    near, far = 2**0.5, 5**0.5
    loss = batch_hard(GivenVectors(), distance="euclidean", margin=2.0)
    assert value_of(loss, BY_CLASS, CLASSES) == pytest.approx((2 * (1 - near + 2) + 2 * (1 - far + 2)) / 4, abs=1e-4)


def test_batch_hard_soft_margin_has_no_margin():
    loss = batch_hard_soft_margin(GivenVectors())
    assert value_of(loss, BY_CLASS, CLASSES) == pytest.approx(math.log(1 + math.exp(0 - 1)), abs=1e-4)


@pytest.mark.parametrize(("distance", "expected"), [("cosine", 0.5), ("euclidean", 1.0), ("manhattan", 5.0)])
def test_without_a_margin_the_one_that_suits_the_distance_is_taken(distance, expected):
    assert triplet(GivenVectors(), distance=distance).triplet_margin == expected
    assert contrastive(GivenVectors(), distance=distance).margin == expected
    assert online_contrastive(GivenVectors(), distance=distance).margin == expected
    if distance != "manhattan":
        for make in (batch_all, batch_hard, batch_semi_hard):
            assert make(GivenVectors(), distance=distance).get_config_dict()["margin"] == expected


@pytest.mark.parametrize("make", [batch_all, batch_hard, batch_hard_soft_margin, batch_semi_hard])
def test_batch_losses_know_cosine_and_euclidean(make):
    with pytest.raises(
        ConfigError, match=r"loss\.distance=manhattan is not known\. Expected one of: cosine, euclidean"
    ):
        make(GivenVectors(), distance="manhattan")


@pytest.mark.parametrize("make", [contrastive, online_contrastive, triplet])
def test_an_unknown_distance_names_the_known_ones_and_the_nearest(make):
    with pytest.raises(ConfigError) as error:
        make(GivenVectors(), distance="euclid")
    assert str(error.value) == (
        "loss.distance=euclid is not known. Expected one of: cosine, euclidean, manhattan. Did you mean 'euclidean'?"
    )


# Two classes of three texts: within a class they are further apart than to some strangers, as before any training.
MIXED = [[1.0, 0.2], [0.3, 1.0], [0.8, 0.7], [0.9, 0.4], [0.2, 0.9], [0.6, 0.8]]


def gradient_of(loss):
    vectors = torch.tensor(MIXED, requires_grad=True)
    loss(GivenVectors())([{"vectors": vectors}], torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    return vectors.grad.flatten()


def test_batch_hard_and_its_soft_margin_pull_alike_and_not_as_hard_while_no_triplet_reaches_the_margin():
    """Adam divides the length out: why both gave the same classes in RESULTS.md (TREC)."""
    hinge, soft = gradient_of(batch_hard), gradient_of(batch_hard_soft_margin)
    assert 0.4 < soft.norm() / hinge.norm() < 0.75
    assert 0.99 < torch.nn.functional.cosine_similarity(hinge, soft, dim=0) < 0.999999
