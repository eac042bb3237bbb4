"""Names that stand in the source of a library, without importing it: that may take seconds."""

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Any

TRAINING_ARGUMENTS = ("transformers.training_args", "TrainingArguments")


@functools.cache
def enumeration_values(module: str, name: str) -> tuple[str, ...]:
    """The values of an enumeration.

    >>> enumeration_values("transformers.trainer_utils", "IntervalStrategy")
    ('no', 'steps', 'epoch')
    """
    return tuple(ast.literal_eval(each.value) for each in _body_of(module, name) if isinstance(each, ast.Assign))


@functools.cache
def field_defaults(module: str, name: str) -> dict[str, Any]:
    """The fields of a dataclass, without those of its parents, and their defaults; None where that is no literal.

    >>> field_defaults(*TRAINING_ARGUMENTS)["adam_beta1"]
    0.9
    """
    fields = (each for each in _body_of(module, name) if isinstance(each, ast.AnnAssign))
    return {each.target.id: _default_in(each.value) for each in fields}


def _default_in(call: ast.expr | None) -> Any:
    found = [each.value for each in getattr(call, "keywords", ()) if each.arg == "default"]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def _body_of(module: str, name: str) -> list[ast.stmt]:
    """What stands in a class of a module; of its package only the place is asked for, which imports nothing."""
    package, *inner = module.split(".")
    place = Path(importlib.util.find_spec(package).origin).parent.joinpath(*inner).with_suffix(".py")
    source = ast.parse(place.read_text(encoding="utf-8"))
    return next(each.body for each in source.body if isinstance(each, ast.ClassDef) and each.name == name)
