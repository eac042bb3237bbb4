"""Orthogonal regularisation: its terms by hand, added to the loss as it was, from the same forward pass."""

import numpy
import pytest
import torch


class GivenVectors(torch.nn.Module):
    """A model whose embeddings are its input; it counts its forward passes."""

    passes = 0

    def forward(self, features):
        self.passes += 1
        return {"sentence_embedding": features["vectors"]}


GENERATOR = numpy.random.default_rng(0)
COLUMNS = [GENERATOR.normal(0.5, 1.0, (5, 3)) for _ in range(3)]
FEATURES = [{"vectors": torch.tensor(column)} for column in COLUMNS]


def terms_by_hand(column: numpy.ndarray) -> tuple[float, float]:
    """Squared mean of the cosines of different rows, and the excess of their mean square over 1 / width."""
    directions = column / numpy.linalg.norm(column, axis=1, keepdims=True)
    cosines = (directions @ directions.T)[~numpy.eye(len(column), dtype=bool)]
    return cosines.mean() ** 2, max(0.0, (cosines**2).mean() - 1 / column.shape[1])


@pytest.mark.parametrize(("aggregation", "combine"), [("mean", numpy.mean), ("sum", numpy.sum)])
def test_the_total_is_the_loss_and_both_terms_by_their_weights(aggregation, combine):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from embexp.losses.orthogonal import OrthogonalRegularization

    model = GivenVectors()
    loss = MultipleNegativesRankingLoss(model)
    alone = loss(FEATURES, None).item()
    total = OrthogonalRegularization(model, loss, 0.5, 2.0, aggregation)(FEATURES, None)
    squared_mean, second_moment = combine([terms_by_hand(column) for column in COLUMNS], axis=0)
    assert total["without_regularization"].item() == pytest.approx(alone)
    assert total["gor_mean"].item() == pytest.approx(0.5 * squared_mean)
    assert total["gor_second_moment"].item() == pytest.approx(2.0 * second_moment)
    assert squared_mean > 0
    assert second_moment > 0


def test_no_text_is_embedded_a_second_time_and_nothing_stays_behind():
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss

    from embexp.losses.orthogonal import OrthogonalRegularization

    model = GivenVectors()
    modified = OrthogonalRegularization(model, CosineSimilarityLoss(model))
    modified(FEATURES[:2], torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8], dtype=torch.float64))
    assert model.passes == 2
    assert not model._forward_hooks


def test_the_terms_of_a_loss_that_has_several_stay_apart():
    from embexp.losses.orthogonal import OrthogonalRegularization

    class TwoTerms(torch.nn.Module):
        def forward(self, features, labels):
            model(features[0])
            return {"one": torch.tensor(1.0), "two": torch.tensor(2.0)}

    model = GivenVectors()
    assert list(OrthogonalRegularization(model, TwoTerms(), mean_weight=0)(FEATURES, None)) == [
        "one",
        "two",
        "gor_second_moment",
    ]


def test_columns_are_kept_apart_where_the_library_would_embed_them_as_one(tmp_path):
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from shaped_rows import OTHERS, STRANGERS, TEXTS

    from embexp.losses.orthogonal import OrthogonalRegularization
    from embexp.models.scratch import ScratchModel

    scratch = ScratchModel(num_layers=1, hidden_size=16, num_heads=2, vocabulary_size=100, max_seq_length=16)
    model = scratch.load(lambda: [*TEXTS, *OTHERS, *STRANGERS], tmp_path).eval()
    columns = [model.preprocess(texts) for texts in (TEXTS, OTHERS, STRANGERS)]
    total = OrthogonalRegularization(model, MultipleNegativesRankingLoss(model))(columns, None)
    expected = [terms_by_hand(model.encode(texts)) for texts in (TEXTS, OTHERS, STRANGERS)]
    assert total["gor_mean"].item() == pytest.approx(numpy.mean([mean for mean, _ in expected]), rel=1e-4)
