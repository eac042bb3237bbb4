"""The benchmark of races, on a small grid of made-up scores: a line for each way to choose, and no error of a race."""

from benchmarks.racing import NOBODY, NULL_CANDIDATES, RUNGS, SEEDS, WIDE, Grid, Run, compare, null_endings
from simulated_races import World, run_race

from embexp.evaluation.stats.racing import Prior
from embexp.racing.course import Rules
from embexp.racing.rounds import Level, levels_of

MEANS = [0.80, 0.62, 0.60, 0.45]


def grid_of(world: World) -> Grid:
    runs = {}
    for candidate in range(len(MEANS)):
        for seed in range(SEEDS):
            cells = {share: world.cell(candidate, Level(seed, share)) for share in RUNGS}
            runs[candidate, seed] = Run(
                {share: float(cell.values[0]) for share, cell in cells.items()},
                {share: cell.resampled for share, cell in cells.items()},
                {share: 10 * share for share in RUNGS},
            )
    untouched = world.cell(-1, Level(0, 1.0))
    names = [f"candidate {number}" for number in range(len(MEANS))]
    return Grid(names, ["minilm"] * len(MEANS), [1000] * len(MEANS), runs, {-1: untouched}, untouched)


def test_each_way_to_choose_has_its_line():
    lines = compare(grid_of(World(MEANS, 1, resamples=100)), replays=4)
    cells = {row[1]: row[2:] for row in ([each.strip() for each in line.split("|")] for line in lines)}
    assert [*cells] == ["race", "successive halving", "median pruner", "whole grid"]
    assert cells["race"][:3] == ["4", "4", "0.0000"]
    assert float(cells["race"][3]) < 0.6
    assert cells["whole grid"][3] == "1.00"
    assert float(cells["successive halving"][3]) < float(cells["race"][3])


def test_no_candidate_is_better_where_all_are_the_same():
    world = World([0.6] * NULL_CANDIDATES, 1, resamples=100)
    cells = [world.cell(candidate, Level(seed, 1)) for candidate in range(NULL_CANDIDATES) for seed in range(SEEDS)]
    runs = {
        (0, place): Run({1.0: float(cell.values[0])}, {1.0: cell.resampled}, {1.0: 1.0})
        for place, cell in enumerate(cells)
    }
    untouched = world.cell(-1, Level(0, 1.0))
    endings = null_endings(Grid(["cosent"], ["minilm"], [1000], runs, {-1: untouched}, untouched), replays=3)
    assert endings.total() == 3
    assert "better" not in endings


def test_a_grid_is_trained_to_its_last_seed_whoever_is_better():
    levels = levels_of([1], NULL_CANDIDATES * SEEDS)
    rules = Rules(levels, 0.005, NOBODY, 1, Prior(seeds=WIDE), ["static"], [1000], [None])
    course = run_race(World([0.9], 1, of_untouched=0.1, resamples=100), rules)
    assert course.place(0) == len(levels)
