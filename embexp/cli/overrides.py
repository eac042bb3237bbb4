"""Overrides as people type them: null for none, paths in place of options, texts without the quotes of Hydra."""

import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from omegaconf import OmegaConf

from embexp.cli.mixtures import expand_mixture
from embexp.cli.quoting import FOREIGN, QUOTED, quoted, unquoted
from embexp.config.compose import brings_data
from embexp.config.session import known_model, option_files, served_error
from embexp.core.arguments import texts_in
from embexp.core.file_contents import json_in
from embexp.core.run_folder import CONFIG, read_config
from embexp.data.formats import SUFFIXES, kind_of
from embexp.errors import ConfigError, Problem, did_you_mean, listed

_SEVERAL = ("step", "adapt", "evaluator", "guard", "export")  # groups of which a run has a list of options
# What a run cannot go without, with a value to type.
_NEEDED = {"dataset": "finance", "model": "minilm", "loss": "mnrl", "conversion": "default", "trainer": "default"}
_NEEDED |= {"tracking": "none", "paths": "default", "seed": "42", "threads": "null", "name": "null", "keep": "none"}
_NEEDED |= {"profile": "false", "shape": "null", "primary_metric": "null", "resume": "null", "evaluator": "auto"}
_NEEDED |= {"sweep": "default", "verdict": "default"}
_NO_NAME = re.compile(r"null|true|false|nan|[-+]?inf|[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)  # to Hydra's grammar


def _as_hydra_chooses(argument: str) -> str:
    """An override with the choice that it means; one that chooses nothing stays.

    >>> [_as_hydra_chooses(each) for each in ("modifier=null", "loss=[mnrl]", "model/adapter=lora,null", "seed=1")]
    ['modifier=none', 'loss=mnrl', 'model/adapter=lora,none', 'seed=1']

    Raises:
        ConfigError: several options where a run has one, one twice, none where a run needs one, or what is no name.
    """
    if argument.startswith("~") and argument[1:] in _NEEDED:
        name = argument[1:]
        raise ConfigError(f"{argument} leaves out what every run has", fix=f"{name}={_NEEDED[name]}")
    if argument == "experiment=null":
        return "~experiment"
    key, sign, value = argument.partition("=")
    group = key.lstrip("+").partition("@")[0]
    options = option_files(group) if sign and re.fullmatch(r"[a-z_/]+", group) else {}
    if not options or Path(value).exists():
        return argument
    in_list = value[:1] + value[-1:] == "[]" and not {"[", "]"} & {*value[1:-1]}  # else a sweep over lists
    if in_list or (group in _SEVERAL and "[" not in value):
        names = [each.strip() for each in value.strip("[]").split(",")] if value.strip("[]") else []
        value = _list(group, names, value) if group in _SEVERAL else _only(key, names, value, options)
    elif key.startswith("+") and key.lstrip("+") == group:
        text = f"adds an option of {group}, of which a run has one already"
        raise ConfigError(text, key=key, given=value, expected="another one in its place", fix=f"{group}={value}")
    if "[" in value:
        return argument
    return f"{key}={','.join(_named(key, name, options) for name in value.split(','))}"


def _only(key: str, names: Sequence[str], value: str, options: Iterable[str]) -> str:
    """The one option that a list in brackets names."""
    if len(names) == 1:
        return names[0]
    fix = (f"{key}={names[0]}", f"-m {key}={','.join(names)}") if names else (f"{key}={_likely(key, options)}",)
    note = "With -m there is a run with each." if names else ""
    text = "names several" if names else "names none"
    raise ConfigError(text, key=key, given=value, expected=f"only one {key.partition('@')[0]}", note=note, fix=fix)


def _list(group: str, names: Sequence[str], value: str) -> str:
    """The list of options as it was typed, each of which is there once."""
    once = [*dict.fromkeys(names)]
    if wrong := [name for name in names if _NO_NAME.fullmatch(name)]:
        none = "none" in option_files(group)
        if [*names] == ["null"] and none:
            return "none"
        fix = f"{group}={_NEEDED.get(group, '[]')}"
        expected = f"some of: {listed(sorted(option_files(group)))}"
        raise ConfigError(f"holds {wrong[0]}, which is no name", key=group, given=value, expected=expected, fix=fix)
    if len(once) < len(names) and value.startswith("["):
        fix = f"{group}=[{','.join(once)}]"
        raise ConfigError("names an option twice", key=group, given=value, expected="each once", fix=fix)
    return value


def _named(key: str, name: str, options: Sequence[str]) -> str:
    """The name of an option; null stands for the option none."""
    if not _NO_NAME.fullmatch(name.strip()) or name in options:
        return name
    if name == "null" and "none" in options:
        return "none"
    fix = f"{key}={_likely(key, options)}"
    raise ConfigError("is no name", key=key, given=name, expected=f"one of: {listed(sorted(options))}", fix=fix)


def _likely(key: str, options: Iterable[str]) -> str:
    """An option to propose: the usual one of its group, else none where there is it, else the first."""
    group = key.lstrip("+").partition("@")[0]
    return _NEEDED.get(group) or ("none" if "none" in options else min(options))


# `dataset=my.csv` stands for `dataset=file dataset.reader.path=my.csv`, `dataset=org/name` for the Hub's data set.
_PATH_OPTIONS = {"dataset": ("file", "dataset.reader.path"), "model": ("pretrained", "model.path")}
# `model.adapter=lora` stands for `model/adapter=lora`: an option with arguments of its own (`model.adapter.r=16`).
_GROUPS_OF_KEYS = {key: key.replace(".", "/") for key in ("model.adapter", "tune.sampler", "tune.pruner")}
_GROUPS_OF_KEYS |= {key: f"step/scorer@{key}" for key in ("dataset.steps.teacher_scores.scorer",)}
SINGLE = ("model", "loss", "modifier", "trainer", "silver", "negatives")  # groups of which a run has one option
# `adapt.tsdae.dataset=nli` stands for `dataset@adapt.tsdae.dataset=nli`: a stage chooses from the run's groups.
_OF_STAGE = re.compile(r"adapt\.([\w-]+)\.(dataset|loss|trainer|step|modifier)")
# `evaluator.sts.dataset=gold.csv` stands for `+dataset@evaluator.sts.dataset=gold.csv`, and `test=gold.csv` for
# `+dataset@test=gold.csv`.
_OTHER_DATA = re.compile(r"\+?(?:evaluator\.([\w-]+)\.dataset|test|dev)")
_PLACED = re.compile(r"(\+?)(dataset|model)@([\w.-]+)")  # `+dataset@evaluator.retrieval.dataset=my.csv`
_IS_URL = re.compile(r"https?://", re.IGNORECASE)
SERVED_OPTION = ("served", "model.url")
_OPEN = ("conversion.label_scores",)  # tables whose keys are names of the user's own, which Hydra would refuse
# `by=source` stands for `sweep.parts.by=source`, `without=negatives` for `sweep.parts.without=[negatives]`.
_OF_PARTS, _LEAVING_OUT = ("by", "without"), "sweep=leave_one_out"
_HUB_OPTION = ("hub", "dataset.reader.id")


def expand_paths(arguments: Sequence[str], mixes: bool = False) -> list[str]:
    """Replace `dataset=<path>` and `model=<path or Hub id>` by the option that reads it, `model.adapter=` by its group.

    The path is put in quotes where Hydra's grammar wants them. A list of paths stays a sweep unless there is a file
    of that name.

    >>> expand_paths(["dataset=data/my.csv", "loss=mnrl"])
    ['dataset=file', 'dataset.reader.path=data/my.csv', 'loss=mnrl']
    >>> expand_paths(["dataset=数据.csv"])
    ['dataset=file', 'dataset.reader.path="数据.csv"']
    >>> expand_paths(["evaluator.sts.dataset=finance", "evaluator.stsb.dataset=finance"])
    ['+dataset@evaluator.sts.dataset=finance', 'dataset@evaluator.stsb.dataset=finance']
    >>> expand_paths(["model=bert-base-uncased", "model=bert-large-uncased"])
    ['model=bert_base', 'model=pretrained', 'model.path=google-bert/bert-large-uncased']
    >>> expand_paths(["model.adapter=lora", "adapt.mlm.dataset=texts.txt"])
    ['model/adapter=lora', 'dataset@adapt.mlm.dataset=file', 'adapt.mlm.dataset.reader.path=texts.txt']

    Args:
        mixes: whether `dataset=[a,b]` is a mixture of data sets, as it is for what trains.

    Raises:
        ConfigError: a list of options for a group of which a run has one.
    """
    short = [each for each in arguments if each.partition("=")[0] in _OF_PARTS]
    if short and _LEAVING_OUT not in arguments:
        text = f"{short[0]} is for a sweep that leaves out one part of the run after the other"
        raise ConfigError(text, expected=f"-m {_LEAVING_OUT}", fix=shlex.join(["-m", _LEAVING_OUT, *short]))
    if mixes:
        arguments = expand_mixture([*arguments], expand_paths)
    return [expanded for argument in arguments for expanded in _expand(argument)]


def _expand(argument: str) -> list[str]:
    group, _, value = argument.partition("=")
    if group in _OF_PARTS and value:
        is_list = group == "by" or value[0] in "[\"'" or value == "null"
        return [f"sweep.parts.{group}={value if is_list else f'[{value}]'}"]
    if group in _OPEN and value.startswith("{"):
        return [f"++{argument}"]
    if group in _GROUPS_OF_KEYS:
        return [_as_hydra_chooses(f"{_GROUPS_OF_KEYS[group]}={value}")]
    argument = _as_hydra_chooses(argument)
    group, _, value = argument.partition("=")
    if (of_stage := _OF_STAGE.fullmatch(group)) and value not in ("", "null") and value[0] not in "{$":
        return _expand_for_stage(*of_stage.groups(), value)
    if (of := _OTHER_DATA.fullmatch(group)) and value not in ("", "null") and value[0] not in "{$":
        key, known = group.lstrip("+"), sorted(option_files("dataset"))
        if not _paths_in(value) and (unknown := [each for each in value.split(",") if each not in known]):
            if Path(unknown[0]).exists():
                raise ConfigError(path_problem(key, unknown[0]))
            near = get_close_matches(unknown[0], known, n=2, cutoff=0.5)
            fix, note = [f"{key}={name}" for name in near], did_you_mean(unknown[0], known)
            expected = f"a path, a Hub id, or one of: {listed(known)}"
            raise ConfigError("is not known", key=key, given=unknown[0], expected=expected, note=note, fix=fix)
        return _expand_at("" if of[1] and brings_data(of[1]) else "+", "dataset", key, value)
    if placed := _PLACED.fullmatch(group):
        return _expand_at(*placed.groups(), value)
    if group == "model":
        known = [*map(_known_model, value.split(","))]
        is_mixed = len({"/" in each for each in known}) > 1  # options and ids go into different keys
        value = value if is_mixed else ",".join(known)
        argument = f"{group}={value}"
        if len({bool(_IS_URL.match(each)) for each in value.split(",")}) > 1:
            raise served_error(value, _NEEDED["model"])
    paths = _paths_in(value) if group in _PATH_OPTIONS else None
    if not paths:
        return [argument]
    from_hub = group == "dataset" and all(map(_is_hub_id, paths))
    served = group == "model" and all(map(_IS_URL.match, paths))
    option, key = _HUB_OPTION if from_hub else SERVED_OPTION if served else _PATH_OPTIONS[group]
    return [f"{group}={option}", f"{key}={','.join(quoted(path) if FOREIGN.search(path) else path for path in paths)}"]


def _known_model(name: str) -> str:
    """The option or Hub id that a name from a tutorial stands for; any other name as it is."""
    is_plain = re.fullmatch(r"[A-Za-z][\w.-]*", name) is not None
    if not is_plain or name in option_files("model") or Path(name).exists():
        return name
    return known_model(name) or name


def _expand_for_stage(stage: str, group: str, value: str) -> list[str]:
    """What a stage chooses from a group of the run: the group's option at the stage's place."""
    if group == "step":
        names = [name.strip() for name in value.strip("[]").split(",")]
        return [f"+step@adapt.{stage}.dataset.steps.{name}={name}" for name in names if name]
    plus = "+" if group == "modifier" else ""  # which stages do not have by themselves
    return _expand_at(plus, group, f"adapt.{stage}.{group}", value)


def _expand_at(plus: str, group: str, place: str, value: str) -> list[str]:
    """The option of a group at another place than the group's own, with the path that it reads."""
    option, *values = (each.removeprefix(group) for each in _expand(f"{group}={value}"))
    return [f"{plus}{group}@{place}{option}", *(place + each for each in values)]


def _paths_in(value: str) -> list[str] | None:
    """The path, or the paths of a sweep; None when not all are paths."""
    if QUOTED.fullmatch(value):
        return [unquoted(value)] if _is_path(unquoted(value)) else None
    paths = [value] if Path(value).exists() else value.split(",")
    return paths if all(map(_is_path, paths)) else None


def _is_path(value: str) -> bool:
    """A slash or a known ending makes a path; a folder here that has an option's name does not hide the option."""
    return "/" in value or kind_of(Path(value)) in SUFFIXES


def path_problem(key: str, value: str) -> Problem:
    """What to type for a folder here that was named without a slash, or for a file of a kind that cannot be read."""
    if Path(value).is_dir():
        text = "is a folder here, and no option"
        return Problem(text, key, value, expected="a slash at its end", fix=(f"{key}={shlex.quote(f'{value}/')}",))
    endings = f"one of the endings {listed(SUFFIXES)}" if key != "model" else "a folder with a saved model"
    return Problem("is a file here that cannot be read", key, value, expected=endings)


def _is_hub_id(value: str) -> bool:
    """`org/name` is an id of the Hub unless there is such a folder here or the name ends like a file's."""
    looks_like_one = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value) is not None
    return looks_like_one and not Path(value).exists() and kind_of(Path(value)) not in SUFFIXES


