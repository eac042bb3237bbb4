"""`embexp clean`: what is counted, what goes when it is asked for, and all that stays whatever is asked for."""

import json
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from typed_commands import done_in

from embexp.config.session import remember_config_dir
from embexp.core.claims import held, is_held
from embexp.core.run_folder import LAYOUT
from embexp.data.cache import cache_alone, in_use
from embexp.errors import ConfigError
from embexp.experiment.clean import KINDS, as_lists, clean, find, freed_by, held_by, sizes_of

PATHS = {name: name for name in ("runs", "sweeps", "tunings", "races", "evaluations", "cache")}
RESULTS = ("run.json", "config.yaml", "result.json", "metrics.jsonl", "examples/sts_test.parquet", "reports/a.md")
RESULTS += ("plots/a.png", ".hydra/overrides.yaml", "embexp.log", "stages/main/done")
MB = 1_000_000


def write(path, size=10, text=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if text is not None else b"x" * size)
    return path


def make_run(folder, status="FINISHED", closed=True, layout=LAYOUT, **more):
    """A run's folder as embexp leaves it: 1 MB of model, two checkpoints of 2 MB, scratch weights of 1 MB."""
    for name in RESULTS:
        write(folder / name)
    record = {"key": "k", "name": "mnrl · tiny", "layout": layout, "directory": ".", "closed": closed, "id": "abc"}
    write(folder / "run.json", text=json.dumps(record | more))
    write(folder / "result.json", text=json.dumps({"run": {"status": status}, "metrics": {}}))
    write(folder / "stages/main/model/model.safetensors", MB)
    write(folder / "stages/main/model/modules.json")
    for step in (2, 4):
        write(folder / f"stages/main/checkpoints/checkpoint-{step}/optimizer.pt", 2 * MB)
    write(folder / "scratch/model.safetensors", MB)
    return folder


def make_cache(folder):
    write(folder / ("a" * 24) / "manifest.json")
    write(folder / ("a" * 24) / "train.parquet", MB)
    write(folder / "unfinished" / ("b" * 24) / "000001.npy", MB)
    write(folder / "embeddings" / f"{'c' * 64}.npy", MB)
    write(folder / "tokens" / f"{'e' * 24}.arrow")
    write(folder / "answers.sqlite", MB)
    write(folder / "cross_encoders" / ("d" * 24) / "seed-42/model/model.safetensors", MB)
    return folder


def copy_to_mlflow(run, link=True, run_id="abc", number=1):
    artifacts = Path("mlruns") / "1" / "models" / f"m-{number}" / "artifacts"
    write(artifacts / "MLmodel", text=f"model_id: m-{number}\nrun_id: {run_id}\n")
    copy = artifacts / "model.sentence_transformer"
    shutil.copytree(run / "stages/main/model", copy, copy_function=os.link if link else shutil.copy2)
    return copy


@pytest.fixture
def place(workplace):
    """A finished run with a linked copy in MLflow, a stopped one, a job of a sweep, and a cache."""
    make_run(workplace / "runs/2026-11-30/10-00-00")
    make_run(workplace / "runs/2026-11-30/11-00-00", status="KILLED", closed=False, id="def")
    make_run(workplace / "sweeps/2026-11-30/12-00-00/0", id="ghi")
    write(workplace / "sweeps/2026-11-30/12-00-00/leaderboard.md")
    make_cache(workplace / "cache")
    copy_to_mlflow(Path("runs/2026-11-30/10-00-00"))
    return workplace


def files():
    return {path.as_posix() for path in Path().rglob("*") if path.is_file() and path.parent.suffix != ".claim"}


def results():
    return {each for each in files() if each.endswith(RESULTS) or "leaderboard" in each}


GOES = {
    "cache": {f"cache/{'a' * 24}/", f"cache/unfinished/{'b' * 24}/", "cache/embeddings/", "cache/tokens/"},
    "checkpoints": {f"{run}/stages/main/checkpoints/" for run in ("30/10-00-00", "12-00-00/0")},
    "unfinished": {f"30/11-00-00/stages/main/{name}/" for name in ("checkpoints", "model")},  # a run may wait with one
    "models": {"30/10-00-00/stages/main/model/", "12-00-00/0/stages/main/model/", "/scratch/"},
    "mlflow": {"/model.sentence_transformer/"},
    "answers": {"cache/answers.sqlite"},
    "cross_encoders": {"cache/cross_encoders/"},
}


