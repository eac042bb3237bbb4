"""InfoNCE on fixed vectors, against values computed by hand: what is left out, and what the temperature does.

And own_negatives, against the cross-entropy over the texts of each row alone.
"""

import math

import numpy
import pytest
import torch


class GivenVectors(torch.nn.Module):
    """A model whose embeddings are its input."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def unit(*degrees: float) -> numpy.ndarray:
    """Vectors of length 1 at these angles."""
    angles = numpy.radians(degrees)
    return numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1)


def value_of(loss, *columns) -> float:
    return loss([{"vectors": torch.tensor(column)} for column in columns], None).item()


# Cosines of the first anchor: 0.50 with its positive, 0.94 with the other's, 0.98 and -0.50 with the hard negatives.
ANCHORS, POSITIVES, NEGATIVES = unit(0, 30), unit(60, 20), unit(10, 120)


def by_hand(kept: list[list[bool]], temperature: float) -> float:
    """The mean of -log(e^(s+/t) / sum of e^(s/t)) over what is kept: two positives, then two negatives."""
    scores = ANCHORS @ numpy.concatenate([POSITIVES, NEGATIVES]).T / temperature
    rows = [
        -scores[row, row]
        + math.log(sum(math.exp(score) for score, keep in zip(scores[row], kept[row], strict=True) if keep))
        for row in range(2)
    ]
    return sum(rows) / 2


ALL = [[True] * 4] * 2


@pytest.mark.parametrize(
    ("margin", "strategy", "kept"),
    [
        (None, "absolute", ALL),
        (
            -0.1,
            "absolute",
            [[True, False, False, True], [True, True, True, True]],
        ),  # the second positive's cosine: 0.98
        (-0.45, "absolute", [[True, True, False, True], [True, True, True, True]]),  # 0.94 < 0.50 + 0.45 < 0.98
        (0.1, "absolute", [[True, False, False, True], [True, True, False, True]]),  # 0.94 > 0.98 - 0.1
        (-0.9, "relative", [[True, True, False, True], [True, True, True, True]]),  # 0.94 < 0.50 * 1.9 < 0.98
        (0.05, "relative", [[True, False, False, True], [True, True, False, True]]),  # 0.94 > 0.98 * 0.95
        (3.0, "absolute", [[True, False, False, False], [False, True, False, False]]),
    ],
)
def test_negatives_above_the_threshold_leave_the_softmax(margin, strategy, kept):
    from embexp.losses.info_nce import InfoNCE

    loss = InfoNCE(GivenVectors(), temperature=0.5, margin=margin, margin_strategy=strategy)
    assert value_of(loss, ANCHORS, POSITIVES, NEGATIVES) == pytest.approx(by_hand(kept, 0.5), abs=1e-6)


def test_a_lower_temperature_sharpens_the_softmax():
    from embexp.losses.info_nce import InfoNCE

    loss = InfoNCE(GivenVectors(), temperature=0.05, margin=None)
    assert value_of(loss, ANCHORS, POSITIVES, NEGATIVES) == pytest.approx(by_hand(ALL, 0.05), rel=1e-5)


def test_what_is_left_out_has_no_gradient_and_the_rest_has():
    from embexp.losses.info_nce import InfoNCE

    columns = [torch.tensor(column, requires_grad=True) for column in (ANCHORS, POSITIVES, NEGATIVES[[0, 0]])]
    InfoNCE(GivenVectors(), margin=0.1)([{"vectors": column} for column in columns], None).backward()
    assert not columns[2].grad.any()
    assert columns[1].grad.any()


def test_a_learned_temperature_is_trained_saved_and_bounded():
    from embexp.losses.info_nce import InfoNCE

    fixed, learned = InfoNCE(GivenVectors()), InfoNCE(GivenVectors(), learnable_temperature=True, margin=None)
    assert not fixed.log_scale.requires_grad
    value = learned([{"vectors": torch.tensor(column)} for column in (ANCHORS, POSITIVES)], None)
    value.backward()
    assert learned.log_scale.grad != 0
    assert "log_scale" in learned.state_dict()
    with torch.no_grad():
        learned.log_scale.fill_(10.0)  # e^10 is a scale of 22,026
    assert value_of(learned, ANCHORS, POSITIVES, NEGATIVES) == pytest.approx(by_hand(ALL, 0.01), rel=1e-5)


def random_columns(rows: int, negatives: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + negatives)
    return [torch.randn(rows, 8, generator=generator, requires_grad=True) for _ in range(2 + negatives)]


def row_by_row(columns, scale: float, hardness: float = 0.0) -> torch.Tensor:
    """The loss of FlagEmbedding's files with no_in_batch_neg: for each row a softmax over its own texts."""
    losses = []
    for anchor, *own in zip(*columns, strict=True):
        cosines = torch.stack([torch.nn.functional.cosine_similarity(anchor, text, dim=0) for text in own])
        harder = hardness * cosines.detach() * torch.tensor([0.0] + [1.0] * (len(own) - 1))
        losses.append(torch.nn.functional.cross_entropy(scale * cosines + harder, torch.tensor(0)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("rows", "negatives", "hardness"), [(5, 1, 0.0), (4, 3, 0.0), (1, 2, 0.0), (6, 2, 5.0)])
def test_own_negatives_compares_an_anchor_with_the_texts_of_its_row_alone(rows, negatives, hardness):
    from embexp.losses.info_nce import own_negatives

    given, expected = (random_columns(rows, negatives) for _ in range(2))
    loss = own_negatives(GivenVectors(), scale=30.0, hardness_strength=hardness)
    value, reference = loss([{"vectors": each} for each in given], None), row_by_row(expected, 30.0, hardness)
    assert value.item() == pytest.approx(reference.item(), rel=1e-5)
    value.backward(), reference.backward()
    for ours, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_own_negatives_do_not_depend_on_the_other_rows_and_two_in_steps_are_one():
    from embexp.losses.info_nce import own_negatives

    columns, loss = random_columns(4, 2), own_negatives(GivenVectors())
    halves = [loss([{"vectors": each[part]} for each in columns], None) for part in (slice(2), slice(2, 4))]
    whole = loss([{"vectors": each} for each in columns], None)
    assert whole.item() == pytest.approx(sum(half.item() for half in halves) / 2, rel=1e-5)


def test_a_negative_that_fills_up_a_short_row_counts_as_often_as_it_is_there():
    from embexp.losses.info_nce import own_negatives

    anchor, positive, negative = random_columns(3, 1)
    twice = own_negatives(GivenVectors())([{"vectors": each} for each in (anchor, positive, negative, negative)], None)
    assert twice.item() == pytest.approx(row_by_row([anchor, positive, negative, negative], 20.0).item(), rel=1e-5)
