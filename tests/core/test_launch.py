"""Which processes a run has: what a launcher says, what is refused under it, and which GPU each process sees."""

import os
import signal

import pytest

from embexp.cli.app import _of_launcher
from embexp.core import launch as launching
from embexp.core import signals
from embexp.core.launch import check_size, launched, read_launch, refuse_launch
from embexp.errors import ConfigError

TORCHRUN = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}
TORCHRUN |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3"}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The variables of a launcher, in an environment without any."""
    for name in [each for each in os.environ if each.startswith(("ACCELERATE_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name in (*TORCHRUN, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launching, "_LAUNCH", [])

    def give(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return give


def test_without_a_launcher_a_process_is_alone(environment):
    assert read_launch() is None
    environment(RANK="first", WORLD_SIZE="2")  # of some other program
    assert read_launch() is None
    check_size(None, 3)


def test_what_torchrun_says_is_read_once_and_hidden_from_libraries(environment):
    environment(**TORCHRUN)
    launch = read_launch()
    assert (launch.rank, launch.size, launch.port, launch.is_stored_elsewhere) == (1, 2, 29511, True)
    assert not {*TORCHRUN} & {*os.environ}
    assert read_launch() is launched() is launch


def test_a_launcher_with_one_process_changes_nothing(environment):
    environment(**TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"})
    assert read_launch() is None
    assert not {*TORCHRUN} & {*os.environ}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("seen", "own"), [(None, "1"), ("4,7", "7"), ("GPU-a, GPU-b", " GPU-b"), ("4", ""), ("", ""), ("0,1,2,3", "1")]
)
def test_each_process_sees_the_gpu_of_its_rank(environment, seen, own):
    environment(**TORCHRUN, **({} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}))
    read_launch()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == own


def test_processes_for_the_cpu_see_no_gpu_and_those_without_a_local_rank_what_they_saw(environment):
    environment(**TORCHRUN, ACCELERATE_USE_CPU="true")
    read_launch()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    environment(**TORCHRUN, CUDA_VISIBLE_DEVICES="5")
    del os.environ["LOCAL_RANK"]
    read_launch()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("ACCELERATE_USE_FSDP", "true", "accelerate launch --multi_gpu"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "accelerate launch --multi_gpu"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", "type trainer.bf16=true"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR", "type trainer.torch_compile=true"),
    ],
)
def test_what_accelerate_would_change_is_refused_by_the_first_process(environment, name, value, typed):
    environment(**TORCHRUN | {"RANK": "0"}, **{name: value})
    with pytest.raises(ConfigError, match=f"(?s){name}={value} was set by accelerate.*{typed}"):
        read_launch()
    environment(**TORCHRUN, **{name: value})
    with pytest.raises(SystemExit, match="0"):
        read_launch()


def test_what_accelerate_sets_without_an_effect_is_forgotten(environment):
    environment(
        **TORCHRUN, ACCELERATE_MIXED_PRECISION="no", ACCELERATE_DYNAMO_BACKEND="NO", ACCELERATE_CPU_AFFINITY="1"
    )
    assert read_launch().rank == 1
    assert not [name for name in os.environ if name.startswith("ACCELERATE_")]


def test_a_launched_run_trains_in_as_many_processes(environment):
    environment(**TORCHRUN | {"RANK": "0", "WORLD_SIZE": "4"})
    read_launch()
    assert _of_launcher([], ["loss=mnrl"], "config") == ["++trainer.processes=4"]
    assert _of_launcher([], ["trainer.processes=4"], "config") == []
    assert _of_launcher([], ["resume=runs/a"], "config") == []
    for typed in ("++trainer.processes=2", "+trainer.processes=2", "trainer.processes=2"):
        assert _of_launcher([], [typed], "config") == []  # `check_size` refuses it
    with pytest.raises(ConfigError, match=r"trainer.processes=2 does not fit the 4 processes .*nproc_per_node=2"):
        check_size(launched(), 2)
    with pytest.raises(ConfigError, match=r"trainer.processes=1 .*Expected the command without a launcher"):
        check_size(launched(), 1)


@pytest.mark.parametrize(
    ("flags", "arguments", "command", "typed"),
    [
        (["-m"], ["seed=1,2"], "config", r"python -m embexp -m seed=1,2 \+\+trainer.processes=2"),
        (["--multirun"], ["seed=1,2", "trainer.processes=2"], "config", "-m seed=1,2 trainer.processes=2$"),
        ([], ["model=a,b"], "evaluate", "python -m embexp.evaluate model=a,b$"),
        ([], [], "tune", "python -m embexp.tune$"),
    ],
)
def test_a_launcher_is_refused_for_all_but_a_run(environment, flags, arguments, command, typed):
    environment(**TORCHRUN | {"RANK": "0"})
    read_launch()
    with pytest.raises(ConfigError, match=f"(?s)runs in one process, and a launcher has started 2.*{typed}"):
        _of_launcher(flags, arguments, command)


def test_where_the_command_has_not_read_the_launch_the_first_process_refuses_and_the_others_end(environment):
    refuse_launch("embexp.run", "embexp.run()")
    environment(**TORCHRUN)
    with pytest.raises(SystemExit, match="0"):
        refuse_launch("embexp.run", "embexp.run()")
    environment(RANK="0")
    with pytest.raises(ConfigError, match=r"embexp.run runs in one process"):
        refuse_launch("embexp.run", "embexp.run()")


def test_ctrl_c_that_torchrun_passes_on_is_not_a_second_one(environment, monkeypatch):
    before, found = signal.getsignal(signal.SIGALRM), signals._Interrupts()
    found.trains = True
    try:
        environment(**TORCHRUN | {"RANK": "0"})
        read_launch()
        found.arrived(KeyboardInterrupt)
        found.arrived(KeyboardInterrupt)  # from the launcher, a moment later
        assert found.waiting is KeyboardInterrupt
        monkeypatch.setattr(launching, "_LAUNCH", [])
        with pytest.raises(KeyboardInterrupt):
            found.arrived(KeyboardInterrupt)  # of somebody who is impatient
    finally:
        signals._set_alarm(0)
        signal.signal(signal.SIGALRM, before)
