"""Cells that were evaluated on the same examples, and the notes that a reader of the leaderboard needs."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embexp.errors import DataError, listed
from embexp.evaluation.scores import KeptExamples, read_examples
from embexp.evaluation.stats.resampling import GROUP
from embexp.experiment.results import EVALUATED_ON, PREDICTIONS
from embexp.experiment.unknown_tokens import UNKNOWN
from embexp.leaderboards.axes import (
    DATASET,
    LOSS,
    MISSING,
    MODEL,
    Axes,
    Place,
    RunEntry,
    find_unexplained,
    find_varying,
)
from embexp.leaderboards.cells import GroupResult, MetricKeys, mixed_base_columns
from embexp.leaderboards.estimates import Kept, measure_in, results_by_examples, results_by_metrics
from embexp.leaderboards.runs import OUTDATED
from embexp.reports.leaderboard_content import LeaderboardCell, label
from embexp.tracking.mlflow_runs import FINISHED, RecordedRun
from embexp.tracking.mlflow_tracker import SWEEP_TAG
from embexp.tracking.store_limits import allowed_name

logger = logging.getLogger(__name__)
_FILES = allowed_name("base_model.files")  # a tag: the hash of all files of the base model
_MOST_WITH_EXAMPLES = 60  # runs: reading the examples of more would take minutes


@dataclass(frozen=True)
class CellGroup:
    """Places on the same examples.

    Attributes:
        kept: the per-example values of all their runs; empty if they were not read.
    """

    places: tuple[Place, ...]
    keys: MetricKeys
    kept: Kept

    def results(self, resamples: int) -> GroupResult:
        if self.kept:
            return results_by_examples(self.places, self.kept, self.keys, resamples)
        return results_by_metrics(self.places, self.keys)


def group_places(places: Sequence[Place]) -> list[CellGroup]:
    """The places by their metric and by the examples that they were evaluated on.

    If the examples of any place cannot be read, or differ between its runs, no examples of places on the same data are
    used: paired and unpaired results cannot be ranked together.
    """
    found = []
    reads = sum(len(place.entries) for place in places) <= _MOST_WITH_EXAMPLES
    for several in _by_data(places):
        keys = MetricKeys(several[0].metric, several[0].entries[0].run)
        kept = [_kept(place, keys) if reads else None for place in several]
        if any(each is None for each in kept):
            found.append(CellGroup(tuple(several), keys, {}))
            continue
        by_digest: dict[str, list[tuple[Place, Kept]]] = {}
        for place, of_place in zip(several, kept, strict=True):
            by_digest.setdefault(_digest(next(iter(of_place.values()))), []).append((place, of_place))
        for same in by_digest.values():
            every = {run: examples for _, of_place in same for run, examples in of_place.items()}
            found.append(CellGroup(tuple(place for place, _ in same), keys, every))
    return found


def _by_data(places: Sequence[Place]) -> list[list[Place]]:
    """The places by metric and by the evaluated rows, as far as a tag (or the data set's name) identifies them."""
    found: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        run = min((entry.run for entry in place.entries), key=lambda run: run.seed)  # of seeds that draw the split one
        keys = MetricKeys(place.metric, run)
        rows = run.tags.get(allowed_name(f"evaluated.{keys.evaluator}/{keys.split}"), run.params.get(DATASET, MISSING))
        found.setdefault((place.metric, rows), []).append(place)
    return [*found.values()]


def _kept(place: Place, keys: MetricKeys) -> Kept | None:
    """The per-example values of all runs of a place.

    None if a run has none, if runs have different ones, or if an untouched model has no score because it gives all
    examples the same value.
    """
    if not all(keys.base in entry.run.metrics for entry in place.entries):
        return None
    found: dict[str, KeptExamples] = {}
    for entry in place.entries:
        path = entry.run.examples(keys.examples)
        try:
            kept = read_examples(path) if path else None
        except DataError as error:
            logger.warning("The examples of %s are left out: %s", entry.run.name, error)
            return None
        if kept is None or measure_in(kept.trained, keys) is None:
            return None
        found[entry.run.id] = kept
    return found if len({_digest(kept) for kept in found.values()}) == 1 else None


def _digest(kept: KeptExamples) -> str:
    """A hash of the examples' ids, texts and true values; which of them count for a measure is another matter."""
    masks = {GROUP, *(measure.where for measure in kept.trained.measures)}
    known = {name: [*values] for name, values in kept.base.examples.items() if name not in masks}
    return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()


def notes_on(cells: Sequence[LeaderboardCell], groups: Sequence[CellGroup], axes: Axes) -> Iterator[str]:
    """How the numbers were computed, and what they do not show."""
    places = [place for group in groups for place in group.places]
    if len(groups) > 1:
        yield f"Cells were evaluated on {len(groups)} sets of examples, the groups: each has a best of its own."
    paired = [group for group in groups if group.kept]
    if paired:
        yield "Intervals and ties are taken of the runs' examples, paired."
    if len(paired) < len(groups):
        which = "Those of other groups" if paired else "Intervals and ties"
        yield f"{which} are taken of the runs' metrics alone, unpaired: more cells are tied than by their examples."
    if any(cell.lacks_seeds for cell in cells):
        yield "Intervals cover other examples, not other seeds: another seed may change a verdict. Type seed=1,2,3."
    entries = [entry for place in places for entry in place.entries]
    if drawn := {entry.run.params["vary"]: None for entry in entries if "vary" in entry.run.params}:
        yield f"Seeds drew the data, too (vary={listed(drawn)}): intervals of several seeds hold that as well."
    if bases := {column: None for group in groups for column in sorted(mixed_base_columns(group.places, group.keys))}:
        yield (
            f"The untouched models of {listed(map(label, bases))} are not the same for all rows (from scratch, their "
            "tokenizers depend on the rows that each loss reads): their mean is not ranked."
        )
    if mixed := [*dict.fromkeys(key for place in places for key in find_varying(place.entries, []))]:
        yield (
            f"Runs of one cell differ in {listed(mixed)} besides the seed: their mean is over different "
            f"configurations. Type rows={','.join(dict.fromkeys((LOSS, *mixed)))} to set them apart."
        )
    if edited := [place for place in places if len({entry.run.tags.get(_FILES, "") for entry in place.entries}) > 1]:
        names = listed(label((*place.row, *place.column)) for place in edited)
        yield f"Runs of {names} began with other files of the same model: their mean is over different models."
    yield from _fairness(places, axes)
    if rising := [label((*cell.row, *cell.column)) for cell in cells if cell.still_rises]:
        yield f"Still rising on dev when the training stopped: {listed(rising)}; more training may lift it."
    yield from _same_predictions(groups)
    yield from _unknown_tokens(groups)
    if hidden := find_unexplained(entries, axes):
        yield f"Cells differ in {listed(hidden)}, too, which goes along with what the table shows."


_RATE = "trainer.learning_rate"


def _fairness(places: Sequence[Place], axes: Axes) -> Iterator[str]:
    """Whether the cells were compared at what suits each of them, and after how much training."""
    entries = [entry for place in places for entry in place.entries]
    still = [place for place in places if any("movement" in entry.run.tags for entry in place.entries)]
    unmoved = [label((*place.row, *place.column)) for place in still]
    if unmoved:
        how = "" if any(entry.run.searched for entry in entries) else " (sweep.fair=true searches one for each cell)"
        yield f"Training hardly moved {listed(unmoved)}: a larger learning rate may{how}."
    if len(places) > 1:
        yield from _equal_budget(entries, axes)
    searched = [place for place in places if place.entries[0].run.searched]
    if searched:
        share, number = (searched[0].entries[0].run.searched[key] for key in ("share", "tried"))
        yield f"Each cell's learning rate is the best on dev of {len(number)} trials with {share:g} of its training."
        if searched[0].metric.startswith("dev/"):
            yield "Learning rates were chosen on dev, which also gives the verdicts: these flatter the trained cells."
        yield from (_searched(place) for place in searched)
    rates = {entry.value(_RATE) for entry in entries} - {MISSING}
    if len(places) > 1 and rates and not searched and _RATE not in (*axes.rows, *axes.columns):
        shared = f"All cells were trained at one learning rate ({listed(rates)})"
        own = f"The learning rates ({listed(sorted(rates))}) were not searched"
        advice = "one cell may do better at another: sweep.fair=true gives each its own"
        yield f"{shared if len(rates) == 1 else own}; {advice}."


def _searched(place: Place) -> str:
    """The learning rate of a cell, and how flat its optimum is."""
    found = place.entries[0].run.searched
    known = [(each["rate"], each["dev"]) for each in found["tried"] if each["dev"] is not None]
    best = max(value for _, value in known)
    near = [rate for rate, value in known if value >= best - _FLAT]
    flat = f"flat: within {_FLAT:g} of it from {min(near):g} to {max(near):g}" if len(near) > 1 else "steep"
    rates = [each["rate"] for each in found["tried"]]
    ends = "; the last of those tried, a better one may lie beyond" * (found["chosen"] in (min(rates), max(rates)))
    second = max((value for rate, value in known if rate != found["chosen"]), default=best)
    drop = f", the next best loses {best - second:.4f}" if len(near) == 1 and len(known) > 1 else ""
    failed = len(found["tried"]) - len(known)
    lost = f"; {failed} of {len(rates)} trials failed" if failed else ""
    return f"Learning rate of {label((*place.row, *place.column))}: {found['chosen']:g} ({flat}{drop}{ends}{lost})."


_FLAT = 0.005  # of the metric on dev
_BUDGETS = {  # parameter: what it says where all cells share it
    "trainer.max_seconds": "seconds of training ({})",
    "trainer.max_examples": "examples that training read ({})",
    "trainer.max_steps": "steps of training ({})",
    "trainer.num_train_epochs": "passes over the training rows ({})",
}


def _equal_budget(entries: Sequence[RunEntry], axes: Axes) -> Iterator[str]:
    """What of the training was equal for all cells."""
    values = {key: {entry.value(key) for entry in entries} for key in _BUDGETS}
    for key, text in _BUDGETS.items():
        if values[key] <= {MISSING, "None", "null", "-1"}:
            continue
        if len(values[key]) == 1:
            sizes = {entry.value("trainer.per_device_train_batch_size") for entry in entries}
            unlike = ", in batches of unlike sizes" if key == "trainer.max_steps" and len(sizes) > 1 else ""
            rows = {entry.value("dataset.train_rows") for entry in entries}
            unlike = ", of unlike numbers of rows" if key.endswith("epochs") and len(rows) > 1 else unlike
            yield f"Equal for all cells: {text.format(*values[key])}{unlike}."
        elif key not in (*axes.rows, *axes.columns):
            yield "Cells had unlike amounts of training: trainer.max_examples or trainer.max_seconds makes them equal."
        return


def _unknown_tokens(groups: Sequence[CellGroup]) -> Iterator[str]:
    """The share of the tokens of the evaluated texts that each base model does not know."""
    for group in groups:
        key, shares = f"{UNKNOWN}/{group.keys.split}/{group.keys.evaluator}", {}
        for entry in (entry for place in group.places for entry in place.entries):
            if allowed_name(key) in entry.run.metrics:
                share = f"{100 * entry.run.metrics[allowed_name(key)]:.1f} %"
                shares.setdefault(entry.run.params.get(MODEL, MISSING), share)
        if shares:
            found = ", ".join(f"{model} {share}" for model, share in shares.items())
            yield f"Tokens of {group.keys.split}/{group.keys.evaluator} that a base model does not know: {found}."


def _same_predictions(groups: Sequence[CellGroup]) -> Iterator[str]:
    """Cells that are one result under several names: with each seed they gave the same predictions."""
    for group in groups:
        found: dict[frozenset[tuple[str, str]], list[Place]] = {}
        for place in group.places:
            digests = frozenset((str(entry.run.seed), entry.run.tags.get(PREDICTIONS, "")) for entry in place.entries)
            if all(digest for _, digest in digests):
                found.setdefault(digests, []).append(place)
        for same in (places for places in found.values() if len(places) > 1):
            one_column = len({place.column for place in same}) == 1
            names = [label(place.row if one_column else (*place.row, *place.column)) for place in same]
            cells = f"{listed(names[:-1])} and {names[-1]}"
            yield f"{cells} gave identical predictions: they are one result, not {len(same)}."


def how_measured(
    groups: Sequence[CellGroup], results: Sequence[GroupResult], resamples: int, command: str
) -> Iterator[str]:
    """What was trained and evaluated, and how, for people who write about it.

    Args:
        command: that began the runs; empty where it is not known.
    """
    entries = [entry for group in groups for place in group.places for entry in place.entries]
    if not entries:
        return

    packages = {name: _values(entries, f"version.{name}") for name in ("embexp", "sentence-transformers")}
    made_by = " and ".join(f"{name} {version}" for name, version in packages.items() if version)
    commit = ", ".join(each[:12] for each in _values(entries, "commit").split(", "))
    rows = sorted({int(each) for each in _values(entries, "dataset.train_rows").split(", ") if each.isdigit()})
    number = " to ".join(f"{each:,}" for each in dict.fromkeys((rows[0], rows[-1]))) if rows else ""
    code = f" with {made_by}" * bool(made_by) + f" (commit {commit})" * (commit not in ("", "installed", "unknown"))
    yield f"Trained on {_values(entries, DATASET)}{f' ({number} rows)' * bool(number)}{code}."
    for group, result in zip(groups, results, strict=True):
        seeds = sorted({len(place.entries) for place in group.places})
        keys, of_group = group.keys, [entry for place in group.places for entry in place.entries]
        data = _values(of_group, allowed_name(f"{EVALUATED_ON}{keys.evaluator}/{keys.split}"))
        examples = f" on {result.paired.rows:,} examples" if result.paired else " on" * bool(data)
        examples += f"{' of' * bool(result.paired)} {data}" if data else ""
        means = "" if seeds == [1] else f", means over {listed(map(str, seeds))} seeds"
        yield f"Scores are {group.places[0].metric}{examples}{means}."
    if any(result.paired for result in results):
        yield (
            "Differences to the untouched model have 95 % intervals of the paired bootstrap over examples and seeds "
            f"({resamples:,} resamples), corrected for the number of cells (Holm)."
        )
    days = sorted({time.strftime("%Y-%m-%d", time.gmtime(entry.run.ended)) for entry in entries if entry.run.ended > 1})
    if days:
        sweep = f" in sweep {_values(entries, SWEEP_TAG)}" * bool(_values(entries, SWEEP_TAG))
        yield f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))}{sweep}{f' by: {command}' * bool(command)}."


def _values(entries: Sequence[RunEntry], key: str) -> str:
    """All values of a tag or a parameter; empty where no run has it."""
    return ", ".join(sorted({entry.run.tags.get(key) or entry.value(key) for entry in entries} - {MISSING}))


def notes_on_left_out(
    runs: Sequence[RecordedRun], every: Sequence[RunEntry], counted: Sequence[RunEntry]
) -> Iterator[str]:
    """Which runs do not count, and why; `every` could count, `counted` do."""
    if not runs:
        yield "There is no run."
    statuses = Counter(run.status for run in runs)
    finished = statuses.pop(FINISHED, 0)
    if statuses:
        counts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
        yield f"Of {len(runs)} runs {statuses.total()} have not finished and do not count: {counts}."
    outdated = sum(OUTDATED in run.tags for run in runs if run.status == FINISHED)
    reasons = {
        "outdated: their configuration, data or code has changed since": outdated,
        "without a value of the metric": finished - outdated - len(every),
        "of a configuration and seed that ran again later": len(every) - len(counted),
    }
    for reason, number in reasons.items():
        if number:
            yield f"Left out: {number} {'run' if number == 1 else 'runs'} {reason}."
