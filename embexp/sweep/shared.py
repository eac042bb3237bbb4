"""What workers on other machines must share with the process that began their sweep, looked at before their first job.

Each worker looks for itself, since one machine of a cluster may lack what the others have.
"""

import os
import platform
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from embexp.core.arguments import refuse, texts_in
from embexp.core.claim_files import machine
from embexp.core.environment import code_of, versions
from embexp.core.run_folder import changes, write_text
from embexp.errors import EngineError, Problem, listed
from embexp.sweep.jobs import Job, Runner

_TOKEN = "token"  # in the sweep's engine/: a text by which a worker knows that it sees the same folder
_LOOPBACK = re.compile(r"|localhost|127\..*|::1|0\.0\.0\.0")
_REMEDY = "a folder of a file system that all machines have under the same name"
_TOLD = 5  # files that are named of those that are missing


def kind_of_store(store: str) -> str:
    """`file` for a database in a file, `loopback` for an address that is another machine's own, else empty.

    >>> kind_of_store("sqlite:////data/mlflow.db"), kind_of_store("postgresql+psycopg://u@localhost:5432/db")
    ('file', 'loopback')
    >>> kind_of_store("postgresql:///db"), kind_of_store("http://[::1]:5000"), kind_of_store("http://127.0.0.1:5000")
    ('loopback', 'loopback', 'loopback')
    >>> kind_of_store("http://tracking.example:5000"), kind_of_store("databricks"), kind_of_store("")
    ('', '', '')
    """
    if store.startswith("sqlite:"):
        return "file"
    parts = urlsplit(store)
    if parts.scheme in ("", "file", "databricks"):
        return ""
    return "loopback" if _LOOPBACK.fullmatch(parts.hostname or "") else ""


def store_problem(store: str, key: str = "tracking.uri") -> Problem | None:
    """What is wrong with a store for workers on other machines; None where they can reach it.

    Args:
        key: that names it: MLflow's store, or the database of a study.
    """
    kind, here = kind_of_store(store), platform.node()
    if not kind:
        return None
    text = "is a file of one machine" if kind == "file" else "is an address that every machine has for itself"
    if key != "tracking.uri":
        expected, fix = "a database that all machines reach", f"{key}=postgresql+psycopg://<user>@{here}/<database>"
        return Problem(f"{text}, and workers may be on others", key=key, given=store, expected=expected, fix=(fix,))
    served = f"mlflow server --host 0.0.0.0 --port 5000 --allowed-hosts '{here}:*,localhost:*'"
    served += " --backend-store-uri sqlite:///server.db --artifacts-destination server-artifacts"
    return Problem(
        f"{text}, and workers may be on others",
        key="tracking.uri",
        given=store,
        expected="a server that all machines reach: PostgreSQL, or MLflow's own",
        note=f"To start MLflow's on {here}: {served}",
        fix=(f"tracking.uri=http://{here}:5000", "tracking=none"),
    )


def check_stores(stores: Mapping[str, str], is_here: bool) -> list[str]:
    """Warnings about stores, before workers are submitted.

    Args:
        stores: by the keys that name them.
        is_here: whether all workers run on this machine.

    Raises:
        ConfigError: one is a file, which workers on other machines would not see, or damage.
    """
    found = [(store, store_problem(store, key)) for key, store in stores.items() if not is_here]
    refuse(problem for store, problem in found if problem and kind_of_store(store) == "file")
    return [str(problem) for _, problem in found if problem]


@dataclass(frozen=True)
class Shared:
    """What a worker has to find as the process that began the sweep has it.

    Attributes:
        root: the key that says where such folders are made, such as `paths.sweeps`.
        files: that the configuration names, with their sizes; None for a folder.
        stores: by the keys that name them.
    """

    root: str
    folder: Path
    token: str
    directory: str
    files: dict[str, int | None]
    versions: dict[str, str]
    code: str
    stores: Mapping[str, str]
    host: str
    machine: str


def share(runner: Runner, jobs: Sequence[Job], place: Path, stores: Mapping[str, str]) -> Shared:
    """What workers have to find, with a token in the folder by which they know it."""
    from omegaconf import OmegaConf

    folder = place.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _TOKEN).is_file():  # else of an earlier process, whose workers may be there yet
        write_text(folder / _TOKEN, uuid.uuid4().hex)
    token = (folder / _TOKEN).read_text()
    config = OmegaConf.to_container(runner.config, resolve=False)
    typed = {value for job in jobs for value in (each.partition("=")[2].strip("'\"") for each in job.overrides)}
    paths = sorted({*texts_in({key: value for key, value in config.items() if key != "hydra"}), *typed})
    files = dict(each for each in map(_size, paths) if each)
    own = (token, os.getcwd(), files, versions(), code_of("embexp"), stores, platform.node(), machine())
    return Shared(f"paths.{runner.root}", folder, *own)


def check_shared(shared: Shared) -> None:
    """Change to the directory of the process that began the sweep; its files may be named from there.

    Raises:
        EngineError: this worker does not find what it has to find.
    """
    try:
        os.chdir(shared.directory)
    except OSError as error:
        text = f"The working directory {shared.directory} of {shared.host} cannot be used on {platform.node()}"
        raise EngineError(f"{text}: {error.strerror}", expected=_REMEDY) from error
    problems = [*_problems(shared)]
    if problems:
        raise EngineError(*problems)


def _problems(shared: Shared) -> Iterator[Problem]:
    here, there = platform.node(), shared.host
    sweep = shared.folder.parent
    token = shared.folder / _TOKEN
    try:
        is_same = token.read_text() == shared.token
        probe = shared.folder / f"{_TOKEN}-{uuid.uuid4().hex}"
        if is_same:
            probe.touch()
            probe.unlink()
    except OSError as error:
        is_same = False
        reason = f": {error.strerror}" if error.strerror else ""
    else:
        reason = ""
    if not is_same:
        fix = f"{shared.root}=<shared folder>/{sweep.parent.parent.name or shared.root.rpartition('.')[2]}"
        yield Problem(f"The folder {sweep} of {there} cannot be used on {here}{reason}", expected=_REMEDY, fix=(fix,))
    missing = [name for name, size in shared.files.items() if _size(name) != (name, size)]
    if missing:
        named = listed(missing[:_TOLD]) + (f" and {len(missing) - _TOLD} others" if len(missing) > _TOLD else "")
        yield Problem(f"Not as on {there}, or not there, on {here}: {named}", expected=_REMEDY)
    if differing := changes(shared.versions, versions()):
        text = f"On {here} other versions are installed than on {there}: {listed(differing)}"
        yield Problem(text, expected="the same environment on all machines")
    elif code_of("embexp") != shared.code:
        yield Problem(f"embexp on {here} has other code than on {there}", expected="the same files on all machines")
    if machine() != shared.machine:
        problems = (store_problem(store, key) for key, store in shared.stores.items())
        yield from (each for each in problems if each)


def _size(name: str) -> tuple[str, int | None] | None:
    """The size of a file of that name, None for a folder; nothing where there is neither."""
    if not name or "\0" in name or len(name) > 1000:
        return None
    path = Path(name).expanduser()
    try:
        return (name, path.stat().st_size) if path.is_file() else (name, None) if path.is_dir() else None
    except OSError:
        return None
