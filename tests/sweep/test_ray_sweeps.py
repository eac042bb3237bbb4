"""Sweeps on Ray: two local nodes of which one is lost, workers that cannot start, clusters that are not there."""

import json
import os
import re
import signal
import time
from collections.abc import Set
from pathlib import Path

import pytest
from conftest import TINY
from killed_runs import assert_same_end, measured
from typed_commands import Typed, typed

from embexp.config.compose import compose, resolve
from embexp.core.claims import holder
from embexp.engines.ray import RayEngine, _lacking
from embexp.errors import ConfigError, EngineError
from embexp.sweep.coordinator import check_engine
from embexp.sweep.slots import JOB

GRID = ("-m", *TINY, "tracking=none", "loss=mnrl,cosent", "seed=1,2", "trainer.max_steps=60", "trainer.eval_steps=10")
GRID += ("trainer.save_steps=10", "hydra.sweep.dir=sweep")
JOBS, PATIENCE = 4, 500
OF_THE_COMMAND = re.compile("cost|second|command|sweep|folder|run|id|path|date|made|link|memory|measured|front")


@pytest.fixture(scope="module")
def nodes():
    """A Ray cluster of two nodes of one CPU on this machine: its address, and a function that takes the second away."""
    pytest.importorskip("ray", reason="Ray is missing: pip install 'ray[client]>=2.40,<3'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False)
        yield cluster, cluster.add_node(num_cpus=1)
    finally:
        cluster.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the same sweep in one process, which nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    command = typed(folder, *GRID)
    assert command.wait(PATIENCE) == 0, command.text()
    return folder / "sweep"


def scores_in(sweep: Path) -> list:
    """The leaderboard's rows, without costs."""
    board = json.loads((sweep / "leaderboard/leaderboard.json").read_text())
    return json.loads(json.dumps(board), object_hook=without_costs)


def without_costs(table: dict) -> dict:
    return {key: value for key, value in table.items() if not OF_THE_COMMAND.search(key)}


def wait_for_middle(command: Typed, sweep: Path, parent: int | None = None, before: Set[str] = frozenset()) -> int:
    """The number of a job that is in the middle, as soon as there is one."""
    end = time.monotonic() + PATIENCE
    while (number := in_the_middle_of(sweep, parent, before)) is None:
        assert time.monotonic() < end, command.text()
        assert command.process.is_alive(), command.text()
        time.sleep(0.01)
    return number


def in_the_middle_of(sweep: Path, parent: int | None, before: Set[str]) -> int | None:
    """The number of a job with a checkpoint that a worker (of that node, none of those before) trains, if any."""
    for number in range(JOBS):
        owner = holder(sweep / str(number), JOB)
        begun = [*(sweep / str(number)).glob("stages/main/checkpoints/checkpoint-*/complete.json")]
        ended = (sweep / str(number) / "stages/main/model").exists()
        if owner and owner.token not in before and begun and not ended and parent in (None, parent_of(owner.pid)):
            return number
    return None


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


@pytest.mark.cluster
@pytest.mark.slow
def test_command_and_node_are_lost_and_the_end_is_that_of_the_undisturbed_sweep(tmp_path, nodes, whole):
    cluster, second = nodes
    grid = (*GRID, "sweep.workers=2", "sweep/engine=ray", f"sweep.engine.address={cluster.address}")
    raylet = second.all_processes["raylet"][0].process.pid
    command = typed(tmp_path, *grid)
    first = wait_for_middle(command, tmp_path / "sweep")
    os.killpg(command.process.pid, signal.SIGKILL)
    command.process.join()
    before = {owner.token for job in range(JOBS) if (owner := holder(tmp_path / "sweep" / str(job), JOB))}
    command = typed(tmp_path, *grid)
    number = wait_for_middle(command, tmp_path / "sweep", raylet, before)
    cluster.remove_node(second, allow_graceful=False)
    assert command.wait(PATIENCE) == 0, command.text()
    text = command.text()
    assert re.search(r"ended by the loss of its node(, \d times)?. It is tried again", text), text
    assert f"{JOBS} of {JOBS} done" in text
    for job in range(JOBS):
        assert_same_end(whole / str(job), tmp_path / "sweep" / str(job))
        assert measured(tmp_path / "sweep" / str(job))
    assert scores_in(tmp_path / "sweep") == scores_in(whole)
    logs = {job: (tmp_path / "sweep" / str(job) / "embexp.log").read_text() for job in range(JOBS)}
    begun = {job: text.count("Training main on") for job, text in logs.items()}
    resumed = {job: text.count("Resuming from checkpoint-") for job, text in logs.items()}
    assert resumed[first] >= 1
    assert resumed[number] >= 1
    assert sum(begun.values()) - sum(resumed.values()) <= JOBS + 1  # one may have had no checkpoint yet
    assert sum(begun.values()) <= JOBS + 3  # two workers with the command, one with the node


def test_what_a_node_lacks_for_a_worker_is_counted():
    nodes = [{"CPU": 2.0, "memory": 8e9}, {"CPU": 1.0, "GPU": 1.0, "memory": 8e9}]
    needs = {"num_cpus": 2, "num_gpus": 0, "resources": {}}
    assert _lacking(needs, nodes) == ""
    assert _lacking(needs | {"num_cpus": 3, "resources": {"A100": 1}}, nodes) == "2 of 3 CPU, 0 of 1 A100"
    assert _lacking(needs | {"num_gpus": 1}, nodes) == "all that it needs on no single node"
    assert _lacking(needs, []) == "0 of 2 CPU"


@pytest.mark.parametrize("given", [{"cpus_per_job": -1}, {"gpus_per_job": -0.5}, {"memory_gb": -4}])
def test_a_need_below_0_is_refused(given):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"is below 0. Expected 0 or more.\nhint: type sweep.engine.*=1"):
        RayEngine(**given).check(2)


def test_without_workers_ray_has_nothing_to_do():
    pytest.importorskip("ray")
    with pytest.raises(ConfigError) as refusal:
        check_engine(resolve(compose(["sweep/engine=ray"]))["sweep"])
    (problem,) = refusal.value.problems
    assert (problem.key, problem.given, problem.fix) == ("sweep.workers", 0, ("sweep.workers=4",))
    check_engine(resolve(compose(["sweep/engine=ray", *problem.fix]))["sweep"])


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "localhost", "[::1]:1", "nobody.invalid:6379"])
def test_a_cluster_that_does_not_answer_is_said_with_what_to_type(address, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(
        EngineError, match=r"The Ray cluster at .* cannot be used(.|\n)*type sweep.engine.address=local"
    ):
        RayEngine(address).begin("sweep", tmp_path)
