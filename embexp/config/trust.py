"""What a configuration that comes from a file may call, as that of a run from somebody else.

A run's config.yaml names callables with their arguments, so whoever wrote it chooses what is called. Without
`trust=true` it may name what embexp's own YAML files and those of `--config-dir` name, classes of PyTorch,
sentence-transformers and transformers that compute only, and what is defined in the packages of one's own that
`--config-dir` names. All of it is looked at before anything of it is imported.
"""

import functools
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embexp.config.session import conf_dir, config_folders
from embexp.core.run_folder import is_file_name
from embexp.errors import ConfigError, Problem, as_typed

# Layers, losses, optimizers, collators and similarities by their names: they read no files and start nothing.
_COMPUTING = re.compile(
    r"torch\.nn\.(?:modules\.\w+\.)?[A-Z]\w*"
    r"|torch\.optim\.(?:lr_scheduler\.)?[A-Z]\w*"
    r"|sentence_transformers(?:\.\w+)*\.losses\.(?:\w+\.)?[A-Z]\w*Loss"
    r"|sentence_transformers(?:\.\w+)*\.(?:modules|models)\.(?:\w+\.)?"
    r"(?:Pooling|Dense|Normalize|LayerNorm|Dropout|CNN|LSTM|WeightedLayerPooling)"
    r"|sentence_transformers\.util\.(?:pairwise_)?(?:cos|dot|euclidean|manhattan|angle)_(?:sim|score)"
    r"|transformers\.(?:data\.data_collator\.)?DataCollator\w*"
)
_LIBRARIES = ("embexp", "sentence_transformers", "torch", "transformers", "hydra", "hydra_plugins", "omegaconf")
_LOOKUPS = tuple(f"hydra.utils.get_{kind}" for kind in ("method", "class", "object", "static_method"))
_NAMED = ("adapt", "evaluator", "guard", "export")  # whose keys become names of files and folders
_MOST_TOLD = 4


def check_trusted(
    config: Mapping[str, Any],
    file: Path,
    fix: str | None,
    own: Mapping[str, Any] | None = None,
    more: Sequence[str] = (),
) -> None:
    """Raise ConfigError where a configuration from a file asks for trust.

    Args:
        config: plain values, without interpolations.
        file: where it stands.
        fix: what to type by whom trusts it; None where nothing can be typed.
        own: the configuration of the present command, whose callables are the user's.
        more: what else in the folder asks for trust.
    """
    known = {*_shipped(), *_in_own_files(), *(value for _, value in _calls_in(own or {}) if isinstance(value, str))}
    found = [*_untrusted(config, known), *more]
    if not found:
        return
    rest = [f"and {len(found) - _MOST_TOLD} more"] * (len(found) > _MOST_TOLD)
    raise ConfigError(
        Problem(
            f"asks for trust: {'; '.join([*found[:_MOST_TOLD], *rest])}",
            expected="what embexp's own configuration names, or that of your --config-dir",
            note="Whoever wrote it could run any code with this, or read your files: look at it first, and trust it "
            "only where you know from whom it is",
            fix=(fix,) if fix else (),
            file=str(file),
        )
    )


