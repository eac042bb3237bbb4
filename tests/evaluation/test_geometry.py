"""How embeddings lie: numbers one can compute by hand, and the signs of a collapse."""

import math

import numpy
import pytest

from embexp.evaluation.geometry import _MOST_TEXTS, collapse_signs, geometry_of, is_one_point, relative_change

CROSS = numpy.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype="float32")


def test_a_cross_in_the_plane():
    found = geometry_of(CROSS * numpy.array([[1], [2], [3], [2]]))
    cosines = [0, -1, 0, 0, -1, 0]  # of the six pairs
    assert found["mean_random_cosine"] == pytest.approx(numpy.mean(cosines))
    assert found["uniformity"] == pytest.approx(math.log(numpy.mean([math.exp(-2 * (2 - 2 * c)) for c in cosines])))
    assert found["effective_rank"] == pytest.approx(2)
    assert found["dead_dimensions"] == 0
    assert found["norm_spread"] == pytest.approx(numpy.std([1, 2, 3, 2]) / 2)
    assert "alignment" not in found


def test_alignment_is_the_mean_squared_distance_of_positives_at_length_one():
    first, second = numpy.array([[3.0, 0.0], [0.0, 1.0]]), numpy.array([[1.0, 0.0], [5.0, 0.0]])
    assert geometry_of(CROSS, (first, second))["alignment"] == pytest.approx((0 + 2) / 2)
    assert "alignment" not in geometry_of(CROSS, (first[:0], second[:0]))


def test_one_point_is_as_uneven_as_can_be():
    found = geometry_of(numpy.tile([[0.6, 0.8, 0.0]], (5, 1)))
    assert found == pytest.approx(
        {"mean_random_cosine": 1, "uniformity": 0, "effective_rank": 1, "dead_dimensions": 3, "norm_spread": 0},
        abs=1e-6,
    )


def test_zeros_do_no_harm():
    found = geometry_of(numpy.zeros((3, 4)))
    assert not any(math.isnan(value) for value in found.values())


NOISE = numpy.random.default_rng(3).normal(size=(50, 4))


@pytest.mark.parametrize(
    ("vectors", "is_point"),
    [
        (numpy.ones((50, 4)), True),
        (numpy.ones((50, 4)) * numpy.arange(1, 51)[:, None], True),  # one direction
        (numpy.zeros((50, 4)), True),
        (numpy.ones((50, 4)) + 1e-5 * NOISE, True),
        (numpy.ones((50, 4)) + 0.1 * NOISE, False),
        (numpy.ones((50, 4)) * numpy.sign(NOISE[:, :1]), False),  # two directions
        (NOISE, False),
    ],
)
def test_one_point_is_distinguished_from_a_narrow_cone(vectors, is_point):
    assert is_one_point(geometry_of(vectors)) == is_point


def test_the_change_is_relative_to_the_length_and_that_of_the_median_text():
    assert relative_change(NOISE, NOISE) == 0
    assert relative_change(100 * NOISE, 101 * NOISE) == pytest.approx(0.01)
    one_moved = NOISE.copy()
    one_moved[0] *= 5
    assert relative_change(NOISE, one_moved) == 0
    assert relative_change(NOISE, NOISE[:, :2]) == math.inf


def test_many_texts_are_drawn_from_the_same_ones_every_time():
    vectors = numpy.random.default_rng(1).normal(size=(_MOST_TEXTS + 500, 8))
    assert geometry_of(vectors) == geometry_of(vectors)
    assert geometry_of(vectors)["mean_random_cosine"] == pytest.approx(0, abs=0.01)


@pytest.mark.slow
def test_minilm_lies_on_stsb_as_was_published(real_data):
    from embexp.config.compose import compose, instantiate, resolve
    from embexp.experiment.datasets import builder_of
    from embexp.models.encoding import ModelEncoder

    config = resolve(compose(["dataset=stsb", f"paths.data={real_data}", "paths.cache=null"]))
    rows = builder_of(config).read(config["dataset"], "stsb", "scored_pair").splits["dev"]
    texts = [*dict.fromkeys([*rows["sentence1"][:], *rows["sentence2"][:]])]
    model = instantiate(config["model"]).load(list, None)
    found = geometry_of(ModelEncoder(model).encode(texts))
    assert found["uniformity"] == pytest.approx(-3.83, abs=0.05)
    assert found["mean_random_cosine"] == pytest.approx(0.019, abs=0.005)
    assert collapse_signs(found, found) == []


HEALTHY = {"effective_rank": 227.0, "mean_random_cosine": 0.155}


@pytest.mark.parametrize(
    ("now", "base", "signs"),
    [
        ({"effective_rank": 180.0, "mean_random_cosine": 0.577}, HEALTHY, 0),  # cosine loss, as it should be
        ({"effective_rank": 91.0, "mean_random_cosine": 0.82}, HEALTHY, 1),
        ({"effective_rank": 1.0, "mean_random_cosine": 1.0}, HEALTHY, 2),
        ({"effective_rank": 60.0, "mean_random_cosine": 0.95}, {"effective_rank": 60.0, "mean_random_cosine": 0.95}, 0),
    ],
)
def test_a_collapse_is_found_by_what_training_changed(now, base, signs):
    found = collapse_signs(now, base)
    assert len(found) == signs
    assert all(f"{base['effective_rank']:.0f} to" in sign or "rose from 0.15 to 1.00" in sign for sign in found)
