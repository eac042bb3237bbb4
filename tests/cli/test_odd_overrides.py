"""Odd values of every key, typed by hand once: none ends in a traceback, and what makes no sense is refused."""

from pathlib import Path

import pytest
from test_advice import refusal_or_plan

pytestmark = pytest.mark.slow  # half a second for each of 370 commands
# A line holds one command for each of its values: `model=minilm ; model.id= | 5`.
REFUSED, ACCEPTED = (
    [line.partition("  # ")[0] for line in part.splitlines()[1:]]
    for part in Path(__file__).with_name("odd_overrides.txt").read_text("utf-8").split("# accepted")
)
ACCEPTED = [line for line in ACCEPTED if line]


def commands_in(line: str) -> list[list[str]]:
    *before, last = line.split(" ; ")
    key, equals, values = last.partition("=")
    return [[*before, f"{key}{equals}{value}"] for value in values.split(" | ")]


def test_there_are_as_many_as_there_were():
    assert [sum(len(commands_in(line)) for line in lines) for lines in (REFUSED, ACCEPTED)] == [349, 40]


@pytest.mark.parametrize("some", ["the first value", pytest.param("the others", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("line", REFUSED)
def test_what_makes_no_sense_is_refused(line, some, workplace):
    """Each key with its first value; with the others in the lane `matrix`."""
    commands = commands_in(line)
    for command in commands[:1] if some == "the first value" else commands[1:]:
        assert isinstance(refusal_or_plan(workplace, command), str), command


@pytest.mark.parametrize("line", ACCEPTED)
def test_what_is_odd_and_makes_sense_is_taken(line, workplace):
    for command in commands_in(line):
        found = refusal_or_plan(workplace, command)
        assert not isinstance(found, str), (command, found)
