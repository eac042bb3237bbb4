"""What examples and seeds can show, as a page of Markdown and as curves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embexp.core.escaping import as_markdown_text
from embexp.reports.comparisons import table_or_nothing
from embexp.reports.pictures.canvas import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, picture, put_legend


@dataclass(frozen=True)
class Comparison:
    """A difference with what it takes to show it.

    Attributes:
        difference: as it was found; nan of one to come.
        examples, units: how many there are, and how many groups of them are drawn; as many unless rows share something.
        half_width: of the 95 % interval, as expected.
        smallest: the smallest true difference that is told from zero in 80 % of cases.
        seed_std: the standard deviation between seeds, were there examples without end.
        examples_to_show, seeds_to_show: the smallest numbers, the other as it is, that show the wanted difference in
            80 % of cases; None where no number does.
        examples_for_equal, seeds_for_equal: likewise, that show two equal models as equal within the margin.
        lacks_seeds: the interval holds the examples only.
    """

    name: str
    difference: float
    examples: int
    units: int
    seeds: int
    half_width: float
    smallest: float
    seed_std: float
    examples_to_show: int | None
    seeds_to_show: int | None
    examples_for_equal: int | None
    seeds_for_equal: int | None
    lacks_seeds: bool

    def counted(self, examples: int | None, more: str = "") -> str:
        """So many examples, with the number of groups where these are drawn; `-` for no number.

        Args:
            more: a word to stand before both nouns.
        """
        if examples is None or self.units == self.examples:
            return "-" if examples is None else f"{examples:,}{more}"
        return f"{examples:,}{more} ({max(1, round(examples * self.units / self.examples)):,}{more and ' more'} groups)"


@dataclass(frozen=True)
class PowerPage:
    """All that the page says.

    Attributes:
        wanted: the difference that shall be shown.
        seconds: of a run, on average; nan where there is none yet.
        has_examples, has_seeds: whether the variance between examples, and between seeds, was measured.
        leading: the comparison of the grid.
        grid: by number of examples (rows), the smallest difference for each number of seeds.
        trust: how much of the test data's error is spent; None where nothing is counted.
    """

    metric: str
    margin: float
    wanted: float
    runs: int
    configurations: int
    seconds: float
    has_examples: bool
    has_seeds: bool
    comparisons: Sequence[Comparison]
    leading: str
    seeds: Sequence[int]
    grid: Mapping[int, Sequence[float]]
    trust: Mapping[str, Any] | None


def power_page(page: PowerPage) -> str:
    """The page as Markdown: what can be shown now, the grid of examples and seeds, time, and what is left of trust."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: PowerPage) -> Iterator[str]:
    yield f"# What can be shown: {as_markdown_text(page.metric)}\n"
    yield f"Variance between examples: {_source(page, page.has_examples)}."
    yield f"Variance between seeds: {_source(page, page.has_seeds)}."
    yield f"\n## Now: to show {page.wanted:g}, or to show equal models as equal within {page.margin:g}\n"
    yield from table_or_nothing(_HEADINGS, [_cells(each) for each in page.comparisons])
    yield "\n`smallest shown`: its interval excludes zero in 80 % of cases; `-`: no number does, the other as it is."
    if page.margin:
        yield f"A difference whose interval lies within {page.margin:g} comes out as equal, also if it excludes zero."
    if any(each.lacks_seeds for each in page.comparisons):
        yield "1 seed: the interval holds the examples only; a verdict is about these runs, not their configuration."
    leading = next(each for each in page.comparisons if each.name == page.leading)
    yield from _of_groups(page, leading)
    yield f"\n## Smallest difference shown in 80 % of cases: {as_markdown_text(page.leading)}\n"
    heads = [_counted(number, "seed") for number in page.seeds]
    rows = [(leading.counted(size), *(f"{value:.4f}" for value in values)) for size, values in page.grid.items()]
    yield from table_or_nothing(("examples", *heads), [*rows, *_times(page)])
    if not math.isnan(page.seconds):
        number = _counted(page.configurations, "configuration")
        yield f"\nTime: {page.seconds:,.0f} s a run, {number}, all seeds of each."
    if page.trust:
        yield f"\n## Trust in these test data\n\n{_trust(page.trust)}"


