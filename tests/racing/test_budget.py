"""What a race may use up, as people type it."""

import pytest

from embexp.errors import ConfigError
from embexp.racing.budget import Budget, read_budget


@pytest.mark.parametrize(
    ("typed", "budget"),
    [
        ("90s", Budget(seconds=90)),
        ("15m", Budget(seconds=900)),
        ("1.5h", Budget(seconds=5400)),
        ("2h30m", Budget(seconds=9000)),
        ("1h0m5s", Budget(seconds=3605)),
        ("2 H 30 M", Budget(seconds=9000)),
        ("20000examples", Budget(examples=20_000)),
        (None, Budget()),
    ],
)
def test_a_budget_is_time_or_examples(typed, budget):
    assert read_budget(typed) == budget


@pytest.mark.parametrize("typed", [30, "30", 1.5])
def test_a_number_without_a_unit_is_refused_with_units_to_type(typed):
    with pytest.raises(ConfigError, match=rf"^budget={typed} has no unit\. Expected hours, minutes") as refusal:
        read_budget(typed)
    fixes = refusal.value.problems[0].fix
    assert [read_budget(fix.removeprefix("budget=")) for fix in fixes[:2]] == [
        Budget(seconds=float(typed) * 60),
        Budget(seconds=float(typed)),
    ]
    assert read_budget(fixes[2].removeprefix("budget=")).examples == int(float(typed))


@pytest.mark.parametrize(
    "typed", ["", "0m", 0, "0examples", "1.5examples", "30m2h", "-5m", "soon", "1d", "30min", True]
)
def test_what_is_no_budget_is_refused_with_some_that_are(typed):
    with pytest.raises(ConfigError, match="is no budget") as refusal:
        read_budget(typed)
    for fix in refusal.value.problems[0].fix:
        assert read_budget(fix.removeprefix("budget=")) != Budget()
