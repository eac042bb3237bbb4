"""What `import embexp` offers: runs, evaluations, comparisons and leaderboards, made as the commands make them.

Errors are exceptions. An application's own Hydra state, environment variables and number of torch threads stay.
"""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from embexp.cli.app import MISTAKES, TYPED, is_sweep
from embexp.cli.messages import explain
from embexp.cli.overrides import each_model, expand_paths
from embexp.cli.quoting import quote_texts, quoted
from embexp.config.compose import composed, composed_job
from embexp.config.session import hydra_started
from embexp.core.run_context import RunContext
from embexp.core.run_folder import find_run, log_in, write_text
from embexp.errors import ConfigError, EmbexpError
from embexp.reports.frames import Report, Run, csv_frame, frame

_EACH_VALUE = "Call it for each value, or type embexp -m ... in a shell."


@contextmanager
def _session(config_dir: str | Path | None, computes: bool = False) -> Iterator[None]:
    """Hydra of our own; its mistakes come out as ours, environment variables and torch's threads stay as they were."""
    before, torch = dict(os.environ), importlib.import_module("torch") if computes else None
    threads = torch and torch.get_num_threads()
    try:
        with hydra_started(config_dir):
            try:
                yield
            except MISTAKES as error:
                if isinstance(error, EmbexpError):
                    raise
                raise ConfigError(explain(error)) from error
    finally:
        if torch:
            torch.set_num_threads(threads)
        for name in {*os.environ} - {*before}:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


def _checked(overrides: Sequence[str], function: str) -> list[str]:
    """The overrides, none of which is a flag."""
    for each in overrides:
        if each in ("-m", "--multirun"):
            raise ConfigError(f"embexp.{function} takes no {each}: a sweep is for the command line. {_EACH_VALUE}")
        if each.startswith("-"):
            expected = "overrides, and config_dir=<folder>"
            raise ConfigError(f"embexp.{function} takes no flag such as {each}", expected=expected)
    return [*overrides]


def _record_typed(folder: Path, own: Sequence[str]) -> None:
    """Write the overrides into a folder, as Hydra does: the model card and the tracker show them."""
    written = folder / ".hydra" / "overrides.yaml"
    if not written.exists():
        written.parent.mkdir(parents=True, exist_ok=True)
        write_text(written, OmegaConf.to_yaml(OmegaConf.create([*own])))


def run(*overrides: str, config_dir: str | Path | None = None) -> Run:
    """Train a model and evaluate it against its untouched self, as `embexp <overrides>` does.

    Args:
        overrides: as they are typed: `run("model=static", "loss=cosent", "dataset=faq.csv")`. `resume=<folder>` resumes
            an interrupted run. A sweep (`-m`) is for the command line.
        config_dir: a folder with YAML files of your own.

    Raises:
        EmbexpError: something in the configuration or the data is wrong.
    """
    from embexp.sweep.train import train

    context = RunContext()
    with _session(config_dir, computes=True):
        typed = quote_texts(expand_paths(_checked(overrides, "run"), mixes=True))
        if several := [each for each in typed if is_sweep(each)]:
            raise ConfigError(f"{several[0]} names several values, and embexp.run makes one run. {_EACH_VALUE}")
        config, choices, folder = composed_job(typed)
        own = [each for each in typed if not each.startswith("hydra.")]
        if config.resume is None:
            _record_typed(folder, own)
        with log_in(folder):
            train(
                config, choices, folder, [*own, *(each for each in typed if each.startswith("hydra.run.dir="))], context
            )
    return Run(folder.absolute())


def race(*overrides: str, config_dir: str | Path | None = None) -> Report:
    """Find the best model within a budget, as `embexp race <overrides>` does: a line of the table per candidate.

    The same call again goes on where the race ended, as the same command does, with a larger `budget=`, too.

    Args:
        overrides: as they are typed, several values of a key as a list: `race("dataset=faq.csv", "loss=mnrl,cosent")`.

    Raises:
        EmbexpError: something in the configuration or the data is wrong, or no candidate could be trained.
    """
    with _session(config_dir, computes=True):
        from embexp.racing.race_run import run_race  # here: libraries that it imports set environment variables
        from embexp.racing.space import typed_space

        typed = quote_texts(expand_paths(typed_space(_checked(overrides, "race")), mixes=True))
        config, _, folder = composed_job(typed, "race")
        own = [each for each in typed if not each.startswith("hydra.")]
        _record_typed(folder, own)
        again = (*(["--config-dir", str(Path(config_dir).absolute())] if config_dir else []), *overrides)
        before = TYPED.set(again)  # what an engine types again when this process has died
        try:
            with log_in(folder):
                found = run_race(config, folder, own)
        finally:
            TYPED.reset(before)
    text, table = ((folder / f"race.{kind}").read_text("utf-8") for kind in ("md", "csv"))
    return Report(text, found, {"candidates": csv_frame(table)})


def load(run: "str | Path | Run") -> Run:
    """A run that was made before.

    Args:
        run: its folder, or its id in MLflow when it is below the configured `paths`.

    Raises:
        EmbexpError: there is no such run.
    """
    with _session(None):
        paths = composed([], check=False)[0].paths
        roots = [paths[place] for place in ("runs", "sweeps", "tunings", "races")]
        return run if isinstance(run, Run) else Run(find_run(str(run), roots).absolute())


