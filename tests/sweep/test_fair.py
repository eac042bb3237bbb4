"""The same small search of learning rates for every cell: which trials, what is chosen, what stands in the way."""

import json
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from embexp.errors import ConfigError
from embexp.experiment.sweep_record import RATES
from embexp.sweep import fair
from embexp.sweep.fair import _of_trial, _shortened, fairness_problems, is_fair, with_best_rates
from embexp.sweep.jobs import Job, Outcome


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"max_steps": 10, "num_train_epochs": 1}, ["trainer.max_steps=3"]),
        ({"num_train_epochs": 1, "max_examples": 1001}, ["trainer.num_train_epochs=0.25", "trainer.max_examples=251"]),
        ({"num_train_epochs": 3, "max_seconds": 60}, ["trainer.num_train_epochs=0.75", "trainer.max_seconds=15"]),
        (
            {"max_steps": 400, "warmup_steps": 100, "eval_steps": 0.25, "save_steps": 50},
            ["trainer.max_steps=100", "trainer.warmup_steps=25", "trainer.save_steps=13"],
        ),
    ],
)
def test_a_trial_has_its_share_of_whatever_ends_the_training(trainer, expected):
    assert [*_shortened(trainer, 0.25)] == expected


def test_a_trial_is_sent_nowhere_and_keeps_no_checkpoints():
    job = Job(0, ("loss=a", "tracking.uri=x", "export=[onnx]", "+export.onnx.y=1", "name=n", "keep=full", "seed=1"))
    assert [*_of_trial(job)] == ["loss=a", "seed=1", "tracking=none", "keep=none"]


@pytest.mark.parametrize(
    ("sweep", "typed", "fix"),
    [
        ({"fair": True, "learning_rates": None}, "trainer.learning_rate=1e-5", "sweep.fair=false"),
        ({"fair": False, "learning_rates": [1e-5]}, "trainer.learning_rate=1e-5,2e-5", "sweep.learning_rates=null"),
        ({"fair": True, "learning_rates": None}, "+trainer.learning_rate=1", "sweep.fair=false"),
    ],
)
def test_a_learning_rate_is_typed_or_searched(sweep, typed, fix):
    (problem,) = fairness_problems(sweep, ["loss=a,b", typed])
    assert problem.fix == (fix,)
    assert not [*fairness_problems({"fair": False, "learning_rates": None}, [typed])]
    assert not [*fairness_problems(sweep, ["trainer.max_steps=3"])]
    assert is_fair(sweep)


@pytest.fixture
def searching(tmp_path, monkeypatch):
    """Runs a search whose trials reach on dev what a function of their overrides says; None: the trial fails."""

    def search(dev, jobs, leave=(), **settings):
        sweep = {"fair": True, "learning_rates": None, "trial_share": 0.25, "workers": 0} | settings
        hydra = {"sweep": {"dir": str(tmp_path)}, "overrides": {"hydra": []}, "job": {"config_name": "config"}}
        runner = SimpleNamespace(
            config=OmegaConf.create({"sweep": sweep, "hydra": hydra}), hydra_context=None, task_function=None
        )
        trained = []

        def run(_own, trials, _workers):
            found = []
            for trial in trials:
                trained.append(trial.overrides)
                value = dev(trial.overrides)
                folder = tmp_path / "trials" / str(trial.number)
                folder.mkdir(parents=True)
                metrics = {} if value == "missing" else {"dev/sts/spearman": value}
                content = {"primary": {"key": "test/sts/spearman"}, "metrics": metrics}
                (folder / "result.json").write_text(json.dumps(content))
                found.append(Outcome(error="diverged") if value is None else Outcome(0.9))
            return found

        rate = {"static": 0.01}
        monkeypatch.setattr(fair, "_run", run)
        monkeypatch.setattr(fair, "composed", lambda overrides, _: ({"model": overrides[0].partition("=")[2]}, {}))
        monkeypatch.setattr(
            fair,
            "resolve",
            lambda config: {"trainer": {"learning_rate": rate.get(config["model"], 5e-5), "num_train_epochs": 1}},
        )
        names = {job.number: job.overrides[0] for job in jobs}
        return with_best_rates(runner, jobs, names, {*leave}), trained

    return search


def rate_in(overrides):
    return float(next(each for each in overrides if each.startswith("trainer.learning_rate=")).partition("=")[2])


JOBS = [
    Job(number, (f"model={model}", f"seed={seed}"))
    for number, (model, seed) in enumerate((model, seed) for model in ("minilm", "static") for seed in (1, 2))
]


def test_each_cell_gets_as_many_trials_about_its_own_rate_and_all_its_seeds_the_best_one(searching, tmp_path):
    best = {"model=minilm": 1.5e-4, "model=static": 0.01}
    jobs, trained = searching(lambda typed: -abs(rate_in(typed) - best[typed[0]]), JOBS)
    assert len(trained) == 10
    assert [rate_in(typed) for typed in trained[:5]] == [5e-6, 1.5e-5, 5e-5, 1.5e-4, 5e-4]
    assert {typed[1] for typed in trained} == {"seed=1"}
    assert [job.overrides for job in jobs] == [
        ("model=minilm", "seed=1", "trainer.learning_rate=0.00015"),
        ("model=minilm", "seed=2", "trainer.learning_rate=0.00015"),
        ("model=static", "seed=1", "trainer.learning_rate=0.01"),
        ("model=static", "seed=2", "trainer.learning_rate=0.01"),
    ]
    record = json.loads((tmp_path / RATES).read_text())
    assert [(cell["jobs"], cell["chosen"]) for cell in record["cells"]] == [([0, 1], 1.5e-4), ([2, 3], 0.01)]


def test_given_rates_are_the_same_for_all_and_a_trial_that_diverged_is_not_chosen(searching):
    jobs, trained = searching(
        lambda typed: None if rate_in(typed) > 0.01 else rate_in(typed), JOBS, learning_rates=[1.0, 1e-3, 1e-5]
    )
    assert len(trained) == 6
    assert {rate_in(job.overrides) for job in jobs} == {1e-3}


def test_a_cell_whose_trials_all_failed_and_one_that_does_not_fit_stay_as_they_are(searching, caplog):
    jobs, trained = searching(lambda typed: None, JOBS, leave=(2, 3))
    assert (jobs, len(trained)) == (JOBS, 5)
    assert "No trial of model=minilm came to its end" in caplog.text


def test_without_a_dev_split_there_is_no_search(searching):
    with pytest.raises(ConfigError, match="has no dev split, on which learning rates are searched"):
        searching(lambda typed: "missing", JOBS)
