"""Projections: the main directions, the labels' looks, the same scale for both models."""

import numpy
import pytest

from embexp.reports.pictures.projection import _MOST_POINTS, _project, _styles_of, draw_projection

RANDOM = numpy.random.default_rng(0)
LABELS = ["NUM"] * 20 + ["LOC"] * 10
VECTORS = RANDOM.normal(size=(30, 8)) + numpy.eye(8)[[0] * 20 + [3] * 10] * 5


def test_the_projection_is_that_of_the_covariance():
    found = _project(VECTORS)
    units = VECTORS / numpy.linalg.norm(VECTORS, axis=1, keepdims=True)
    values, vectors = numpy.linalg.eigh(numpy.cov(units.T))
    expected = (units - units.mean(axis=0)) @ vectors[:, ::-1][:, :2]
    assert numpy.abs(found.points) == pytest.approx(numpy.abs(expected), abs=1e-10)
    assert found.explained == pytest.approx(values[::-1][:2] / values.sum())


def test_lengths_do_not_count_and_vectors_of_zeros_or_of_one_dimension_are_no_fault():
    assert _project(VECTORS * numpy.arange(1, 31)[:, None]).points == pytest.approx(_project(VECTORS).points)
    assert _project(numpy.zeros((3, 4))).explained.tolist() == [0, 0]
    assert _project(numpy.array([[1.0], [-1.0]])).points[:, 1].tolist() == [0, 0]


def test_every_label_is_drawn_with_the_variance_on_the_axes(drawn):
    figure = drawn(draw_projection, "trec", LABELS, VECTORS, VECTORS[:, ::-1] * 3, models=("a", "b"))
    base, trained = figure.axes
    assert [len(points.get_offsets()) for points in base.collections] == [20, 10]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["NUM", "LOC"]
    first, second = _project(VECTORS).explained
    assert base.get_xlabel() == f"1st: {first:.0%} of variance"
    assert base.get_ylabel() == f"2nd: {second:.0%}"
    assert (base.get_title("left"), trained.get_title("left")) == ("a", "b")


@pytest.mark.parametrize("seed", range(4))
def test_both_models_have_the_same_scale_and_the_second_is_turned_like_the_first(drawn, seed):
    turn = numpy.linalg.qr(numpy.random.default_rng(seed).normal(size=(8, 8)))[0]
    base, trained = drawn(draw_projection, "", LABELS, VECTORS, VECTORS @ turn).axes
    assert base.get_xlim() == trained.get_xlim() == base.get_ylim() == trained.get_ylim()
    for first, second in zip(base.collections, trained.collections, strict=True):
        assert numpy.allclose(first.get_offsets(), second.get_offsets())


def test_the_scale_holds_the_points_of_both_models(drawn):
    collapsed = 100 + RANDOM.normal(size=(30, 8))
    for pair in ((collapsed, VECTORS), (VECTORS, collapsed)):
        axes = drawn(draw_projection, "", LABELS, *pair).axes
        points = numpy.concatenate([points.get_offsets() for axis in axes for points in axis.collections])
        assert axes[0].get_xlim()[0] < points.min()
        assert axes[0].get_xlim()[1] > points.max()


@pytest.mark.parametrize("name", ["NUM", "a long name", "a name that is much too long", "有十六个字的名字"])
def test_the_legend_stays_in_the_picture_and_off_the_panels(drawn, name):
    names = [f"{number} {name}" for number in range(10)] * 3
    figure = drawn(draw_projection, "", names, VECTORS, VECTORS)
    legend = figure.legends[0].get_window_extent()
    assert legend.x1 < 960
    assert legend.y0 > figure.axes[0].title.get_window_extent().y1


def test_ten_labels_look_different_and_the_rest_is_grey(drawn):
    names = [f"label {number}" for number in range(13) for _ in range(20 - number)]
    styles = _styles_of(names)
    assert [*styles] == [f"label {number}" for number in range(10)] + ["all others"]
    assert len({(look.get("c"), look.get("edgecolors"), look["marker"]) for look in styles.values()}) == 11
    vectors = RANDOM.normal(size=(len(names), 4))
    base = drawn(draw_projection, "", names, vectors, vectors).axes[0]
    assert [len(points.get_offsets()) for points in base.collections] == [*range(20, 10, -1), 10 + 9 + 8]
    assert "all others" not in _styles_of(names[:155])


def test_of_many_texts_some_are_drawn_the_same_ones_for_both_models(drawn):
    vectors = RANDOM.normal(size=(3 * _MOST_POINTS, 3))
    base, trained = drawn(draw_projection, "", ["a"] * len(vectors), vectors, vectors).axes
    again = drawn(draw_projection, "", ["a"] * len(vectors), vectors, vectors).axes[0]
    for other in (trained, again):
        assert numpy.array_equal(base.collections[0].get_offsets(), other.collections[0].get_offsets())
    assert len(base.collections[0].get_offsets()) == _MOST_POINTS
