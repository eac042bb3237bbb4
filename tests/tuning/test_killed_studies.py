"""A study that is killed with SIGKILL, again and again, ends with the table of one that was left alone."""

import pytest
from killed_runs import at_step, at_touch, before
from studies import killed_study, study

ARGUMENTS = (
    "loss.scale=5,40",
    "trainer.learning_rate=tag(log, interval(1e-5, 1e-2))",
    "tune.pruner.n_startup_trials=1",
    "tune.pruner.n_warmup_steps=0",
    "tracking=none",
    "trials=3",
)


def outcome(folder):
    """What a study finds: its table, and what Optuna received while the trials were trained."""
    import optuna

    study(folder, *ARGUMENTS)
    known = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}").get_trials()
    return (folder / "trials.csv").read_text(), [trial.intermediate_values for trial in known]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        table, told = outcome(folder)
    assert "stopped early" in table
    assert {len(values) for values in told} == {1, 2}
    return table, told


@pytest.mark.slow
def test_a_study_killed_at_several_moments_ends_as_if_undisturbed(workplace, undisturbed):
    folder = workplace / "study"
    for arrange, arguments in (
        (at_step, (3,)),  # in the middle of the first training
        (before, ("suggest_float", "optuna.trial:Trial", 2)),  # when the second trial has drawn one of its two values
        (before, ("tell", "optuna.study:Study")),  # when a run is done and Optuna does not know yet
        (before, ("should_prune", "optuna.trial:Trial")),  # when Optuna knows a dev score that no checkpoint knows
    ):
        killed_study(arrange, arguments, folder, *ARGUMENTS)
    assert outcome(folder) == undisturbed


@pytest.mark.matrix
@pytest.mark.parametrize("number", [3, 40, 111])
def test_a_study_killed_at_a_touch_of_its_folder_ends_as_if_undisturbed(workplace, undisturbed, number):
    folder = workplace / "study"
    killed_study(at_touch, (str(folder), number), folder, *ARGUMENTS)
    assert outcome(folder) == undisturbed
