"""Power: closed forms, monotony, what cannot be reached; in the slow lane, what is promised against what is found."""

import math
from dataclasses import replace

import numpy
import pytest
from conftest import thinned

from embexp.evaluation.stats.power import (
    DEFAULT_SEED_STD,
    Design,
    Prospect,
    Variances,
    assumed_variances,
    design_of,
    measured_variances,
    needed_for_equal,
    needed_to_show,
    rows_of,
    what_decides,
)
from embexp.evaluation.stats.resampling import Drawn
from embexp.evaluation.stats.seeds import Cell, cell_difference, resample_cells

PLAIN = Variances(examples=0.25)  # a difference of standard deviation 0.5 in each example
SEEDS = Variances(examples=0.05, seeds=0.00005, mixed=0.02)


def test_without_seeds_it_is_the_normal_approximation():
    prospect = Prospect(PLAIN, Design(400))
    assert prospect.half_width == pytest.approx(1.959964 * 0.5 / 20)
    assert prospect.smallest_difference() == pytest.approx((1.959964 + 0.841621) * 0.5 / 20, rel=1e-4)
    assert prospect.better(0) == pytest.approx(0.025)
    assert needed_to_show(prospect, 0.07) == (401, None)  # ((1.96 + 0.84) * 0.5 / 0.07) ** 2


def test_equal_within_a_margin_is_the_power_of_two_one_sided_tests():
    needed = needed_for_equal(Prospect(PLAIN, Design(400), margin=0.05)).examples
    assert needed == math.ceil(((1.959964 + 1.281552) * 0.5 / 0.05) ** 2)  # 80 % for both sides: 90 % for each
    assert Prospect(PLAIN, Design(400), margin=0.04).equal() == 0  # the interval is wider than the margin
    assert Prospect(PLAIN, Design(needed), margin=0.05).equal(0.05) == pytest.approx(0.025, abs=0.001)
    assert needed_for_equal(Prospect(PLAIN, Design(400))) == (None, None)  # nothing is equal within 0


def test_a_difference_within_the_margin_is_never_better():
    wide, narrow = (Prospect(PLAIN, Design(100_000), margin=margin) for margin in (0.05, 0.0))
    assert narrow.better(0.03) > 0.99
    assert wide.better(0.03) < 0.01
    assert wide.smallest_difference() > 0.045 > 0.01 > narrow.smallest_difference()


@pytest.mark.parametrize("seeds", [(0, 2), (2, 2), (3, 1), (0, 5), (5, 5)])
def test_more_of_anything_shows_less_differences(seeds):
    prospect = Prospect(SEEDS, Design(300, seeds))
    more = Prospect(SEEDS, Design(600, seeds)), Prospect(SEEDS, Design(300, seeds).with_seeds(8))
    for other in more:
        assert other.smallest_difference() < prospect.smallest_difference()
        assert other.half_width < prospect.half_width
    assert Prospect(SEEDS, Design(300, seeds), level=0.001).half_width > prospect.half_width


def test_no_number_of_examples_replaces_seeds_and_none_of_seeds_replaces_examples():
    needed = needed_to_show(Prospect(SEEDS, Design(300, (2, 2))), 0.01)
    assert needed == (None, None)
    assert needed_to_show(Prospect(SEEDS, Design(3000, (2, 2))), 0.015).seeds == 11
    assert needed_to_show(Prospect(SEEDS, Design(300, (8, 8))), 0.015).examples < 4000


@pytest.mark.parametrize("difference", [0.01, 0.02, 0.05])
def test_what_is_needed_is_the_smallest_that_does(difference):
    prospect = Prospect(SEEDS, Design(1000, (3, 3)), margin=0.005)
    needed = needed_to_show(prospect, difference)
    for change, number in (("examples", needed.examples), ("seeds", needed.seeds)):
        if number is not None and number > 2:
            designs = [getattr(prospect.design, f"with_{change}")(each) for each in (number - 1, number)]
            fewer, enough = (Prospect(SEEDS, design, margin=0.005).better(difference) for design in designs)
            assert fewer < 0.8 <= enough


