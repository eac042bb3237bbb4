"""Several data sets on the command line: `dataset=[nli,stsb,faq.csv] dataset.stsb.loss=cosent dataset.nli.weight=2`.

Hydra composes a set at `mixture.sets.<name>`: its data set, and what it has of its own of the groups `loss`,
`modifier`, `step`, `negatives` and `silver`, as its packages do for a stage before the main one. A YAML says the same
under `mixture:`, and its sets have the same keys. The first set is also what stands under `dataset`.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from omegaconf import OmegaConf
from yaml import YAMLError

from embexp.cli.quoting import QUOTED, quoted, unquoted
from embexp.config.session import option_files
from embexp.data.formats import SUFFIXES
from embexp.errors import ConfigError, Problem, did_you_mean, listed

_Expand = Callable[[Sequence[str]], list[str]]
SETS = "mixture.sets"
OWN_GROUPS = ("loss", "modifier")  # one option of each for a set
_OWN_STEPS = ("negatives", "silver")
_OWN_VALUES = ("weight", "shape", "name")
_OF_DATA = ("reader", "steps", "shapes")  # what one data set has under `dataset`
_KNOWN = (*OWN_GROUPS, "step", *_OWN_STEPS, *_OWN_VALUES, "conversion", *_OF_DATA)
_MEMBER = re.compile(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]*?)\s*(?:,|$)""")


def members_of(argument: str) -> list[str] | None:
    """The data sets that `dataset=[a,b]` names; None where an argument is none such, or the brackets are a path's.

    >>> members_of("dataset=[nli, 'my data/a.csv']"), members_of("dataset=nli"), members_of("dataset=[a],[b]")
    (['nli', 'my data/a.csv'], None, None)
    """
    key, _, value = argument.partition("=")
    inside = value[1:-1]
    if key != "dataset" or value[:1] + value[-1:] != "[]" or {"[", "]"} & {*inside} or Path(value).exists():
        return None
    found = [each for each in _MEMBER.findall(inside) if each]
    return [unquoted(each) if QUOTED.fullmatch(each) else each for each in found]


def names_of(members: Sequence[str]) -> dict[str, str]:
    """A name for each set, and the key under which Hydra has it, which is of ASCII letters, digits, `_` and `-`.

    The name is that of the option, of the file without its ending, or the last part of a Hub id. Of files of one name
    the folder comes before it; what is still the same gets a number.

    >>> names_of(["nli", "a/faq.csv", "b/faq.csv", "v1.5.csv", "数据.csv", "nli"])
    {'nli': 'nli', 'a_faq': 'a_faq', 'b_faq': 'b_faq', 'v1.5': 'v1_5', '数据': 'set_5', 'nli_2': 'nli_2'}
    """
    short = [_short_name(member) for member in members]
    paths = dict(zip(members, short, strict=True))
    again = {name for name in short if sum(other == name for other in paths.values()) > 1}
    parents = [Path(member.rstrip("/")).parent.name for member in members]
    wanted = [
        f"{_plain(parent)}_{name}" if name in again and parent else name
        for name, parent in zip(short, parents, strict=True)
    ]
    found: dict[str, str] = {}
    for place, name in enumerate(wanted, 1):
        key = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        key = key if re.search(r"[A-Za-z0-9]", key) else f"set_{place}"
        key = key if re.match(r"[A-Za-z_]", key) else f"_{key}"
        found[_free(name, found)] = _free(key, found.values())
    return found


def _short_name(member: str) -> str:
    name = Path(member.rstrip("/")).resolve().name if member in (".", "..", "./", "../") else Path(member).name
    ending = re.search(rf"({'|'.join(map(re.escape, SUFFIXES))})?(\.gz)?$", name, re.IGNORECASE)
    return _plain(name[: ending.start()] or name)


def _plain(name: str) -> str:
    """A name that can stand in those of metrics and files."""
    return re.sub(r"[^\w.-]", "_", name)


