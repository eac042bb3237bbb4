"""The space of a race, as it is typed or as a YAML has it: keys with the values of the candidates, best prior first."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override

from embexp.cli.app import is_sweep
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import QUOTED, quote_texts, quoted, unquoted
from embexp.config.compose import option_names
from embexp.config.session import option_files
from embexp.core.arguments import COUNT, LegalValues, problems_with
from embexp.errors import ConfigError, Problem, as_typed, listed
from embexp.experiment.fingerprint import CHANGE_NOTHING

LEARNING_RATE = "trainer.learning_rate"
_TIMES = re.compile(r"(\d+(?:\.\d+)?)x")  # 3x: three times the learning rate that suits the model
_OWN = ("race", "budget")  # keys of the command that no run has
_MEASURES = dict.fromkeys(
    ("evaluator", "primary_metric", "test", "dev"), "candidates that are measured differently cannot be compared"
)
_NOT_RACED = {
    **dict.fromkeys({*CHANGE_NOTHING, *_OWN, "tracking", "export"} - {"experiment"}, "it changes no result"),
    **_MEASURES,
    "seed": "every candidate gets the same seeds, as many as it needs (race.seeds)",
    "vary": "every candidate gets the same seeds, which drive the same",
}
_MULTIRUN = {"-m", "--multirun"}


@dataclass(frozen=True)
class Dimension:
    """A key in which candidates differ, with its values as they are typed, the most promising first."""

    key: str
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key without the plus that adds it, an option's by its place."""
        return name_of(self.key)

    def overrides(self, value: str) -> tuple[str, ...]:
        """What stands for one of the values: of a path or an id an option and a key.

        >>> Dimension("model", ("minilm", "my/model")).overrides("my/model")
        ('model=pretrained', 'model.path=my/model')
        """
        return tuple(quote_texts(expand_paths([f"{self.key}={value}"], mixes=True)))


def typed_space(arguments: Sequence[str]) -> list[str]:
    """The arguments with all that is swept in the list `race.typed`, in its order, which says what is tried first.

    The first option of a group stands besides: keys that the others have too are typed for it.

    >>> typed_space(["loss=contrastive,triplet", "loss.margin=0.3", "threads=1,2"])
    ['loss.margin=0.3', 'loss=contrastive', 'race.typed=["loss=contrastive,triplet","threads=1,2"]']

    Raises:
        ConfigError: -m was typed, a key twice, or a list for a group of which a run has one option.
    """
    if _MULTIRUN & {*arguments}:
        raise ConfigError("-m was typed", expected="none: embexp.race tries several values by itself")
    arguments = [_as_choice(argument) for argument in arguments]
    raced = [argument for argument in arguments if is_sweep(quote_texts([argument])[0])]
    others = [argument for argument in arguments if argument not in raced]
    keys = [name_of(each) for each in (*raced, *others)]
    if twice := sorted({key for key in keys[: len(raced)] if keys.count(key) > 1}):
        raise ConfigError(f"{listed(twice)} was typed more than once", expected="all values of a key in one list")
    others = quote_texts(expand_paths(others, mixes=True))
    raced = quote_texts(raced)
    first = [each for argument in raced for each in _first_option(argument)]
    return [*others, *first, f"race.typed=[{','.join(map(quoted, raced))}]"] if raced else others


def _as_choice(argument: str) -> str:
    """A single multiple of a learning rate as a list of one: what it comes to depends on the candidate's model.

    >>> _as_choice("trainer.learning_rate=3x"), _as_choice("trainer.learning_rate=3e-5")
    ('trainer.learning_rate=choice(3x)', 'trainer.learning_rate=3e-5')
    """
    key, _, value = argument.partition("=")
    return f"{key}=choice({value})" if name_of(key) == LEARNING_RATE and times(value) is not None else argument


def _first_option(argument: str) -> tuple[str, ...]:
    """The first of the options of a group that are typed; none of other keys."""
    override = OverridesParser.create().parse_override(argument)
    dimension = Dimension(override.get_key_element(), ())
    if "." in dimension.name or not isinstance(override.value(), ChoiceSweep) or not option_files(dimension.name):
        return ()
    return dimension.overrides(next(override.sweep_string_iterator()))


