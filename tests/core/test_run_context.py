"""No two runs of a process share timings or costs, be it one after the other or one inside the other."""

import time
from pathlib import Path

import pytest

from embexp.core import run_context
from embexp.core.run_context import STARTING, RunContext, only_warnings, progress_bar, progress_of, run_part, timed

MB = 2**20


@timed("tracking")
def send():
    time.sleep(0.002)


@run_part("planning")
def plan(context):
    send()
    return context


def test_what_is_timed_counts_for_the_run_inside_of_which_it_is_called():
    outer = RunContext()
    send()
    with outer.current():
        inner = plan()
        send()
    assert inner is not outer
    assert inner.outer is outer
    assert [*inner.timer.seconds()] == [STARTING, "planning", "tracking"]
    assert [*outer.timer.seconds()] == [STARTING, "tracking"]


def test_a_function_of_a_run_that_is_given_its_context_keeps_it():
    context = RunContext()
    assert plan(context=context) is context
    with context.current():
        plan(context=context)
    assert context.outer is None
    assert context.timer.seconds()["tracking"] > 0.004


def test_two_runs_share_no_costs():
    first, second = RunContext(), RunContext()
    first.costs.add_scoring(Model(), 100, 1.0)
    assert second.costs.metrics() == {}
    assert first.costs.metrics()["cost/encode_texts_per_second"] == 100


class Model:
    def parameters(self):
        return []

    def get_embedding_dimension(self):
        return 2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").is_file(), reason="only Linux forgets a peak")
def test_the_peak_of_a_run_outlasts_that_a_run_inside_of_it_begins_to_count():
    outer, inner = RunContext(), RunContext()
    with outer.current():
        outer.begin_costs()
        block = bytearray(b"1") * (300 * MB)
        high = outer.costs.metrics()["cost/peak_memory_mb"]
        del block
        with inner.current():
            inner.begin_costs()
            assert inner.costs.metrics()["cost/peak_memory_mb"] < high - 150
    assert outer.costs.metrics()["cost/peak_memory_mb"] >= high - 10


@pytest.mark.parametrize(("total", "lines"), [(100, 10), (1000, 33), (None, 3), (7, 7)])
def test_without_a_terminal_progress_is_a_line_now_and_then(total, lines, capsys, monkeypatch):
    now = iter(range(0, 10**6))
    monkeypatch.setattr(run_context.time, "monotonic", lambda: float(next(now)))
    with run_context.progress_bar("scoring 文本", total, "text") as bar:
        for _ in range(total or 100):
            bar.update(1)
    written = capsys.readouterr().err
    assert "\r" not in written
    assert 1 <= len(written.splitlines()) <= lines
    assert all(line.startswith("scoring 文本: ") for line in written.splitlines())


def test_what_is_done_at_once_shows_no_progress(capsys):
    with run_context.progress_bar("scoring", 3, "text") as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""


def test_a_job_of_a_sweep_shows_warnings_only_and_each_once(tmp_path):
    import io
    import logging

    terminal, file = io.StringIO(), tmp_path / "embexp.log"
    logger, handlers = (
        logging.getLogger(),
        [
            logging.StreamHandler(io.StringIO()),  # another one, of whoever has logged before
            logging.StreamHandler(terminal),
            logging.FileHandler(file),
        ],
    )
    level, known = logger.level, set()
    logger.setLevel(logging.INFO)
    for each in handlers:
        logger.addHandler(each)
    try:
        for job in (1, 2):
            with only_warnings(known):
                logging.info("Training job %s", job)
                logging.warning("the same warning")
                logging.warning("of job %s", job)
            logging.info("job %s done", job)
    finally:
        logger.setLevel(level)
        for each in handlers:
            logger.removeHandler(each)
            each.close()
    assert terminal.getvalue().split("\n") == [
        "the same warning", "of job 1", "job 1 done", "of job 2", "job 2 done", ""
    ]  # fmt: skip
    assert file.read_text().count("\n") == 8


def test_in_a_terminal_of_80_columns_the_numbers_of_progress_are_whole(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    for job, title in (("", "cross-encoder"), ("[12/16] loss=cosent seed=1", "scoring the untouched model")):
        with progress_of(job), progress_bar(title, 10_000, "step", mininterval=0) as bar:
            bar.set_postfix({"loss": "0.1234", "dev": "0.4321"})
            bar.update(5000)
        shown = [line for line in capsys.readouterr().err.split("\r") if "50%" in line]
        assert shown[-1].startswith(f"{job[:8]}{title}: 50% 5000/10000 [00:00<00:00, loss=0.1234, dev=0")
        assert job or "dev=0.4321]" in shown[-1]


def test_progress_of_a_job_has_its_name_and_none_without(monkeypatch, capsys):
    monkeypatch.setattr("embexp.core.run_context._LEAST_SECONDS", 0.0)
    for job in ("", "[1/2] loss=mnrl"):
        with progress_of(job), progress_bar("training main", 4, "step") as bar:
            bar.update(2)
    assert capsys.readouterr().err.splitlines() == [
        "training main: 2 of 4 steps (50%)",
        "[1/2] loss=mnrl: training main: 2 of 4 steps (50%)",
    ]