def _of_groups(page: PowerPage, leading: Comparison) -> Iterator[str]:
    """That groups are drawn, and how many more of them would show what is wanted."""
    if leading.units == leading.examples:
        return
    drawn = f"{leading.counted(leading.examples)}: examples that belong together are drawn together"
    more = (leading.examples_to_show or 0) - leading.examples
    needed = f"; {leading.counted(more, ' more examples')} would show {page.wanted:g}" if more > 0 else ""
    yield f"{drawn}, so that more examples of the same groups add little{needed}."


def _source(page: PowerPage, is_measured: bool) -> str:
    if is_measured:
        return f"measured in {_counted(page.runs, 'run')} of {_counted(page.configurations, 'configuration')}"
    return "ASSUMED: nothing was measured yet, see docs/power-and-gate.md"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number > 1 else ''}"


_HEADINGS = ("difference", "found", "examples", "seeds", "seed std", "half-width", "smallest shown")
_HEADINGS += ("to show: examples", "or seeds", "for equal: examples", "or seeds")


def _cells(each: Comparison) -> tuple[str, ...]:
    found = "-" if math.isnan(each.difference) else f"{each.difference:+.4f}"
    of_examples = map(each.counted, (each.examples_to_show, each.examples_for_equal))
    of_seeds = ("-" if number is None else f"{number:,}" for number in (each.seeds_to_show, each.seeds_for_equal))
    needed = (word for pair in zip(of_examples, of_seeds, strict=True) for word in pair)
    numbers = (
        each.counted(each.examples),
        str(each.seeds),
        f"{each.seed_std:.4f}",
        f"{each.half_width:.4f}",
        f"{each.smallest:.4f}",
    )
    return (each.name, found, *numbers, *needed)


def _times(page: PowerPage) -> Iterator[tuple[str, ...]]:
    if not math.isnan(page.seconds):
        times = [page.seconds * number * max(page.configurations, 1) for number in page.seeds]
        yield ("time", *map(_duration, times))


def _duration(seconds: float) -> str:
    """A time that a person reads.

    >>> _duration(50), _duration(600), _duration(8000)
    ('50 s', '10 min', '2.2 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _trust(trust: Mapping[str, Any]) -> str:
    """How much of the test data's error is spent, in a sentence or two."""
    if not trust["looks"]:
        return "embexp.gate has not looked at them yet."
    spent, times, looks = 100 * trust["spent"], trust["times_the_first"], _counted(trust["looks"], "time")
    return (
        f"embexp.gate has looked {looks} and shipped {trust['shipped']}: {spent:.0f} % of the error of 5 % is spent. "
        f"The next look has a level of {trust['next_level']:.2g} and shows {trust['smallest']:.4f}, "
        f"{times:.1f} times what the first one could. New test data begin anew."
    )


_COLOURS = (VERMILION, ORANGE, GREEN, BLUE, PURPLE, SKY, BLACK)


def draw_power_curve(
    path: Path,
    metric: str,
    name: str,
    curves: Mapping[int, Sequence[tuple[int, float]]],
    wanted: float,
    present: tuple[int, int],
) -> None:
    """The smallest difference that is shown in 80 % of cases, by examples (across) and seeds (colours); PNG.

    Args:
        curves: by the number of seeds, points of (examples, difference).
        wanted: the difference that shall be shown, as a line.
        present: examples and seeds as they are, as a mark on the nearest curve.
    """
    with picture(path, "Smallest difference shown in 80 %", f"{name}, {metric}", [name, metric]) as figure:
        axis = figure.subplots()
        for place, (seeds, points) in enumerate(curves.items()):
            colour = _COLOURS[place % len(_COLOURS)]
            axis.plot(*zip(*points, strict=True), color=colour, label=f"{seeds} seed{'s' if seeds > 1 else ''}")
            if seeds == present[1]:
                nearest = min(points, key=lambda point: abs(point[0] - present[0]))
                axis.plot(*nearest, "o", color=colour, markersize=10, markeredgecolor=BLACK, label="now")
        axis.axhline(wanted, color=BLACK, linewidth=1, linestyle="--", label=f"wanted: {wanted:g}")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("examples")
        axis.set_ylabel("difference")
        axis.grid(color="#EEEEEE", linewidth=1)
        put_legend(figure, axis, columns=4)
