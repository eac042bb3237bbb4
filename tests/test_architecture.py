"""The house rules that a machine can hold: layers, lazy imports, files with names that say something."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "embexp"
FILES = sorted(PACKAGE.rglob("*.py"))
# From the bottom up. A module imports from lower layers only, or from its own folder.
LAYERS = (
    {"errors"},
    {"interrupts", "schemas", "value_types", "run_record", "stopwatch", "costs"},
    {"config", "environment", "libraries", "misfits", "nearest", "protocols"},
    {"data", "named_models"},
    {"losses", "models", "steps", "tracking"},
    {"dataset_steps", "training", "evaluation", "reports"},
    {"building", "exports", "matching"},
    {"checks", "inspection", "stage_keys"},
    {"checking", "drafts", "judges"},
    {"plan"},
    {"identity"},
    {"candidates", "comparison", "describing", "exportable", "resuming", "scoring"},
    {"board", "candidate_scores"},
    {"exhibits"},
    {"results"},
    {"adapting"},
    {"run"},
    {"job_overrides", "overrides"},
    {"explaining"},
    {"command"},
    {"sweep"},
    {"ranked_runs", "recipes", "tuning"},
    {"__main__", "compare", "evaluate", "export", "inspect", "leaderboard", "prepare", "reproduce", "tune"},
)
# Who may import what takes long or binds us to a library.
ONLY_IN = {
    "hydra": {
        "tune.py",
        "tuning/space.py",
        "config.py",
        "command.py",
        "explaining.py",
        "job_overrides.py",
        "schemas.py",
        "overrides.py",
        "sweep/failures.py",
        "sweep/jobs.py",
        "sweep/launching.py",
        "sweep/opening.py",
        "sweep/unknown_keys.py",
        "sweep/worker.py",
        "sweep/workers.py",
    },
    "mlflow": {"tracking/mlflow_runs.py", "tracking/mlflow_tracker.py"},
    "jinja2": {"reports/board_page.py"},
    "matplotlib": {
        f"reports/pictures/{name}.py"
        for name in (
            "canvas",
            "fonts",
            "gold_against_predicted",
            "heat_map",
            "interval_plot",
            "learning_curves",
            "pareto_front",
            "projection",
            "score_histogram",
            "similarity_matrix",
            "study_history",
        )
    },
    "optuna": {f"tuning/{name}.py" for name in ("closing", "dimensions", "drawing", "progress", "study", "trials")},
    "mteb": {"evaluation/mteb_tasks.py"},
    "ftfy": {"steps/cleaning/text_repair.py"},
    "jieba": {"steps/rewording/word_splitting.py"},
    "py3langid": {"steps/language.py"},
    "bm25s": {"steps/negatives/bm25.py", "steps/negatives/terms.py"},
    "faiss": {"steps/negatives/faiss_search.py"},
    "Stemmer": {"steps/negatives/terms.py"},
    "requests": {"data/hub.py", "steps/asking/sending.py"},
    "pydantic": {"steps/asking/structured.py"},
    "rensa": {"steps/comparing/near.py"},
    "onnxruntime": {"exports/onnx_encoder.py", "exports/onnx_export.py"},
}
HEAVY = {"torch", "sentence_transformers", "transformers", "tokenizers", "datasets", "mlflow", "matplotlib"}
HEAVY |= {"numpy", "scipy", "sklearn", "pandas", "pyarrow", "ftfy", "rensa", "py3langid", "onnxruntime", "optuna"}
# Modules that are themselves imported lazily, once training starts.
IMPORTED_LATE = {
    "models/forward_choice.py",
    "models/packed.py",
    "training/callbacks.py",
    "training/checkpoint_callback.py",
    "exports/onnx_graph.py",
}
IMPORTED_LATE |= {"losses/tension.py", "losses/diffcse.py", "losses/info_nce.py", "losses/orthogonal.py"}


def imports_of(path: Path, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return found


def level_of(module: str) -> int:
    return next(level for level, names in enumerate(LAYERS) if module in names)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_the_package_has_files():
    assert len(FILES) > 25


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parent != PACKAGE or path.stem != "__init__"], ids=name_of
)
def test_imports_point_downward_and_siblings_stay_apart(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports_of(path):
        if module.startswith("embexp."):
            other = module.split(".")[1]
            assert other == own or level_of(other) < level_of(own), module


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(path):
    if name_of(path) not in IMPORTED_LATE:
        assert not {module.split(".")[0] for module in imports_of(path, top_level_only=True)} & HEAVY


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_place(library):
    users = {name_of(path) for path in FILES if any(m.split(".")[0] == library for m in imports_of(path))}
    assert users == ONLY_IN[library]


def test_file_names_say_something():
    assert not {path.stem for path in FILES} & {"utils", "common", "helpers", "misc"}
