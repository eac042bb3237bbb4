"""Where the configuration comes from: `conf/`, `--config-dir`, and Hydra's state while they are read."""

import importlib.metadata
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from embexp.core.redaction import redacted
from embexp.errors import ConfigError

HYDRA = tuple(int(part) for part in importlib.metadata.version("hydra-core").split(".")[:2])
# Hydra 1.4 deprecates version_base; 1.3 needs it to leave the working directory alone.
VERSION_BASE = {} if HYDRA >= (1, 4) else {"version_base": "1.3"}
# Hydra 1.4 wants to know which callables it may call: our sweep callback, its own launchers and their plugins.
TRUSTED = {"execution_whitelist": ["embexp.*", "hydra.*", "hydra_plugins.*"]} if HYDRA >= (1, 4) else {}
_OWN_PROVIDER = "command-line"  # what Hydra calls the source of --config-dir
_CONFIG_DIR: ContextVar[str | None] = ContextVar("config_dir", default=None)


def conf_dir() -> Path:
    """The shipped configuration: inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "conf", package.parent / "conf")  # in a wheel, in a checkout without symbolic links
    for place in places:
        if (place / "config.yaml").is_file() and (place / "loss").is_dir():
            return place.resolve()
    raise ConfigError(
        f"No configuration was found in {places[0]} or {places[1]}",
        expected="the folder conf/ of embexp",
        note="Install embexp again, or run from a checkout.",
    )


def _config_dir() -> str | None:
    """The folder that was given as `--config-dir`, relative to the working directory where it is below it."""
    hydra = sys.modules.get("hydra.core.global_hydra")  # not imported yet: it has not started
    if hydra is None or not hydra.GlobalHydra.instance().is_initialized():
        return _CONFIG_DIR.get()
    from hydra.core.global_hydra import GlobalHydra

    search_path = GlobalHydra.instance().config_loader().get_search_path().get_path()
    for given in (each.path.removeprefix("file://") for each in search_path if each.provider == _OWN_PROVIDER):
        return os.path.relpath(given) if Path(given).is_relative_to(Path.cwd()) else given
    return None


def config_folders() -> list[Path]:
    """The folders that options are read from: `--config-dir`, then conf/, which wins."""
    return [*(Path(given) for given in (_config_dir(),) if given), conf_dir()]


def option_files(group: str) -> dict[str, Path]:
    """The YAML files of a group's options by their names."""
    return {path.stem: path for folder in config_folders() for path in sorted((folder / group).glob("*.yaml"))}


def remember_config_dir(folder: str | None) -> None:
    """Let `_config_dir` know the folder also before Hydra has started and after it has ended."""
    _CONFIG_DIR.set(folder)


def check_config_dir(folder: str | Path) -> Path:
    """The absolute path of a folder for `--config-dir`; ConfigError where there is none."""
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        expected = "a folder with YAML files in folders named after the groups, such as loss/mine.yaml"
        raise ConfigError("is not a folder", key="--config-dir", given=str(folder), expected=expected)
    return path


def shell_command(name: str, arguments: Iterable[str], rename: Callable[[str], str] = str, away: bool = False) -> str:
    """A command to type, with the `--config-dir` of the present one and without secrets.

    Args:
        name: of the command, empty for a run.
        arguments: as the shell reads them, with its quotes.
        rename: what to call the folder of `--config-dir`.
        away: whether it is typed in another directory.

    >>> shell_command("export", ["run=runs/a"])
    'python -m embexp.export run=runs/a'
    """
    folder = _config_dir()
    if folder and away:
        folder = os.path.abspath(folder)
    own = ["--config-dir", shlex.quote(rename(folder))] if folder else []
    return redacted(" ".join([f"python -m embexp{name and f'.{name}'}", *own, *arguments]))


def typed_overrides() -> list[str]:
    """The overrides of the present command; none outside of one."""
    from hydra.core.hydra_config import HydraConfig

    return [*HydraConfig.get().overrides.task] if HydraConfig.initialized() else []


@contextmanager
def hydra_started(config_dir: str | Path | None = None) -> Iterator[None]:
    """Hydra with our configuration, for code outside of a command.

    Hydra keeps its state in singletons. Those of an application that uses Hydra itself are put back as they were.

    Raises:
        ConfigError: there is no such `config_dir`.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton

    own = check_config_dir(config_dir) if config_dir else None
    states = {kind: Singleton._instances.pop(kind, None) for kind in (GlobalHydra, HydraConfig, version.VersionBase)}
    try:
        version.setbase("1.3")
        search_path = create_config_search_path(str(conf_dir()))
        if own:
            search_path.prepend(_OWN_PROVIDER, f"file://{own}", anchor=SearchPathQuery(provider="schema"))
        Hydra.create_main_hydra2(task_name="embexp", config_search_path=search_path)
        yield
    finally:
        for kind, state in states.items():
            Singleton._instances.pop(kind, None)
            if state is not None:
                Singleton._instances[kind] = state


# Owners on the Hub of models that tutorials name without them, by how the names begin.
_OWNERS = {
    r"(all|multi-qa|paraphrase|msmarco|distiluse|stsb|nli|gtr|sentence-t5|average_word_embeddings|static)-|LaBSE$": (
        "sentence-transformers"
    ),
    r"bert-(base|large)-": "google-bert",
    r"distil(bert|roberta)-": "distilbert",
    r"(xlm-)?roberta-(base|large)": "FacebookAI",
    r"albert-(base|large|xlarge|xxlarge)-": "albert",
    r"bge-": "BAAI",
    r"(multilingual-)?e5-": "intfloat",
    r"gte-(small|base|large)": "thenlper",
    r"chinese-(bert|roberta|macbert|electra|lert)-": "hfl",
    r"m3e-": "moka-ai",
    r"text2vec-": "shibing624",
    r"mxbai-": "mixedbread-ai",
    r"nomic-embed-": "nomic-ai",
    r"jina-(embeddings|clip)-": "jinaai",
    r"Qwen3-Embedding-": "Qwen",
    r"snowflake-arctic-embed": "Snowflake",
    r"embeddinggemma-": "google",
    r"potion-": "minishlab",
    r"ModernBERT-": "answerdotai",
    r"mpnet-base$|MiniLM-L12-H384-uncased$": "microsoft",
}


def known_model(name: str) -> str | None:
    """The option or Hub id that a name without an owner stands for, as tutorials type it; None where it is not known.

    >>> known_model("all-MiniLM-L6-v2"), known_model("bert-large-uncased"), known_model("my-model")
    ('minilm', 'google-bert/bert-large-uncased', None)
    """
    for option, path in option_files("model").items():
        found = re.search(r"^id: *[^/\s]+/(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found and found[1].lower() == name.lower():
            return option
    owner = next((owner for start, owner in _OWNERS.items() if re.match(start, name, re.IGNORECASE)), None)
    return f"{owner}/{name}" if owner and re.fullmatch(r"[\w.-]+", name) else None


def served_error(url: Any, such_as: str) -> ConfigError:
    """The message for a model behind a URL where weights are needed."""
    evaluating, comparing = (
        shell_command(name, [*more, shlex.quote(f"model={url}")]) for name, more in _OF_URLS.items()
    )
    expected = "weights: an option, a folder or a Hub id. A URL can be evaluated, and compared with a run's model"
    text, fix = "is a model behind a URL, without weights here", (evaluating, comparing, f"model={such_as}")
    return ConfigError(text, key="model", given=url, expected=expected, fix=fix)


_OF_URLS: dict[str, list[str]] = {"evaluate": [], "compare": ["<run>"]}
