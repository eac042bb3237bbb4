"""24 short cells in two workers of an engine, compared with two local workers.

    python tests/benchmarks/engines.py slurm ray          # cells that train a tiny model
    python tests/benchmarks/engines.py slurm ray sleep=3  # cells that sleep: what an engine adds

`in all` is from the moment that the command has found its jobs: with the time that workers need to start. Slurm is one
of the benchmark's own, on loopback; Ray is started for it.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import slurm_cluster  # noqa: E402
from harness import sized  # noqa: E402

CELLS = sized(24, 3)
TYPED = ("-m", "model=tiny", "trainer=smoke", "tracking=none", "evaluator.sts.resamples=200", "sweep.workers=2")
TYPED += (f"seed=range({CELLS})",)


@dataclass
class Sleeper:
    """Has of a `Runner` what workers use; a job sleeps."""

    place: Path
    config: Any
    seconds: float
    id, root = f"bench{os.getpid()}", "sweeps"

    def folder(self, job: Any) -> Path:
        return self.place / str(job.number)

    def stores(self) -> dict[str, str]:
        return {}

    def again(self) -> None:
        """Nothing goes on without the benchmark."""

    def run(self, job: Any) -> Any:
        from embexp.sweep.jobs import Outcome

        time.sleep(self.seconds)
        return Outcome(0.5)


def of_training(engine: str, folder: Path) -> list[float]:
    """When the jobs were counted, and when each of them had ended."""
    typed = [sys.executable, "-m", "embexp", *TYPED, f"sweep/engine={engine}"]
    sweep = subprocess.Popen(typed, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines, times = [], []
    for line in sweep.stderr:
        lines.append(line)
        if line.startswith((f"{CELLS} jobs;", "Ray ")):
            times = [time.monotonic()]  # Ray runs by then
        elif " done in " in line:
            times.append(time.monotonic())
    if sweep.wait():
        raise SystemExit("".join(lines))
    return times


def of_sleeping(name: str, folder: Path, seconds: float) -> list[float]:
    """The same of cells that sleep."""
    import engines  # this module, by the name that workers find it under
    from omegaconf import OmegaConf

    from embexp.config.compose import compose, instantiate
    from embexp.sweep.coordinator import _Coordinator
    from embexp.sweep.jobs import Job
    from embexp.sweep.progress import Progress

    engine = instantiate(OmegaConf.to_container(compose([f"sweep/engine={name}"]).sweep, resolve=False)["engine"] | (
        {"gpus": []} if name == "local" else {}
    ))  # fmt: skip
    jobs = [Job(number, (f"seed={number}",)) for number in range(CELLS)]
    times = [time.monotonic()]
    names = {job.number: job.overrides[0] for job in jobs}
    sleeper = engines.Sleeper(folder, OmegaConf.create(), seconds)
    engine.begin(sleeper.id, folder)
    progress = Progress(names, 2, lambda _: times.append(time.monotonic()))
    _Coordinator(engine, sleeper, jobs, 2, progress).run()
    return times


def main(arguments: list[str]) -> None:
    sleeps = next((float(each.partition("=")[2]) for each in arguments if each.startswith("sleep=")), None)
    others = [each for each in arguments if "=" not in each]
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent.parent), str(HERE.parent), str(HERE)])
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        if "slurm" in others:
            cluster = stack.enter_context(slurm_cluster.running(Path(place) / "cluster"))
            os.environ.update(cluster.environment)
        for number, engine in enumerate(["local", *others, "local"]):
            (folder := Path(place) / str(number)).mkdir()
            times = of_training(engine, folder) if sleeps is None else of_sleeping(engine, folder, sleeps)
            whole, steady = times[-1] - times[0], times[-1] - times[1]
            load = os.getloadavg()[0]
            print(f"{engine}: {whole:.1f} s in all, {steady:.1f} s from the first end to the last (load {load:.0f})")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
