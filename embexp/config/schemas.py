"""The typed roots of each command's configuration, and the types of values in the plain YAML groups below."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig

from embexp.errors import ConfigError


@dataclass
class Stage:
    """One training: which data, brought to which shape, with which loss, modified how, and trainer."""

    dataset: Any = None
    shape: str | None = None
    loss: Any = None
    modifier: Any = None
    trainer: Any = None


@dataclass
class Root(Stage):
    """A run: the main stage, the model it trains, who judges it and where it is shown."""

    model: Any = None
    evaluator: Any = field(default_factory=dict)
    conversion: Any = None
    primary_metric: str | None = None
    keep: str = "weights"
    resume: str | None = None
    adapt: Any = field(default_factory=dict)
    export: Any = field(default_factory=dict)
    tracking: Any = None
    paths: Any = None
    sweep: Any = None
    experiment: Any = None
    name: str | None = None
    seed: int = 42
    threads: int | None = None
    profile: bool = False


@dataclass
class Inspect:
    """What `embexp.inspect` looks at, and how it shows it."""

    dataset: Any = None
    model: Any = None
    conversion: Any = None
    paths: Any = None
    steps: bool = False
    examples: int = 3
    format: str = "text"


@dataclass
class Prepare:
    """What `embexp.prepare` makes of a data set, and where it goes."""

    dataset: Any = None
    conversion: Any = None
    paths: Any = None
    shape: str | None = None
    output: str | None = None
    format: str = "parquet"
    overwrite: bool = False


@dataclass
class Export:
    """Which finished run or saved model `embexp.export` exports, how, and where to."""

    run: str | None = None
    model: Any = None
    dataset: Any = None
    evaluator: Any = field(default_factory=dict)
    export: Any = field(default_factory=dict)
    conversion: Any = None
    paths: Any = None
    output: str | None = None


@dataclass
class Evaluate:
    """Which models `embexp.evaluate` scores, by whom, and where they are shown."""

    experiment: Any = None
    dataset: Any = None
    model: Any = None
    evaluator: Any = field(default_factory=dict)
    conversion: Any = None
    tracking: Any = None
    paths: Any = None
    primary_metric: str | None = None
    seed: int = 42
    threads: int | None = None
    speed_texts: int = 500


@dataclass
class Compare:
    """Which two runs `embexp.compare` compares."""

    runs: list[str] = MISSING
    paths: Any = None
    resamples: int = 10000
    examples: int = 5
    output: str | None = None


@dataclass
class Tune(Root):
    """What `embexp.tune` has besides a run: how many trials, and how they are drawn, stopped and stored."""

    trials: int = 20
    tune: Any = None


@dataclass
class Leaderboard:
    """Which runs `embexp.leaderboard` sets beside each other, by what, and where its files go."""

    of_sweep: str | None = None
    filter: str | None = None
    rows: list[str] | None = None
    columns: list[str] | None = None
    metric: str | None = None
    cost: str = "encode_texts_per_second"
    resamples: int = 2000
    output: str | None = None
    tracking: Any = None
    paths: Any = None


@dataclass
class Reproduce:
    """Which recipes `results.reproduce` measures, at which size, and where the results go."""

    only: list[str] | None = None
    recipes: Any = None
    size: Any = None
    more: list[str] = field(default_factory=list)
    output: str = "."
    tracking: Any = None
    paths: Any = None


SCHEMAS = {
    "schema": Root,
    "stage_schema": Stage,
    "inspect_schema": Inspect,
    "prepare_schema": Prepare,
    "export_schema": Export,
    "evaluate_schema": Evaluate,
    "compare_schema": Compare,
    "leaderboard_schema": Leaderboard,
    "reproduce_schema": Reproduce,
    # Merged over a run's configuration: what that says must stay.
    "tune_schema": Tune(**{each.name: MISSING for each in fields(Root)}),
}


def register_schemas() -> None:
    """Make them known to Hydra, as the YAML of each command names them."""
    for name, schema in SCHEMAS.items():
        ConfigStore.instance().store(name=name, node=schema)


def check_value_types(given: DictConfig, defaults: DictConfig) -> None:
    """Refuse a value whose type differs from the default's in its YAML file.

    Groups are plain YAML, so OmegaConf takes any value for them: the defaults are their schema.

    Raises:
        ConfigError: lists every problem at once.
    """
    problems = dict.fromkeys((*_type_problems(given, defaults, ""), *_shapes_problems(given, "")))
    if problems:
        raise ConfigError("\n".join(problems))


def _type_problems(given: Any, default: Any, path: str):
    if isinstance(given, DictConfig) and isinstance(default, DictConfig):
        for key in given:
            if key in default:
                yield from _type_problems(
                    given._get_node(key), default._get_node(key), f"{path}.{key}" if path else str(key)
                )
        return
    if isinstance(default, ListConfig) and not isinstance(given, ListConfig):
        yield from _list_problems(given._value(), path)
        return
    if isinstance(given, DictConfig | ListConfig) or isinstance(default, DictConfig | ListConfig):
        return
    value, usual = given._value(), default._value()
    if not _fits(value, usual):
        yield (
            f"{path}={value} is {_type_name(value)}; expected {_type_name(usual)}, such as the default {path}={usual}."
        )


def _list_problems(value: Any, path: str) -> Iterator[str]:
    if value is not None and not _is_interpolation(value) and not isinstance(value, Mapping):
        yield f"{path}={value}: expected a list: {path}=[{value}]."


def _shapes_problems(given: Any, path: str) -> Iterator[str]:
    """The shapes of every dataset: a list of at least one, or null where only reading can tell."""
    if not isinstance(given, DictConfig) or given._is_none() or given._is_missing() or given._is_interpolation():
        return
    for key in given:
        inner, where = given._get_node(key), f"{path}.{key}" if path else str(key)
        if key == "shapes" and "reader" in given:
            if isinstance(inner, ListConfig) and not inner._is_none() and not len(inner):
                yield f"{where}=[] holds no shape: expected one, such as {where}=[scored_pair]."
            elif isinstance(inner._value(), str) and not _is_interpolation(inner._value()):
                yield from _list_problems(inner._value(), where)
        else:
            yield from _shapes_problems(inner, where)


def _fits(value: Any, usual: Any) -> bool:
    if value is None or usual is None or _is_interpolation(value) or _is_interpolation(usual):
        return True
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(usual, bool) and isinstance(value, bool)
    if isinstance(usual, float):
        return isinstance(value, int | float)
    if isinstance(usual, int):
        # A whole-number default may mean steps where a fraction means a share (warmup_steps: 0 or 0.1).
        return isinstance(value, int) or (isinstance(value, float) and 0 < value < 1)
    return True


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _type_name(value: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[type(value)]
