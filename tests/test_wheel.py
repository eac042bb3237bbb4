"""The built wheel carries code, configuration and corpora, and works from any folder."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel; its dependencies are borrowed from the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True, capture_output=True
    )
    (site,) = folder.glob("lib/python*/site-packages")
    outer = sysconfig.get_paths()["purelib"]
    (site / "borrowed.pth").write_text(f"{outer}\n")
    return folder


def call(*command, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=folder, env=os.environ, capture_output=True, text=True)


def test_every_yaml_and_corpus_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    yamls = [path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")]
    assert len(yamls) > 35
    assert {f"embexp/{name}" for name in yamls} <= names
    assert {"embexp/data/corpus/finance_en.jsonl", "embexp/data/corpus/finance_zh.jsonl"} <= names
    assert {"hydra_plugins/embexp_launcher.py", "hydra_plugins/embexp_sweeper.py"} <= names
    assert {"embexp/py.typed", "embexp/conf/__init__.py"} <= names
    assert len(names) == len(zipfile.ZipFile(wheel).namelist()), "a file is there twice"
    assert not [name for name in names if name.startswith(("tests/", "conf/"))]


def test_the_installed_configuration_is_a_package_for_hydra(installed, tmp_path):
    code = (
        "import embexp, hydra\n"
        "with hydra.initialize_config_module('embexp.conf', version_base='1.3'):\n"
        "    print(embexp.__file__, hydra.compose('config', overrides=['loss=cosent']).loss._target_)\n"
    )
    done = call(installed / "bin/python", "-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stdout
    assert done.stdout.strip().endswith("CoSENTLoss")


@pytest.mark.parametrize(
    "command", [pytest.param(["bin/python", "-m", "embexp"], marks=pytest.mark.matrix), ["bin/embexp"]]
)
def test_the_installed_command_works_in_another_folder(command, installed, tmp_path):
    start = [installed / command[0], *command[1:]]
    shown = call(*start, "--info", "searchpath", folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"{installed}/lib" in shown.stdout  # the configuration is the wheel's, not the checkout's
    done = call(
        *start, "model=tiny", "trainer=smoke", "threads=1", "trainer.max_steps=1", "tracking=none", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "spearman_cosine*" in done.stdout


def test_a_users_own_config_dir_adds_to_the_shipped_one(installed, tmp_path):
    (tmp_path / "my/loss").mkdir(parents=True)
    shipped = (ROOT / "conf/loss/mnrl.yaml").read_text().replace("scale: 20.0", "scale: 33.0")
    (tmp_path / "my/loss/sharper.yaml").write_text(shipped)
    done = call(installed / "bin/embexp", "--config-dir", "my", "loss=sharper", "--cfg", "job", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "scale: 33.0" in done.stdout
