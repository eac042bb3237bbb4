"""Trials draw the same points in one go and in many processes, and no two processes work on one trial."""

import pytest

from embexp.core.claims import held
from embexp.core.redaction import redacted
from embexp.errors import ConfigError
from embexp.tuning.space import _Choices, _Interval
from embexp.tuning.study import OpenStudy, next_trial, open_study, sample_values, sampled_overrides

TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 3, "multivariate": True}
NO_PRUNER = {"_target_": "optuna.pruners.NopPruner"}
SPACE = (
    _Choices("loss", ("mnrl", "cosent")),
    _Interval("rate", 1e-5, 1e-3, log=True),
    _Interval("size", 8, 64, step=8),
)


def search_in(folder, trials=8, seed=42, storage=None):
    folder.mkdir(exist_ok=True)
    study = open_study(folder, "key", storage, NO_PRUNER)
    return OpenStudy("id", study, folder, SPACE, (), trials, TPE, seed)


def run(search, trials):
    """The next trials, each with its drawn rate as its value; returns their overrides."""
    drawn = []
    for _ in range(trials):
        with next_trial(search) as trial:
            sample_values(search, trial)
            drawn.append(sampled_overrides(search, trial))
            search.study.tell(trial, trial.params["rate"])
    return drawn


def test_a_study_that_is_opened_again_and_again_draws_the_same_points(tmp_path):
    whole = run(search_in(tmp_path / "whole"), 8)
    parts = [run(search_in(tmp_path / "parts"), trials)[-1] for trials in (1,) * 8]
    assert parts == whole
    assert len({tuple(drawn) for drawn in whole}) == 8


def test_another_seed_draws_other_points(tmp_path):
    assert run(search_in(tmp_path / "one"), 2) != run(search_in(tmp_path / "two", seed=1), 2)


def test_keys_of_one_kind_do_not_draw_alike(tmp_path):
    search = search_in(tmp_path / "study")
    twins = OpenStudy("id", search.study, tmp_path, (_Interval("a", 0.0, 1.0), _Interval("b", 0.0, 1.0)), (), 8, TPE, 1)
    trial = search.study.ask()
    sample_values(twins, trial)
    assert trial.params["a"] != trial.params["b"]


def test_a_trial_that_was_interrupted_comes_first_and_draws_what_is_left(tmp_path):
    whole = run(search_in(tmp_path / "whole"), 5)
    search = search_in(tmp_path / "cut")
    run(search, 4)
    cut = OpenStudy("id", search.study, search.folder, SPACE[:1], (), 8, TPE, 42)  # killed after the first key
    with next_trial(cut) as trial:
        number = trial.number
    assert run(search_in(tmp_path / "cut"), 1) == whole[4:]
    assert [trial.state.name for trial in search.known()] == ["COMPLETE"] * (number + 1)


def test_a_trial_that_another_process_holds_is_left_to_it(tmp_path):
    search = search_in(tmp_path / "study", trials=2)
    with next_trial(search) as first, next_trial(search) as second:
        assert (first.number, second.number) == (0, 1)
        with next_trial(search) as third:
            assert third is None
    with held(search.folder / "trials" / "0"), next_trial(search) as other:
        assert other.number == 1


def test_a_study_has_as_many_trials_as_it_shall_have(tmp_path):
    search = search_in(tmp_path / "study", trials=2)
    run(search, 2)
    with next_trial(search) as trial:
        assert trial is None
    assert len(run(search_in(tmp_path / "study", trials=3), 1)) == 1


def test_a_database_that_was_half_made_is_made_anew(tmp_path):
    (tmp_path / "study.db.making").write_text("half")
    (tmp_path / "study.db.making-journal").write_text("half")
    assert run(search_in(tmp_path), 1)
    assert sorted(path.name for path in tmp_path.glob("study.db*")) == ["study.db"]


@pytest.mark.parametrize("storage", ["nothing", "sqlite:////no/such/folder/study.db", "nosuch://me:secret@host/name"])
def test_a_storage_that_cannot_be_opened_is_reported_without_its_password(tmp_path, storage):
    with pytest.raises(ConfigError) as refusal:
        search_in(tmp_path / "study", storage=storage)
    assert f"tune.storage={redacted(storage)} cannot be opened" in str(refusal.value)
    assert "secret" not in str(refusal.value)
