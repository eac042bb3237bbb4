"""From the key Enter to the end of short commands, beside the imports that they cannot do without.

    python tests/benchmarks/start.py

On a quiet machine `--help` is to take at most 1.0 s, `inspect` 2.5 s, a typo 0.9 s and a run of two steps 8 s, imports
and all. Seconds are wall time; results/start.json has the CPU seconds beside them, which a busy machine stretches less.
"""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Case, Numbers, main, seconds_of, sized

RUN = ("loss=mnrl", "model=static", "trainer.max_steps=2", "tracking=none")
CASES = [
    Case("--help", 1.0, {"typed": ["embexp", "--help"], "imports": "hydra"}),
    Case("a typo", 4.0, {"typed": ["embexp", "loss=mnlr"], "imports": "hydra"}),
    Case("inspect dataset=pairs.csv", 3.0, {"typed": ["embexp.inspect", "dataset=pairs.csv"], "imports": "datasets"}),
    Case(
        "a run of two steps", 2.0, {"typed": ["embexp", *RUN], "imports": "torch, transformers, sentence_transformers"}
    ),
]


def embexp_side(typed: list[str], imports: str) -> Numbers:  # noqa: ARG001
    """The command in an empty folder with a CSV of 60 pairs."""
    lines = (f"how does thing {number} work,thing {number} works by turning wheel {7 * number}" for number in range(60))
    Path("pairs.csv").write_text("\n".join(["question,answer", *lines]) + "\n", encoding="utf-8")
    return taken_by("-m", *typed, expected="Did you mean" if typed[-1] == "loss=mnlr" else "")


def peer_side(typed: list[str], imports: str) -> Numbers:  # noqa: ARG001
    """A Python that only imports."""
    return taken_by("-c", f"import {imports}")


def taken_by(*arguments: str, expected: str = "") -> Numbers:
    """Wall and CPU seconds of a Python process, the second time: the first one fills the cache of files.

    Args:
        expected: what stands in the error with which it ends; empty: it ends without one.
    """
    done: list[Any] = []

    def run() -> None:
        done.append(subprocess.run([sys.executable, *arguments], capture_output=True, text=True))

    for _ in range(sized(1, 0)):
        run()
    before = cpu_seconds()
    seconds = seconds_of(run)
    if bool(done[-1].returncode) != bool(expected) or expected not in done[-1].stderr:
        raise SystemExit(f"{' '.join(arguments)}:\n{done[-1].stderr[-3000:]}")
    return {"seconds": seconds, "cpu_seconds": cpu_seconds() - before}


def cpu_seconds() -> float:
    """What ended processes of this one have computed so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main(__file__, __doc__, CASES, {"embexp": embexp_side, "peer": peer_side})
