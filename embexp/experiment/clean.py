"""`embexp clean`: what runs, caches and copies in MLflow hold on the disk, and what of it goes when it is asked for.

Only what embexp is known to have written is counted and removed, by its names and by the records beside it: a folder of
one's own that is merely called runs or cache stays as it is. Links are not followed.
"""

import filecmp
import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from omegaconf import DictConfig

from embexp.config.session import shell_command
from embexp.core.arguments import COUNT_FROM_0, LegalValues, problems_with, refuse
from embexp.core.claims import held, is_held
from embexp.core.escaping import say
from embexp.core.file_contents import megabytes
from embexp.core.run_folder import FREED, LAYOUT, RECORD, is_closed, read_record, write_json
from embexp.data.cache import cache_alone
from embexp.errors import ConfigError, listed

RESULTS = "results"
# What may be removed, with what is lost by it. Those after the third are removed by their own names only, all are.
KINDS = {
    "cache": "made again when needed",
    "checkpoints": "of finished runs",
    "mlflow": "copies of models that the runs have",
    "unfinished": "what stopped runs resume from",
    "models": "runs can still be compared without",
    "answers": "of models behind URLs, which were paid for",
    "cross_encoders": "trained for silver, once more when needed",
}
_OF_RUNS, _OF_CACHE = ("checkpoints", "unfinished", "models"), ("cache", "answers", "cross_encoders")
_GOING = ".freeing-"  # begins the name of what is being removed, so that nobody takes half of it for the whole
_KEY, _EMBEDDINGS = re.compile(r"[0-9a-f]{24}"), re.compile(r"[0-9a-f]{64}\.npy")


@dataclass(frozen=True)
class Part:
    """Files that go together.

    Attributes:
        kind: one of `KINDS`.
        owner: the folder of the run, or the cache.
        paths: files and folders.
    """

    kind: str
    owner: Path
    paths: tuple[Path, ...]


@dataclass
class Found:
    """What there is, and what is passed over.

    Attributes:
        runs: the folders of all runs that this version can read, with their names.
        in_use: runs that a process holds.
        passed: folders that are left out, with the reason.
    """

    parts: list[Part] = field(default_factory=list)
    runs: dict[Path, str] = field(default_factory=dict)
    in_use: list[Path] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)


def find(paths: Mapping[str, str | None], store: Path = Path()) -> Found:
    """What is below the folders of `paths` and in `mlruns` of the folder `store`."""
    found, ids = Found(), {}
    for name in ("runs", "sweeps", "tunings", "races", "evaluations"):
        for folder in _run_folders(Path(paths[name])):
            _look_at_run(folder, Path(paths[name]), found, ids)
    if paths["cache"]:
        found.parts += cache_parts(Path(paths["cache"]))
    found.parts += _copies(store / "mlruns", ids)
    return found


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _run_folders(root: Path) -> Iterator[Path]:
    """The folders with the record of a run; links and what is in a run are passed over."""
    for folder, below, files in os.walk(root):
        if RECORD in files:
            yield Path(folder)
            below.clear()
        below[:] = sorted(each for each in below if not (Path(folder) / each).is_symlink())


def _look_at_run(folder: Path, root: Path, found: Found, ids: dict[str, Path]) -> None:
    try:
        record = read_record(folder)
        if record.get("layout") != LAYOUT or not isinstance(record.get("key"), str):
            found.passed.append(f"{folder}: by another version of embexp, or by another program")
            return
        finished = is_closed(folder)
    except (ConfigError, OSError) as error:
        found.passed.append(f"{folder}: {error}")
        return
    found.runs[folder] = str(record.get("name") or "")
    if is_held(folder) or any(_is_running(above) for above in folder.parents if above.is_relative_to(root)):
        found.in_use.append(folder)
        return
    if finished and record.get("id"):
        ids[str(record["id"])] = folder
    weights = [folder / f"{going}{name}" for name in ("scratch", "exports") for going in ("", _GOING)]
    kinds: dict[str, list[Path]] = {"models": weights}
    for stage in (path for path in (folder / "stages").glob("*") if _is_folder(path)):
        models = kinds["models"] if finished else kinds.setdefault("unfinished", [])  # a run may wait with one
        models += [stage / "model", stage / f"{_GOING}model"]
        kind = "unfinished" if not finished else "checkpoints" if _is_folder(stage / "model") else "models"
        kinds.setdefault(kind, []).extend(filter(_is_checkpoint, (stage / "checkpoints").glob("*")))
    for kind, paths in kinds.items():
        if paths := sorted(path for path in paths if _is_folder(path)):
            found.parts.append(Part(kind, folder, tuple(paths)))


def _is_running(folder: Path) -> bool:
    """Whether a process holds a sweep or a study."""
    return any(is_held(folder, what) for what in ("sweep", "study"))


def _is_checkpoint(path: Path) -> bool:
    return bool(re.fullmatch(rf"({re.escape(_GOING)})?checkpoint-\d+", path.name))


