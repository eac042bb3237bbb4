"""Keys of the YAML files that were taken out on the command line, though nothing can do without them."""

import pytest
from omegaconf import OmegaConf

from embexp.config.compose import compose
from embexp.errors import ConfigError


@pytest.mark.parametrize(
    "key",
    [
        "dataset",
        "tracking",
        "seed",
        "paths.cache",
        "dataset.reader",
        "dataset.reader.corpus",
        "model.num_layers",
        "evaluator.sts.resamples",
        "conversion.label_scores",
        "sweep.workers",
    ],
)
def test_what_is_needed_is_missed_by_its_key(key: str) -> None:
    with pytest.raises(ConfigError, match="was taken out, and is needed") as refused:
        compose(["model=tiny", f"~{key}"])
    assert [problem.key for problem in refused.value.problems] == [key]


def test_the_advice_puts_it_back() -> None:
    with pytest.raises(ConfigError) as refused:
        compose(["~seed"])
    assert refused.value.problems[0].fix == ("++seed=42",)
    assert compose(["~seed", *refused.value.problems[0].fix]).seed == 42


@pytest.mark.parametrize(
    "key", ["loss.scale", "trainer.weight_decay", "conversion.label_scores.neutral", "evaluator.sts.group", "modifier"]
)
def test_what_has_a_default_may_be_taken_out(key: str) -> None:
    group, _, name = key.rpartition(".")
    config = compose(["model=tiny", f"~{key}"])
    assert not OmegaConf.select(config, key)
    assert not group or name not in OmegaConf.select(config, group)


def test_a_part_that_another_call_takes_the_place_of_is_not_missed() -> None:
    other = "dataset.reader={_target_:embexp.data.readers.read_files}"
    config = compose(["model=tiny", f"++{other}", "~dataset.reader.corpus"])
    assert "corpus" not in config.dataset.reader


@pytest.mark.parametrize(("command", "key"), [("gate", "ledger"), ("pairs", "output"), ("power", "metric")])
def test_null_is_a_value(command: str, key: str) -> None:
    assert compose([f"{key}=null"], command)[key] is None
