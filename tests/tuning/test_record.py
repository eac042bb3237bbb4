"""A study is found again by its own command, whatever changes none of its trials."""

import pytest

from embexp.errors import ConfigError
from embexp.tuning.study import _study_folder, begin_study, is_begun, read_study, study_key

TYPED = ["loss=mnrl", 'tune.space=["loss.scale=1,2"]', "trials=5"]


@pytest.mark.parametrize(
    "typed",
    [
        [*reversed(TYPED)],
        [*TYPED[:2], "trials=50"],
        [*TYPED, "tune.storage=postgresql+psycopg://me@host/name", "tracking=none", "tracking.uri=x", "keep=none"],
    ],
)
def test_order_number_of_trials_and_where_things_go_change_no_study(typed):
    assert study_key(typed) == study_key(TYPED)


@pytest.mark.parametrize("more", ["seed=1", "tune.seed=1", "tune/pruner=none", "paths.data=x", "experiment=x"])
def test_what_changes_a_trial_makes_another_study(more):
    assert study_key([*TYPED, more]) != study_key(TYPED)


def test_another_directory_is_another_study(workplace, monkeypatch):
    here = study_key(TYPED)
    (workplace / "there").mkdir()
    monkeypatch.chdir(workplace / "there")
    assert study_key(TYPED) != here


def test_the_folder_is_that_of_the_study_or_a_fresh_one(workplace):
    assert _study_folder(TYPED, "tunings", "today/now") == "tunings/today/now"
    begin_study(workplace / "tunings" / "today" / "then", study_key(TYPED), {"overrides": TYPED})
    begin_study(workplace / "tunings" / "today" / "later", study_key([*TYPED, "seed=1"]), {"overrides": TYPED})
    assert _study_folder(TYPED, "tunings", "today/now") == "tunings/today/then"


def test_a_folder_with_another_study_is_refused(workplace):
    assert not is_begun(workplace / "out", "one")
    begin_study(workplace / "out", "one", {"overrides": ["loss.scale=1,2"]})
    assert read_study(workplace / "out") == {"key": "one", "overrides": ["loss.scale=1,2"]}
    assert is_begun(workplace / "out", "one")
    with pytest.raises(ConfigError, match=r"holds another study \(loss.scale=1,2\)"):
        is_begun(workplace / "out", "two")
