"""The end of a run on the terminal and in Markdown: its closing table, what the guard lost, the stages on the way."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from embexp.core.escaping import as_markdown_text, markdown_table
from embexp.data.columns import TAKEN
from embexp.reports.tables import export_lines, fitting, loss_name, narrowing, print_table
from embexp.reports.verdict_words import UNDECIDED, margin_line, undecided_lines, unit_lines

_HEADINGS = ("model", "score", "difference", "95 % interval", "verdict", "seconds")


def _stages_tables(result: Mapping[str, Any]) -> list[Table]:
    """A row for the untouched model and one after each stage, by the metric that gives the verdict."""
    title = f"on the way: {result['primary']['key']}, differences to the untouched model"
    return narrowing(
        title, _HEADINGS, [*_on_the_way(result)], ("seconds", "score", "95 % interval"), words=("verdict",)
    )


def _on_the_way_markdown(result: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown; none of a run without stages before the main one."""
    if not result.get("stages"):
        return []
    title = f"On the way, by {as_markdown_text(result['primary']['key'])}:"
    return [title, "", *markdown_table(_HEADINGS, [*_on_the_way(result)]), ""]


def _on_the_way(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The cells of each row: model, score, difference with interval and verdict, seconds of training.

    >>> primary = {"evaluator": "sts", "split": "test", "metric": "spearman_cosine", "base": 0.5, "trained": 0.75,
    ...            "difference": 0.25, "low": 0.125, "high": 0.375, "verdict": "better"}
    >>> stage = {"name": "tsdae", "seconds": 2.0, "comparisons": [primary | {"trained": 0.625, "difference": 0.125}]}
    >>> costs = {"cost/train_seconds": 8.0}
    >>> for row in _on_the_way({"primary": primary, "stages": [stage], "metrics": costs, "choices": {"loss": "mnrl"}}):
    ...     print(" ".join(row).strip())
    untouched 0.5000
    after tsdae 0.6250 +0.1250 +0.1250 to +0.3750 better 2.0
    after mnrl 0.7500 +0.2500 +0.1250 to +0.3750 better 8.0
    """
    primary = result["primary"]
    yield "untouched", f"{primary['base']:.4f}", "", "", "", ""
    metric = ("evaluator", "split", "metric")
    for stage in result["stages"]:
        same = next(row for row in stage["comparisons"] if all(row[key] == primary[key] for key in metric))
        yield f"after {stage['name']}", *_score_cells(same), f"{stage['seconds']:.1f}"
    seconds = result["metrics"]["cost/train_seconds"]
    yield f"after {result['choices']['loss']}", *_score_cells(primary), f"{seconds:.1f}"


def _score_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    interval = "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}"
    return f"{row['trained']:.4f}", f"{row['difference']:+.4f}", interval, row["verdict"]


_COMPARED = ("base", "trained", "difference", "95 % interval", "verdict")
_GO_FIRST = ("trained", "base", "95 % interval")  # columns that a narrow terminal goes without


def _closing_tables(result: Mapping[str, Any]) -> list[Table]:
    """Base against trained model: the headline metrics of every split, the primary one marked with a star."""
    names = result["choices"]
    title = f"{names['dataset']} · {loss_name(names)} · {names['model']} · seed {result['seed']}"
    rows = [_compared(row) for row in _shown(result)]
    return narrowing(title, ("metric", *_COMPARED), rows, _GO_FIRST, words=_COMPARED[-1:])


def _shown(result: Mapping[str, Any], guard: bool = False) -> list[Mapping[str, Any]]:
    """The rows of the closing table, or of the guard's."""
    return [
        row for row in result["comparisons"] if (row["headline"] or row["primary"]) and row.get("guard", False) is guard
    ]


def _guard_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of each task of the guard, and of their mean."""
    mean = result["guard"] | {"split": "", "evaluator": "", "metric": "", "primary": False}
    return [*map(_compared, _shown(result, guard=True)), (f"mean of {mean['tasks']}", *_compared(mean)[1:])]


def _guard_tables(result: Mapping[str, Any]) -> list[Table]:
    """Base against trained model on the tasks of the guard."""
    title = "elsewhere: what the guard's tasks gained or lost"
    return narrowing(title, ("metric", *_COMPARED), _guard_rows(result), _GO_FIRST, words=_COMPARED[-1:])


def _guard_markdown(result: Mapping[str, Any]) -> list[str]:
    """The same as lines of Markdown; none of a run without a guard."""
    if not result.get("guard"):
        return []
    table = markdown_table(("metric", *_COMPARED), _guard_rows(result))
    return ["Elsewhere, on the tasks of the guard:", "", *table, "", f"- {guard_line(result)}", ""]


def guard_line(result: Mapping[str, Any]) -> str:
    """The own gain beside what the guard gained or lost.

    >>> guard = {"difference": -0.01, "verdict": "worse", "tasks": 6}
    >>> guard_line({"primary": {"difference": 0.04, "verdict": "better"}, "guard": guard})
    'own test +0.0400 (better), 6 other tasks -0.0100 (worse)'
    """
    own, guard = result["primary"], result["guard"]
    tasks = "1 other task" if guard["tasks"] == 1 else f"{guard['tasks']} other tasks"
    return (
        f"own test {own['difference']:+.4f} ({own['verdict']}), {tasks} {guard['difference']:+.4f} ({guard['verdict']})"
    )


def closing_markdown(result: Mapping[str, Any]) -> str:
    """The closing table as Markdown, for the run's page in the tracker."""
    rows = [_compared(row) for row in _shown(result)]
    table = markdown_table(("metric", *_COMPARED), rows)
    found = [f"- {as_markdown_text(_found(warning))}" for warning in result.get("warnings", ())]
    verdict = f"**{result['verdict']}** on {result['primary']['split']}; {as_markdown_text(result['training'])}"
    more = [*_guard_markdown(result), *_on_the_way_markdown(result)]
    return "\n".join([verdict, "", *table, "", *more, *found]).rstrip() + "\n"


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['split']}/{row['evaluator']}/{row['metric']}" + ("*" if row["primary"] else ""),
        f"{row['base']:.4f}",
        f"{row['trained']:.4f}",
        f"{row['difference']:+.4f}",
        "-" if math.isnan(row["low"]) else f"{row['low']:+.4f} to {row['high']:+.4f}",
        row["verdict"],
    )


