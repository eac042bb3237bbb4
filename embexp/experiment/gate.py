"""`python -m embexp.gate <run> against=<run>`: ship the candidate, do not, or undecided; for pipelines and scripts.

The candidate ships if it is better at the level that the ledger gives to this look (`ledger.py`), and no worse than the
margin on every guard at the same level. All of these must hold at once, so their number needs no correction
(intersection-union test: Berger 1982, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24,
295-300). It does not ship if the plain 95 % interval says worse or equal within the margin, or if a guard is worse.
"""

import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy
from omegaconf import DictConfig

from embexp.config.compose import resolve
from embexp.config.session import shell_command
from embexp.core.arguments import RESAMPLES, problems_with, refuse
from embexp.core.escaping import say
from embexp.errors import ConfigError, listed
from embexp.evaluation.metrics import Measure
from embexp.evaluation.stats.power import Prospect, design_of, measured_variances, needed_to_show, rows_of
from embexp.evaluation.stats.seeds import LEVEL, Cell, cell_difference
from embexp.evaluation.stats.verdicts import margin_of, margin_problems, margins_in, verdict
from embexp.experiment.ledger import Ledger, Look, level_of, sketch_of
from embexp.experiment.sides import (
    Side,
    SidesScores,
    cells_of,
    check_shared,
    examples_of,
    finding_of,
    folders_of,
    gain_on,
    key_of,
    measure_named,
    result_of,
    shared_scores,
)
from embexp.reports.leaderboard_content import null_for_nan
from embexp.reports.verdict_words import BETTER, IDENTICAL, TOO_FEW, UNDECIDED, WORSE, kind_of

SCHEMA = 1  # of the JSON; docs/power-and-gate.md describes it
SHIP, DO_NOT = "ship", "do not ship"
EXIT_CODES = {SHIP: 0, DO_NOT: 1, UNDECIDED: 2}
ERROR = 3
UNTOUCHED = "untouched"


@dataclass(frozen=True)
class _Compared:
    """A metric of which the candidate is compared.

    Attributes:
        key: such as test/sts/spearman_cosine.
        finding: what is known besides the interval: identical, collapsed, or nothing.
        cells: of the other side and of the candidate, on the same resamples.
    """

    key: str
    margin: float
    finding: str
    means: tuple[float, float]
    cells: tuple[Cell, Cell]


class Decision(NamedTuple):
    """What a metric says, and by what."""

    word: str
    verdict: str
    low: float  # of the interval at the level of the look
    high: float


def decide(cells: tuple[Cell, Cell], margin: float, level: float = LEVEL, finding: str = "") -> Decision:
    """Whether the second cell may replace the first: better at the level, and not within the margin.

    Args:
        margin: the smallest difference worth having.
        level: the error that the decision to ship may have.
    """
    found = cell_difference(*cells)
    low, high = found.at(level)
    plain = finding or (TOO_FEW if cells[0].too_few else verdict(found.low, found.high, margin))
    if kind_of(plain) not in (BETTER, UNDECIDED):
        return Decision(UNDECIDED if math.isnan(found.low) and not finding else DO_NOT, plain, low, high)
    word = SHIP if verdict(low, high, margin) == BETTER else UNDECIDED
    return Decision(word, plain if word == SHIP else UNDECIDED, low, high)


def guard(cells: tuple[Cell, Cell], margin: float, level: float = LEVEL, finding: str = "") -> Decision:
    """Whether the second cell is no worse than the first by the margin or more.

    Args: as in `decide`.
    """
    found = cell_difference(*cells)
    low, high = found.at(level)
    plain = finding or (TOO_FEW if cells[0].too_few else verdict(found.low, found.high, margin))
    if kind_of(plain) == WORSE:
        return Decision(DO_NOT, plain, low, high)
    passes = finding == IDENTICAL or low > -margin
    return Decision(SHIP if passes else UNDECIDED, plain, low, high)


