"""A search space in Hydra's grammar: what may be drawn, what is refused, and what is checked before the first trial."""

import pytest

from embexp.config.session import hydra_started
from embexp.errors import ConfigError
from embexp.tuning.space import _Choices, _Interval, check_values, read_space, with_space


@pytest.fixture(autouse=True)
def started():
    """Hydra, as a command has started it."""
    with hydra_started():
        yield


@pytest.mark.parametrize(
    ("typed", "dimension"),
    [
        ("loss.scale=10,20", _Choices("loss.scale", ("10", "20"))),
        ("loss=choice(mnrl, cosent, mnrl)", _Choices("loss", ("mnrl", "cosent"))),
        ("loss=shuffle(mnrl, cosent)", _Choices("loss", ("mnrl", "cosent"))),
        ("modifier.dims=[64,32],[16]", _Choices("modifier.dims", ("[64,32]", "[16]"))),
        ("tracking@x=glob(*)", _Choices("tracking@x", ("mlflow", "mlflow_metrics", "none"))),
        ("a=interval(1, 3)", _Interval("a", 1.0, 3.0)),
        ("a=int(interval(1, 3))", _Interval("a", 1, 3)),
        ("a=tag(log, interval(1e-5, 1e-3))", _Interval("a", 1e-5, 1e-3, log=True)),
        ("a=tag(log, int(interval(4, 64)))", _Interval("a", 4, 64, log=True)),
        ("+a=range(16, 65, 16)", _Interval("+a", 16, 64, step=16)),
        ("a=range(3)", _Interval("a", 0, 2, step=1)),
        ("a=range(4, 1, -1)", _Interval("a", 2, 4, step=1)),
        ("a=range(0.5, 2.0, 0.5)", _Interval("a", 0.5, 1.5, step=0.5)),
    ],
)
def test_what_is_typed_is_what_may_be_drawn(typed, dimension):
    (read,) = read_space([typed], [])
    assert read == dimension
    assert [type(value) for value in read.checked()] == [type(value) for value in dimension.checked()]


def test_a_range_leaves_its_end_out_as_in_a_multirun():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (read,) = read_space(["a=range(1, 4)"], [])
    in_multirun = OverridesParser.create().parse_override("a=range(1, 4)").sweep_string_iterator()
    assert [str(value) for value in range(read.low, read.high + 1, read.step)] == [*in_multirun]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("a=range(3, 3)", "a=range(3, 3) holds no values"),
        ("a=interval(3, 1)", "Expected the lower end first, then the higher one"),
        ("a=tag(log, interval(0, 1))", "Expected the lower end first above 0"),
        ("a=tag(wide, interval(0, 1))", "Expected the tag log around an interval"),
        ("a=tag(log, range(1, 9))", "Expected the tag log around an interval"),
        ("evaluator=sts,retrieval", "trials that are measured differently cannot be compared"),
        ("keep=none,full", "keep=none,full cannot be searched: it changes no result"),
        ("tune.seed=1,2", "tune.seed=1,2 cannot be searched"),
    ],
)
def test_what_cannot_be_searched_is_refused(typed, message):
    with pytest.raises(ConfigError) as refusal:
        read_space([typed], [])
    assert message in str(refusal.value)


def test_nothing_to_search_and_a_key_that_is_fixed_too_are_refused():
    with pytest.raises(ConfigError, match=r"^Nothing is searched"):
        read_space([], ["loss=mnrl"])
    with pytest.raises(ConfigError, match=r"^loss\.scale was typed more than once"):
        read_space(["loss.scale=1,2"], ["loss.scale=3"])


def test_a_multirun_is_refused():
    with pytest.raises(ConfigError, match=r"^-m was typed"):
        with_space(["-m", "loss.scale=1,2"])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("loss.scale=10,20,big", "loss.scale=big is a text. Expected a number."),
        ("trainer.max_steps=interval(1, 9)", "trainer.max_steps=1.0 is a number. Expected a whole number."),
    ],
)
def test_every_value_of_a_choice_and_both_ends_of_an_interval_are_checked(typed, message):
    space = read_space(["seed=1,2", typed], [])
    with pytest.raises(ConfigError) as refusal:
        check_values(space, ["loss=mnrl"])
    assert message in str(refusal.value)


def test_values_that_fit_are_taken():
    check_values(read_space(["loss=mnrl,cosent", "trainer.learning_rate=tag(log, interval(1e-5, 1e-3))"], []), [])