@pytest.mark.usefixtures("place")
def test_without_a_word_nothing_is_removed():
    before = files()
    text = clean(PATHS)
    assert files() == before
    for kind in KINDS:
        assert f"\n{kind} " in text
    assert "\ncache               3 MB      3 MB  made again when needed; embeddings 1 MB\n" in text
    assert "\nresults           0.0 MB " in text
    assert "of 3 runs; they stay" in text
    assert "runs/2026-11-30/10-00-00  mnrl · tiny" in text
    assert (
        text.splitlines()[-1] == "hint: type python -m embexp.clean free=cache,checkpoints"
    )  # linked copies free nothing
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "kinds", [*([kind] for kind in KINDS), ["cache", "checkpoints"], ["models", "mlflow"], [*KINDS]]
)
def test_what_is_named_goes_and_nothing_else(kinds):
    before, kept = files(), results()
    clean(PATHS, kinds)
    gone = before - files()
    expected = {each for each in before for kind in kinds for part in GOES[kind] if part in each}
    assert gone == expected - {each for each in expected if each.endswith("leaderboard.md")}
    assert results() == kept
    assert len(kept) > 20
    assert "freeing" not in " ".join(files())
    if "models" not in kinds:  # without its model a run's checkpoints are its models
        assert clean(PATHS, kinds).startswith("freed 0.0 MB: none")


def test_a_linked_file_is_counted_once_and_freed_with_its_last_name(place):
    run = place / "runs/2026-11-30/10-00-00"
    model, copy = run / "stages/main/model", next(place.glob("mlruns/*/models/*/artifacts/model.sentence_transformer"))
    assert held_by(sizes_of([model, copy])) == held_by(sizes_of([model]))
    assert freed_by(sizes_of([copy])) == 0
    assert freed_by(sizes_of([model, copy])) == held_by(sizes_of([model]))
    assert clean(PATHS, ["mlflow"]).startswith("freed 0.0 MB: mlflow (1)")
    assert (model / "model.safetensors").stat().st_size == MB


@pytest.mark.parametrize("what", ["other weights", "no weights", "another run", "stopped", "no model"])
def test_a_copy_in_mlflow_that_may_be_the_only_one_stays(what, workplace):
    run = make_run(workplace / "runs/a", **({"closed": False} if what == "stopped" else {}))
    copy = copy_to_mlflow(run, link=False, run_id="another" if what == "another run" else "abc")
    if what == "other weights":
        write(copy / "model.safetensors", text="other")
    elif what == "no weights":
        (copy / "model.safetensors").unlink()
    elif what == "no model":
        shutil.rmtree(run / "stages/main/model")
    before = {each for each in files() if each.startswith("mlruns")}
    clean(PATHS, ["mlflow", "checkpoints", "cache"])
    assert {each for each in files() if each.startswith("mlruns")} == before


def test_checkpoints_that_may_be_the_only_weights_are_models(workplace):
    shutil.rmtree(make_run(workplace / "runs/a") / "stages/main/model")
    assert {part.kind for part in find(PATHS).parts} == {"models"}