def gate(config: DictConfig) -> dict[str, Any]:
    """The decision with all that led to it, as plain values; docs/power-and-gate.md describes them.

    Raises:
        ConfigError: no runs that can be compared, a metric or a guard that they do not have, or a ledger that cannot be
            written: then nothing is decided.
    """
    settings = resolve(config)
    _check(settings)
    roots = [settings["paths"][place] for place in ("runs", "sweeps", "tunings", "races")]
    candidate = Side(tuple(folders_of(settings["candidate"], roots)))
    is_untouched = settings["against"] == [UNTOUCHED]
    others = [] if is_untouched else [Side(tuple(folders_of(settings["against"], roots)))]
    for side in (candidate, *others):
        side.check(shell_command("gate", ["<run>,<run>", "against=<run>,<run>"]))
    shared, left_out = shared_scores([candidate, *others], untouched=is_untouched)
    check_shared(shared, left_out, "gate", [candidate, *others], "The runs")
    metric = _metric(settings["metric"], candidate, shared)
    keys = [metric, *(key_of(each, shared, "no_worse_on") for each in settings["no_worse_on"])]
    compared = [_compare(key, shared, is_untouched, settings) for key in dict.fromkeys(keys)]
    ledger = Ledger(Path(settings["ledger"])) if settings["ledger"] else None
    scores = shared[examples_of(metric)]
    about = f"{candidate.name} against {others[0].name if others else UNTOUCHED}, {metric}"
    look = ledger.look(sketch_of(scores[0][0]), _question(metric, scores), about) if ledger else None
    level = look.level if look else LEVEL
    primary, *guards = compared
    decision = decide(primary.cells, primary.margin, level, primary.finding)
    of_guards = [guard(each.cells, each.margin, level, each.finding) for each in guards]
    word, reason = _together(primary, decision, [*zip(guards, of_guards, strict=True)])
    if ledger and look:
        ledger.decide(look, word)
    return {
        "schema": SCHEMA,
        "decision": word,
        "exit_code": EXIT_CODES[word],
        "reason": reason,
        "candidate": _described(candidate),
        "against": _described(others[0]) if others else {"name": UNTOUCHED, "runs": [], "seeds": []},
        "primary": _row(primary, decision),
        "guards": [_row(each, found) for each, found in zip(guards, of_guards, strict=True)],
        "holds": "examples" if cell_difference(*primary.cells).lacks_seeds else "examples and seeds",
        "needed": _needed(primary, look) if word == UNDECIDED else None,
        "look": _look(ledger, look, scores),
        "left_out": left_out,
    }


def _check(settings: Mapping[str, Any]) -> None:
    if not settings["candidate"]:
        raise ConfigError(
            "No run was named",
            expected="the candidate, by its folder or its id in MLflow; of several seeds all runs",
            fix=shell_command("gate", ["<run>", f"against={UNTOUCHED}"]),
        )
    problems = [
        *problems_with("resamples", settings["resamples"], RESAMPLES, such_as=10000),
        *margin_problems(settings),
    ]
    refuse(problems)


def _metric(given: str | None, candidate: Side, shared: Mapping[str, SidesScores]) -> str:
    """The metric that decides: the one that was typed, else the primary one of the candidate's runs."""
    if given:
        return key_of(given, shared, "metric")
    results = [result_of(folder) for folder in candidate.folders]
    key = key_of(results[0]["primary"]["key"], shared, "metric")
    if key.startswith("dev/") and any(each.get("picked_on_dev", True) for each in results):
        raise ConfigError(
            f"The verdict of {candidate.name} falls on dev, which picked its checkpoint: such a verdict flatters",
            expected="runs with a test split, or the metric typed by who knows this",
            fix=f"metric={key}",
        )
    return key


def _compare(key: str, shared: Mapping[str, SidesScores], is_untouched: bool, settings: Mapping[str, Any]) -> _Compared:
    sides, name = shared[examples_of(key)], key.split("/")[2]
    measure: Measure | None = measure_named(name, sides)
    assert measure is not None
    own, other = cells_of(measure, sides, settings["resamples"])
    cells = gain_on(other, own) if is_untouched else (other, own)
    finding = finding_of(measure, sides[1], sides[0])
    return _Compared(key, margin_of(name, margins_in(settings)), finding, (other.mean, own.mean), cells)


def _question(metric: str, sides: SidesScores) -> str:
    """A hash of what is compared on what: the same question again is no further look."""
    digest = hashlib.sha256(metric.encode())
    for scores in (each for side in sides for each in side):
        for name, values in sorted({**scores.predicted, **_truths(scores.examples)}.items()):
            content = json.dumps([*values], default=str).encode() if values.dtype == object else values.tobytes()
            digest.update(name.encode())
            digest.update(content)
        digest.update(b"next")
    return digest.hexdigest()[:16]


def _truths(examples: Mapping[str, Any]) -> dict[str, numpy.ndarray]:
    return {name: values for name, values in examples.items() if isinstance(values, numpy.ndarray)}


