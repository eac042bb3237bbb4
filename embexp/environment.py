"""What a run depends on besides its configuration: code, packages, hardware."""

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PARENT_RUN = "EMBEXP_PARENT_RUN"  # tells the jobs of a sweep the id of their parent run
PACKAGES = ("sentence-transformers", "transformers", "torch", "datasets", "mlflow", "hydra-core", "scipy", "numpy")


def environment_tags() -> dict[str, str]:
    """Commit, versions and hardware, for the run's tags. Imports torch."""
    import torch

    tags = {f"version.{name}": version for name, version in versions().items()}
    tags |= {
        "commit": commit(),
        "host.cpus": str(os.cpu_count()),
        "host.threads": str(torch.get_num_threads()),
        "host.gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "host.platform": platform.platform(),
    }
    return tags


def versions() -> dict[str, str]:
    """Versions of embexp, Python and the packages that a result depends on."""
    import embexp

    own = {"embexp": embexp.__version__, "python": platform.python_version()}
    return own | {name: importlib.metadata.version(name) for name in PACKAGES}


@functools.cache
def commit() -> str:
    """The commit of embexp's checkout (with `+changes` when files differ), or `installed` outside of one."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return "installed"
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changes = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