def run_overrides(typed: Sequence[str]) -> list[str]:
    """Of the command's overrides those of every run: without the race's own, and without the seed, which it gives.

    >>> run_overrides(["loss=mnrl", "budget=30m", "race.seeds=3", "race=losses", "seed=7", "race.typed=[]"])
    ['loss=mnrl']
    """
    return [each for each in typed if name_of(each).partition(".")[0] not in (*_OWN, "seed")]


def name_of(override: str) -> str:
    """The key that an override sets, an option's by its place.

    >>> name_of("+model/adapter=lora"), name_of("~loss.margin"), name_of("+dataset@test=file")
    ('model.adapter', 'loss.margin', 'test')
    """
    group, _, place = override.lstrip("+~").partition("=")[0].partition("@")
    return place or group.replace("/", ".")


def read_typed(typed: Sequence[str]) -> list[Dimension]:
    """The dimensions of the list `race.typed`, in a command in which Hydra has started.

    Raises:
        ConfigError: a key cannot be raced, a range holds nothing, or all numbers between two.
    """
    from hydra.core.global_hydra import GlobalHydra

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return [_dimension(override) for override in parser.parse_overrides([*typed])]


def _dimension(override: Override) -> Dimension:
    key, typed, value = override.get_key_element(), override.input_line, override.value()
    _check_key(name_of(key), typed)
    if isinstance(value, IntervalSweep) or getattr(value, "tags", None):
        text = f"{typed} cannot be raced: a race compares values that are named"
        fix = (f"{key}=<value>,<value>", f"python -m embexp.tune '{typed}'")
        raise ConfigError(text, expected="a few values; embexp.tune searches an interval for one model", fix=fix)
    if hasattr(value, "shuffle"):
        value.shuffle = False  # their order says which are tried first
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise ConfigError(f"{typed} holds no values", expected="the lower end first, then the higher one")
    return Dimension(key, values)


def _check_key(key: str, typed: str) -> None:
    if reason := _NOT_RACED.get(re.split(r"[./@]", key)[0]):
        fix = ("race.seeds=<number>",) if key == "seed" else (f"{key}=<one value>", f"{key}=[a,b]")
        raise ConfigError(f"{typed} cannot be raced: {reason}", expected="other keys, or one value", fix=fix)


def space_of(values: Any) -> list[Dimension]:
    """The dimensions of the mapping `race.space`; none of null.

    >>> space_of({"loss": ["mnrl", "cosent"], "modifier.dims": [[64, 32], [16]]})[1].values
    ('[64,32]', '[16]')

    Raises:
        ConfigError: it is no mapping of keys to lists of values, or a key cannot be raced.
    """
    if values is None:
        return []
    wrong = not isinstance(values, Mapping) or [
        key for key, each in values.items() if not isinstance(each, list) or not each
    ]
    if wrong:
        expected, fix = "a list of values for each key", "'race.space={loss: [mnrl, info_nce], loss.scale: [20, 40]}'"
        raise ConfigError("cannot be read", key="race.space", given=values, expected=expected, fix=fix)
    for key in values:
        _check_key(name_of(key), f"race.space.{key}")
    return [Dimension(key, tuple(dict.fromkeys(map(as_typed, each)))) for key, each in values.items()]


def times(value: str) -> float | None:
    """How many times the model's own learning rate a value stands for; None where it is a rate itself.

    >>> times("0.3x"), times("5e-5")
    (0.3, None)
    """
    found = _TIMES.fullmatch(value)
    return float(found[1]) if found else None


def shown(overrides: Sequence[str]) -> str:
    """What candidates differ in, in a few words: options, paths and learning rates alone, else with the key's end.

    >>> shown(["loss=mnrl", "model=pretrained", "model.path=my/model", "trainer.learning_rate=5e-05", "loss.scale=20"])
    'mnrl my/model 5e-05 scale=20'
    >>> shown(["loss=cosent", "negatives=none"])
    'cosent negatives=none'
    """
    return " ".join(_shown(overrides))


