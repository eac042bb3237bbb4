"""The picture of a study: trials, the best so far, what was stopped, and the dev scores inside of trials."""

from embexp.reports.pictures.learning_curves import NOTHING, draw_study_history

DONE = [(0, 0.5), (1, 0.4), (3, 0.6)]


def curve(line) -> list[tuple[float, float]]:
    return [*zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_trials_the_best_so_far_and_their_curves_are_drawn(drawn):
    curves = {0: [(1, 0.45), (2, 0.5)], 2: [(1, 0.3)], 3: [(1, 0.5), (2, 0.6)]}
    figure = drawn(draw_study_history, "study", DONE, [(2, 0.3)], curves, "sts/spearman_cosine")
    left, right = figure.axes
    best, trials, stopped, star = left.lines
    assert curve(best) == [(0, 0.5), (1, 0.5), (3, 0.6)]
    assert curve(trials) == DONE
    assert curve(stopped) == [(2, 0.3)]
    assert curve(star) == [(3, 0.6)]
    assert [curve(line) for line in right.lines] == [curves[0], curves[2], curves[3]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "best so far",
        "trial",
        "stopped early",
        "best: trial 3, 0.600",
    ]


def test_of_equals_the_first_is_the_best(drawn):
    star = drawn(draw_study_history, "study", [(0, 0.5), (1, 0.5)], [], {}, "ndcg").axes[0].lines[-1]
    assert curve(star) == [(0, 0.5)]


def test_a_study_without_results_says_so(drawn):
    left = drawn(draw_study_history, "study", [], [], {}, "ndcg").axes[0]
    assert left.texts[0].get_text() == NOTHING