def _together(primary: _Compared, decision: Decision, guards: Sequence[tuple[_Compared, Decision]]) -> tuple[str, str]:
    """The decision on all metrics, and the reason in a sentence."""
    if decision.word == DO_NOT:
        return DO_NOT, f"{primary.key} is {decision.verdict}"
    for word, why in ((DO_NOT, "is worse"), (UNDECIDED, "may be worse by the margin or more")):
        if found := [each.key for each, of_guard in guards if of_guard.word == word]:
            return word, f"{listed(found)} {why}"
    if decision.word == UNDECIDED:
        return UNDECIDED, f"{primary.key} may be better, equal or worse at the level of this look"
    return SHIP, f"{primary.key} is better" + (f", and none of {len(guards)} guards is worse" if guards else "")


def _described(side: Side) -> dict[str, Any]:
    return {"name": side.name, "runs": [str(folder) for folder in side.folders], "seeds": side.seeds}


def _row(compared: _Compared, decision: Decision) -> dict[str, Any]:
    found = cell_difference(*compared.cells)
    return {
        "metric": compared.key,
        "margin": compared.margin,
        "against": compared.means[0],
        "candidate": compared.means[1],
        "difference": found.value,
        "interval": [found.low, found.high],
        "interval_at_level": [decision.low, decision.high],
        "p": found.p,
        "examples": rows_of(compared.cells[0].examples, compared.cells[0].rows_per_unit),
        "units": compared.cells[0].examples,
        "verdict": decision.verdict,
        "decision": decision.word,
    }


def _needed(compared: _Compared, look: Look | None) -> dict[str, Any]:
    """What would show the difference that was found, or one of the margin, at the next look in 80 % of cases."""
    first, second = compared.cells
    measured = measured_variances(first, second)
    wanted = max(compared.margin, abs(second.mean - first.mean))
    level = level_of(look.number + 1) if look else LEVEL
    prospect = Prospect(measured.variances, design_of(first, second), compared.margin, level)
    needed = needed_to_show(prospect, wanted)
    return {
        "difference": wanted,
        "examples": rows_of(needed.examples, first.rows_per_unit),
        "units": needed.examples,
        "seeds": needed.seeds,
        "seeds_are_measured": measured.has_seeds,
    }


def _look(ledger: Ledger | None, look: Look | None, scores: SidesScores) -> dict[str, Any] | None:
    if ledger is None or look is None:
        return None
    trust = ledger.trust(sketch_of(scores[0][0]))
    known = {"number": look.number, "level": look.level, "repeated": look.is_repeated, "looks": trust.looks}
    return known | {"spent": trust.spent, "ledger": str(ledger.path)}


def gate_command() -> None:
    """`python -m embexp.gate`: decide, print the JSON, and end with the code of the decision; 3 for any error."""
    from embexp.cli.app import run_command

    decided: list[dict[str, Any]] = []

    def task(config: DictConfig, _choices: dict[str, Any], _folder: Path) -> None:
        decided.append(gate(config))

    sys.excepthook = _end_with_error
    try:
        run_command(task, "gate", rewrite=with_candidates)
    except SystemExit as end:  # 1: a mistake, 2: an unknown flag, which must not look like decisions
        sys.exit(ERROR if end.code in (1, 2) else end.code)
    for found in decided:
        say(json.dumps(null_for_nan(found), indent=2, ensure_ascii=False))
        say(f"{found['decision']}: {found['reason']}", file=sys.stderr)
        sys.exit(found["exit_code"])


def _end_with_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show a fault of ours, whose usual exit code 1 would say: do not ship."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(ERROR)


def with_candidates(arguments: Sequence[str]) -> list[str]:
    """The arguments with those that are no overrides and no options as the list `candidate`, and `against` as a list.

    >>> with_candidates(["runs/a,runs/b", "runs/c", "against=runs/d,runs/e", "metric=test/sts/ap"])
    ['candidate=["runs/a,runs/b","runs/c"]', 'against=["runs/d,runs/e"]', 'metric=test/sts/ap']
    """
    from embexp.cli.quoting import quoted

    words, others = [], []
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign and not argument.startswith("-"):
            words.append(argument)
        elif key == "against" and not value.startswith("["):
            others.append(f"against=[{quoted(value)}]")
        else:
            others.append(argument)
    return [f"candidate=[{','.join(map(quoted, words))}]", *others] if words else others
