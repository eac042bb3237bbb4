"""Runs of an earlier version, whose configuration names modules that are not there any more: one message each."""

import json
import subprocess
import sys

import pytest

from embexp.config.compose import compose
from embexp.core.run_folder import LAYOUT_TAG, RECORD, RESULT, find_run, read_record, run_folder, write_json
from embexp.errors import ConfigError
from embexp.experiment.compare import compare, with_runs
from embexp.leaderboards.runs import entries_of, runs_in

MADE_BEFORE = "was made by an earlier version of embexp"


@pytest.fixture
def old_run(finished_run):
    """A finished run as an earlier version left it."""
    record = read_record(finished_run)
    del record["layout"]
    write_json(finished_run / RECORD, record)
    result = json.loads((finished_run / RESULT).read_text())
    del result["tags"][LAYOUT_TAG]
    write_json(finished_run / RESULT, result)
    return finished_run


def test_a_run_of_this_version_is_found(finished_run):
    assert find_run(str(finished_run), []) == finished_run


def test_it_is_not_resumed(old_run):
    with pytest.raises(ConfigError, match=MADE_BEFORE):
        run_folder(str(old_run), "fresh")


def test_it_is_not_compared(old_run, finished):
    with pytest.raises(ConfigError, match=MADE_BEFORE):
        compare(compose(with_runs([str(old_run), str(finished("mnrl"))]), "compare"))


def test_a_leaderboard_says_how_to_leave_it_out(old_run, finished):
    with pytest.raises(ConfigError) as refusal:
        entries_of(runs_in([old_run, finished("mnrl")]), None)
    assert str(refusal.value).startswith("1 of 2 finished runs were made by an earlier version of embexp")
    assert str(refusal.value).endswith(f"hint: type 'filter=tags.`{LAYOUT_TAG}` = \"2\"'")


def test_the_command_gives_one_message(old_run):
    command = [sys.executable, "-m", "embexp", f"resume={old_run}"]
    done = subprocess.run(command, cwd=old_run.parent, capture_output=True, text=True)
    assert done.returncode == 1
    assert MADE_BEFORE in done.stderr
    assert "Traceback" not in done.stderr