@pytest.mark.parametrize(
    ("design", "margin", "is_equal", "ways"),
    [
        (Design(300, (0, 3)), 0.04, False, {"times", "seeds"}),
        (Design(10_000, (0, 3)), 0.01, False, {"seeds"}),  # no number of examples takes away what three seeds leave
        (Design(300, (0, 1)), 0.02, False, {"times"}),  # nothing is known of seeds
        (Design(300, (2, 2)), 0.01, False, set()),
        (Design(3000, (3, 3), 4), 0.015, False, {"seeds"}),
        (Design(3000, (0, 5)), 0.017, True, {"times", "seeds"}),
    ],
)
def test_what_decides_is_more_than_there_is_and_shows_the_margin(design, margin, is_equal, ways):
    prospect = Prospect(SEEDS, design, margin)
    found = what_decides(prospect)
    assert (found.is_equal, found.sides) == (is_equal, sum(number > 0 for number in design.seeds))
    assert {way for way in ("times", "seeds") if getattr(found, way)} == ways
    chance = Prospect.equal if is_equal else lambda changed: changed.better(margin)
    assert chance(prospect) < 0.8
    if found.times:
        assert found.times > 1
        assert chance(Prospect(SEEDS, design.with_examples(round(design.examples * found.times)), margin)) >= 0.8
    if found.seeds:
        assert chance(Prospect(SEEDS, design.with_seeds(max(design.seeds) + found.seeds), margin)) >= 0.8


def test_nothing_decides_without_a_margin_or_where_so_much_decides_already():
    assert what_decides(Prospect(SEEDS, Design(300, (0, 3)))) is None
    assert what_decides(Prospect(SEEDS, Design(10**6, (9, 9)), margin=0.05)) is None
    assert what_decides(Prospect(Variances(math.nan), Design(300), margin=0.05)) is None


def test_one_seed_speaks_of_the_runs_as_they_are():
    assert Design(300, (1, 1)).degrees == 0
    alone, pooled = (Prospect(SEEDS, Design(300, (1, 1), more)) for more in (0, 6))
    assert alone.half_width < pooled.half_width


def simulated(random, examples, seeds, difference=0.0, spread=0.007, of_example=0.5, of_mixed=0.2):
    """Two cells of means: examples with an effect of their own, runs with one of theirs, and both together."""
    effect = random.normal(0, of_example, examples)
    cells = []
    for number, gain, share in zip(seeds, (0, difference), (0, 1), strict=True):
        runs = [
            gain + random.normal(0, spread if number else 0) + share * effect + random.normal(0, of_mixed, examples)
            for _ in range(number or 1)
        ]
        cells.append([lambda sample, run=run: sample.counts @ run / sample.total for run in runs])
    found = resample_cells(cells, examples, 200, seed=int(random.integers(2**31)))
    return [
        Cell(cell.values, cell.resampled, cell.examples, bool(number))
        for cell, number in zip(found, seeds, strict=True)
    ]


def test_variances_are_those_that_made_the_runs():
    random = numpy.random.default_rng(1)
    found = [measured_variances(*simulated(random, 400, (6, 6), spread=0.03)).variances for _ in range(20)]
    means = numpy.mean([[each.examples, each.seeds, each.mixed] for each in found], axis=0)
    assert means == pytest.approx([0.25, 0.0009, 0.04], rel=0.2)


def test_what_was_not_measured_is_a_default_and_marked():
    first, second = simulated(numpy.random.default_rng(0), 300, (0, 1))
    found = measured_variances(first, second)
    assert (found.has_seeds, found.variances.seeds) == (False, DEFAULT_SEED_STD**2)
    untouched = measured_variances(first, Cell(second.values, second.resampled, 300, has_seed=False))
    assert (untouched.has_seeds, untouched.variances.seeds) == (True, 0)
    assert assumed_variances(0.0196, 1000).examples == pytest.approx(2 * 0.01**2 * 1000 * 0.2, rel=1e-3)


