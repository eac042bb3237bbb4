"""Which keys made the difference, and in which order trials stand."""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from embexp.tuning.report import _importances_of, _row_of
from embexp.tuning.study import OpenStudy

KEYS = {"loss.scale": CategoricalDistribution(("5", "40")), "rate": FloatDistribution(0.0, 1.0)}


def search_of(folder, *values):
    """A study whose trials have these values at one scale and twice as much at the other."""
    from optuna import create_study
    from optuna.trial import create_trial

    study = create_study(direction="maximize")
    for number, value in enumerate(values):
        drawn = {"loss.scale": ("5", "40")[number % 2], "rate": number / len(values)}
        study.add_trial(create_trial(params=drawn, distributions=KEYS, value=value * (1 + number % 2)))
    return OpenStudy("id", study, folder, (), (), 8, {}, 42)


def test_the_key_that_makes_the_difference_is_the_important_one(tmp_path):
    search = search_of(tmp_path, *[0.4] * 8)
    shares = _importances_of(search, search.known())
    assert shares["loss.scale"] > 0.9
    assert sum(shares.values()) == 1


def test_few_trials_or_equal_ones_tell_no_importance(tmp_path):
    few, equal = search_of(tmp_path, *[0.4] * 7), search_of(tmp_path, *[0.0] * 8)
    assert _importances_of(few, few.known()) == _importances_of(equal, equal.known()) == {}


def test_a_row_says_what_became_of_the_trial(tmp_path):
    from optuna.trial import TrialState, create_trial

    search = search_of(tmp_path)
    search.study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={0: 0.3, 1: 0.2}))
    search.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"error": "ShapeError: one\ntwo"}))
    search.study.add_trial(create_trial(value=0.5, user_attrs={"twin": 0, "folder": "there"}))
    rows = [_row_of(search, trial) for trial in search.known()]
    assert [(row["state"], row["note"]) for row in rows] == [
        ("stopped early", "at evaluation 2"),
        ("failed", "ShapeError: one"),
        ("done", "as trial 0"),
    ]
    assert [row["folder"] for row in rows] == [str(tmp_path / "trials" / "0"), str(tmp_path / "trials" / "1"), "there"]
