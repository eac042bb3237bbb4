"""Contrastive tension: which texts of a batch are paired, and that both kinds of pairs are labelled as they are."""

import numpy
import pytest
import torch


class GivenTokens(torch.nn.Module):
    """A model whose embeddings are its tokens."""

    def forward(self, features):
        return {"sentence_embedding": features["input_ids"].float()}


def test_one_row_in_each_eight_keeps_its_twin_and_the_others_change():
    from embexp.losses.tension import _partners

    assert _partners(10, 7) == [0, 2, 3, 4, 5, 6, 7, 9, 8, 1]
    assert _partners(1, 7) == [0]
    assert _partners(4, 1) == [0, 3, 2, 1]


def test_pairs_of_a_text_with_itself_score_1_and_others_0():
    from embexp.losses.tension import ContrastiveTension

    column = {"input_ids": torch.tensor([[1, 0], [0, 1], [1, 1]]), "attention_mask": torch.ones(3, 2).long()}
    value = ContrastiveTension(GivenTokens())([column, column])
    # dot products: row 0 with itself 1 (label 1), row 1 with row 2 and row 2 with row 1: 1 (label 0)
    expected = -torch.log(torch.sigmoid(torch.tensor(1.0))) - 2 * torch.log(1 - torch.sigmoid(torch.tensor(1.0)))
    assert torch.isclose(value, expected)


def test_the_sum_over_two_batches_of_eight_pairs_by_hand():
    from embexp.losses.tension import ContrastiveTension

    vectors = numpy.random.default_rng(0).integers(-2, 3, size=(16, 4))
    column = {"input_ids": torch.tensor(vectors), "attention_mask": torch.ones(16, 4).long()}
    others = [*range(1, 8), *range(9, 16)]
    pairs = [(row, row) for row in (0, 8)] + list(zip(others, [*others[1:], others[0]], strict=True))
    chances = [1 / (1 + numpy.exp(-float(vectors[left] @ vectors[right]))) for left, right in pairs]
    same = [(vectors[left] == vectors[right]).all() for left, right in pairs]
    expected = -sum(numpy.log(p if twin else 1 - p) for p, twin in zip(chances, same, strict=True))
    assert same == [True] * 2 + [False] * 14
    assert ContrastiveTension(GivenTokens())([column, column]).item() == pytest.approx(expected, rel=1e-5)
