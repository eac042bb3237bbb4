"""Plots: pictures that are there and have the expected size."""

import matplotlib.image
import numpy

from embexp.reports.plots import plot_score_distribution

GOLD = numpy.array([0.0, 0.2, 0.5, 0.8, 1.0])


def picture_of(path, base, trained):
    plot_score_distribution(path, "nli/mnrl", GOLD, base, trained, ("untouched", "trained"), "cosine")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    return matplotlib.image.imread(path)


def test_the_picture_is_a_png_of_960_by_720_pixels(tmp_path):
    picture = picture_of(tmp_path / "plots" / "scores.png", GOLD, GOLD**2)
    assert picture.shape[:2] == (720, 960)


def test_other_scores_give_another_picture(tmp_path):
    first = picture_of(tmp_path / "a.png", GOLD, GOLD**2)
    assert numpy.array_equal(first, picture_of(tmp_path / "b.png", GOLD, GOLD**2))
    assert not numpy.array_equal(first, picture_of(tmp_path / "c.png", GOLD, 1 - GOLD))


def test_a_model_that_gives_every_pair_the_same_score_can_be_drawn(tmp_path):
    same = numpy.full(5, 0.5)
    assert picture_of(tmp_path / "same.png", same, same).shape[:2] == (720, 960)
