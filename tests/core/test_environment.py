"""What a run says of the code that made it."""

import importlib
import subprocess
import sys
import types

import pytest

from embexp.core import environment
from embexp.core.environment import _commit_of, code_of, versions


@pytest.fixture
def checkout(tmp_path):
    """A repository with a file that results depend on and one that they do not."""
    (tmp_path / "embexp").mkdir()
    (tmp_path / "embexp/run.py").write_text("pass\n")
    (tmp_path / "RESULTS.md").write_text("None yet.\n")
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_page_of_results_is_no_change_of_code(checkout):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    (checkout / "RESULTS.md").write_text("Many.\n")
    assert _commit_of(checkout) == head.stdout.strip()
    (checkout / "embexp/more.py").write_text("pass\n")
    assert _commit_of(checkout) == f"{head.stdout.strip()}+changes"


def test_outside_of_a_checkout_there_is_no_commit(tmp_path):
    assert _commit_of(tmp_path) == "installed"


LAYOUTS = {  # the package that a YAML names, the files that count, and files that do not
    "package": (
        "mine",
        {"mine/__init__.py": "", "mine/losses.py": "", "mine/parts/deep.py": ""},
        {"mine/notes.md": ""},
    ),
    "namespace package": ("mine", {"mine/losses.py": "", "mine/sub/more.py": ""}, {"mine/.venv/x.py": "", "b.py": ""}),
    "flat file with a helper": (
        "flat",
        {"flat.py": "import helper_mod", "helper_mod.py": "from third import x", "third.py": "import json, numpy"},
        {"fourth.py": "import flat"},
    ),
    "helper that is imported late": (
        "flat",
        {
            "flat.py": "def f():\n    if 1:\n        from late.parts import g",
            "late/parts.py": "",
            "late/__init__.py": "",
        },
        {"later.py": ""},
    ),
    "helper by its name": (
        "flat",
        {"flat.py": "import importlib\nm = importlib.import_module('by_name.it')", "by_name/it.py": ""},
        {"it.py": ""},
    ),
    "package with a helper beside it": (
        "mine",
        {
            "mine/__init__.py": "from mine.a import *",
            "mine/a.py": "import beside",
            "beside.py": "import round",
            "round.py": "import mine",
        },
        {"embexp_like.py": ""},
    ),
    "file that is no Python": ("broken", {"broken.py": "def ("}, {"other.py": ""}),
    "compiled part": ("mine", {"mine/__init__.py": "", "mine/fast.cpython-311-x86_64-linux-gnu.so": "code"}, {}),
}


@pytest.mark.parametrize("layout", [*LAYOUTS])
def test_code_of_a_users_own_counts_with_all_that_it_imports(workplace, monkeypatch, layout):
    package, counting, others = LAYOUTS[layout]
    monkeypatch.syspath_prepend(str(workplace))
    for name, text in (counting | others).items():
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / name).write_text(text)
    importlib.invalidate_caches()
    before = code_of(package)
    for name in counting:
        kept = (workplace / name).read_text()
        (workplace / name).write_text(f"{kept}\n# edited")
        assert code_of(package) != before, name
        (workplace / name).write_text(kept)
        assert code_of(package) == before, name
    for name in others:
        (workplace / name).write_text("edited = True")
        assert code_of(package) == before, name


def test_code_that_was_loaded_counts_as_it_was_until_it_is_loaded_again(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    file = workplace / "loaded_once.py"
    file.write_text("scale = 20")
    importlib.invalidate_caches()
    module = importlib.import_module("loaded_once")
    monkeypatch.setitem(sys.modules, "loaded_once", module)
    before = code_of("loaded_once")
    file.write_text("scale = 5.0  # another length")
    assert code_of("loaded_once") == before
    importlib.reload(module)
    assert code_of("loaded_once") != before


def test_code_that_was_edited_before_or_after_it_was_loaded_is_never_taken_for_another(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    file = workplace / "loaded_late.py"
    file.write_text("scale = 20")
    importlib.invalidate_caches()
    first = code_of("loaded_late")
    monkeypatch.setitem(sys.modules, "loaded_late", importlib.import_module("loaded_late"))
    file.write_text("scale = 5.0  # another length")
    found = code_of("loaded_late")
    environment._SourceFile._seen.clear()
    assert len({first, found, code_of("loaded_late")}) == 3


def test_code_in_no_file_is_never_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "typed_in_a_notebook", types.ModuleType("typed_in_a_notebook"))
    assert code_of("typed_in_a_notebook") != code_of("typed_in_a_notebook")
    assert code_of("not_there") == code_of("not_there")


def test_a_package_in_site_packages_counts_by_its_version(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    (workplace / "flat.py").write_text("import yaml\nimport sklearn.metrics, json")
    importlib.invalidate_caches()
    before = code_of("flat")
    monkeypatch.setattr(environment, "_version_of", lambda package: "another version")
    environment._versions_for.cache_clear()
    assert code_of("flat") != before
    environment._versions_for.cache_clear()


def test_versions_of_all_that_computes_are_known_where_it_is_installed():
    import sklearn

    found = versions()
    assert found["scikit-learn"] == sklearn.__version__
    assert {"tokenizers", "safetensors", "accelerate", "pyarrow", "pandas", "numpy", "torch", "ftfy"} <= {*found}
    assert "kernels-that-nobody-has" not in versions(["kernels-that-nobody-has"])