def each_model(arguments: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The overrides of each model of `model=a,b,c`, and all other arguments; paths, ids and options may be mixed.

    >>> each_model(["model=minilm,my/model", "evaluator=[sts]"])
    ([['model=minilm'], ['model=pretrained', 'model.path=my/model']], ['evaluator=[sts]'])
    >>> each_model(["model=minilm,http://host/v1", "model.tries=2"])
    ([['model=minilm'], ['model=served', 'model.url=http://host/v1', 'model.tries=2']], [])
    """
    named = [argument for argument in arguments if argument.startswith("model=")]
    others = [argument for argument in arguments if argument not in named]
    if not named:
        return [[]], others
    value = named[-1].partition("=")[2]
    whole = QUOTED.fullmatch(value) or Path(value).exists()
    models = [value] if whole else [part for part in value.strip("[]").split(",") if part] or [value]
    served = [_IS_URL.match(unquoted(model) if QUOTED.fullmatch(model) else model.strip()) for model in models]
    if not any(served) or all(served):
        return [expand_paths(_of_one(model.strip())) for model in models], others
    of_served = [argument for argument in others if argument.partition("=")[0].lstrip("+~") in _keys_of_served()]
    commands = [
        [*_of_one(model.strip()), *(of_served if is_served else ())]
        for model, is_served in zip(models, served, strict=True)
    ]
    return [expand_paths(each) for each in commands], [each for each in others if each not in of_served]


def _keys_of_served() -> set[str]:
    """The keys that only a model behind a URL has: others of `model=<url>,minilm` are not given them."""
    files = option_files("model")
    served, others = ({*OmegaConf.load(files[name])} for name in (SERVED_OPTION[0], _PATH_OPTIONS["model"][0]))
    return {f"model.{key}" for key in served - others}


_SIDES = {"query", "queries", "document", "passage", "corpus"}  # names of prompts that are known to be of one side
_PROMPTS_OF_DATA = "prompting.set_prompts"  # the step that gives a data set prompts


def _of_one(given: str) -> list[str]:
    """The overrides of one model. A run's folder stands for the model that it trained, with its prompts.

    One prompt before all texts is the saved model's default. Those of two sides are no default: they are named here,
    where the run was trained with them and did not leave them to the files of its base.

    Raises:
        UnreadableError: the run's configuration is damaged.
    """
    folder = Path(given) / "stages" / "main" / "model"
    if not folder.is_dir():
        return [f"model={given}"]
    saved = json_in(folder / "config_sentence_transformers.json") or {}
    named = {name.lower() for name, text in (saved.get("prompts") or {}).items() if text}
    if saved.get("default_prompt_name") or not named & _SIDES or not (Path(given) / CONFIG).is_file():
        return [f"model={folder}"]
    config = OmegaConf.to_container(read_config(Path(given)))
    model = config.get("model") or {}
    weights = next((model[key] for key in ("base", "source") if isinstance(model.get(key), dict)), model)
    if weights.get("prompts") is None and not any(_PROMPTS_OF_DATA in text for text in texts_in(config)):
        return [f"model={folder}"]
    by_sides = ["model.prompt=sides"] if weights.get("prompt") == "sides" else []
    return [f"model={folder}", "model.prompts=saved", *by_sides]