def cache_parts(cache: Path) -> Iterator[Part]:
    """What steps, encoders, language models and cross-encoders have left in a cache, by the names that they give."""
    steps = [path for path in cache.glob("*") if _KEY.fullmatch(path.name) and (path / "manifest.json").is_file()]
    steps += [path for path in (cache / "unfinished").glob("*") if _KEY.fullmatch(path.name)]
    left = [path for path in cache.glob(f"{_GOING}*") if _KEY.fullmatch(path.name.removeprefix(_GOING))]
    vectors = [path for path in (cache / "embeddings").glob("*.npy") if _EMBEDDINGS.fullmatch(path.name)]
    vectors += [path for path in (cache / "tokens").glob("*.arrow") if _KEY.fullmatch(path.stem)]
    answers = [cache / f"answers.sqlite{end}" for end in ("", "-wal", "-shm")]
    answers += [path for path in (cache / "served").glob("*") if _KEY.fullmatch(path.name)]
    trained = [path for path in (cache / "cross_encoders").glob("*") if _KEY.fullmatch(path.name)]
    found = {"cache": [*steps, *left, *vectors], "answers": answers, "cross_encoders": trained}
    for kind, paths in found.items():
        yield from (Part(kind, cache, (path,)) for path in sorted(paths) if path.exists() and not path.is_symlink())


def _copies(mlruns: Path, ids: Mapping[str, Path]) -> Iterator[Part]:
    """Copies in MLflow's files of models that a finished run's folder has, byte for byte."""
    for file in sorted(mlruns.glob("*/models/*/artifacts/MLmodel")):
        text = file.read_text(encoding="utf-8", errors="replace")
        of_run = re.search(r"^run_id: (\w+)$", text, re.MULTILINE)
        folder = ids.get(of_run[1]) if of_run else None
        copy = file.parent / "model.sentence_transformer"
        if folder and _is_folder(copy) and any(_is_same(copy, model) for model in folder.glob("stages/*/model")):
            yield Part("mlflow", folder, (copy,))


