"""The typed roots of each command's configuration."""

from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, Container, OmegaConf


@dataclass
class Stage:
    """One training: which data, brought to which shape, with which loss, modified how, and trainer."""

    dataset: Any = None
    shape: str | None = None
    loss: Any = None
    modifier: Any = None
    trainer: Any = None


@dataclass
class _Root(Stage):
    """A run: the main stage, its model, its evaluators, its guard and its tracker."""

    test: Any = None
    dev: Any = None
    mixture: Any = None
    model: Any = None
    evaluator: Any = field(default_factory=dict)
    guard: Any = field(default_factory=dict)
    conversion: Any = None
    primary_metric: str | None = None
    keep: str = "none"
    resume: str | None = None
    trust: bool = False
    adapt: Any = field(default_factory=dict)
    export: Any = field(default_factory=dict)
    merge: Any = field(default_factory=list)
    tracking: Any = None
    paths: Any = None
    verdict: Any = None
    sweep: Any = None
    experiment: Any = None
    name: str | None = None
    seed: int = 42
    vary: Any = field(default_factory=list)
    threads: int | None = None
    profile: bool = False
    max_unknown_tokens: float = 0.3


@dataclass
class _Inspect:
    """What `embexp.inspect` looks at, and how it shows it."""

    dataset: Any = None
    test: Any = None
    dev: Any = None
    model: Any = None
    conversion: Any = None
    paths: Any = None
    steps: bool = False
    measure: bool = False
    examples: int = 3
    format: str = "text"


@dataclass
class _Prepare:
    """What `embexp.prepare` makes of a data set, and where it goes."""

    dataset: Any = None
    conversion: Any = None
    paths: Any = None
    shape: str | None = None
    output: str | None = None
    format: str = "parquet"
    overwrite: bool = False


@dataclass
class _Init:
    """Which data `embexp init` describes, and where its YAML files go."""

    dataset: Any = None
    test: Any = None
    dev: Any = None
    model: Any = None
    conversion: Any = None
    paths: Any = None
    name: str | None = None
    output: str = "own"
    overwrite: bool = False


@dataclass
class _Export:
    """Which finished run or saved model `embexp.export` exports, how, and where to."""

    run: str | None = None
    trust: bool = False
    model: Any = None
    dataset: Any = None
    evaluator: Any = field(default_factory=dict)
    export: Any = field(default_factory=dict)
    merge: Any = field(default_factory=list)
    soup: Any = field(default_factory=list)
    conversion: Any = None
    paths: Any = None
    output: str | None = None


@dataclass
class _Evaluate:
    """Which models `embexp.evaluate` scores, by whom, and where they are shown."""

    experiment: Any = None
    dataset: Any = None
    test: Any = None
    model: Any = None
    evaluator: Any = field(default_factory=dict)
    conversion: Any = None
    tracking: Any = None
    paths: Any = None
    primary_metric: str | None = None
    seed: int = 42
    threads: int | None = None
    speed_texts: int = 500
    sweep: Any = None


@dataclass
class _Pairs:
    """In which texts `embexp.pairs` finds similar ones, how many, and where they go."""

    dataset: Any = None
    model: Any = None
    conversion: Any = None
    paths: Any = None
    column: str | None = None
    top: int = 100
    min_score: float | None = None
    duplicates: bool = False
    prompt: str | None = None
    output: str | None = None
    overwrite: bool = False
    shown: int = 10
    threads: int | None = None
    seed: int = 42


@dataclass
class _Compare:
    """Which two runs `embexp.compare` compares, or a run with a URL."""

    runs: list[str] = MISSING
    model: Any = None
    paths: Any = None
    verdict: Any = None
    resamples: int = 10000
    examples: int = 5
    output: str | None = None


@dataclass
class _Gate:
    """Which candidate `embexp.gate` decides on, against what, by which metrics."""

    candidate: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    metric: str | None = None
    no_worse_on: list[str] = field(default_factory=list)
    ledger: str | None = None
    paths: Any = None
    verdict: Any = None
    resamples: int = 10000


@dataclass
class _Power:
    """Which runs `embexp.power` plans from, which difference is wanted, and where its files go."""

    runs: list[str] = field(default_factory=list)
    metric: str | None = None
    difference: float | None = None
    seeds: list[int] = field(default_factory=list)
    examples: list[int] | None = None
    resamples: int = 2000
    ledger: str | None = None
    output: str | None = None
    paths: Any = None
    verdict: Any = None


@dataclass
class _Tune(_Root):
    """What `embexp.tune` has besides a run: how many trials, and how they are drawn, stopped and stored."""

    trials: int = 20
    tune: Any = None


@dataclass
class _Race(_Root):
    """What `embexp.race` has besides a run: its budget, and which candidates race, and how."""

    budget: Any = None
    race: Any = None


@dataclass
class _Leaderboard:
    """Which runs `embexp.leaderboard` compares, by what, and where its files go."""

    of_sweep: str | None = None
    filter: str | None = None
    rows: list[str] | None = None
    columns: list[str] | None = None
    metric: str | None = None
    cost: str = "encode_texts_per_second"
    resamples: int = 2000
    format: str | None = None
    output: str | None = None
    tracking: Any = None
    paths: Any = None
    verdict: Any = None


@dataclass
class _Clean:
    """What `embexp.clean` removes, from when, and how much it lists."""

    free: list[str] = field(default_factory=list)
    older: float | None = None
    show: int = 10
    paths: Any = None


@dataclass
class _Sync:
    """What `embexp.sync` sends, and where the store is."""

    folders: list[str] = field(default_factory=list)
    tracking: Any = None


@dataclass
class _Reproduce:
    """Which recipes `results.reproduce` measures, at which size, and where the results go."""

    only: list[str] | None = None
    recipes: Any = None
    size: Any = None
    budget: Any = None
    more: list[str] = field(default_factory=list)
    output: str = "."
    tracking: Any = None
    paths: Any = None


SCHEMAS = {
    "schema": _Root,
    "stage_schema": Stage,
    "inspect_schema": _Inspect,
    "prepare_schema": _Prepare,
    "init_schema": _Init,
    "export_schema": _Export,
    "evaluate_schema": _Evaluate,
    "pairs_schema": _Pairs,
    "compare_schema": _Compare,
    "gate_schema": _Gate,
    "power_schema": _Power,
    "leaderboard_schema": _Leaderboard,
    "clean_schema": _Clean,
    "sync_schema": _Sync,
    "reproduce_schema": _Reproduce,
    # Merged over a run's configuration: what that says must stay.
    "tune_schema": _Tune(**{each.name: MISSING for each in fields(_Root)}),
    "race_schema": _Race(**{each.name: MISSING for each in fields(_Root)}),
}


def keys_of_command(config_name: str) -> tuple[str, ...]:
    """The keys that the configuration of that name has at its top."""
    return tuple(each.name for each in fields(SCHEMAS[f"{config_name}_schema".removeprefix("config_")]))


def register_schemas() -> None:
    """Make them known to Hydra, as the YAML of each command names them."""
    for name, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=name, node=schema)


def _above(key: str, *, _parent_: Container) -> object:
    """The value of a key in the nearest mapping above the one that asks, wherever a package puts that."""
    above = _parent_._get_parent()
    return above[key] if key in above else _above(key, _parent_=above)


OmegaConf.register_new_resolver("embexp.above", _above, replace=True)
