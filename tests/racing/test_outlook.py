"""What a race says before anything is trained: what is counted, a rough time, and a budget that scoring would take."""

import pytest

from embexp.cli.overrides import expand_paths
from embexp.config.compose import composed, resolve
from embexp.config.session import hydra_started
from embexp.core.environment import environment_tags
from embexp.core.run_context import RunContext
from embexp.core.run_folder import RESULT, write_json
from embexp.experiment.plan import plan_run
from embexp.experiment.scoring import texts_of
from embexp.racing.beginning import begin_race
from embexp.racing.budget import Budget, read_budget
from embexp.racing.outlook import known_speeds, scoring_problem, work_of
from embexp.racing.space import run_overrides, typed_space

ROWS = 400
TYPED = ["dataset=faq.csv", "model=tiny", "loss=mnrl", "trainer=smoke", "threads=1", "tracking=none"]


@pytest.fixture(autouse=True)
def started(workplace):
    """Hydra, as a command has started it, and pairs of which dev is a tenth."""
    lines = (f"where is desk {number}?,desk {number} is on floor {number % 9}" for number in range(ROWS))
    (workplace / "faq.csv").write_text("\n".join(["question,answer", *lines]), "utf-8")
    with hydra_started():
        yield


def planned(folder, *typed):
    return plan_run(*composed(expand_paths([*TYPED, *typed])), folder / "run", context=RunContext())


def num_on_dev(plan):
    return sum(map(len, texts_of(plan.evaluators, "dev").values()))


def record(folder, name, speed, dataset="faq", gpu=None):
    """The result of a run that has measured the speed of `tiny`."""
    path = folder / "runs/2026-01-01" / name / RESULT
    path.parent.mkdir(parents=True)
    tags = {"host.gpu": gpu or environment_tags()["host.gpu"]}
    params = {"model": "tiny+lora", "dataset": dataset}
    write_json(path, {"tags": tags, "params": params, "metrics": {"cost/encode_texts_per_second": speed}})


@pytest.mark.parametrize(
    ("trainer", "evaluations", "until_first"),
    [
        (["trainer.max_steps=8", "trainer.eval_steps=0.25"], 4, 2),
        (["trainer.max_steps=8", "trainer.eval_steps=3"], 3, 2),
        (["trainer.max_steps=-1", "trainer.num_train_epochs=2", "trainer.eval_strategy=epoch"], 2, 1),
    ],
)
def test_the_work_of_a_training_is_counted(workplace, trainer, evaluations, until_first):
    save = ["trainer.save_strategy=no"] if "epoch" not in trainer[-1] else ["trainer.save_strategy=epoch"]
    plan = planned(workplace, *trainer, *save, "trainer.per_device_train_batch_size=10")
    work = work_of(plan, 0.5)
    rows = plan.stages[-1].num_rows
    steps = 8 if "8" in trainer[0] else 2 * -(-rows // 10)
    assert (work.steps, work.examples, work.texts) == (steps, 10 * steps, 20 * steps)
    assert (work.evaluations, work.until_first) == (evaluations, until_first)


def test_a_budget_that_scoring_would_take_is_named_with_fixes_that_work(workplace):
    plan = planned(workplace)
    on_dev = num_on_dev(plan)
    assert on_dev > ROWS
    assert scoring_problem(200.0, Budget(seconds=600), on_dev, plan.evaluators, plan.config) is None
    assert scoring_problem(9e9, Budget(examples=600), on_dev, plan.evaluators, plan.config) is None
    problem = scoring_problem(250.0, Budget(seconds=600), on_dev, plan.evaluators, plan.config)
    corpus, budget = problem.fix
    assert "Scoring" in str(problem)
    assert "4 min 10 s of the budget of 10 min" in str(problem)
    larger = read_budget(budget.partition("=")[2])
    assert scoring_problem(250.0, larger, on_dev, plan.evaluators, plan.config) is None
    fewer = planned(workplace, corpus)
    assert num_on_dev(fewer) < on_dev / 4
    (only,) = scoring_problem(250.0, Budget(seconds=600), num_on_dev(fewer), fewer.evaluators, fewer.config).fix
    assert only.startswith("budget=")


def test_speeds_are_those_of_earlier_runs_on_such_a_machine_the_same_data_first(workplace):
    plan = planned(workplace)
    assert known_speeds({"tiny": plan}) == {}
    record(workplace, "1", 9.0, gpu="another one")
    assert known_speeds({"tiny": plan, "minilm": plan}) == {}
    record(workplace, "2", 500.0, dataset="other")
    assert known_speeds({"tiny": plan}) == {"tiny": 500.0}
    record(workplace, "3", 200.0)
    record(workplace, "4", 700.0, dataset="other")
    assert known_speeds({"tiny": plan, "minilm": plan}) == {"tiny": 200.0}


def test_a_race_says_what_is_known_before_it_trains(workplace, capsys, caplog):
    typed = typed_space(["dataset=faq.csv", "model=tiny", "loss=mnrl,info_nce", *TYPED[3:], "race.learning_rates=[1x]"])
    on_dev = num_on_dev(planned(workplace))

    def begun(budget):
        config = composed(typed, "race")[0]
        begin_race(config, resolve(config), typed, run_overrides(typed), budget, set())
        return capsys.readouterr().out

    text = begun(Budget(seconds=1))
    assert f"each training reads 32 examples in 4 steps, and scores {on_dev} texts of dev 2 times" in text
    assert "first estimate" not in text
    record(workplace, "1", on_dev)
    # 1 s for the untouched model, for each of two candidates 2 s of dev, and 3 times 64 texts
    seconds = 1 + 2 * (2 + 3 * 64 / on_dev)
    text = begun(Budget(seconds=1))
    assert f"first estimate, rough, by earlier runs here: {seconds:.1f} s for one training of each candidate" in text
    assert "before the first candidates are compared" in caplog.text
    caplog.clear()
    assert "first estimate" in begun(Budget(seconds=900))
    assert not caplog.text.count("before the first")
