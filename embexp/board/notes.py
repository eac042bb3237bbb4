"""What a reader of a leaderboard must know, a sentence each."""

from collections import Counter
from collections.abc import Iterator, Sequence

from embexp.board.axes import Axes, Place
from embexp.board.entries import OUTDATED
from embexp.board.groups import Group
from embexp.board.judged import columns_of_mixed_bases
from embexp.board.varying import LOSS, Entry, counts, differs, follows, is_seed, varying
from embexp.errors import listed
from embexp.reports.board_content import BoardCell, label
from embexp.tracking.recorded_run import FINISHED, RecordedRun


def notes_on(cells: Sequence[BoardCell], groups: Sequence[Group], axes: Axes) -> Iterator[str]:
    """How the numbers were made, and what they leave open."""
    places = [place for group in groups for place in group.places]
    if len(groups) > 1:
        yield f"Cells were judged on {len(groups)} sets of examples, the groups: each has a best of its own."
    yield from _ways(groups)
    if any(cell.lacks_seeds for cell in cells):
        yield "Intervals hold how examples vary, not how seeds do: another seed may turn a verdict. Type seed=1,2,3."
    yield from _mixed_bases(groups)
    yield from _mixtures(places)
    yield from _unexplained([entry for place in places for entry in place.entries], axes)


def _mixed_bases(groups: Sequence[Group]) -> Iterator[str]:
    mixed = {column: None for group in groups for column in sorted(columns_of_mixed_bases(group.places, group.keys))}
    if mixed:
        yield (
            f"The untouched models of {listed(label(column) for column in mixed)} are not the same for all rows (from "
            "scratch, their tokenizers are made of the rows that each loss reads): theirs is a mean, and not ranked."
        )


def _ways(groups: Sequence[Group]) -> Iterator[str]:
    paired = [group for group in groups if group.kept]
    if paired:
        yield "Intervals and ties are taken of the runs' examples, paired."
    if len(paired) < len(groups):
        which = "Those of other groups" if paired else "Intervals and ties"
        yield f"{which} are taken of the runs' metrics alone, unpaired: more cells are tied than by their examples."


def left_out(runs: Sequence[RecordedRun], every: Sequence[Entry], counted: Sequence[Entry]) -> Iterator[str]:
    """Which runs do not count, and why.

    Args:
        every: the runs that could count; `counted` those that do.
    """
    if not runs:
        yield "There is no run."
    statuses = Counter(run.status for run in runs)
    finished = statuses.pop(FINISHED, 0)
    if statuses:
        told = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
        yield f"Of {len(runs)} runs {statuses.total()} have not finished and do not count: {told}."
    outdated = sum(OUTDATED in run.tags for run in runs if run.status == FINISHED)
    reasons = {
        "outdated: their configuration, data or code has changed since": outdated,
        "without a value of the metric": finished - outdated - len(every),
        "of a configuration and seed that ran again later": len(every) - len(counted),
    }
    for reason, number in reasons.items():
        if number:
            yield f"Left out: {number} {'run' if number == 1 else 'runs'} {reason}."


def _mixtures(places: Sequence[Place]) -> Iterator[str]:
    """Where the runs of a place differ in more than their seeds."""
    if mixed := [*dict.fromkeys(key for place in places for key in varying(place.entries, []))]:
        yield (
            f"Runs of one cell differ in {listed(mixed)} besides the seed: their mean is over different "
            f"configurations. Type rows={','.join(dict.fromkeys((LOSS, *mixed)))} to set them apart."
        )


def _unexplained(entries: Sequence[Entry], axes: Axes) -> Iterator[str]:
    """Where cells differ in what neither rows and columns nor the choice of an option tells."""
    shown = [*axes.rows, *axes.columns]
    keys = sorted({key for entry in entries for key in entry.run.params if key not in shown and counts(key)})
    hidden = [
        key for key in keys if differs(entries, key) and not is_seed(entries, key) and not _told(entries, key, shown)
    ]
    if hidden:
        yield f"Cells differ in {listed(hidden)}, too, which goes along with what the table shows."


def _told(entries: Sequence[Entry], key: str, shown: Sequence[str]) -> bool:
    """Whether a parameter follows from the option that its group was given (`trainer.optim` from `trainer`, all of
    `dataset.steps.negatives` from `negatives`), or differs within a cell, which another note says.
    """
    groups = key.split(".")[:-1]
    return not follows(entries, key, shown) or any(follows(entries, key, [group]) for group in groups)
