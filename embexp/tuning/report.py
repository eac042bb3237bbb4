"""What a study found: the best trial with its test score, all trials as tables, and the files that show them."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from embexp.config.session import shell_command
from embexp.core.escaping import as_markdown_text, markdown_table, output_console, report_csv
from embexp.core.run_folder import RESULT, read_json, write_text
from embexp.reports.pictures.learning_curves import draw_study_history
from embexp.reports.tables import fitting, narrowing, print_table, shortened, table_of
from embexp.tracking.journal import Journal
from embexp.tuning.study import STATES, TWIN, OpenStudy, first_line_of_error, sampled_overrides

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_Row = Mapping[str, Any]  # trial, state, value (None where it has none), drawn (by key), note


_OUTCOME = 24  # columns of what is said of a trial in a narrow terminal; trials.md has all of it


def _command_of(search: OpenStudy, trial: "FrozenTrial") -> str:
    """What to type for a run with a trial's values."""
    fixed = [each for each in search.fixed if not each.startswith(("sweep.", "sweep/"))]
    return shell_command("", map(shlex.quote, [*fixed, *sampled_overrides(search, trial)]))


def _study_tables(rows: Sequence[_Row], metric: str) -> list[Table]:
    """All trials, from the best to the worst, then those that were stopped or failed; with ever fewer of their values.

    The last values go first. Before any goes, what is said of a trial is cut.
    """
    headings, *lines = _lines(rows)
    title, keys = f"trials by {metric}", headings[2:-1]
    short = [[*line[:-1], shortened(line[-1], _OUTCOME)] for line in lines]
    return [table_of(title, headings, lines), *narrowing(title, headings, short, keys[::-1])]


def _study_markdown(rows: Sequence[_Row], closing: Sequence[tuple[str, str]]) -> str:
    """The lines below the table, which are read first, then the same table."""
    headings, *lines = _lines(rows)
    said = (f"- **{label}** {as_markdown_text(text)}" for label, text in closing)
    return "\n".join([*said, "", *markdown_table(headings, lines)]) + "\n"


def _study_csv(rows: Sequence[_Row]) -> str:
    """All numbers in full, a column for each key."""
    keys = [*rows[0]["drawn"]] if rows else []
    lines: list[list[Any]] = [["trial", "state", "value", *keys, "note"]]
    for row in rows:
        drawn = (row["drawn"].get(key) for key in keys)
        lines.append([row["trial"], row["state"], row["value"], *drawn, row["note"]])
    return report_csv(lines)


def _lines(rows: Sequence[_Row]) -> list[list[str]]:
    keys = [*rows[0]["drawn"]] if rows else []
    lines = [["trial", "dev", *_short_keys(keys), "outcome"]]
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.4f}"
        drawn = (shown(row["drawn"].get(key)) for key in keys)
        lines.append([str(row["trial"]), value, *drawn, ", ".join(filter(None, (row["state"], row["note"])))])
    return lines


def _short_keys(keys: Sequence[str]) -> list[str]:
    """The last part of each key, where that is unique.

    >>> _short_keys(["loss.scale", "trainer.learning_rate"]), _short_keys(["a.scale", "b.scale"])
    (['scale', 'learning_rate'], ['a.scale', 'b.scale'])
    """
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)]


def shown(value: Any) -> str:
    """A value as a table has room for it.

    >>> shown(0.000123456), shown(32), shown("mnrl"), shown(None)
    ('0.0001235', '32', 'mnrl', '-')
    """
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def close_study(search: OpenStudy, journal: Journal, metric: str) -> dict[str, Any]:
    """Print the table and what it says, and store both with the parent run; returns what stands in its result.json."""
    trials = sorted(search.known(), key=_place)
    rows = [_row_of(search, trial) for trial in trials]
    closing = _closing_lines(search, trials, metric)
    journal.result |= {"study": search.id, "metric": metric, "trials": rows}
    markdown = _study_markdown(rows, closing)
    write_text(search.folder / "trials.md", markdown)
    write_text(search.folder / "trials.csv", _study_csv(rows))
    _draw_history(search, metric)
    for name, folder in (("trials.md", None), ("trials.csv", None), ("plots", "plots")):
        journal.log_artifact(search.folder / name, folder)
    journal.describe(markdown)
    console = output_console()
    print_table(fitting(_study_tables(rows, metric), console), console)
    where = [("study", f"{search.id} in {search.folder}"), ("tracked", journal.tracker.where())]
    for label, text in (*closing, *where):
        console.print(f"{label:<11}{text}", soft_wrap=True, highlight=False)
    return journal.result


