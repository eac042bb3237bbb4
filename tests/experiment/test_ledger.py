"""Looks at test data: numbered, each at its level, kept through kills and by many writers at once."""

import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest

from embexp.errors import UnreadableError
from embexp.evaluation.scores import Scores
from embexp.experiment.ledger import ALPHA, Ledger, Trust, level_of, sketch_of


def data_of(texts, gold=0.5, ids="test"):
    examples = {"id": [f"{ids}-{each}" for each in range(len(texts))], "sentence1": [*texts]}
    return sketch_of(Scores("test", examples | {"gold": numpy.full(len(texts), gold)}, {}, {}))


TEXTS = [f"text {number}" for number in range(1000)]
OTHERS = [f"other text {number}" for number in range(1000)]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "below" / "looks.db")


def test_all_levels_together_are_alpha():
    assert sum(level_of(number) for number in range(1, 100_000)) == pytest.approx(ALPHA, rel=1e-4)
    assert Trust(0, 0).spent == 0
    assert Trust(1, 0).spent == pytest.approx(0.6079, abs=1e-4)
    assert 0.99 < Trust(100, 3).spent < 1


def test_looks_are_counted_and_the_same_question_costs_nothing(ledger):
    data = data_of(TEXTS)
    assert ledger.trust(data) == Trust(0, 0)
    assert not ledger.path.exists()
    first, second, again = (ledger.look(data, question) for question in ("a", "b", "a"))
    assert (first.number, second.number, again.number) == (1, 2, 1)
    assert (first.level, second.level) == (level_of(1), level_of(2))
    assert again == replace(first, is_repeated=True)
    ledger.decide(second, "ship")
    assert Ledger(ledger.path).trust(data) == Trust(2, 1)


@pytest.mark.parametrize(
    ("other", "is_the_same"),
    [
        (data_of(TEXTS[::-1]), True),
        (data_of(TEXTS, gold=0.9, ids="other"), True),  # corrected true values
        (data_of(TEXTS[1:]), True),  # one row less, to begin anew
        (data_of(TEXTS[:40]), True),
        (data_of([*TEXTS, *OTHERS, *OTHERS]), True),
        (data_of([*TEXTS[:700], *OTHERS[:300]]), True),
        (data_of([*TEXTS[:200], *OTHERS[:800]]), False),
        (data_of(OTHERS), False),
        (data_of(OTHERS[:3]), False),
    ],
    ids=["order", "gold", "one less", "forty", "more", "most", "few", "others", "three others"],
)
def test_data_that_overlap_are_the_same_test_data(ledger, other, is_the_same):
    for question in "abc":
        ledger.look(data_of(TEXTS), question)
    assert ledger.trust(other).looks == (3 if is_the_same else 0)
    assert ledger.look(other, "d").number == (4 if is_the_same else 1)
    assert ledger.trust(data_of(TEXTS)).looks == (4 if is_the_same else 3)


@pytest.mark.parametrize("content", ["text", "another database", "a folder"])
def test_a_file_that_is_no_ledger_stops_the_look(tmp_path, content):
    path = tmp_path / "looks.db"
    if content == "a folder":
        path.mkdir()
    elif content == "text":
        path.write_text("anything " * 100)
    else:
        with sqlite3.connect(path) as store:
            store.execute("CREATE TABLE looks (something TEXT)")
    with pytest.raises(UnreadableError, match=r"looks\.db.*no look can be written down in it"):
        Ledger(path).look(data_of(TEXTS), "a")


def test_an_error_within_a_transaction_leaves_nothing_of_it(ledger):
    data = data_of(TEXTS)
    ledger.look(data, "a")

    def fail():
        with ledger._transaction() as store:
            store.execute("DELETE FROM looks")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ledger.trust(data) == Trust(1, 0)


WRITER = """
import sys
from pathlib import Path
from embexp.experiment.ledger import Ledger, DataSketch
ledger = Ledger(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    look = ledger.look(DataSketch("data", 3, (1, 2, 3)), f"{sys.argv[2]} {number}")
    ledger.decide(look, "undecided")
    print(look.number, flush=True)
"""


def writer(ledger, name, number):
    command = [sys.executable, "-c", WRITER, str(ledger.path), str(name), str(number)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def rows_of(ledger):
    with sqlite3.connect(ledger.path) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return store.execute("SELECT number, level, question FROM looks ORDER BY number").fetchall()


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing_and_give_no_number_twice(ledger):
    writers = [writer(ledger, name, 25) for name in range(8)]
    numbers = sorted(int(line) for each in writers for line in each.communicate(timeout=300)[0].split())
    assert [each.returncode for each in writers] == [0] * 8
    assert numbers == [*range(1, 201)]
    rows = rows_of(ledger)
    assert [row[0] for row in rows] == numbers
    assert all(level == level_of(number) for number, level, _ in rows)


@pytest.mark.slow
def test_killed_writers_leave_a_whole_ledger_and_their_looks_are_spent(ledger):
    numbers = []
    for round_ in range(6):
        writers = [writer(ledger, f"{round_}.{name}", 10_000) for name in range(3)]
        lines = [[each.stdout.readline() for _ in range(5 + round_)] for each in writers]
        for each in writers:
            os.kill(each.pid, signal.SIGKILL)
        numbers += [int(line) for found in lines for line in found]
        for each in writers:
            each.communicate(timeout=60)
    rows = rows_of(ledger)
    assert [row[0] for row in rows] == [*range(1, len(rows) + 1)]
    assert {*numbers} <= {row[0] for row in rows}
    assert len({row[2] for row in rows}) == len(rows)
    assert ledger.look(data_of(OTHERS), "after").number == 1
