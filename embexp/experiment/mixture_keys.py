"""A mixture: several data sets, trained on at once, each with a loss, a conversion, steps and a weight of its own.

`mixture.sets` has a part for each set: `dataset`, and what is its own of `loss`, `modifier`, `shape`, `conversion` and
`weight`; of what it leaves out it has the run's. `dataset=[a,b]` writes it (`embexp.cli.mixtures`). What `weight` says
is how often the rows of a set come in an epoch. A set is left out of the training by `dataset.<set>.weight=0`: its rows
are divided as before, and its test and dev are scored as before, so that runs with and without it can be compared.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from embexp.config.session import option_files
from embexp.core.arguments import LegalValues, problems_with, refuse
from embexp.errors import Problem, did_you_mean, listed
from embexp.training.stages import PROPORTIONAL, ROUND_ROBIN

_Node = Mapping[str, Any]
_KEYS = ("dataset", "loss", "modifier", "shape", "conversion", "weight", "name")
_MADE = ("key", "own")  # which a set has in the configuration of a run that began
_WEIGHT = LegalValues(least=0, most=1000)
_BATCHES = LegalValues(one_of=(PROPORTIONAL, ROUND_ROBIN))


def with_mixture(config: dict[str, Any]) -> dict[str, Any]:
    """The resolved configuration with every set of its mixture made whole, by name; the first one's data are the run's.

    Without a mixture the key is gone, and a mixture of one set is that data set alone.

    Raises:
        ConfigError: keys or values that a set does not have, or no set to train on.
    """
    given = config.get("mixture")
    others = {key: value for key, value in config.items() if key != "mixture"}
    if given is None:
        return others
    refuse(_problems(given))
    if config.get("vary"):
        text, expected = "drives the steps of one data set, and several are mixed", "none with a mixture"
        refuse([Problem(text, "vary", config["vary"], expected, fix=("vary=[]",))])
    sets = {str(each.get("name") or key): _whole(str(key), each, config) for key, each in given["sets"].items()}
    refuse(_unread_steps(config["dataset"], sets))
    refuse(_weight_problems(sets, given.get("batches") or PROPORTIONAL))
    first = next(iter(sets.values()))
    if len(sets) == 1:
        return others | {key: first[key] for key in ("dataset", "loss", "modifier", "shape", "conversion")}
    main = next(each for each in sets.values() if each["weight"])
    chosen = {"dataset": first["dataset"], **{key: main[key] for key in ("loss", "modifier", "shape")}}
    return others | chosen | {"mixture": {"batches": given.get("batches") or PROPORTIONAL, "sets": sets}}


def _problems(given: Any) -> Iterator[Problem]:
    sets = given.get("sets") if isinstance(given, Mapping) else None
    if not isinstance(sets, Mapping) or not sets:
        yield Problem("names no sets", "mixture", given, "sets, each with a dataset", fix=("dataset=[nli,stsb]",))
        return
    for key in (key for key in given if key not in ("sets", "batches")):
        yield Problem("is not a key", f"mixture.{key}", expected="one of: batches, sets")
    yield from problems_with("mixture.batches", given.get("batches") or PROPORTIONAL, _BATCHES, PROPORTIONAL)
    for key, node in sets.items():
        place = f"mixture.sets.{key}"
        if (
            not isinstance(node, Mapping)
            or not isinstance(data := node.get("dataset"), Mapping)
            or "reader" not in data
        ):
            yield Problem("has no data set", place, expected="one", fix=(f"+dataset@{place}.dataset=<option or path>",))
            continue
        for name in (name for name in node if name not in (*_KEYS, *_MADE)):
            expected, near = f"one of: {listed(_KEYS)}", did_you_mean(str(name), _KEYS)
            yield Problem("is not a key", f"{place}.{name}", expected=expected, note=near)
        yield from problems_with(f"dataset.{node.get('name') or key}.weight", node.get("weight", 1), _WEIGHT, "1")
        if not re.fullmatch(r"[\w.-]+", name := str(node.get("name") or key)) or name.startswith("."):
            yield Problem("is no name for a set", place, name, "letters, digits, _, . and -: it names metrics")


def _whole(key: str, given: _Node, config: _Node) -> dict[str, Any]:
    """A set with all that a stage has; `key` is Hydra's for it, and `own` are the keys that it has of its own."""
    if "own" in given:
        return dict(given)
    own = {name: value for name, value in given.items() if value is not None}
    shared = {name for name in ("loss", "modifier") if name in own and _is_arguments(own[name], config[name])}
    own |= {name: {**config[name], **own[name]} for name in shared}
    found = {name: own.get(name, config.get(name)) for name in ("dataset", "loss", "modifier")}
    shape = own.get("shape", None if "loss" in {*own} - shared else config.get("shape"))
    conversion = {**config["conversion"], **own.get("conversion", {})}
    rest = {"shape": shape, "conversion": conversion, "weight": own.get("weight", 1)}
    return {**found, **rest, "key": key, "own": sorted({*own} - shared & {*_KEYS})}


def _is_arguments(own: Any, shared: Any) -> bool:
    """Whether a set has arguments for the run's loss or modifier, and none of its own."""
    return isinstance(own, Mapping) and isinstance(shared, Mapping) and not {"_target_", "_by_shape_"} & {*own}


def _unread_steps(node: Any, sets: Mapping[str, _Node]) -> Iterator[Problem]:
    """The problems of steps that the run chose for its one data set, such as those of an experiment's YAML."""
    read = {key for each in sets.values() for key in each["dataset"].get("steps") or {}}
    for key in (key for key, step in (node.get("steps") or {}).items() if step is not None and key not in read):
        is_group = key in ("negatives", "silver")
        if is_group or not any(
            re.search(rf"(steps\.|^\s+){re.escape(key)}:", path.read_text(encoding="utf-8"), re.MULTILINE)
            for path in option_files("dataset").values()  # a step that a data set comes with may be left out of a set
        ):
            typed, value = (key, "<option>") if is_group else ("step", f"[{key}]")
            text = "is for one data set, and several are mixed: none of them has it"
            fix = (f"{typed}={'none' if is_group else '[]'}", *(f"dataset.{name}.{typed}={value}" for name in sets))
            yield Problem(text, f"dataset.steps.{key}", expected="the set that it is for", fix=fix)


def _weight_problems(sets: Mapping[str, _Node], batches: str) -> Iterator[Problem]:
    weights = {name: each["weight"] for name, each in sets.items()}
    if not any(weights.values()):
        name = next(iter(weights))
        yield Problem(
            "leaves nothing to train on", f"dataset.{name}.weight", 0, "one above 0", fix=(f"dataset.{name}.weight=1",)
        )
    for name, weight in weights.items():
        if batches == ROUND_ROBIN and weight not in (0, 1):
            text = f"has no effect with mixture.batches={ROUND_ROBIN}, where each set has as many batches"
            fix = (f"mixture.batches={PROPORTIONAL}", f"dataset.{name}.weight=1")
            yield Problem(text, f"dataset.{name}.weight", weight, "1, or 0 for a set that is not trained on", fix=fix)


def sets_of(config: _Node) -> Mapping[str, _Node]:
    """The sets of a mixture, by name; empty for one data set."""
    return (config.get("mixture") or {}).get("sets") or {}
