"""A folder has one owner at a time, whatever becomes of owners, clocks and file systems."""

import errno
import json
import multiprocessing
import os
import signal
import time

import pytest

from embexp.core import claim_files, claims
from embexp.core.claims import Claim, Owner, break_claim, check_claims, drop, held, holder, is_held, take
from embexp.core.run_folder import write_json
from embexp.errors import ClaimLostError, ConfigError

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def nothing_seen(monkeypatch):
    """Each test begins as a process that has seen no claim, and holds none."""
    monkeypatch.setattr(claims, "_SEEN", {})
    yield
    for claim in claims._HEART.claims:
        drop(claim)


@pytest.fixture
def elsewhere(monkeypatch):
    """Makes a claim of an owner on another machine, which never gives a sign of life of its own."""

    def claim_elsewhere(folder, what="run", lease=60.0):
        with monkeypatch.context() as other:
            other.setattr(claim_files, "machine", lambda: "another machine")
            other.setattr(claims._HEART, "add", lambda claim: None)
            found = take(folder, what, lease)
        assert isinstance(found, Claim)
        return found

    return claim_elsewhere


def claimed(folder):
    return {path.name: json.loads(path.read_text()) for path in (folder / "run.claim").iterdir()}


def test_one_owner_at_a_time_and_nothing_but_the_claims_is_left(tmp_path):
    for _ in range(9):
        with held(tmp_path):
            assert is_held(tmp_path)
            other = take(tmp_path)
            assert isinstance(other, Owner)
            assert (other.pid, other.is_certain) == (os.getpid(), True)
        assert not is_held(tmp_path)
    assert {name: content["state"] for name, content in claimed(tmp_path).items()} == dict.fromkeys("789", "released")


def test_the_second_one_is_told_by_whom_it_is_held(tmp_path):
    with held(tmp_path), pytest.raises(ConfigError, match=rf"still running in another.*: process {os.getpid()} on "):
        held(tmp_path).__enter__()
    with held(tmp_path, "sweep"), held(tmp_path):
        pass


@pytest.mark.parametrize("links", [True, False])
def test_where_files_cannot_be_linked_they_are_created(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "no links here")

    if not links:
        monkeypatch.setattr(claim_files.os, "link", refuse)
    first = take(tmp_path)
    assert isinstance(take(tmp_path), Owner)
    drop(first)
    assert isinstance(take(tmp_path), Claim)


def test_a_link_that_was_made_though_the_file_system_said_no(tmp_path, monkeypatch):
    """As NFS does where an answer is lost and the request repeated."""
    link = os.link

    def link_twice(*given):
        link(*given)
        link(*given)

    monkeypatch.setattr(claim_files.os, "link", link_twice)
    assert isinstance(take(tmp_path), Claim)


def race(folder, jobs, start, counts, number):
    start.wait()
    won = []
    for job in range(jobs):
        claim = take(folder / str((job + number * 7) % jobs), "job")
        if isinstance(claim, Claim):
            won.append(claim.place.parent.name)
    counts.put(won)
    time.sleep(60)  # an owner that has ended would let go of its claims


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_takers_one_wins_each_claim(tmp_path, dead):
    """Also where all of them were held by a process that was killed."""
    jobs, takers = 200, 6
    if dead:
        counts = FORK.Queue()
        start = FORK.Event()
        start.set()
        owner = FORK.Process(target=race, args=(tmp_path, jobs, start, counts, 0))
        owner.start()
        assert len(counts.get(timeout=30)) == jobs
        os.kill(owner.pid, signal.SIGKILL)
        owner.join()
    start, counts = FORK.Event(), FORK.Queue()
    processes = [FORK.Process(target=race, args=(tmp_path, jobs, start, counts, number)) for number in range(takers)]
    for process in processes:
        process.start()
    start.set()
    won = [counts.get(timeout=60) for _ in processes]
    for process in processes:
        process.kill()
        process.join()
    assert sorted(job for each in won for job in each) == sorted(map(str, range(jobs)))
    assert sum(map(bool, won)) > 1


