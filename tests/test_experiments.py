"""Every recipe: it says what it does and where it is from, holds differences only, and runs from end to end."""

import re

import pytest
from omegaconf import OmegaConf

from embexp.config.compose import _defaults_of, composed
from embexp.config.session import conf_dir, hydra_started
from embexp.experiment.plan import plan_run
from embexp.experiment.score_models import plan_evaluation
from embexp.reports.verdict_words import kind_of

EXPERIMENTS = sorted(conf_dir().glob("experiment/*.yaml"))
NAMES = [path.stem for path in EXPERIMENTS]
# Where a model of two layers from scratch, of 32 numbers, cannot stand in for the recipe's.
MODELS = {"matryoshka_nli": "static"}
TEACHER = "dataset.steps.silver.teacher"
MORE = {
    "augmented_sbert": [f"++{TEACHER}.model=tiny", f"{TEACHER}.trainer.max_steps=2"],
    "diffcse": ["loss.generator=null"],
    "distil_layers": ["dataset.steps.teacher_embeddings.encoder.model=static"],
    "financial_qa": ["shape=triplet"],  # random embeddings find negatives for few of the rows
    "gpl": ["dataset.steps.teacher_scores.scorer.encoder.model=static"],
}
# A loss alone, and a step that trains a teacher.
LANES = {"finetune_minilm": (), "augmented_sbert": pytest.mark.slow}  # all others are of the matrix
SOURCE = re.compile(r"arXiv:\d{4}\.\d{5}|openreview\.net|kexue\.fm|10\.\d{4}/")


def configured(name, *overrides, command="config"):
    with hydra_started():
        return composed([f"experiment={name}", *overrides], command)


def leaves(node, path):
    """Every value of a configuration with its whole key."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def run_shortly(name, folder):
    """A run of the recipe with trainer=smoke and a model that learns nothing; its result."""
    from embexp.experiment.execute import execute

    model = f"model={MODELS.get(name, 'tiny')}"
    short = ["trainer=smoke", model, "threads=1", "tracking=none", "paths.cache=null", *MORE.get(name, [])]
    config, choices = configured(name, *short)
    for evaluator in config.evaluator.values():
        evaluator.resamples = 40
    return execute(plan_run(config, choices, folder)).content


def test_there_are_recipes():
    assert len(EXPERIMENTS) >= 24


def test_recipes_open_with_what_they_do_their_source_time_and_published_figure():
    for path in EXPERIMENTS:
        package, *lines = path.read_text(encoding="utf-8").splitlines()
        opening = " ".join(line.removeprefix("# ") for line in lines[: lines.index("defaults:")])
        assert package == "# @package _global_", path
        assert SOURCE.search(opening), path
        assert re.search(r"[Pp]ublished", opening), path
        assert re.search(r"Time: .*2 CPU cores.*GPU", opening), path


@pytest.mark.slow
def test_recipes_hold_differences_to_the_options_only():
    with hydra_started():
        for path in EXPERIMENTS:
            own = OmegaConf.load(path)
            del own["defaults"]
            plain = _defaults_of(composed([f"experiment={path.stem}"])[1])
            for key, value in leaves(OmegaConf.to_container(own), ""):
                assert OmegaConf.select(plain, key) != value, (path, key)


@pytest.mark.parametrize("name", [pytest.param(name, marks=LANES.get(name, pytest.mark.matrix)) for name in NAMES])
def test_a_recipe_runs_in_seconds_on_bundled_rows(name, workplace):
    result = run_shortly(name, workplace / "run")
    assert result["run"]["status"] == "FINISHED"
    assert result["training"].startswith("4 steps")
    assert kind_of(result["primary"]["verdict"]) in ("better", "equal", "undecided", "worse", "no interval")


@pytest.mark.parametrize("name", ["chinese_sts", "diffcse", "sbert_softmax", "tsdae"])
def test_smoke_needs_no_weights_from_the_hub(name, workplace):
    config, choices = configured(name, "trainer=smoke", "tracking=none", "paths.cache=null")
    plan = plan_run(config, choices, workplace / "run")
    assert plan.model.locate()["id"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert {place["source"] for place in plan.stages[-1].loss.locate().values()} <= {"package"}


def test_base_models_are_compared_without_training(workplace):
    from embexp.experiment.score_models import score_candidates

    overrides = ["threads=1", "tracking=none", "paths.data=bundled", "speed_texts=0", "evaluator.sts.resamples=40"]
    models = [
        configured("base_model_selection", f"model={model}", *overrides, command="evaluate")
        for model in ("tiny", "static_scratch")
    ]
    rows = score_candidates(plan_evaluation(models, workplace / "run"))["models"]
    assert {row["model"] for row in rows} == {"tiny", "static_scratch"}
    spread = (workplace / "run/spread.md").read_text()
    assert all(f"| {model} | \\[0.8, 1] | " in spread for model in ("tiny", "static_scratch"))
