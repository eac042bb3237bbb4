"""Contrastive tension: which texts of a batch are paired, and that both kinds of pairs are labelled as they are."""

import torch

from embexp.losses.tension import ContrastiveTension, partners


class GivenTokens(torch.nn.Module):
    """A model whose embeddings are its tokens."""

    def forward(self, features):
        return {"sentence_embedding": features["input_ids"].float()}


def test_one_row_in_each_eight_keeps_its_twin_and_the_others_change():
    assert partners(10, 7) == [0, 2, 3, 4, 5, 6, 7, 9, 8, 1]
    assert partners(1, 7) == [0]
    assert partners(4, 1) == [0, 3, 2, 1]


def test_pairs_of_a_text_with_itself_score_1_and_others_0():
    column = {"input_ids": torch.tensor([[1, 0], [0, 1], [1, 1]]), "attention_mask": torch.ones(3, 2).long()}
    value = ContrastiveTension(GivenTokens())([column, column])
    # dot products: row 0 with itself 1 (label 1), row 1 with row 2 and row 2 with row 1: 1 (label 0)
    expected = -torch.log(torch.sigmoid(torch.tensor(1.0))) - 2 * torch.log(1 - torch.sigmoid(torch.tensor(1.0)))
    assert torch.isclose(value, expected)
