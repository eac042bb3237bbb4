"""What `seed` drives besides training: the split, the negatives and a draw of the training rows."""

import pytest
from test_run import plan_of

from embexp.config.compose import compose, resolve
from embexp.errors import ConfigError, EmbexpError
from embexp.experiment.stage_config import varied


@pytest.fixture
def pairs(tmp_path):
    rows = "".join(f"question {number} of many,answer {number} to it,{number % 11 / 10}\n" for number in range(60))
    (tmp_path / "pairs.csv").write_text(f"sentence1,sentence2,score\n{rows}", encoding="utf-8")
    return f"dataset.reader.path={tmp_path / 'pairs.csv'}"


def planned(folder, *typed):
    return plan_of(folder, "tracking=none", "paths.cache=null", *typed)


@pytest.mark.parametrize(
    ("vary", "typed", "keys"),
    [
        ("vary=[split]", ["dataset=file", "dataset.reader.path=x.csv"], ["split"]),
        ("vary=[split]", ["dataset=hub", "dataset.reader.id=a/b"], ["split"]),
        ("vary=[negatives]", ["negatives=random"], ["negatives"]),
        ("vary=[negatives]", ["negatives=bm25", "dataset.steps.negatives.choose=random"], ["negatives"]),
        ("vary=[rows]", [], ["draw_rows"]),
        ("vary=[rows]", ["dataset=nli"], ["draw_rows"]),
        (
            "vary=[split,negatives,rows]",
            ["dataset=file", "dataset.reader.path=x.csv", "negatives=random"],
            ["split", "negatives", "draw_rows"],
        ),
    ],
)
def test_the_seed_drives_the_steps_that_are_named_and_no_others(vary, typed, keys):
    for seed in (5, 6):
        config = compose([*typed, vary, f"seed={seed}"])
        steps = resolve(varied(config))["dataset"]["steps"]
        assert {key: steps[key]["seed"] for key in keys} == dict.fromkeys(keys, seed)
        assert all(step.get("seed", 42) == 42 for key, step in steps.items() if key not in keys)
        if "negatives=random" in typed:
            assert steps["negatives"]["retriever"]["seed"] == seed
        assert "draw_rows" not in (config.dataset.steps or {})  # what was typed stays as it is


def test_without_a_name_nothing_changes():
    config = compose([])
    assert varied(config) is config


@pytest.mark.parametrize(
    ("typed", "message", "fixed"),
    [
        (["vary=[order]"], "Expected a list, each of it one of: split, negatives, rows", ["vary=[split]"]),
        (["vary=[split]"], "names split, and no such step is there", ["vary=[]"]),
        (["vary=[negatives,rows]"], "names negatives, and no such step", ["vary=[negatives,rows]", "negatives=random"]),
        (["vary=[negatives]", "negatives=bm25"], "the best ranked ones with any seed", ["vary=[]", "negatives=bm25"]),
    ],
)
def test_what_would_have_no_effect_is_refused_with_what_has(typed, message, fixed):
    with pytest.raises(ConfigError, match=message) as caught:
        varied(compose(typed))
    assert any(each in fixed for problem in caught.value.problems for each in problem.fix) or fixed == ["vary=[split]"]
    if fixed != ["vary=[split]"]:
        varied(compose(fixed))


def test_another_seed_divides_and_draws_anew_and_the_same_does_not(pairs, tmp_path):
    typed = ["dataset=file", pairs, "loss=cosent"]
    plans = [planned(tmp_path, *typed, *more) for more in (["seed=1"], ["seed=2"], ["seed=1", "vary=[split,rows]"])]
    plans += [planned(tmp_path, *typed, "vary=[split,rows]", f"seed={seed}") for seed in (1, 2)]
    digests = [plan.stages[0].dataset.fingerprints() for plan in plans]
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    for split in ("train", "dev", "test"):
        assert digests[3][split] != digests[4][split]
    train, evaluated = plans[4].stages[0].dataset, plans[4].evaluators[0].dataset
    assert len({*train.splits["train"]["sentence1"]}) < train.splits["train"].num_rows
    assert evaluated.fingerprints()["test"] == train.fingerprints()["test"]


def test_a_split_that_nothing_makes_is_refused(tmp_path):
    with pytest.raises(EmbexpError, match=r"vary=.* names split, and the data have their splits"):
        planned(tmp_path, "step=[split]", "vary=[split]")