def _place(trial: "FrozenTrial") -> tuple[int, float, int]:
    """Orders trials: the best first, then those that were stopped, failed, or have not ended."""
    value = -math.inf if trial.value is None else trial.value
    return [*STATES].index(trial.state.name), -value, trial.number


def _row_of(search: OpenStudy, trial: "FrozenTrial") -> dict[str, Any]:
    return {
        "trial": trial.number,
        "state": STATES[trial.state.name],
        "value": trial.value,
        "drawn": trial.params,
        "note": _note_on(trial),
        "folder": str(search.run_folder(trial)),
    }


def _note_on(trial: "FrozenTrial") -> str:
    """What is to be said of a trial besides its state."""
    if trial.state.name == "PRUNED":
        return f"at evaluation {len(trial.intermediate_values)}"
    return f"as trial {trial.user_attrs[TWIN]}" if TWIN in trial.user_attrs else first_line_of_error(trial)


def _closing_lines(search: OpenStudy, ordered: Sequence["FrozenTrial"], metric: str) -> list[tuple[str, str]]:
    """With their labels what a person should know of the trials, the best of which stands first."""
    done = [trial for trial in ordered if trial.state.name == "COMPLETE"]
    lines = _best_lines(search, done[0], len(ordered), metric) if done else [("best", "no trial came to its end")]
    if shares := _importances_of(search, done):
        shown_shares = ", ".join(f"{key} {share:.2f}" for key, share in shares.items())
        lines.append(("importance", f"{shown_shares}: shares in the differences on dev (fANOVA, {len(done)} trials)"))
    failures = [trial for trial in ordered if trial.state.name == "FAIL"]
    return lines + [("failed", f"trial {trial.number}: {first_line_of_error(trial)}") for trial in failures]


def _best_lines(search: OpenStudy, best: "FrozenTrial", num_trials: int, metric: str) -> list[tuple[str, str]]:
    """The best trial: its value on dev, which picked it, and its result on test, which picked nothing."""
    result = read_json(search.run_folder(best) / RESULT)
    primary = result["primary"]
    interval = "" if math.isnan(primary["low"]) else f" ({primary['low']:+.4f} to {primary['high']:+.4f})"
    verdict = f"{primary['difference']:+.4f}{interval} to the untouched model's {primary['base']:.4f}"
    honest = "the one on test is not" if primary["split"] == "test" else "there is no test split"
    return [
        ("best", f"trial {best.number}, {metric} {best.value:.4f}: {' '.join(sampled_overrides(search, best, shown))}"),
        ("result", f"{primary['key']} {primary['trained']:.4f}, {verdict}: {primary['verdict']}"),
        ("note", f"the best of {num_trials} trials was picked on dev, so its value there is flattered; {honest}"),
        ("again", _command_of(search, best)),
        ("model", result["model_path"]),
    ]


def _importances_of(search: OpenStudy, done: Sequence["FrozenTrial"]) -> dict[str, float]:
    """The share of each key in the differences between trials; none where they are fewer than 8 or all the same."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len(done) < 8 or len({trial.value for trial in done}) < 2:
        return {}
    return get_param_importances(search.study, evaluator=FanovaImportanceEvaluator(seed=search.seed))


def _draw_history(search: OpenStudy, metric: str) -> None:
    """The picture of the study so far."""
    trials = search.known()
    done, stopped = (
        [(trial.number, trial.value) for trial in trials if trial.state.name == state and trial.value is not None]
        for state in ("COMPLETE", "PRUNED")
    )
    curves = {
        trial.number: [(place + 1, value) for place, value in sorted(trial.intermediate_values.items())]
        for trial in trials
    }
    subject = f"study {search.id}, {len(trials)} trials"
    path = search.folder / "plots" / "trials.png"
    draw_study_history(path, subject, done, stopped, curves, metric.removeprefix("dev/"))