def _free(name: str, taken: object) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def expand_mixture(arguments: Sequence[str], expand: _Expand) -> list[str]:
    """The overrides in which `dataset=[a,b]` and `dataset.a.loss=...` are what Hydra composes; others as they are.

    `dataset=[a]` is `dataset=a`. A step for all, `step=[clean]`, is one for each set. The sets may also be those of the
    YAML that `experiment=` names.

    Args:
        expand: makes overrides of a single choice, such as `+dataset@mixture.sets.faq.dataset=faq.csv`.

    Raises:
        ConfigError: what is no data set, or a key that is no set's.
    """
    named = [place for place, each in enumerate(arguments) if members_of(each) is not None]
    keys, chosen = _sets_of_experiment(arguments)
    if not named:
        mixture = _Mixture(keys, True, chosen)
        return [override for each in arguments for override in mixture.expanded(each)] if keys else [*arguments]
    members = members_of(arguments[named[-1]]) or []
    if not members:
        raise ConfigError("names none", key="dataset", given="[]", expected="a data set, or several", fix="dataset=nli")
    _check_members(members)
    if later := [each for each in arguments[named[-1] :] if each.startswith("dataset=")][1:]:
        raise _one_more(later[0], [*members, unquoted(later[0].partition("=")[2])])
    mixture = _Mixture(names_of(members), len(members) > 1)
    made = [*expand([f"dataset={members[0]}"])]
    if len(members) > 1:
        for member, (name, key) in zip(members, mixture.keys.items(), strict=True):
            made += expand([f"+dataset@{SETS}.{key}.dataset={member}"])
            made += [f"++{SETS}.{key}.name={quoted(name)}"] if name != key else []
    others = [each for each in arguments if not each.startswith("dataset=")]
    if len(members) == 1 and keys:
        return expand_mixture([f"dataset={members[0]}", *others], expand)
    made += [override for each in others for override in mixture.expanded(each)]
    chosen = {each.partition("=")[0]: each for each in made if each.startswith("+") and "@" in each}
    return [each for each in made if chosen.get(each.partition("=")[0], each) is each]  # of two choices the last


def _sets_of_experiment(arguments: Sequence[str]) -> tuple[dict[str, str], frozenset[str]]:
    """The key of each set that the YAML of `experiment=` mixes, by name, and its choices, such as `loss@<place>`."""
    names = [each.partition("=")[2] for each in arguments if each.lstrip("+").startswith("experiment=")]
    path = option_files("experiment").get(names[-1]) if names else None
    if path is None:
        return {}, frozenset()
    with suppress(YAMLError, OSError, ValueError):  # of which Hydra speaks when it reads the file
        node = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        listed_ones = [key for each in node.get("defaults") or () if isinstance(each, dict) for key in each]
        chosen = frozenset(key.removeprefix("override ").strip().lstrip("/") for key in map(str, listed_ones))
        places = [key.partition(f"@{SETS}.")[2].partition(".")[0] for key in chosen]
        sets = (node.get("mixture") or {}).get("sets") or {}
        found = dict.fromkeys([*map(str, sets), *sorted(filter(None, places))])
        return {str((sets.get(key) or {}).get("name") or key): key for key in found}, chosen
    return {}, frozenset()


def _one_more(argument: str, members: Sequence[str]) -> ConfigError:
    text, fix = "is one more than the data sets in brackets", f"dataset=[{','.join(members)}]"
    return ConfigError(text, key="dataset", given=argument.partition("=")[2], expected="it in them", fix=fix)


def _check_members(members: Sequence[str]) -> None:
    known, problems = sorted(option_files("dataset")), []
    for member in members:
        is_path = "/" in member or Path(member).suffix in (*SUFFIXES, ".gz")
        if not is_path and member not in known:
            near = get_close_matches(member, known, n=1, cutoff=0.5)
            other = [near[0] if each == member else each for each in members] if near else []
            expected = f"paths, Hub ids, or some of: {listed(known)}"
            fix = (f"dataset=[{','.join(other)}]",) if near else ()
            text, note = f"names {member}, which is no data set", did_you_mean(member, known)
            problems.append(Problem(text, "dataset", [*members], expected, note, fix))
    if problems:
        raise ConfigError(*problems)


