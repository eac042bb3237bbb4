"""Overrides as a person types them: paths in place of group options, texts in any script without Hydra's quotes."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from embexp.cli.choices import as_hydra_chooses
from embexp.cli.quoting import FOREIGN, QUOTED, quoted, unquoted
from embexp.config.compose import brings_data
from embexp.config.model_names import known_model
from embexp.config.session import option_files
from embexp.data.formats import SUFFIXES, kind_of
from embexp.errors import ConfigError, did_you_mean, listed

# `dataset=my.csv` stands for `dataset=file dataset.reader.path=my.csv`, `dataset=org/name` for the Hub's data set.
_PATH_OPTIONS = {"dataset": ("file", "dataset.reader.path"), "model": ("pretrained", "model.path")}
# `model.adapter=lora` stands for `model/adapter=lora`: an option with arguments of its own (`model.adapter.r=16`).
_GROUPS_OF_KEYS = {key: key.replace(".", "/") for key in ("model.adapter", "tune.sampler", "tune.pruner")}
_GROUPS_OF_KEYS |= {key: f"step/scorer@{key}" for key in ("dataset.steps.teacher_scores.scorer",)}
SINGLE = ("model", "loss", "modifier", "trainer", "silver", "negatives")  # groups of which a run has one option
# `adapt.tsdae.dataset=nli` stands for `dataset@adapt.tsdae.dataset=nli`: a stage chooses from the run's groups.
_OF_STAGE = re.compile(r"adapt\.([\w-]+)\.(dataset|loss|trainer|step|modifier)")
# `evaluator.sts.dataset=gold.csv` stands for `+dataset@evaluator.sts.dataset=gold.csv`.
_OF_EVALUATOR = re.compile(r"\+?evaluator\.([\w-]+)\.dataset")
_PLACED = re.compile(r"(\+?)(dataset|model)@([\w.-]+)")  # `+dataset@evaluator.retrieval.dataset=my.csv`
_OPEN = ("conversion.label_scores",)  # tables whose keys are names of the user's own, which Hydra would refuse
_HUB_OPTION = ("hub", "dataset.reader.id")


def expand_paths(arguments: Sequence[str]) -> list[str]:
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

    Raises:
        ConfigError: a list of options for a group of which a run has one.
    """
    return [expanded for argument in arguments for expanded in _expand(argument)]


def _expand(argument: str) -> list[str]:
    group, _, value = argument.partition("=")
    if group in _OPEN and value.startswith("{"):
        return [f"++{argument}"]
    if group in _GROUPS_OF_KEYS:
        return [as_hydra_chooses(f"{_GROUPS_OF_KEYS[group]}={value}")]
    argument = as_hydra_chooses(argument)
    group, _, value = argument.partition("=")
    if (of_stage := _OF_STAGE.fullmatch(group)) and value not in ("", "null") and value[0] not in "{$":
        return _expand_for_stage(*of_stage.groups(), value)
    if (of := _OF_EVALUATOR.fullmatch(group)) and value not in ("", "null") and value[0] not in "{$":
        key, known = f"evaluator.{of[1]}.dataset", sorted(option_files("dataset"))
        if not _paths_in(value) and (unknown := [each for each in value.split(",") if each not in known]):
            near = get_close_matches(unknown[0], known, n=2, cutoff=0.5)
            fix, note = [f"{key}={name}" for name in near], did_you_mean(unknown[0], known)
            expected = f"a path, a Hub id, or one of: {listed(known)}"
            raise ConfigError("is not known", key=key, given=unknown[0], expected=expected, note=note, fix=fix)
        return _expand_at("" if brings_data(of[1]) else "+", "dataset", key, value)
    if placed := _PLACED.fullmatch(group):
        return _expand_at(*placed.groups(), value)
    if group == "model":
        known = [*map(_known_model, value.split(","))]
        is_mixed = len({"/" in each for each in known}) > 1  # options and ids go into different keys
        value = value if is_mixed else ",".join(known)
        argument = f"{group}={value}"
    paths = _paths_in(value) if group in _PATH_OPTIONS else None
    if not paths:
        return [argument]
    from_hub = group == "dataset" and all(map(_is_hub_id, paths))
    option, key = _HUB_OPTION if from_hub else _PATH_OPTIONS[group]
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


def _is_hub_id(value: str) -> bool:
    """`org/name` is an id of the Hub unless there is such a folder here or the name ends like a file's."""
    looks_like_one = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", value) is not None
    return looks_like_one and not Path(value).exists() and kind_of(Path(value)) not in SUFFIXES


def each_model(arguments: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The overrides of each model of `model=a,b,c`, and all other arguments; paths, ids and options may be mixed.

    >>> each_model(["model=minilm,my/model", "evaluator=[sts]"])
    ([['model=minilm'], ['model=pretrained', 'model.path=my/model']], ['evaluator=[sts]'])
    """
    named = [argument for argument in arguments if argument.startswith("model=")]
    others = [argument for argument in arguments if argument not in named]
    if not named:
        return [[]], others
    value = named[-1].partition("=")[2]
    whole = QUOTED.fullmatch(value) or Path(value).exists()
    models = [value] if whole else [part for part in value.strip("[]").split(",") if part]
    return [expand_paths([f"model={_model_of(model.strip())}"]) for model in models], others


def _model_of(given: str) -> str:
    """A run's folder stands for the model that it trained."""
    trained = Path(given) / "stages" / "main" / "model"
    return str(trained) if trained.is_dir() else given