@pytest.mark.parametrize(
    "make",
    [
        lambda place: make_run(place / "runs/a", layout=1),
        lambda place: make_run(place / "runs/a", layout=None),
        lambda place: write(make_run(place / "runs/a") / "run.json", text="{"),
        lambda place: write(make_run(place / "runs/a") / "run.json", text="[1, 2]"),
        lambda place: write(make_run(place / "runs/a") / "result.json", text="{}"),
        lambda place: (make_run(place / "runs/a") / "run.json").unlink(),
        lambda place: write(place / "runs/a/stages/main/checkpoints/checkpoint-2/mine.pt"),
        lambda place: write(place / "runs/checkpoint-2/mine.pt"),
        lambda place: write(place / "cache/mine.npy"),
        lambda place: write(place / "cache/embeddings/mine.npy"),
        lambda place: write(place / f"cache/{'a' * 24}/mine.txt"),  # without a manifest
        lambda place: write(place / f"cache/{'A' * 24}/manifest.json"),
        lambda place: write(place / "mlruns/1/models/m-1/artifacts/MLmodel", text="run_id: abc\n"),
        lambda place: write(place / "mlruns/1/models/m-1/artifacts/model.sentence_transformer/model.safetensors"),
        lambda place: make_run(place / "elsewhere/a"),
        lambda place: make_cache(place / "elsewhere"),
    ],
)
def test_what_is_not_known_to_be_ours_stays(make, workplace):
    make(workplace)
    before = files()
    clean(PATHS)
    clean(PATHS, [*KINDS])
    assert files() == before


def test_links_are_not_followed(workplace):
    other = make_run(workplace / "other/a")
    make_cache(workplace / "other cache")
    run = make_run(workplace / "runs/a")
    shutil.rmtree(run / "stages/main/model")
    (run / "stages/main/model").symlink_to(other / "stages/main/model")
    (run / "stages/main/checkpoints/checkpoint-6").symlink_to(other / "stages/main/checkpoints/checkpoint-2")
    (workplace / "runs/b").symlink_to(other)
    (workplace / "cache").mkdir()
    (workplace / "cache" / ("a" * 24)).symlink_to(workplace / "other cache" / ("a" * 24))
    before = {each for each in files() if each.startswith("other")}
    clean(PATHS, [*KINDS])
    assert {each for each in files() if each.startswith("other")} == before
    assert (run / "stages/main/model").is_symlink()


def hold(folder, what, began, end):
    os.chdir(folder)
    with held(Path(what), "sweep" if what.startswith("sweeps") else "run") if what != "cache" else in_use(Path(what)):
        began.set()
        end.wait(60)


@pytest.mark.parametrize(
    ("what", "stays"),
    [
        ("runs/2026-11-30/10-00-00", ["runs/2026-11-30/10-00-00", "cache", "mlruns"]),
        ("sweeps/2026-11-30/12-00-00", ["sweeps", "cache"]),
        ("cache", ["cache"]),
    ],
)
def test_what_another_process_uses_stays(what, stays, place):
    began, end = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(place, what, began, end))
    process.start()
    began.wait(60)
    try:
        before = {each for each in files() if each.startswith(tuple(stays))}
        text = clean(PATHS, [*KINDS])
        assert "left as it is" in text
        assert {each for each in files() if each.startswith(tuple(stays))} == before
        assert not list(place.glob("runs/2026-11-30/11-00-00/stages/main/checkpoints/checkpoint-*"))  # the others go
    finally:
        end.set()
        process.join()
    clean(PATHS, [*KINDS])
    assert not [each for each in files() if each.startswith(tuple(stays)) and "optimizer" in each]


def test_a_cache_in_use_by_several_is_free_once_all_have_ended(tmp_path):
    with in_use(tmp_path), in_use(tmp_path), cache_alone(tmp_path) as is_alone:
        assert not is_alone
    with cache_alone(tmp_path) as is_alone:
        assert is_alone
    with in_use(tmp_path / "nowhere"), cache_alone(tmp_path / "nowhere") as is_alone:
        assert is_alone


def test_only_what_is_old_enough_goes(place):
    then = time.time() - 40 * 86_400
    for path in (place / "runs/2026-11-30/10-00-00/stages").rglob("*"):
        os.utime(path, (then, then))
    assert "\ncheckpoints         4 MB      4 MB  of" in clean(PATHS, older=30)
    assert "\ncheckpoints         8 MB      8 MB  of" in clean(PATHS)
    assert clean(PATHS, older=30).endswith("\nhint: type python -m embexp.clean free=checkpoints older=30")
    assert clean(PATHS, ["checkpoints"], older=30).startswith("freed 4 MB: checkpoints (1)")
    assert clean(PATHS, ["checkpoints"], older=0).startswith("freed 4 MB: checkpoints (1)")  # that of the sweep