class _Mixture:
    """Rewrites what is typed for a set, or for all.

    Attributes:
        keys: the key of each set by its name.
        is_mixture: whether there are several; else the only set is the run's data set.
        chosen: what a YAML has chosen for the sets, which is replaced and not added.
    """

    def __init__(self, keys: Mapping[str, str], is_mixture: bool, chosen: Collection[str] = ()) -> None:
        self.keys, self.is_mixture, self.chosen = keys, is_mixture, chosen

    def expanded(self, argument: str) -> list[str]:
        bare = argument.lstrip("+~")
        sign = argument[: len(argument) - len(bare)]
        key, equals, value = bare.partition("=")
        if key.startswith("dataset."):
            return self._of_set(sign, key.removeprefix("dataset."), equals, value)
        if not self.is_mixture:
            return [argument]
        if key == "mixture.batches":
            return [f"++{key}={value}"]
        if key == "step" and not sign:  # those of an experiment are replaced
            return ["step=[]", *(each for name in self.keys.values() for each in self._steps(name, value))]
        if key == "dataset":  # beside the sets of a YAML
            text, expected = "is not read: the sets of the experiment are", "what one of them reads"
            fix = tuple(f"{self._choice('dataset', f'{SETS}.{each}.dataset', value)}" for each in self.keys.values())
            raise ConfigError(text, key=key, given=value, expected=expected, fix=fix)
        if key in _OWN_STEPS and value not in ("none", "null"):
            text, expected = "is of one data set, and several are mixed", "the set that it is for"
            raise ConfigError(text, key=key, given=value, expected=expected, fix=self._for_each(key, value))
        return [argument]

    def _of_set(self, sign: str, key: str, equals: str, value: str) -> list[str]:
        names = sorted(
            {**{each: each for each in self.keys.values()}, **self.keys}.items(), key=lambda each: -len(each[0])
        )
        found = next(((name, place) for name, place in names if key == name or key.startswith(f"{name}.")), None)
        first = key.partition(".")[0]
        if found is None and not self.is_mixture and first in _OF_DATA:
            return [f"{sign}dataset.{key}{equals}{value}"]
        if found is None or key == found[0]:
            raise self._no_set(key, value)
        inner = key.removeprefix(f"{found[0]}.")
        if (group := inner.partition(".")[0]) not in _KNOWN:
            expected, near = f"one of: {listed(_KNOWN)}", get_close_matches(group, _KNOWN, n=1)
            fix = tuple(f"dataset.{found[0]}.{each}={value}" for each in near if group == inner)
            note = did_you_mean(group, _KNOWN)
            raise ConfigError(
                "is no key of a set", key=f"dataset.{key}", given=value, expected=expected, note=note, fix=fix
            )
        if not self.is_mixture:
            return _for_one(sign, inner, equals, value)
        place = f"{SETS}.{found[1]}"
        if inner in OWN_GROUPS and value[:1] not in ("{", "$"):
            return [self._choice(inner, f"{place}.{inner}", value)]
        if inner == "step":
            return self._steps(found[1], value)
        if inner in _OWN_STEPS:
            return [self._choice(inner, f"{place}.dataset.steps.{inner}", value)]
        if inner in _OWN_VALUES or group in (*OWN_GROUPS, "conversion"):
            return [f"{sign if '~' in sign else '++'}{place}.{inner}{equals}{value}"]
        return [f"{sign}{place}.dataset.{inner}{equals}{value}"]

    def _no_set(self, key: str, value: str) -> ConfigError:
        first = key.partition(".")[0]
        typed, rest = f"dataset.{key}", key.removeprefix(f"{first}.")
        if first in _OF_DATA:
            text, expected = "is of one data set, and several are mixed", "the set that it is for"
            return ConfigError(text, key=typed, given=value, expected=expected, fix=self._for_each(key, value))
        near = get_close_matches(first, self.keys, n=2, cutoff=0.5) or ([*self.keys] if rest != key else [])
        fix = tuple(f"dataset.{name}.{rest}={value}" for name in near[:2]) if rest != key else ()
        expected = f"a key of one of: {listed(self.keys)}"
        return ConfigError("names no set", key=typed, given=value, expected=expected, fix=fix)

    def _choice(self, group: str, place: str, value: str) -> str:
        """The override that puts an option of a group at a place."""
        plus = "" if f"{group}@{place}" in self.chosen else "+"
        return f"{plus}{group}@{place}={'none' if value == 'null' else value}"

    def _steps(self, key: str, value: str) -> list[str]:
        names = [name.strip() for name in value.strip("[]").split(",")]
        return [self._choice("step", f"{SETS}.{key}.dataset.steps.{name}", name) for name in names if name]

    def _for_each(self, key: str, value: str) -> tuple[str, ...]:
        return tuple(f"dataset.{name}.{key}={value}" for name in self.keys)


def _for_one(sign: str, inner: str, equals: str, value: str) -> list[str]:
    """What is typed for the only set, as it is typed for a run's data set."""
    group = inner.partition(".")[0]
    if group == "weight":
        if value in ("1", "1.0"):
            return []
        text, expected = "has no other set beside it", "1, or several sets"
        raise ConfigError(text, key="weight", given=value, expected=expected)
    if group in (*OWN_GROUPS, *_OWN_STEPS, "step", "shape", "conversion"):
        return [f"{sign}{inner}{equals}{value}"]
    return [f"{sign}dataset.{inner}{equals}{value}"]
