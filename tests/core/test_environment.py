"""What a run says of the code that made it."""

import subprocess

import pytest

from embexp.core.environment import _commit_of


@pytest.fixture
def checkout(tmp_path):
    """A repository with a file that results depend on and one that they do not."""
    (tmp_path / "embexp").mkdir()
    (tmp_path / "embexp/run.py").write_text("pass\n")
    (tmp_path / "RESULTS.md").write_text("None yet.\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_page_of_results_is_no_change_of_code(checkout):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    (checkout / "RESULTS.md").write_text("Many.\n")
    assert _commit_of(checkout) == head.stdout.strip()
    (checkout / "embexp/more.py").write_text("pass\n")
    assert _commit_of(checkout) == f"{head.stdout.strip()}+changes"


def test_outside_of_a_checkout_there_is_no_commit(tmp_path):
    assert _commit_of(tmp_path) == "installed"
