"""Where `conf/` lies, and the one place that calls Hydra for composing and instantiating."""

import functools
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

from embexp.config.checks import key_problems, unknown_key_problems
from embexp.config.default_checks import default_problems, left_out_problems
from embexp.config.schemas import keys_of_command, register_schemas
from embexp.config.session import HYDRA, config_folders, hydra_started, known_model, option_files, served_error
from embexp.config.yaml_keys import describes
from embexp.core.arguments import fits, refuse, type_words
from embexp.core.redaction import note_secrets
from embexp.core.run_folder import run_folder
from embexp.errors import NOT_GIVEN, ConfigError, EmbexpError, Problem, as_typed, did_you_mean, listed
from embexp.protocols import BaseModel

_GROUPS_OF_SEVERAL = ("adapt", "evaluator", "guard", "export")  # what was chosen stands under the group's name


register_schemas()


def option_names(group: str) -> list[str]:
    """The options of a group; in a command those of its `--config-dir`, too."""
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        return GlobalHydra.instance().config_loader().get_group_options(group)
    return sorted(option_files(group))


def _own_model(*, _root_: DictConfig) -> str:
    """The run's model, by its option, folder or Hub id, for other models that read the same texts.

    minilm where the weights are random, and for commands without a model.
    """
    node = OmegaConf.to_container(_root_, resolve=False).get("model") or {}
    node = node.get("base") or node.get("source") or node
    if node.get("path"):
        return str(node["path"])
    ids = {OmegaConf.load(path).get("id"): name for name, path in sorted(option_files("model").items(), reverse=True)}
    return ids.get(node.get("id") or "") or node.get("id") or _DEFAULT_MODEL