def _shown(overrides: Sequence[str]) -> Iterator[str]:
    names = [name_of(each) for each in overrides]
    for name, override in zip(names, overrides, strict=True):
        value = override.partition("=")[2]
        value = unquoted(value) if QUOTED.fullmatch(value) else value
        speaks = "." not in name or name.endswith((".path", ".id", "learning_rate"))
        if f"{name}.path" in names or f"{name}.reader.path" in names or f"{name}.reader.id" in names:
            continue
        is_plain = speaks and value not in ("none", "null", "true", "false")
        yield value if is_plain else f"{name.rpartition('.')[2]}={value}"


_MOST_NAMED = 3


def some_of(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are.

    >>> some_of(["a", "b"]), some_of(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c, 2 more')
    """
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more])


_SHARE = LegalValues(above=0, below=1)
_SEEDS = LegalValues(least=1, most=100, whole=True)  # of more each look would have no share of alpha left to speak of
_PRIOR = {"seeds": (LegalValues(above=0), 0.005), "drift": (LegalValues(least=0), 0.05), "degrees": (COUNT, 12)}


def race_problems(race: Mapping[str, Any]) -> Iterator[Problem]:
    """The problems with the settings of a race."""
    yield from problems_with("race.max_candidates", race["max_candidates"], COUNT, such_as=12)
    yield from problems_with("race.seeds", race["seeds"], _SEEDS, such_as=5)
    yield from problems_with("race.alpha", race["alpha"], _SHARE, such_as=0.05)
    if any("=" not in str(each) for each in race["typed"] or ()):
        expected, fix = "what differs between candidates, which is typed without this key", "loss=mnrl,cosent"
        yield Problem(key="race.typed", given=race["typed"], expected=expected, fix=(fix,))
    yield from problems_with("race.downloads", race["downloads"], LegalValues(flag=True), such_as=False)
    of_models = LegalValues(one_of=tuple(option_names("model")), many=True)
    yield from problems_with("race.models", race["models"], of_models, such_as="[minilm,static]")
    if race["prior"] is None:
        expected, fix = "how far scores move", "'race.prior={seeds: 0.005, drift: 0.05, degrees: 12}'"
        yield Problem(key="race.prior", given=None, expected=expected, fix=(fix,))
    for key, given in (race["prior"] or {}).items():
        legal, usual = _PRIOR[key]
        yield from problems_with(f"race.prior.{key}", given, legal, such_as=usual)
    rungs = race["rungs"]
    are_shares = isinstance(rungs, list) and rungs and all(_SHARE.allow(each) for each in rungs[:-1])
    if not are_shares or rungs[-1] is True or rungs[-1] != 1 or sorted({*rungs}) != rungs:
        expected, fix = "growing shares of the training, the last one 1", "race.rungs=[0.25,0.5,1]"
        yield Problem(key="race.rungs", given=rungs, expected=expected, fix=(fix,))
    for rate in race["learning_rates"] or ():
        factor = times(str(rate))
        if not (factor if factor is not None else LegalValues(above=0).allow(rate)):
            expected = "rates, or how many times that of the model: 3x"
            yield Problem(
                key="race.learning_rates", given=rate, expected=expected, fix=("race.learning_rates=[1x,3x]",)
            )


def in_order(space: Sequence[Dimension]) -> Iterator[tuple[str, ...]]:
    """All combinations of values, the most promising first: by the sum of their places; the first key changes first.

    >>> [*in_order([Dimension("a", ("x", "y")), Dimension("b", ("1", "2"))])]
    [('x', '1'), ('y', '1'), ('x', '2'), ('y', '2')]
    """
    sizes = [len(each.values) for each in space]
    for total in range(sum(sizes) - len(sizes) + 1):
        for places in _places(sizes, total):
            yield tuple(each.values[place] for each, place in zip(space, places, strict=True))


def _places(sizes: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """The places with that sum, the latest of the first key first."""
    if not sizes:
        if total == 0:
            yield ()
        return
    most = sum(sizes[1:]) - len(sizes[1:])
    for place in range(min(sizes[0] - 1, total), max(0, total - most) - 1, -1):
        for others in _places(sizes[1:], total - place):
            yield (place, *others)


def num_combinations(space: Sequence[Dimension]) -> int:
    """How many combinations of values there are; one of an empty space.

    >>> num_combinations([Dimension("a", ("x", "y")), Dimension("b", ("1", "2", "3"))]), num_combinations([])
    (6, 1)
    """
    return math.prod(len(each.values) for each in space)