def print_closing(result: Mapping[str, Any], console: Console) -> None:
    """Print the closing table, and where model, folder and tracked run are."""
    print_table(fitting(_closing_tables(result), console), console)
    if result.get("forms"):
        print_table(fitting(_forms_tables(result["forms"]), console), console)
    if result.get("stages"):
        print_table(fitting(_stages_tables(result), console), console)
    for line in _lines_below(result):
        console.print(line, highlight=False, soft_wrap=True)
    if result.get("guard"):
        console.print()
        print_table(fitting(_guard_tables(result), console), console)
        for line in _lines_below_guard(result):
            console.print(line, highlight=False, soft_wrap=True)
    for label, value in (
        *((("guard", guard_line(result)),) if result.get("guard") else ()),
        ("data", "; ".join(result["data"])),
        ("evaluated", evaluated_line(result["comparisons"])),
        ("base model", result["base_model"]),
        *((("unknown", unknown_line(result["unknown_tokens"])),) if result.get("unknown_tokens") else ()),
        ("training", result["training"]),
        ("model", result["model_path"]),
        *((("adapter", _needs_base(result["adapter_base"])),) if result.get("adapter_base") else ()),
        ("tracked", result["tracked"]),
        *((("page", result["page"]),) if result.get("page") else ()),
        *(("export", line) for line in export_lines(result.get("exports", ()))),
        *(("note" if TAKEN in warning else "warning", _found(warning)) for warning in result.get("warnings", ())),
    ):
        console.print(f"{label:<11}{value}", soft_wrap=True, highlight=False)