def evaluate(*overrides: str, config_dir: str | Path | None = None) -> Report:
    """Score models without training, as `embexp evaluate model=a,b <overrides>` does: a line of the table per model.

    What each predicts stands in the tables `examples/<evaluator>_<split>`.

    Raises:
        EmbexpError: something in the configuration or the data is wrong, or a model cannot be scored.
    """
    from embexp.reports.comparisons import as_markdown
    from embexp.sweep.evaluations import evaluate_models

    with _session(config_dir, computes=True):
        models, others = each_model(_checked(overrides, "evaluate"))
        typed = quote_texts(expand_paths(others))
        *first, folder = composed_job([*quote_texts(models[0]), *typed], "evaluate")
        every = [tuple(first), *(composed([*quote_texts(model), *typed], "evaluate") for model in models[1:])]
        result = evaluate_models(every, folder)
    rows = [row | _flat_scores(row["scores"]) | row["metrics"] for row in result["models"]]
    kept = {f"examples/{each.stem}": frame(each) for each in (folder / "examples").glob("*.parquet")}
    table = frame(rows).drop(columns=["scores", "metrics"])
    return Report(as_markdown(result["models"]), result, {"models": table, **kept})


def pairs(*overrides: str, config_dir: str | Path | None = None) -> Report:
    """The most similar pairs of texts, as `embexp pairs dataset=texts.txt` finds them: a line of the table per pair.

    Raises:
        EmbexpError: something in the configuration or the data is wrong.
    """
    from embexp.inspection.similar_pairs import pairs as similar_pairs

    with _session(config_dir, computes=True):
        found, text = similar_pairs(*composed(quote_texts(expand_paths(_checked(overrides, "pairs"))), "pairs"))
    return Report(text, found, {"pairs": frame(found)})


def _flat_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """By metric its value, and under `<metric>_<name>` whatever else is known of it."""
    every = [(key, name, value) for key, each in scores.items() for name, value in each.items() if name != "name"]
    return {key if name == "value" else f"{key}_{name}": value for key, name, value in every}


def compare(
    first: "Run | str | Path | Sequence[Run | str | Path]",
    second: "Run | str | Path | Sequence[Run | str | Path]",
    *overrides: str,
    config_dir: str | Path | None = None,
) -> Report:
    """Compare two finished runs, as `embexp compare <first> <second>` does: a line of the table per metric.

    Args:
        first: a run, its folder or its id in MLflow; several are seeds of one configuration.
        second: the same for the other side.

    Raises:
        EmbexpError: a run is missing or has not finished, or they share no evaluator with the same examples.
    """
    from embexp.experiment.compare import comparison

    with _session(config_dir):
        sides = ",".join(quoted(_names_of(side)) for side in (first, second))
        typed = [f"runs=[{sides}]", *quote_texts(expand_paths(_checked(overrides, "compare")))]
        found, page = comparison(composed(typed, "compare")[0])
    tables = {name: frame(found[name]) for name in ("metrics", "other_tests")}
    tables["configuration"] = frame(found["configuration"], ["key", "first", "second"])
    tables |= {f"changed/{name}": frame(rows) for name, rows in found["changed"].items()}
    return Report(page, found, tables)


def _names_of(side: Any) -> str:
    """The runs of a side as `embexp compare` takes them."""
    runs = [side] if isinstance(side, str | Path | Run) else side
    return ",".join(str(each.folder if isinstance(each, Run) else each) for each in runs)


def gate(candidate: Any, *overrides: str, against: Any = "untouched", config_dir: str | Path | None = None) -> Report:
    """Whether a candidate ships, as `embexp gate <candidate> against=<against>` decides: `.content["decision"]`.

    Args:
        candidate: as a side of `compare`.
        against: the same, or the model that the candidate's training began with.

    Raises:
        EmbexpError: the runs cannot be compared, or the look at test data cannot be written down.
    """
    from embexp.experiment.gate import gate as decision

    with _session(config_dir):
        sides = [f"{key}=[{quoted(_names_of(side))}]" for key, side in (("candidate", candidate), ("against", against))]
        found = decision(composed([*sides, *quote_texts(expand_paths(_checked(overrides, "gate")))], "gate")[0])
    text, rows = f"{found['decision']}: {found['reason']}", [found["primary"], *found["guards"]]
    return Report(text, found, {"metrics": frame(rows)})


def power(*words: "Run | str | Path", config_dir: str | Path | None = None) -> Report:
    """What test data and seeds can show, as `embexp power <runs> <overrides>` says: a line of the table per difference.

    Args:
        words: runs, their folders or ids, a sweep's or an evaluation's folder, and overrides; without a run the newest.

    Raises:
        EmbexpError: no finished runs, or runs without a metric or examples in common.
    """
    from embexp.experiment.compare import with_runs
    from embexp.experiment.power import power as planned

    named = [_names_of(each) for each in words if isinstance(each, Path | Run)]
    typed = with_runs(_checked([each for each in words if isinstance(each, str)], "power"), named)
    with _session(config_dir):
        found, page = planned(composed(quote_texts(expand_paths(typed)), "power")[0])
    grid = [{"examples": size, **dict(zip(found["seeds"], row, strict=True))} for size, row in found["grid"].items()]
    return Report(page, found, {"comparisons": frame(found["comparisons"]), "grid": frame(grid)})


def leaderboard(*overrides: str, config_dir: str | Path | None = None) -> Report:
    """Rank finished runs, as `embexp leaderboard sweep=<sweep> <overrides>` does: a line of the table per cell.

    Raises:
        EmbexpError: there is no such sweep, filter, parameter, metric or cost.
    """
    from embexp.leaderboards.make import as_overrides, leaderboard_of
    from embexp.leaderboards.tables import as_markdown, as_rows
    from embexp.reports.leaderboard_content import as_plain

    with _session(config_dir):
        typed = quote_texts(expand_paths(as_overrides(_checked(overrides, "leaderboard"))))
        found = leaderboard_of(composed(typed, "leaderboard")[0])
    cells = frame(as_rows(found)).drop(columns=["on_front", "lacks_seeds"], errors="ignore")
    return Report(as_markdown(found), as_plain(found), {"cells": cells})