def test_what_a_stopped_clean_has_left_is_no_half_of_anything_and_goes_next_time(place, monkeypatch):
    def stop(_path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("embexp.experiment.clean.shutil.rmtree", stop)
        for kind in ("cache", "checkpoints", "models"):
            with pytest.raises(KeyboardInterrupt):
                clean(PATHS, [kind])
    left = [path.name for path in place.rglob(".freeing-*")]
    assert len(left) == 3
    clean(PATHS, ["cache", "checkpoints", "models"])
    assert not [*place.rglob(".freeing-*")]


@pytest.mark.usefixtures("place")
def test_a_folder_that_cannot_be_changed_is_named(monkeypatch):
    def refuse(self, _other):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    assert "cannot be removed: [Errno 13] Permission denied" in clean(PATHS, ["checkpoints"])


@pytest.mark.parametrize(
    ("free", "message"), [(["chekpoints"], "Did you mean 'checkpoints'"), (["results"], "each of it one of: cache, ")]
)
def test_an_unknown_kind_is_refused(free, message):
    with pytest.raises(ConfigError, match=message):
        clean(PATHS, free)


@pytest.mark.parametrize("more", [{"older": -1}, {"show": -1}])
def test_numbers_have_bounds(more):
    with pytest.raises(ConfigError):
        clean(PATHS, **more)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (["free=cache"], ["free=[cache]"]),
        (["free=cache,models", "older=3"], ["older=3", "free=[cache,models]"]),
        (["cache", "checkpoints"], ["free=[cache,checkpoints]"]),
        (["free=[cache]"], ["free=[cache]"]),
        ([], []),
        (["paths.runs=my"], ["paths.runs=my"]),
    ],
)
def test_ways_of_typing_it(typed, read):
    assert as_lists(typed) == read


def test_the_command_reads_the_folders_from_the_configuration(place, monkeypatch, capsys):
    from embexp.experiment.clean import clean_command

    (place / "runs").rename(place / "my runs")
    monkeypatch.setattr(sys, "argv", ["embexp", "paths.runs=my runs", "free=checkpoints"])
    clean_command()
    remember_config_dir(None)
    assert "freed 8 MB: checkpoints (2)" in capsys.readouterr().out
    assert not is_held(place / "my runs/2026-11-30/10-00-00")


@pytest.mark.slow
def test_real_runs_are_compared_and_resumed_after_it(workplace):
    """A finished run and one that was stopped: all is freed; one is compared, the other says that it begins anew."""

    def embexp(*arguments):
        return done_in(workplace, *arguments)

    tiny = ("model=tiny", "trainer=smoke", "threads=1", "evaluator.sts.resamples=200", "tracking=none")
    done = embexp("loss=mnrl", "keep=full", "hydra.run.dir=runs/mnrl", *tiny)
    assert done.returncode == 0, done.stderr
    shutil.copytree(workplace / "runs/mnrl", workplace / "runs/stopped")
    for name in ("result.json", "stages/main/done", "stages/main/model"):  # as one that was stopped in its training
        path = workplace / "runs/stopped" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    record = json.loads((workplace / "runs/stopped/run.json").read_text())
    (workplace / "runs/stopped/run.json").write_text(json.dumps(record | {"closed": False}))
    before = (workplace / "runs/mnrl/result.json").read_text()
    done = embexp("clean", f"free=[{','.join(KINDS)}]")
    assert "checkpoints (1)" in done.stdout, done.stderr
    assert not [*workplace.glob("runs/*/stages/main/checkpoints/checkpoint-*")]
    assert (workplace / "runs/mnrl/result.json").read_text() == before
    done = embexp("resume=runs/stopped")
    assert done.returncode == 0, done.stderr
    assert "were removed by embexp clean: the training begins anew" in done.stdout + done.stderr
    done = embexp("compare", "runs/mnrl", "runs/stopped")
    assert done.returncode == 0, done.stderr
    assert "sts/spearman_cosine" in done.stdout