def _lines_below(result: Mapping[str, Any]) -> Iterator[str]:
    """What the verdicts of the closing table rest on."""
    rows, split = _shown(result), result["primary"]["split"]
    others = [row for row in rows if row["verdict"] and not row["primary"]]
    number = _number_corrected(result, guard=False)
    is_picked = result.get("picked_on_dev", True)
    picks = "picks the checkpoint on dev; the verdict falls on" if is_picked else "gives the verdict, on"
    yield f"* {picks} {split}"
    if others:
        shown = "" if len(others) == number else f", of which {len(others)} {'is' if len(others) == 1 else 'are'} shown"
        yield f"others are secondary, corrected for their number, {number} (Holm){shown}"
    if split == "dev" and not is_picked:
        yield "there is no test split: the last checkpoint is kept, so that dev, which picked none, can judge it"
    elif split == "dev":
        yield "there is no test split: where dev picked among several checkpoints, its verdict flatters the trained one"
    yield "intervals hold how the examples vary, not how other seeds would train"
    if line := margin_line(rows):
        yield line
    yield from unit_lines([row for row in rows if row["split"] == result["primary"]["split"]])
    yield from undecided_lines([result["primary"]])


def _number_corrected(result: Mapping[str, Any], guard: bool) -> int:
    """How many secondary verdicts were corrected together: those of the own task, or of the guard."""
    own = (row for row in result["comparisons"] if row.get("guard", False) is guard and not row["primary"])
    return sum(bool(row["verdict"]) and not math.isnan(row["low"]) for row in own)


def _lines_below_guard(result: Mapping[str, Any]) -> Iterator[str]:
    """What the guard's verdicts rest on."""
    if number := _number_corrected(result, guard=True):
        yield f"the tasks' verdicts are corrected for their number, {number} (Holm); that of the mean is not"
    yield "the guard picks nothing; its intervals hold how these examples vary, not how other tasks would come out"
    if (mean := result["guard"])["verdict"] == UNDECIDED:
        width = max(abs(mean["low"] - mean["difference"]), abs(mean["high"] - mean["difference"]))
        yield f"so few examples show a mean loss of about {width:.3f} or more; larger sets show less: guard=nanobeir"


def evaluated_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which data were evaluated on, and how many examples; data of several places after each other.

    >>> row = {"evaluator": "sts", "split": "dev", "data": "faq", "examples": 120}
    >>> evaluated_line([row, row | {"metric": "x"}, row | {"split": "test", "data": "graded", "examples": 1234}])
    'dev/sts on faq (120 examples), test/sts on graded (1,234 examples)'
    """
    found = {f"{row['split']}/{row['evaluator']}": (row.get("data"), row.get("examples")) for row in rows}
    named = {key: f" on {data}" if data else "" for key, (data, _) in found.items()}
    return ", ".join(
        f"{key}{named[key]}{f' ({number:,} examples)' if number else ''}" for key, (_, number) in found.items()
    )


def unknown_line(shares: Mapping[str, float]) -> str:
    """The shares of unknown tokens of a base model; places with the same share together.

    >>> unknown_line({"train": 0.0, "dev/sts": 0.0, "test/sts": 0.123})
    '0.0 % of the tokens of train, dev/sts; 12.3 % of test/sts'
    """
    places: dict[str, list[str]] = {}
    for place, share in shares.items():
        places.setdefault(f"{100 * share:.1f} %", []).append(place)
    found = [f"{share} of {', '.join(names)}" for share, names in places.items()]
    return "; ".join([found[0].replace(" of ", " of the tokens of ", 1), *found[1:]])


def _forms_tables(forms: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The scores of embeddings with fewer dimensions and in fewer bits, base against trained."""
    rows = [_compared(row | {"primary": False}) for row in forms]
    names = dict.fromkeys(metric for metric, *_ in rows)
    lines = [
        (metric, str(form["dimensions"] or "all"), form["precision"], *others)
        for form, (metric, *others) in zip(forms, rows, strict=True)
    ]
    skipped = 0 if len(names) > 1 else 1  # the only metric is in the title
    headings = ("metric", "dimensions", "precision", *_COMPARED)[skipped:]
    title = f"embeddings in other forms: {', '.join(names)}"
    return narrowing(
        title, headings, [line[skipped:] for line in lines], _GO_FIRST, 1 - skipped, words=("precision", "verdict")
    )


def _needs_base(base: str) -> str:
    return f"the model's folder needs peft and its base, {base}; for a whole model type model.adapter.merge=true"


def _found(warning: str) -> str:
    """The finding of a warning; its advice was shown when the run began."""
    found, dot, _ = warning.splitlines()[0].partition(". ")
    return found + dot.strip()