def _untrusted(config: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    packages = _own_packages(known - _shipped())
    for place, value in _calls_in(config):
        if not (isinstance(value, str) and (value in known or _may_be_called(value, packages))):
            yield f"{place}={as_typed(value)}"
    for place, value in _code_flags_in(config, ()):
        yield f"{place}={as_typed(value)}"
    for group in _NAMED:
        names = config.get(group)
        for name in names if isinstance(names, Mapping) else ():
            if not is_file_name(str(name)):
                yield f"{group}.{name}, which is no name but a path"
    own = {(each.get("url"), each["api_key_env"]) for content in _own_contents() for each in _endpoints_in(content)}
    for each in _endpoints_in(config):
        if (each.get("url"), each["api_key_env"]) not in own:
            yield f"the value of the variable {each['api_key_env']} would be sent to {each.get('url')}"


def _may_be_called(name: str, packages: frozenset[str]) -> bool:
    if _COMPUTING.fullmatch(name) or name in _LOOKUPS:  # of a look-up the path is looked at
        return True
    package = name.partition(".")[0]
    return package in packages and _is_defined_in(name, package)


def _is_defined_in(name: str, package: str) -> bool:
    """Whether the package itself defines it: `mine.losses.os.system` is not of `mine`."""
    from hydra.errors import InstantiationException
    from hydra.utils import get_object

    try:
        found = get_object(name)
    except (ImportError, AttributeError, ValueError, InstantiationException):
        return True  # nothing is called: that it cannot be imported is said where it is needed
    return str(getattr(found, "__module__", "")).partition(".")[0] == package


def _calls_in(node: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Everything in a configuration that names code, at any depth, with its place.

    >>> [*_calls_in({"a": [{"_target_": "b.c", "x": {"_target_": "hydra.utils.get_method", "path": "os.system"}}]})]
    [('a.0._target_', 'b.c'), ('a.0.x._target_', 'hydra.utils.get_method'), ('a.0.x.path', 'os.system')]
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = (*place, str(key))
            if key in ("_target_", "_trained_by_") or (key == "path" and node.get("_target_") in _LOOKUPS):
                yield ".".join(here), value
            elif key == "tasks" and isinstance(value, list):  # of mteb: names, or dotted paths of classes
                classes = (each for each in value if isinstance(each, str) and _is_class_path(each))
                yield from ((".".join(here), each) for each in classes)
            yield from _calls_in(value, here)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _calls_in(value, (*place, str(number)))


def _is_class_path(task: str) -> bool:
    """Whether a task of mteb is a class of somebody's own.

    >>> [_is_class_path(task) for task in ("STS22.v2", "STSBenchmark", "mine.tasks.Ours")]
    [False, False, True]
    """
    return "." in task and not re.fullmatch(r"v[\d.]+\w*", task.partition(".")[2])


def _code_flags_in(node: Any, place: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The switches that let code of a model run, with their places."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            here = (*place, str(key))
            if str(key).endswith("trust_remote_code") and value not in (False, None):
                yield ".".join(here), value
            yield from _code_flags_in(value, here)
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _code_flags_in(value, (*place, str(number)))


def _endpoints_in(node: Any) -> Iterator[Mapping[str, Any]]:
    """The servers that get the value of a variable of the environment."""
    if isinstance(node, Mapping):
        if node.get("api_key_env") is not None:
            yield node
        for value in node.values():
            yield from _endpoints_in(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _endpoints_in(value)


@functools.cache
def _shipped() -> frozenset[str]:
    """The callables that embexp's own YAML files name, in what they propose, too, and the values of `_trained_by_`."""
    named = re.compile(r"(?:_target_|_trained_by_): *([\w.]+)")
    return frozenset(name for path in conf_dir().rglob("*.yaml") for name in named.findall(path.read_text("utf-8")))


def _own_contents() -> Iterator[Any]:
    """The content of each YAML file of `--config-dir`."""
    import yaml

    for folder in config_folders()[:-1]:
        for path in sorted(folder.rglob("*.yaml")):
            try:
                yield yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, yaml.YAMLError):  # Hydra says so of one that is used
                continue


def _in_own_files() -> set[str]:
    return {value for content in _own_contents() for _, value in _calls_in(content) if isinstance(value, str)}


def _own_packages(names: set[str]) -> frozenset[str]:
    """The packages of one's own among those of these names: neither Python's nor installed ones."""
    found = {name.partition(".")[0] for name in names if "." in name} - {*_LIBRARIES} - sys.stdlib_module_names
    return frozenset(package for package in found if not _is_installed(package))


def _is_installed(package: str) -> bool:
    import importlib.util

    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])] if spec else []
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib")}
    return any(Path(place).resolve().is_relative_to(root) for place in places for root in installed)


def links_out_of(folder: Path) -> list[str]:
    """The links below a folder that lead out of it, each with where it leads; nothing is followed."""
    root, found = folder.resolve(), []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not (target := path.resolve()).is_relative_to(root):
            found.append(f"{path.relative_to(folder)} leads to {target}")
    return found
