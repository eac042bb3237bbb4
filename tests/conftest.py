"""Fixtures that all tests share: a quiet machine, tiny runs, and a copy of an empty MLflow store."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from embexp.core.run_folder import RECORD, read_record, write_json

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):  # a developer's own store
    os.environ.pop(name, None)

settings.register_profile("embexp", deadline=None)  # no test is timed
settings.load_profile("embexp")

pytest_plugins = ["picture_fixtures"]
# A run of seconds: a two-layer BERT from scratch, four steps, one thread, few resamples, the bundled corpus.
TINY = ("model=tiny", "trainer=smoke", "threads=1", "evaluator.sts.resamples=200")


def thinned(cases: Sequence, keep: int, *marks: pytest.MarkDecorator) -> list:
    """Cases of one mechanism: so many of them, evenly spread, stay in their lane, the others are of `matrix`.

    Args:
        marks: of the cases that stay.
    """
    kept = {round(number * (len(cases) - 1) / (keep - 1)) for number in range(keep)}
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=marks if place in kept else pytest.mark.matrix
        )
        for place, case in enumerate(cases)
    ]


@pytest.fixture
def without(monkeypatch) -> Callable[..., None]:
    """A function that has optional packages look as if they were not installed."""
    from embexp.core import environment

    absent, version = environment._is_absent, environment._installed_version

    def hide(*packages: str) -> None:
        monkeypatch.setattr(environment, "_is_absent", lambda name: name in packages or absent(name))
        monkeypatch.setattr(environment, "_installed_version", lambda name: name not in packages and version(name))

    return hide


@pytest.fixture
def scored(monkeypatch) -> list[str]:
    """The splits that evaluators scored, one after the other."""
    from embexp.evaluation.example_evaluator import ExampleEvaluator

    splits, score = [], ExampleEvaluator.score

    def watched(self, encoder, split):
        splits.append(split)
        return score(self, encoder, split)

    monkeypatch.setattr(ExampleEvaluator, "score", watched)
    return splits


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database with its tables and nothing else; making one takes seconds, so it is made once."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_store, workplace) -> str:
    """The URI of a fresh MLflow store in the working directory."""
    shutil.copy(empty_store, workplace / "mlflow.db")
    return f"sqlite:///{workplace / 'mlflow.db'}"


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a finished, untracked tiny run with a loss, made once for all tests that only read or copy one."""
    made: dict[str, Path] = {}

    def folder_of(loss: str = "mnrl") -> Path:
        if loss not in made:
            from test_run import plan_of

            from embexp.experiment.execute import execute

            made[loss] = tmp_path_factory.mktemp("finished") / loss
            execute(plan_of(made[loss], "tracking=none", f"loss={loss}", "paths.cache=null"))
        return made[loss]

    return folder_of


@pytest.fixture
def finished_run(finished, workplace) -> Path:
    """A finished run in the working directory, as `run`."""
    return copied(finished(), workplace)


def copied(run: Path, workplace: Path) -> Path:
    """A copy of a run's folder, recorded as begun in that place."""
    folder = workplace / "run"
    shutil.copytree(run, folder)
    write_json(folder / RECORD, read_record(folder) | {"directory": str(workplace)})
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public data sets; tests that need it are skipped without EMBEXP_DATA."""
    folder = os.environ.get("EMBEXP_DATA")
    if not folder:
        pytest.skip("EMBEXP_DATA names no folder with public data sets")
    return Path(folder).resolve()
