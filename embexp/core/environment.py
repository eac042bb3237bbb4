"""What a run depends on besides its configuration: code, packages, hardware."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("sentence-transformers", "transformers", "torch", "datasets", "mlflow", "hydra-core", "scipy", "numpy")

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


def versions() -> dict[str, str]:
    """Versions of embexp, Python and the packages that a result depends on."""
    import embexp

    own = {"embexp": embexp.__version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


@functools.cache
def _commit() -> str:
    return _commit_of(Path(__file__).resolve().parent.parent.parent)


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


def python_files(package: str) -> list[Path]:
    """The Python files of a package or module, by its name on the import path; none where it cannot be found."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        return []
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


@functools.cache
def code_of(package: str) -> str:
    """A hash of the Python files of a package or module."""
    digest = hashlib.sha256()
    for file in python_files(package):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
