"""Odd values of every key, typed by hand once: none ends in a traceback, and what makes no sense is refused."""

import re
from pathlib import Path

import pytest
from test_advice import refusal_or_plan

from embexp.cli.app import MISTAKES
from embexp.cli.messages import explain
from embexp.config.compose import composed_job
from embexp.config.session import hydra_started
from embexp.racing.budget import read_budget
from embexp.racing.candidates import candidates_of
from embexp.racing.folder import RACE
from embexp.racing.space import typed_space

pytestmark = pytest.mark.slow  # half a second for each of 370 commands
# A line holds one command for each of its values: `model=minilm ; model.id= | 5`.
REFUSED, ACCEPTED, OF_A_RACE = (
    [line.partition("  # ")[0] for line in part.splitlines()[1:] if line]
    for part in re.split(
        "^# (?=refused|accepted|of a race)",
        Path(__file__).with_name("odd_overrides.txt").read_text("utf-8"),
        flags=re.M,
    )[1:]
)


def commands_in(line: str) -> list[list[str]]:
    *before, last = line.split(" ; ")
    key, equals, values = last.partition("=")
    return [[*before, f"{key}{equals}{value}"] for value in values.split(" | ")]


def test_there_are_as_many_as_there_were():
    assert [sum(len(commands_in(line)) for line in lines) for lines in (REFUSED, ACCEPTED, OF_A_RACE)] == [349, 40, 102]


@pytest.mark.parametrize("some", ["the first value", pytest.param("the others", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("line", REFUSED)
def test_what_makes_no_sense_is_refused(line, some, workplace):
    """Each key with its first value; with the others in the lane `matrix`."""
    commands = commands_in(line)
    for command in commands[:1] if some == "the first value" else commands[1:]:
        assert isinstance(refusal_or_plan(workplace, command), str), command


def refusal_or_candidates(command):
    """What `python -m embexp.race` says of a command that it refuses, else its candidates."""
    try:
        with hydra_started():
            typed = typed_space(["dataset=faq.csv", "loss=mnrl", "tracking=none", "paths.cache=null", *command])
            config, _, folder = composed_job(typed, "race")
            assert not (folder / RACE).exists()
            read_budget(config.budget)
            return candidates_of(config, typed)
    except MISTAKES as error:
        return explain(error)


@pytest.mark.parametrize("some", ["the first value", pytest.param("the others", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("line", OF_A_RACE)
def test_what_makes_no_sense_for_a_race_is_refused(line, some, workplace):
    (workplace / "faq.csv").write_text("question,answer\n" + "".join(f"how {n}?,so {n}\n" for n in range(60)))
    commands = commands_in(line)
    for command in commands[:1] if some == "the first value" else commands[1:]:
        message = refusal_or_candidates(command)
        assert isinstance(message, str), command
        key = command[-1].partition("=")[0]
        assert re.search(f"{re.escape(key)}|^{key.partition('.')[0]}=|foo is not a key", message), message


@pytest.mark.parametrize("line", ACCEPTED)
def test_what_is_odd_and_makes_sense_is_taken(line, workplace):
    for command in commands_in(line):
        found = refusal_or_plan(workplace, command)
        assert not isinstance(found, str), (command, found)