def _is_same(copy: Path, model: Path) -> bool:
    """Whether the model has all files of the copy, and the same weights."""
    files = [(file, model / file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()]
    weights = [pair for pair in files if pair[0].suffix in (".safetensors", ".bin", ".pt")]
    return (
        bool(weights)
        and all(whole.is_file() for _, whole in files)
        and all(file.samefile(whole) or filecmp.cmp(file, whole, shallow=False) for file, whole in weights)
    )


_Sizes = dict[tuple[int, int], tuple[int, int, int, float]]  # by file: bytes, names, names among these, changed at


def sizes_of(paths: Iterable[Path]) -> _Sizes:
    """The files below these paths, each once however many names it has; what goes meanwhile is left out."""
    found: _Sizes = {}
    for path in paths:
        for file in (path, *(path.rglob("*") if _is_folder(path) else ())):
            with suppress(OSError):
                state = file.lstat()
                if stat.S_ISREG(state.st_mode):
                    key = state.st_dev, state.st_ino
                    names = found[key][2] + 1 if key in found else 1
                    found[key] = (state.st_size, state.st_nlink, names, state.st_mtime)
    return found


def held_by(sizes: _Sizes) -> int:
    """Bytes of all of these files."""
    return sum(size for size, *_ in sizes.values())


def freed_by(sizes: _Sizes) -> int:
    """Bytes that go with these names: those of a file that has another name elsewhere stay."""
    return sum(size for size, names, among, _ in sizes.values() if among >= names)


def changed_at(sizes: _Sizes) -> float:
    """When the latest of these files was written, or was used in a cache, in seconds since 1970."""
    return max((at for *_, at in sizes.values()), default=0.0)


def clean(paths: Mapping[str, str | None], free: Sequence[str] = (), older: float | None = None, show: int = 10) -> str:
    """Remove what is named, and say what there is, or was removed.

    Raises:
        ConfigError: a kind that is not known.
    """
    kinds = LegalValues(one_of=tuple(KINDS), many=True)
    if free:
        refuse(problems_with("free", [*free], kinds))
    refuse(problems_with("older", older, LegalValues(least=0, optional=True)))
    refuse(problems_with("show", show, COUNT_FROM_0))
    found = find(paths)
    if not free:
        text, usual = _listing(found, [part for part in found.parts if _is_older(part, older)], show)
        typed = [f"free={','.join(usual)}", *([f"older={older:g}"] if older is not None else [])]
        return f"{text}\n\nhint: type {shell_command('clean', typed)}" if usual else text
    chosen = [part for part in found.parts if part.kind in free and _is_older(part, older)]
    removed, lines = Counter(), [f"in use, left as it is: {folder}" for folder in found.in_use]
    for owner in dict.fromkeys(part.owner for part in chosen):
        parts = [part for part in chosen if part.owner == owner]
        try:
            with _alone(owner, parts, found.in_use) as is_alone:
                if is_alone:
                    removed["bytes"] += freed_by(sizes_of(path for part in parts for path in part.paths))
                    for part in parts:
                        remove(part)
                        removed[part.kind] += 1
                else:
                    lines.append(f"in use by a running process, left as it is: {owner}")
        except OSError as error:
            lines.append(f"cannot be removed: {error}")
    counts = listed(f"{kind} ({removed[kind]})" for kind in KINDS if removed[kind])
    return "\n".join([f"freed {megabytes(removed['bytes'])}: {counts}", *lines])


@contextmanager
def _alone(owner: Path, parts: Sequence[Part], in_use: Sequence[Path]) -> Iterator[bool]:
    """Whether no process uses the run or the cache, nor begins to inside."""
    if parts[0].kind not in _OF_CACHE:
        with ExitStack() as stack:
            try:
                stack.enter_context(held(owner))
            except ConfigError:
                yield False
            else:
                yield True
    elif in_use or any(is_held(path, "training") for part in parts for path in part.paths[0].glob("seed-*")):
        yield False
    else:
        with cache_alone(owner) as is_alone:
            yield is_alone and not is_held(owner, "answers")


def _is_older(part: Part, days: float | None) -> bool:
    return days is None or changed_at(sizes_of(part.paths)) < time.time() - days * 86_400


def remove(part: Part) -> None:
    """Remove what a part holds: first its name goes, so that what a stop leaves is taken for nothing."""
    for path in part.paths:
        going = path if path.name.startswith(_GOING) or path.is_file() else path.with_name(f"{_GOING}{path.name}")
        with suppress(FileNotFoundError):
            if going != path:
                path.rename(going)
            going.unlink() if going.is_file() else shutil.rmtree(going)
        if part.kind == "unfinished" and _is_checkpoint(path):
            write_json(path.with_name(FREED), {"at": datetime.now().astimezone().isoformat(timespec="seconds")})


def _listing(found: Found, parts: Sequence[Part], show: int) -> tuple[str, list[str]]:
    """A line for each kind with what these parts hold of it, the largest runs; and which kinds one would free."""
    by_kind = {kind: [path for part in parts if part.kind == kind for path in part.paths] for kind in KINDS}
    sizes = {kind: sizes_of(paths) for kind, paths in by_kind.items()}
    runs = {folder: sizes_of([folder]) for folder in found.runs}
    inside = sizes_of(path for part in found.parts if part.kind in _OF_RUNS for path in part.paths)
    results = {key: size for each in runs.values() for key, size in each.items() if key not in inside}
    rows = [
        ("", "holds", "frees", ""),
        (RESULTS, megabytes(held_by(results)), "", f"of {len(runs)} {'run' if len(runs) == 1 else 'runs'}; they stay"),
    ]
    for kind, lost in KINDS.items():
        if sizes[kind]:
            rows.append((kind, megabytes(held_by(sizes[kind])), megabytes(freed_by(sizes[kind])), lost))
        if kind == "cache" and sizes[kind]:
            vectors = held_by(sizes_of(path for path in by_kind[kind] if path.parent.name == "embeddings"))
            rows[-1] = (*rows[-1][:3], f"{lost}; embeddings {megabytes(vectors)}")
    whole = {key: size for each in (*runs.values(), *sizes.values()) for key, size in each.items()}
    rows.append(("in all", megabytes(held_by(whole)), "", "linked files counted once"))
    lines = ["  ".join((f"{a:14}", f"{b:>8}", f"{c:>8}", d)).rstrip() for a, b, c, d in rows]
    largest = sorted(runs, key=lambda folder: held_by(runs[folder]), reverse=True)[:show]
    lines += ["", "largest runs"] if largest else []
    lines += [f"{'':14}  {megabytes(held_by(runs[folder])):>8}  {folder}  {found.runs[folder]}" for folder in largest]
    lines += [f"in use         {folder}" for folder in found.in_use]
    lines += [f"passed over    {each}" for each in found.passed[:show]]
    usual = [kind for kind in ("cache", "checkpoints", "mlflow") if freed_by(sizes[kind])]
    return "\n".join(lines), usual


def as_lists(arguments: Sequence[str]) -> list[str]:
    """`free=cache,checkpoints` and `cache checkpoints` as `free=[cache,checkpoints]`."""
    words = [each for each in arguments if re.fullmatch(r"[a-z_]+(,[a-z_]+)*", each)]
    others = [each for each in arguments if each not in words]
    given = [each.partition("=")[2] for each in others if re.fullmatch(r"free=[a-z_,]+", each)]
    others = [each for each in others if not re.fullmatch(r"free=[a-z_,]+", each)]
    return [*others, f"free=[{','.join([*given, *words])}]"] if given or words else others


def clean_command() -> None:
    """`python -m embexp.clean`: compose the configuration, list or free."""
    from embexp.cli.app import run_command

    def task(config: DictConfig, _choices: dict, _folder: Path) -> None:
        say(clean(config.paths, config.free, config.older, config.show))

    run_command(task, "clean", rewrite=as_lists)