def grouped(random, groups, seeds, difference=0.0, size=5, together=0.5):
    """Two cells of means over rows in groups, whose values move together by a share of their variance."""
    numbers = numpy.repeat(numpy.arange(groups), size)
    effect = random.normal(0, 0.5 * together**0.5, groups)[numbers]
    effect += random.normal(0, 0.5 * (1 - together) ** 0.5, len(numbers))
    cells = []
    for gain, share in ((0, 0), (difference, 1)):
        runs = [
            gain + random.normal(0, 0.01) * (seeds > 1) + share * effect + random.normal(0, 0.1, len(numbers))
            for _ in range(seeds)
        ]
        cells.append([lambda sample, run=run: sample.counts @ run / sample.total for run in runs])
    drawn = Drawn(groups, numbers, "text", groups if groups < 50 else 0)
    return resample_cells(cells, len(numbers), 200, int(random.integers(2**31)), drawn)


@pytest.mark.parametrize(
    ("present", "wanted", "seeds", "cases"),
    [
        (40, 0.1, 1, 200),
        *(
            pytest.param(*setting, 1000, marks=[pytest.mark.slow, pytest.mark.matrix])
            for setting in ((60, 0.1, 1), (30, 0.25, 1), (60, 0.1, 3), (200, 0.09, 2))
        ),
    ],
)
def test_what_is_needed_in_groups_of_5_is_groups_and_shows_the_difference_in_80_of_100_cases(
    present, wanted, seeds, cases
):
    """Planned from runs on as many groups as are there, as `embexp.power` does; the mean of some pilots."""
    random = numpy.random.default_rng([present, seeds])
    pilots = [grouped(random, present, seeds) for _ in range(100)]
    found = [measured_variances(*pilot).variances for pilot in pilots]
    variances = Variances(*numpy.mean([[each.examples, each.seeds, each.mixed] for each in found], axis=0))
    design = design_of(*pilots[0])
    assert (design.examples, pilots[0][0].rows_per_unit, design.few) == (present, 5, present if present < 50 else 0)
    groups = needed_to_show(Prospect(variances, design), wanted).examples
    assert rows_of(groups, 5) == 5 * groups
    shown = [cell_difference(*grouped(random, groups, seeds, wanted)).low > 0 for _ in range(cases)]
    assert numpy.mean(shown) == pytest.approx(0.8, abs=0.05 if cases == 1000 else 0.085)  # three standard errors
    as_rows = Prospect(replace(variances, examples=variances.examples / 5), replace(design, examples=5 * groups))
    assert as_rows.better(wanted) > 0.88  # what it would be if rows were taken for the units


SETTINGS = [
    (examples, seeds, spread, of_mixed)
    for examples, of_mixed in ((60, 0.1), (300, 0.3), (1000, 0.1))
    for seeds, spread in (((0, 1), 0), ((0, 3), 0.02), ((2, 2), 0.02), ((3, 3), 0.005), ((5, 5), 0.03), ((2, 5), 0.02))
] + [(200, (3, 3), 0.05, 0.2), (200, (0, 2), 0.01, 0.2)]


@pytest.mark.slow
@pytest.mark.parametrize(("examples", "seeds", "spread", "of_mixed"), thinned(SETTINGS, 3))
def test_promised_power_is_found(examples, seeds, spread, of_mixed):
    """1,000 cases each: a binomial error of 1.3 points at 80 %."""
    assert len(SETTINGS) == 20
    random = numpy.random.default_rng([examples, *seeds])
    # The untouched side has no seeds, but the values of its one run are its own: they are part of the examples.
    fixed = 0.25 + (of_mixed**2 if 0 in seeds else 0)
    prospect = Prospect(Variances(fixed, spread**2, of_mixed**2), Design(examples, seeds))
    wanted = prospect.smallest_difference()
    found = [
        cell_difference(*simulated(random, examples, seeds, wanted, spread, 0.5, of_mixed)).low > 0 for _ in range(1000)
    ]
    assert numpy.mean(found) == pytest.approx(0.8, abs=0.05)
    halves = [
        each.high - each.low
        for each in (cell_difference(*simulated(random, examples, seeds, 0, spread, 0.5, of_mixed)) for _ in range(50))
    ]
    assert numpy.mean(halves) / 2 == pytest.approx(prospect.half_width, rel=0.2)
