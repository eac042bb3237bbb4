"""Which models are scored on what, and how often: each once."""

import logging

import pytest
from test_run import plan_of

from embexp.core.run_context import Costs, RunContext
from embexp.experiment.execute import execute
from embexp.experiment.scoring import Scoring
from embexp.models.encoding import ModelEncoder


@pytest.fixture
def encoded(monkeypatch) -> list[int]:
    """How many texts models encoded for evaluators, call by call."""
    numbers, encode = [], ModelEncoder.encode

    def watched(self, texts, prompt=None):
        numbers.append(len(texts))
        return encode(self, texts, prompt)

    monkeypatch.setattr(ModelEncoder, "encode", watched)
    return numbers


@pytest.mark.slow
def test_what_was_measured_while_training_is_not_measured_again(workplace, scored):
    plan = plan_of(workplace / "run", "tracking=none")
    result = execute(plan).content
    assert scored == ["dev", "test", "dev", "dev", "test"]
    (row,) = [row for row in result["comparisons"] if row["split"] == "dev" and row["primary"]]
    assert row["trained"] == max(value for _, value in dev_curve(workplace / "run"))


def dev_curve(folder) -> list[tuple[int, float]]:
    import json

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    key = "train/dev/sts/spearman_cosine"
    return [(line["step"], line["metrics"][key]) for line in lines if key in line["metrics"] and line["step"]]


def test_the_remembered_scores_are_those_that_the_kept_model_has(workplace):
    from sentence_transformers import SentenceTransformer

    plan = plan_of(workplace / "run", "tracking=none")
    metrics = execute(plan).content["metrics"]
    model = SentenceTransformer(str(workplace / "run/stages/main/model"))
    anew = Scoring(plan, Costs()).of_trained(model, -1)["sts", "dev"].metrics
    assert {key: metrics[f"dev/sts/{key}"] for key in anew} == pytest.approx(anew, abs=1e-6)


@pytest.mark.slow
def test_a_base_model_is_encoded_with_once_for_all_runs(workplace, encoded, caplog):
    execute(plan_of(workplace / "first", "tracking=none"))
    base = f"model={workplace / 'first/stages/main/model'}"
    one = execute(plan_of(workplace / "one", "tracking=none", base)).content["metrics"]
    before = len(encoded)
    with caplog.at_level(logging.INFO):
        two = execute(plan_of(workplace / "two", "tracking=none", base, "loss=cosent", "seed=1")).content["metrics"]
    assert len(encoded) - before == 3  # dev at two steps, and test of the trained model
    assert caplog.text.count("were read from") == 2
    shared = [key for key in one if key.startswith("base/")]
    assert len(shared) >= 16
    assert [one[key] for key in shared] == [two[key] for key in shared]


@pytest.mark.slow
def test_without_a_cache_nothing_is_kept(workplace, encoded):
    execute(plan_of(workplace / "first", "tracking=none"))
    base = f"model={workplace / 'first/stages/main/model'}"
    for name in ("one", "two"):
        before = len(encoded)
        execute(plan_of(workplace / name, "tracking=none", base, "paths.cache=null"))
        assert len(encoded) - before == 5
    assert not (workplace / "cache" / "embeddings").exists()


@pytest.mark.slow
def test_a_run_tells_where_its_time_went(workplace, capsys):
    context = RunContext()
    result = execute(plan_of(workplace / "run", "profile=true", context=context), context=context).content
    parts = ["planning", "scoring the untouched model", "training", "scoring while it trains", "comparing", "tracking"]
    assert set(parts) <= set(result["profile"])
    assert all(seconds >= 0 for seconds in result["profile"].values())
    shown = capsys.readouterr().out
    assert "where the time went" in shown
    assert "neither model nor its libraries" in shown
