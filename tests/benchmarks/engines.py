"""24 short cells in two workers of an engine, compared with two local workers on the same cores.

    python tests/benchmarks/engines.py slurm       # or ray

Counted is from the moment that the command has found its jobs to the end of the last one: with the time that workers
need to start, without the checks before and the leaderboard after. Slurm is one of the benchmark's own, on loopback.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import slurm_cluster

CELLS = 24
TYPED = ("-m", "model=tiny", "trainer=smoke", "tracking=none", "evaluator.sts.resamples=200", "sweep.workers=2")
TYPED += (f"seed=range({CELLS})",)


def seconds_on(engine: str, folder: Path, environment: dict[str, str]) -> float:
    """Seconds from the line that counts the jobs to the line of the last one."""
    typed = [sys.executable, "-m", "embexp", *TYPED, f"sweep/engine={engine}"]
    sweep = subprocess.Popen(
        typed, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    began = ended = 0.0
    lines = []
    for line in sweep.stderr:
        lines.append(line)
        began = time.monotonic() if line.startswith((f"{CELLS} jobs;", "Ray ")) else began  # Ray runs by then
        ended = time.monotonic() if " done in " in line else ended
    if sweep.wait():
        raise SystemExit("".join(lines))
    return ended - began


if __name__ == "__main__":
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        others = {}
        if "slurm" in sys.argv[1:]:
            others["slurm"] = stack.enter_context(slurm_cluster.running(Path(place) / "cluster")).environment
        if "ray" in sys.argv[1:]:
            others["ray"] = environment
        for number, (engine, own) in enumerate([("local", environment), *others.items(), ("local", environment)]):
            (folder := Path(place) / str(number)).mkdir()
            seconds = seconds_on(engine, folder, own | {"OMP_NUM_THREADS": "1"})
            print(f"{engine}: {seconds:.1f} s (load {os.getloadavg()[0]:.1f})", flush=True)
