"""A study whose trials are noted in PostgreSQL, killed and resumed."""

import pytest
from killed_runs import at_step
from servers import postgres
from studies import killed_study, study


@pytest.mark.slow
def test_a_study_in_postgresql_is_resumed_and_has_its_trials_there(workplace):
    import optuna

    with postgres() as uri:
        asked = ("loss.scale=5,40", f"tune.storage='{uri}'", "tracking=none", "trials=2", "trainer.max_steps=2")
        killed_study(at_step, (1,), workplace / "study", *asked)
        found = study(workplace / "study", *asked)
        (name,) = optuna.get_all_study_names(uri)
        trials = optuna.load_study(study_name=name, storage=uri).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert sorted(row["value"] for row in found["trials"]) == sorted(trial.value for trial in trials)
    assert not (workplace / "study/study.db").exists()
