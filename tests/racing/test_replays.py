"""The benchmark of races, on a small grid of made-up scores: a line for each way to choose, and no error of a race."""

from benchmarks.racing import RUNGS, SEEDS, Grid, Run, compare
from simulated_races import World

from embexp.racing.rounds import Level

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
