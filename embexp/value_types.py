"""Values of the type that their YAML file has: groups are plain YAML, so OmegaConf itself takes any value for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig

from embexp.errors import ConfigError


def check_value_types(given: DictConfig, defaults: DictConfig) -> None:
    """Refuse a value whose type differs from the default's in its YAML file.

    Groups are plain YAML, so OmegaConf takes any value for them: the defaults are their schema.

    Raises:
        ConfigError: lists every misfit at once.
    """
    misfits = dict.fromkeys((*_type_misfits(given, defaults, ""), *_shapes_misfits(given, "")))
    if misfits:
        raise ConfigError("\n".join(misfits))


def _type_misfits(given: Any, default: Any, path: str):
    if isinstance(given, DictConfig) and isinstance(default, DictConfig):
        for key in given:
            if key in default:
                yield from _type_misfits(
                    given._get_node(key), default._get_node(key), f"{path}.{key}" if path else str(key)
                )
        return
    if isinstance(default, ListConfig) and not isinstance(given, ListConfig):
        yield from _list_misfits(given._value(), path)
        return
    if isinstance(given, DictConfig | ListConfig) or isinstance(default, DictConfig | ListConfig):
        return
    value, usual = given._value(), default._value()
    if not _fits(value, usual):
        yield (
            f"{path}={value} is {_type_name(value)}; expected {_type_name(usual)}, such as the default {path}={usual}."
        )


def _list_misfits(value: Any, path: str) -> Iterator[str]:
    if value is not None and not _is_interpolation(value) and not isinstance(value, Mapping):
        yield f"{path}={value}: expected a list: {path}=[{value}]."


def _shapes_misfits(given: Any, path: str) -> Iterator[str]:
    """The shapes of every dataset: a list of at least one, or null where only reading can tell."""
    if not isinstance(given, DictConfig) or given._is_none() or given._is_missing() or given._is_interpolation():
        return
    for key in given:
        inner, where = given._get_node(key), f"{path}.{key}" if path else str(key)
        if key == "shapes" and "reader" in given:
            if isinstance(inner, ListConfig) and not inner._is_none() and not len(inner):
                yield f"{where}=[] holds no shape: expected one, such as {where}=[scored_pair]."
            elif isinstance(inner._value(), str) and not _is_interpolation(inner._value()):
                yield from _list_misfits(inner._value(), where)
        else:
            yield from _shapes_misfits(inner, where)


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
