"""The house rules that a machine can hold: layers, lazy imports, sizes, a map that is complete."""

import ast
import functools
import statistics
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "embexp"
FILES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = {"__init__", "__main__", "compare", "evaluate", "export", "gate", "inspect", "leaderboard", "power", "sync"}
COMMANDS |= {"clean", "pairs", "prepare", "race", "tune"}
# From the top down. A module imports from lower rows or from its own package, never from another package of its row.
LAYERS = (
    COMMANDS,
    {"api"},
    {"racing", "tuning"},
    {"sweep"},
    {"leaderboards", "inspection"},
    {"experiment"},
    {"exports", "engines"},
    {"training", "evaluation"},
    {"steps", "models", "losses", "tracking", "reports", "cli"},
    {"data"},
    {"config", "endpoints"},
    {"core"},
    {"errors", "protocols"},
)
# Which packages or modules may import what takes long or binds us to a library.
ONLY_IN = {
    "hydra": {"cli", "config", "racing", "sweep", "tuning"},
    "mlflow": {
        "tracking/run_records.py",
        "tracking/mlflow_runs.py",
        "tracking/mlflow_store.py",
        "tracking/mlflow_tracker.py",
    },
    "jinja2": {"leaderboards/page.py"},
    "matplotlib": {"reports/pictures"},
    "optuna": {"tuning"},
    "mteb": {"evaluation/mteb_tasks.py"},
    "ftfy": {"steps/text_repair.py"},
    "rjieba": {"steps/word_tokenizer.py"},
    "py3langid": {"steps/language.py"},
    "bm25s": {"steps/negatives/retrievers.py", "steps/word_tokenizer.py"},
    "faiss": {"steps/negatives/faiss_search.py"},
    "Stemmer": {"steps/word_tokenizer.py"},
    "requests": {"data/sources.py", "endpoints/client.py"},
    "pydantic": {"steps/llm/chat.py"},
    "rensa": {"steps/dedup/near.py"},
    "ray": {"engines/ray.py"},
    "submitit": {"engines/slurm.py"},
    "onnxruntime": {"exports/onnx_export.py"},
}
HEAVY = {"torch", "sentence_transformers", "transformers", "tokenizers", "datasets", "mlflow", "matplotlib"}
HEAVY |= {"scipy", "sklearn", "pandas", "pyarrow", "ftfy", "rensa", "py3langid", "onnxruntime", "optuna"}
# Modules that are themselves imported lazily, once training starts.
IMPORTED_LATE = {"models/packed.py", "training/callbacks.py", "training/processes.py"}
IMPORTED_LATE |= {"losses/tension.py", "losses/diffcse.py", "losses/info_nce.py", "losses/orthogonal.py"}
SAY_NOTHING = {"utils", "common", "helpers", "misc"}
MOST_FILES, MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, LEAST_MEDIAN = 323, 350, 60, 110


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports_of(path: Path, top_level_only: bool = False) -> frozenset[str]:
    tree = tree_of(path)
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return frozenset(found)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """The package that a module lies in, or its own name in the root."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def row_of(room: str) -> int:
    return next(row for row, rooms in enumerate(LAYERS) if room in rooms)


def test_every_room_has_its_row_and_every_row_its_rooms():
    rooms = {room_of(path) for path in FILES}
    assert rooms == set().union(*LAYERS)
    assert len(LAYERS) <= 13
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 18


def test_imports_point_downward_and_packages_of_a_row_stay_apart():
    upward = [
        f"{name_of(path)} imports {module}"
        for path in FILES
        for module in sorted(imports_of(path))
        if module.startswith("embexp.")
        and (other := module.split(".")[1]) != (own := room_of(path))
        and row_of(other) <= row_of(own)
    ]
    assert upward == []


def test_no_module_is_imported_by_one_that_it_imports():
    modules = {f"embexp.{name_of(path).removesuffix('.py').replace('/', '.')}": path for path in FILES}
    below = {name: {each for each in imports_of(path) if each in modules} - {name} for name, path in modules.items()}
    while free := [name for name, others in below.items() if not others & below.keys()]:
        for name in free:
            del below[name]
    assert sorted(below) == []


def test_heavy_libraries_are_imported_where_they_are_used():
    early = [
        f"{name_of(path)} imports {module}"
        for path in FILES
        if name_of(path) not in IMPORTED_LATE
        for module in sorted(imports_of(path, top_level_only=True))
        if module.split(".")[0] in HEAVY
    ]
    assert early == []


def test_a_library_stays_in_its_place():
    strays = [
        f"{library} in {name_of(path)}"
        for library, places in ONLY_IN.items()
        for path in FILES
        if any(module.split(".")[0] == library for module in imports_of(path))
        and not any(name_of(path) == place or name_of(path).startswith(f"{place}/") for place in places)
    ]
    unused = [
        f"{library}: {place}"
        for library, places in ONLY_IN.items()
        for place in places
        if not any(
            (name_of(path) == place or name_of(path).startswith(f"{place}/"))
            and any(module.split(".")[0] == library for module in imports_of(path))
            for path in FILES
        )
    ]
    assert strays + unused == []


def test_file_names_say_something():
    assert not {path.stem for path in FILES} & SAY_NOTHING


def test_a_module_is_a_subject_and_a_function_a_thought():
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long_functions = [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert [name for name, count in lines.items() if count > MOST_LINES_OF_A_FILE] + long_functions == []
    assert 150 < len(lines) <= MOST_FILES
    assert statistics.median(lines.values()) >= LEAST_MEDIAN


def test_the_map_names_every_package_with_what_is_found_there():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = text.partition("## Where things are")[2].split("```")[1].strip().splitlines()
    shown = dict(line.split(maxsplit=1) for line in lines)
    packages = {
        f"embexp/{name_of(path.parent)}/": ast.get_docstring(tree_of(path)) for path in FILES if is_package(path)
    }
    assert shown == packages
    assert len(lines) <= 28


def is_package(path: Path) -> bool:
    """Whether this is the `__init__` of a package below embexp."""
    return path.stem == "__init__" and path.parent != PACKAGE


def test_every_folder_of_modules_is_a_package():
    assert {path.parent for path in FILES} == {path.parent for path in FILES if path.stem == "__init__"}


# Test modules that need a heavy library to be read: a class or a table made with it stands at their top level.
HEAVY_HEADS = {
    "data/test_dataset.py",
    "data/test_hub.py",
    "evaluation/stats/test_permutation.py",
    "evaluation/stats/test_significance.py",
    "evaluation/test_correlations.py",
    "losses/test_distances.py",
    "losses/test_info_nce.py",
    "losses/test_orthogonal.py",
    "losses/test_tension.py",
    "models/test_packed.py",
    "reports/test_changed_examples.py",
    "training/test_loss_monitor.py",
    "training/test_mixture_training.py",
    "training/test_processes.py",
    "training/test_stage.py",
    "training/test_token_batches.py",
    "tuning/test_closing.py",
}


def test_test_modules_import_heavy_libraries_where_they_use_them():
    tests = Path(__file__).parent
    modules = [path for path in sorted(tests.rglob("*.py")) if "benchmarks" not in path.parts]
    assert len(modules) > 200
    slow = HEAVY - {"pyarrow", "matplotlib"}
    early = {
        path.relative_to(tests).as_posix()
        for path in modules
        if {module.split(".")[0] for module in imports_of(path, top_level_only=True) if module} & slow
    }
    assert early == HEAVY_HEADS
