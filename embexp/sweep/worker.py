"""What a worker process does: one job after the other, each with its output in a file of its own."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

OUTPUT = "output.txt"  # in a job's folder: what it would have shown on the terminal


def work(connection: Connection, environment: Mapping[str, str], task: bytes) -> None:
    """Do the jobs that come, until there is none.

    Args:
        environment: set before anything is imported that reads it, as CUDA and OpenMP do.
        task: a JobRunner and the state of Hydra, pickled.
    """
    os.environ.update(environment)
    import cloudpickle

    from embexp.interrupts import listen

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the sweep ends its workers itself
    runner, hydra_state = cloudpickle.loads(task)
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals

    setup_globals()
    Singleton.set_state(hydra_state)
    listen()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for job in iter(connection.recv, None):
        with _output_to(runner.folder(job) / OUTPUT):
            outcome = runner.run(job)
        connection.send(outcome)


def _end_with_parent() -> None:
    """A worker whose sweep was killed stops as after SIGTERM: nobody would take what it does."""
    wait([parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _output_to(path: Path) -> Iterator[Any]:
    """What is printed inside, by whatever code, goes to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        kept = [os.dup(stream) for stream in (1, 2)]
        try:
            for stream in (1, 2):
                os.dup2(file.fileno(), stream)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