def hold(folder, ready):
    take(folder)
    ready.set()
    time.sleep(60)


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_process_lets_go_at_once(tmp_path, reaped):
    ready = FORK.Event()
    owner = FORK.Process(target=hold, args=(tmp_path, ready))
    owner.start()
    assert ready.wait(20)
    assert is_held(tmp_path)
    os.kill(owner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        owner.join()
    assert not is_held(tmp_path)
    assert isinstance(take(tmp_path), Claim)
    owner.join()


def test_a_process_that_has_the_number_of_a_dead_one_is_not_its_owner(tmp_path, elsewhere):
    claim = elsewhere(tmp_path)
    content = json.loads(claim.file.read_text())
    claim.file.write_text(json.dumps(content | {"machine": claims.machine(), "started": "1"}))
    assert isinstance(take(tmp_path), Claim)


@pytest.mark.parametrize("skew", [-7200, 0, 7200])
def test_another_machine_is_judged_by_its_signs_of_life_alone(tmp_path, elsewhere, monkeypatch, skew):
    """Its clock and that of the file system may be hours off."""
    now = [1000.0]
    monkeypatch.setattr(claims, "clock", lambda: now[0])
    theirs = elsewhere(tmp_path)
    for beat in range(8):  # it lives for more than a lease
        theirs.renew()
        os.utime(theirs.file, (time.time() + skew,) * 2)
        found = take(tmp_path)
        assert isinstance(found, Owner)
        assert found.is_certain == (beat > 0)
        now[0] += 12
    assert is_held(tmp_path)
    now[0] += 47
    assert isinstance(take(tmp_path), Owner)
    now[0] += 2
    assert isinstance(take(tmp_path), Claim)


@pytest.mark.parametrize("content", ["", "{", '{"state": "held", "pid": {}}', "[]"])
def test_a_damaged_claim_holds_for_a_lease(tmp_path, elsewhere, monkeypatch, content):
    now = [1000.0]
    monkeypatch.setattr(claims, "clock", lambda: now[0])
    elsewhere(tmp_path).file.write_text(content)
    assert isinstance(take(tmp_path), Owner)
    now[0] += 61
    assert isinstance(take(tmp_path), Claim)


def test_a_claim_of_yesterday_holds_nothing(tmp_path, elsewhere):
    claim = elsewhere(tmp_path)
    assert is_held(tmp_path)
    os.utime(claim.file, (time.time() - 90_000,) * 2)
    assert not is_held(tmp_path)
    assert isinstance(take(tmp_path), Claim)


def test_what_the_engine_says_is_gone_is_broken(tmp_path, elsewhere, monkeypatch):
    monkeypatch.setenv(claim_files.ENGINE_JOB, "17_3")
    elsewhere(tmp_path)
    assert holder(tmp_path).job == "17_3"
    assert not break_claim(tmp_path, lambda owner: owner.job == "17_4")
    assert is_held(tmp_path)
    assert break_claim(tmp_path, lambda owner: owner.job == "17_3")
    assert not is_held(tmp_path)
    assert holder(tmp_path) is None
    assert break_claim(tmp_path / "nobody's", lambda owner: False)
    assert not (tmp_path / "nobody's").exists()


def work_until_lost(folder, ready, go_on, outcome):
    claim_files.machine = lambda: "another machine"
    claim = take(folder, lease=0.6)
    write_json(folder / "result.json", {"by": "first"})
    ready.set()
    go_on.wait()  # here it is suspended
    try:
        check_claims(folder / "stages")
        write_json(folder / "result.json", {"by": "first, again"})
    except ClaimLostError as error:
        outcome.put(str(error))
        drop(claim)
    else:
        outcome.put("written")


@pytest.mark.parametrize("suspended", [True, False])
def test_an_owner_that_was_suspended_writes_no_result_once_another_has_taken_over(tmp_path, suspended):
    ready, go_on, outcome = FORK.Event(), FORK.Event(), FORK.Queue()
    owner = FORK.Process(target=work_until_lost, args=(tmp_path, ready, go_on, outcome))
    owner.start()
    assert ready.wait(20)
    if suspended:
        os.kill(owner.pid, signal.SIGSTOP)
    deadline = time.monotonic() + (10 if suspended else 1.5)
    while isinstance(found := take(tmp_path, lease=0.6), Owner) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert isinstance(found, Claim) == suspended
    if suspended:
        write_json(tmp_path / "result.json", {"by": "second"})
        os.kill(owner.pid, signal.SIGCONT)
    go_on.set()
    said = outcome.get(timeout=20)
    owner.join()
    by = json.loads((tmp_path / "result.json").read_text())["by"]
    if suspended:
        assert "was taken over by process" in said
        assert by == "second"
        found.check(strict=True)  # what the first one did at its end has not touched it
    else:
        assert (said, by) == ("written", "first, again")


def test_a_folder_that_was_removed_is_lost(tmp_path):
    claim = take(tmp_path / "run")
    (claim.file).unlink()
    claim.place.rmdir()
    with pytest.raises(ClaimLostError):
        claim.check(strict=True)


def test_a_forked_child_neither_checks_nor_releases_what_its_parent_holds(tmp_path):
    with held(tmp_path) as claim:
        child = FORK.Process(target=lambda: (check_claims(tmp_path, strict=True), drop(claim)))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert is_held(tmp_path)
