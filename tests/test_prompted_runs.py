"""Whole runs of a model with prompts: training, evaluation and the saved model have the same ones."""

import json

import pytest
from small_networks import embedder_in
from test_run import plan_of

from embexp.config.compose import compose
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run

PROMPT = "为检索生成表示：{x} "  # Chinese, and braces that stand for nothing


def own_data(folder):
    """Pairs that begin with the same letter are alike."""
    letters, lines = "abcdefgh", ["sentence1,sentence2,score"]
    for number in range(160):
        first, second = letters[number % 8], letters[(number // 8) % 8 if number % 3 else number % 8]
        lines.append(f"{first}{number % 7},{second}{number % 5},{float(first == second)}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_a_prompted_model_is_saved_with_its_prompt_and_falls_without_it(workplace):
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    own_data(workplace)
    path = embedder_in(workplace / "base", "bert", "mean")
    typed = [f"model.path={path}", f"model.prompts={{similarity: '{PROMPT}'}}", "loss=cosent", "dataset=pairs.csv"]
    typed += [
        "trainer.max_steps=80",
        "trainer.learning_rate=2e-3",
        "step=[split]",
        "dataset.steps.split.by=rows",
        "model.max_seq_length=100",
    ]
    plan = plan_of(workplace / "run", "model=pretrained", *typed, "trainer.per_device_train_batch_size=16")
    primary = execute(plan).content["primary"]
    folder = workplace / "run/stages/main/model"
    saved = json.loads((folder / "config_sentence_transformers.json").read_text())
    assert (saved["prompts"]["similarity"], saved["default_prompt_name"]) == (PROMPT, "similarity")
    model = SentenceTransformer(str(folder), device="cpu")
    rows = plan.evaluators[0].dataset.splits[primary["split"]]

    def score(prompt):
        first, second = (model.encode(rows[column][:], prompt=prompt) for column in ("sentence1", "sentence2"))
        return spearmanr((first * second).sum(axis=1), rows["score"][:]).statistic

    assert score(None) == pytest.approx(primary["trained"], abs=1e-6)
    assert score("") < score(None) - 0.02


@pytest.mark.parametrize(
    ("evaluator", "prompts"),
    [("retrieval", {"query: ", "passage: "}), ("sts", {"query: "})],
)
def test_training_and_evaluation_have_the_prompts_of_the_task(workplace, evaluator, prompts):
    typed = ["model=minilm", "model.prompts={query: 'query: ', passage: 'passage: '}", f"evaluator=[{evaluator}]"]
    plan = plan_run(compose([*typed, "tracking=none"]), {"dataset": "finance", "model": "minilm"}, workplace / "run")
    dataset = plan.stages[0].dataset
    assert {dataset.prompts.prompt_for(column) for column in dataset.text_columns} == prompts
    assert {*plan.evaluators[0].texts("test")} == prompts
    assert dataset.prompts.default == (None if evaluator == "retrieval" else "query")


def test_prompts_of_the_data_go_before_those_of_the_model(workplace):
    typed = ["model=minilm", "model.prompts={query: 'Q: '}", "step=[prompts]", "dataset.steps.prompts.default=query"]
    plan = plan_of(workplace / "run", *typed)
    assert {*plan.evaluators[0].texts("test")} == {"query: ", "passage: "}
    assert any("has no effect: the data bring prompts of their own" in str(each) for each in plan.warnings)