_DEFAULT_MODEL = "minilm"
OmegaConf.register_new_resolver("embexp.own_model", _own_model, replace=True)
OmegaConf.register_new_resolver("embexp.run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("embexp.unless", lambda given, value: None if given else value, replace=True)


def compose(overrides: Sequence[str] = (), config_name: str = "config", check: bool = True) -> DictConfig:
    """The configuration that the command line `overrides` stand for, for code and tests.

    Raises:
        ConfigError: an override names an unknown key or has the wrong type.
    """
    with hydra_started():
        return composed(overrides, config_name, check)[0]


def composed(
    overrides: Sequence[str], config_name: str = "config", check: bool = True
) -> tuple[DictConfig, dict[str, Any]]:
    """The same inside of a command, where Hydra has started; with the chosen option of each group."""
    return composed_job(overrides, config_name, check)[:2]


def composed_job(
    overrides: Sequence[str], config_name: str = "config", check: bool = True
) -> tuple[DictConfig, dict[str, Any], Path]:
    """The same with the folder of the job."""
    from hydra import compose as hydra_compose

    full = hydra_compose(config_name, overrides=list(overrides), return_hydra_config=True)
    choices = OmegaConf.to_container(full.hydra.runtime.choices)
    folder = Path(full.hydra.run.dir)
    OmegaConf.set_struct(full, False)
    del full["hydra"]
    OmegaConf.set_struct(full, True)
    if check:
        check_config(full, choices, config_name)
    return full, choices, folder


def check_config(config: DictConfig, choices: dict[str, Any], config_name: str = "config") -> None:
    """Refuse describing keys that are not known, values of another type than their default, keys that are needed.

    The secrets of the configuration are masked from now on.

    Args:
        choices: the chosen option of each group, as Hydra records it in `hydra.runtime.choices`.

    Raises:
        ConfigError: lists every problem.
    """
    note_secrets(OmegaConf.to_container(config))
    if choices.get("model") == SERVED and config_name not in ("evaluate", "compare"):
        raise served_error(OmegaConf.to_container(config, resolve=False)["model"].get("url"), _DEFAULT_MODEL)
    refuse(key_problems(OmegaConf.to_container(config), config_folders()))
    refuse(unknown_key_problems(OmegaConf.to_container(config), keys_of_command(config_name)))
    defaults = _defaults_of(choices, config_name, config)
    plain = [OmegaConf.to_container(each, resolve=False) for each in (config, defaults)]
    refuse((*default_problems(config, defaults), *left_out_problems(*plain, needed_by)))


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values.

    Raises:
        ConfigError: names every value that must be given and was not.
    """
    missing = sorted(_missing(OmegaConf.to_container(config, resolve=False), ""))
    if missing:
        raise ConfigError(*(Problem("has no value", key, expected="one", fix=(f"{key}=<value>",)) for key in missing))
    return OmegaConf.to_container(config, resolve=True)


def _missing(node: Any, path: str) -> Iterator[str]:
    """Keys without a value, also those that others refer to, which OmegaConf stops at."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _missing(value, f"{path}.{key}" if path else str(key))
    elif node == MISSING:
        yield path


def _defaults_of(choices: dict[str, Any], config_name: str = "config", given: DictConfig | None = None) -> DictConfig:
    """What the chosen YAML files say by themselves, before any value was overridden.

    Args:
        choices: the chosen option of each group, as Hydra records it in `hydra.runtime.choices`.
        given: the configuration, which holds the options of groups that take several: Hydra records none of them.
    """
    overrides = [
        f"{group}={option}"
        for group, option in choices.items()
        if isinstance(option, str) and "@" not in group and not group.startswith("hydra") and group != "experiment"
    ]
    for group in _GROUPS_OF_SEVERAL:
        node = (given or {}).get(group) or {}
        brought = (node.get("auto") or {}).get("_among_") or () if group == "evaluator" else ()
        if chosen := [name for name in node if name in option_names(group) and name not in brought]:
            overrides.append(f"{group}=[{','.join(chosen)}]")
    return _composed_once(config_name, tuple(overrides), _files_now())


@functools.lru_cache(maxsize=512)
def _composed_once(config_name: str, overrides: tuple[str, ...], files: tuple[tuple[str, int, int], ...]) -> DictConfig:  # noqa: ARG001
    """What Hydra composes, in a sixth of a second: kept until one of the `files` changes."""
    from hydra import compose as hydra_compose

    config = hydra_compose(config_name, overrides=list(overrides))
    OmegaConf.set_readonly(config, True)
    return config


def _files_now() -> tuple[tuple[str, int, int], ...]:
    """All YAML files that options are read from, with what tells that one was edited."""
    from hydra.core.global_hydra import GlobalHydra

    started = GlobalHydra.instance().is_initialized()
    searched = GlobalHydra.instance().config_loader().get_search_path().get_path() if started else ()
    folders = {Path(each.path.removeprefix("file://")) for each in searched if each.path.startswith("file://")}
    depths = ("*.yaml", "*/*.yaml", "*/*/*.yaml")
    found = {path.absolute() for each in {*config_folders(), *folders} for depth in depths for path in each.glob(depth)}
    return tuple((str(path), (state := path.stat()).st_mtime_ns, state.st_size) for path in sorted(found))


def option_of(group: str, name: str) -> dict[str, Any]:
    """What one option of a group says by itself, with its own defaults, as plain values.

    In a command the options of its `--config-dir` are known, too.

    Raises:
        ConfigError: a describing key that is not known, or with a value of the wrong type.
    """
    from hydra.core.global_hydra import GlobalHydra

    with nullcontext() if GlobalHydra.instance().is_initialized() else hydra_started():
        node = OmegaConf.to_container(_defaults_of({group: name})[group], resolve=True)
        refuse(key_problems({group: node}, config_folders()))
    return node


def instantiate(node: DictConfig | dict, **runtime: Any) -> Any:
    """Call what a YAML file names in `_target_`, with its arguments and what only the code can give.

    Keys that begin and end with an underscore (`_accepts_`) describe the call and are not passed on.
    Arguments that the callable does not know are refused, all at once, with the nearest known name.

    Raises:
        ConfigError: an argument that the callable does not take, or a target that does not exist.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    call = _without_descriptions(node)
    check_arguments(call, runtime)
    packages = sorted({f"{package}.*" for package in packages_of(call)})
    whitelist = {"_execution_whitelist_": packages} if HYDRA >= (1, 4) else {}
    try:
        # Hydra would turn dataclasses among the runtime arguments into configurations: they are given afterwards.
        prepared = hydra_instantiate({**call, "_partial_": True}, **whitelist, _convert_="all")
    except InstantiationException as error:  # Hydra wraps what a nested call raises
        if isinstance(error.__cause__, EmbexpError):
            raise error.__cause__ from error
        raise
    return prepared(**runtime)


def _without_descriptions(node: Any) -> Any:
    """A call without the keys that describe it, or the calls among its arguments."""
    if isinstance(node, Mapping):
        is_call = "_target_" in node
        return {key: _without_descriptions(value) for key, value in node.items() if not (is_call and describes(key))}
    return [*map(_without_descriptions, node)] if isinstance(node, list) else node


def packages_of(node: Any) -> Iterator[str]:
    """The packages of all targets in a configuration (Hydra 1.4 wants them listed: who runs it trusts them).

    >>> [*packages_of({"f": {"_target_": "hydra.utils.get_method", "path": "mine.f"}})]
    ['hydra', 'mine']
    """
    if isinstance(node, Mapping):
        if isinstance(target := node.get("_target_"), str):
            yield target.partition(".")[0]
            if target.startswith("hydra.utils.get_") and isinstance(node.get("path"), str):
                yield node["path"].partition(".")[0]
        for value in node.values():
            yield from packages_of(value)


_MOST_LISTED = 30  # arguments that a message lists where it can suggest one


def check_arguments(call: dict[str, Any], runtime: dict[str, Any], under: str = "") -> None:
    """Raise ConfigError unless the target of `call` exists, takes all its arguments, and none of them is given twice.

    Args:
        runtime: what the code gives, with any values; of these none may stand in `call`.
        under: the key of the call, such as `trainer`.
    """
    if "_target_" not in call:
        group, _, option = under.partition(".")
        fix = (f"{group}=[{option}]",) if option in option_files(group) else ()
        raise ConfigError("has arguments only", key=under, expected="what takes them, as _target_", fix=fix)
    target, known = call["_target_"], parameters_of(call["_target_"])
    prefix = f"{under}." if under else ""
    unknown = [key for key in (*call, *runtime) if not key.startswith("_") and known is not None and key not in known]
    problems = []
    for key in unknown:
        near = get_close_matches(key, known, n=1)
        expected = "" if near and len(known) > _MOST_LISTED else f"one of: {listed(known)}"
        fix = tuple(f"++{prefix}{name}={as_typed(call[key])}" for name in near if under and key in call)
        text, given, note = f"is no argument of {target}", call.get(key, NOT_GIVEN), did_you_mean(key, known)
        problems.append(Problem(text, f"{prefix}{key}", given, expected, note, fix))
    for key in (key for key in runtime if key in call and key not in unknown):
        fix = (f"~{prefix}{key}",) if under else ()
        problems.append(Problem("is what the run itself gives", f"{prefix}{key}", call[key], fix=fix))
    refuse((*problems, *_problems_with_types(call, prefix)))


def _problems_with_types(call: dict[str, Any], prefix: str) -> Iterator[Problem]:
    """The problems with values whose type is not that of the argument; what is itself a call has any."""
    for name, each in _signature_of(call["_target_"]).items():
        is_call = isinstance(value := call.get(name, NOT_GIVEN), Mapping) and "_target_" in value
        if is_call and str(value["_target_"]).startswith("embexp."):  # others may take seconds to import
            yield from _problems_with_types(value, f"{prefix}{name}.")
        if value is not NOT_GIVEN and not is_call and not fits(value, each.annotation):
            usual = each.default is not each.empty and fits(each.default, each.annotation)
            fix = (f"++{prefix}{name}={as_typed(each.default)}",) if prefix and usual else ()
            yield Problem("", f"{prefix}{name}", value, type_words(each.annotation), fix=fix)


@functools.cache
def _signature_of(target: str) -> Mapping[str, Any]:
    import inspect

    from hydra.errors import InstantiationException
    from hydra.utils import get_object

    try:
        return inspect.signature(get_object(target)).parameters
    except (ImportError, AttributeError, ValueError, InstantiationException) as error:
        text = f"cannot be imported ({error})"
        raise ConfigError(text, key="_target_", given=target, expected="the dotted path of a callable") from error


def needed_by(target: str) -> list[str]:
    """The parameters of a callable that have no default."""
    named = [name for name, each in _signature_of(target).items() if each.default is each.empty]
    return named + [key for each in _options_of(target) for key in getattr(each, "__required_keys__", ())]


@functools.cache
def parameters_of(target: str) -> tuple[str, ...] | None:
    """Names of a callable's parameters, those of `**options: Unpack[...]` too; None when it takes any keyword."""
    parameters = _signature_of(target)
    named = [name for name, each in parameters.items() if name != "self" and each.kind is not each.VAR_KEYWORD]
    options = _options_of(target)
    return None if None in options else (*named, *(key for each in options for key in each.__annotations__))


def _options_of(target: str) -> list[Any]:
    """The dictionary of a callable's `**options: Unpack[...]`, whose keys are known; None where it takes any."""
    rest = (each for each in _signature_of(target).values() if each.kind is each.VAR_KEYWORD)
    return [(typing.get_args(each.annotation) or (None,))[0] for each in rest]


def brings_data(evaluator: str) -> bool:
    """Whether the YAML of an evaluator chooses a data set, so that another choice replaces it and adds none."""
    path = option_files("evaluator").get(evaluator)
    return path is not None and "dataset@dataset" in str(OmegaConf.load(path).get("defaults"))


SERVED = "served"  # the option of the group `model` that is behind a URL
BY_PATH = "pretrained"  # the option of the group `model` that reads any folder or Hub id


def model_named(key: str, value: Any) -> BaseModel:
    """A model by its option in conf/model, by path or Hub id, or by a YAML of its own.

    Raises:
        ConfigError: the value of `key` is none of these.
    """
    if isinstance(value, Mapping):
        return instantiate(value)
    names = sorted({*option_names("model")} - {BY_PATH, SERVED})
    if value in names:
        return instantiate(option_of("model", value))
    if "/" in str(value) or Path(str(value)).is_dir():
        return instantiate(option_of("model", BY_PATH) | {"path": str(value)})
    found = known_model(str(value))
    raise ConfigError(
        "is not known",
        key=key,
        given=value,
        expected=f"a folder, a Hub id such as org/name, or one of: {listed(names)}",
        note="" if found else did_you_mean(str(value), names),
        fix=f"{key}={found}" if found else (),
    )
