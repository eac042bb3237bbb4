"""What a leaderboard says of how fair its comparison is: learning rates, budgets, and cells that were still rising."""

import json
from dataclasses import replace

import pytest
from recorded_runs import recorded

from embexp.leaderboards.axes import RunEntry, find_varying, group_by_place
from embexp.leaderboards.cells import curve_of
from embexp.leaderboards.make import make_leaderboard
from embexp.reports.leaderboard_content import Estimate, LeaderboardCell
from embexp.reports.pictures.learning_curves import draw_cells

RATE = "trainer.learning_rate"


def notes_of(*runs):
    return make_leaderboard(runs).notes


def test_a_shared_learning_rate_is_said_and_one_that_was_not_searched():
    shared = notes_of(recorded(1, 0.1, **{RATE: 5e-5}), recorded(2, 0.2, loss="x", **{RATE: 5e-5}))
    assert any(
        note.startswith("All cells were trained at one learning rate (5e-05); one cell may do") for note in shared
    )
    own = notes_of(recorded(1, 0.1, **{RATE: 5e-5}), recorded(2, 0.2, model="static", **{RATE: 0.01}))
    assert any(note.startswith("The learning rates (0.01 and 5e-05) were not searched; ") for note in own) or any(
        note.startswith("The learning rates (0.01, 5e-05) were not searched; ") for note in own
    )
    swept = notes_of(recorded(1, 0.1, **{RATE: 5e-5}), recorded(2, 0.2, **{RATE: 1e-4}))
    assert not any("learning rate" in note for note in swept)
    assert not any("learning rate" in note for note in notes_of(recorded(1, 0.1, **{RATE: 5e-5})))


@pytest.mark.parametrize(
    ("values", "chosen", "said"),
    [
        ([0.30, 0.398, 0.40, 0.397, 0.1], 2, "flat: within 0.005 of it from 2 to 4"),
        ([0.30, 0.35, 0.40, 0.37, 0.1], 2, "steep, the next best loses 0.0300"),
        ([0.30, 0.35, 0.36, 0.37, 0.5], 4, "steep, the next best loses 0.1300; the last of those tried, a better one"),
        ([0.30, 0.35, 0.40, 0.37, None], 2, "steep, the next best loses 0.0300; 1 of 5 trials failed"),
    ],
)
def test_a_searched_rate_is_shown_with_how_flat_its_optimum_is(values, chosen, said):
    tried = [{"rate": rate, "dev": dev} for rate, dev in enumerate(values, 1)]
    found = {"tried": tried, "chosen": chosen + 1, "share": 0.25}
    runs = [replace(recorded(1, 0.1, **{RATE: 3}), searched=found), recorded(2, 0.1, loss="x", **{RATE: 3})]
    notes = notes_of(*runs)
    assert "Each cell's learning rate is the best on dev of 5 trials with 0.25 of its training." in notes
    assert any(note.startswith(f"Learning rate of mnrl · minilm: {chosen + 1} ({said}") for note in notes)
    assert not any("were not searched" in note or "at one learning rate" in note for note in notes)


def test_rates_that_were_chosen_on_the_dev_that_gives_the_verdict_flatter_and_that_is_said():
    found = {"tried": [{"rate": rate, "dev": 0.1 * rate} for rate in (1, 2)], "chosen": 2, "share": 0.25}
    on_test = replace(recorded(1, 0.1, **{RATE: 2}), searched=found)
    on_dev = replace(
        on_test,
        metrics={key.replace("test/", "dev/"): value for key, value in on_test.metrics.items()},
        tags={key.replace("/test", "/dev"): value.replace("test/", "dev/") for key, value in on_test.tags.items()},
    )
    flatters = "Learning rates were chosen on dev, which also gives the verdicts: these flatter the trained cells."
    assert flatters in notes_of(on_dev)
    assert flatters not in notes_of(on_test)


def test_a_searched_rate_makes_no_rows_of_its_own():
    runs = [
        recorded(number, 0.1, **{RATE: rate, "trainer.warmup_steps": warmup})
        for number, (rate, warmup) in enumerate([(1e-5, 0.1), (2e-5, 0.2), (5e-5, 0.3)])
    ]
    assert find_varying([RunEntry(run, run.primary) for run in runs], []) == ["trainer.warmup_steps"]


def test_cells_that_hardly_moved_are_warned_of():
    still = recorded(2, 0.0, loss="x")
    still.tags["movement"] = "hardly moved"
    assert any(
        note.startswith("Training hardly moved x · minilm: a larger") for note in notes_of(recorded(1, 0.1), still)
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"max_steps": 100}, {"max_steps": 100}, "Equal for all cells: steps of training (100)."),
        ({"max_examples": 500}, {"max_examples": 500}, "Equal for all cells: examples that training read (500)."),
        ({"max_seconds": 60, "max_steps": 5}, {"max_seconds": 60, "max_steps": 5}, "seconds of training (60)."),
        ({"num_train_epochs": 1}, {"num_train_epochs": 1}, "Equal for all cells: passes over the training rows (1)."),
        ({"max_steps": 100}, {"max_steps": -1}, "Cells had unlike amounts of training"),
        (
            {"max_steps": 9, "per_device_train_batch_size": 8},
            {"max_steps": 9, "per_device_train_batch_size": 16},
            "steps of training (9), in batches of unlike sizes.",
        ),
    ],
)
def test_what_of_the_training_was_equal_is_said(first, second, said):
    runs = [
        recorded(number, 0.1, loss=f"l{number}", **{f"trainer.{key}": value for key, value in typed.items()})
        for number, typed in enumerate((first, second))
    ]
    # One parameter of the second differs with the loss, so that the loss stays the only row.
    notes = make_leaderboard(runs, rows=["loss"], columns=["model"]).notes
    assert any(said in note for note in notes), notes


def in_folder(folder, number, dev, **params):
    """A run that logged these scores on dev by step, of 20 rows in batches of 8."""
    folder.mkdir()
    lines = [{"step": step, "time": 0.0, "metrics": {"train/dev/sts/spearman_cosine": value}} for step, value in dev]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    sizes = {
        "dataset.train_rows": 20,
        "trainer.per_device_train_batch_size": 8,
        "trainer.gradient_accumulation_steps": 1,
    }
    run = recorded(number, 0.1, **sizes, **params)
    run.metrics["base/sts/dev/spearman_cosine"] = 0.5
    run.metrics["dev/sts/spearman_cosine"] = dev[-1][1]
    return replace(run, folder=folder)


def test_curves_are_by_the_examples_read_and_the_mean_over_the_seeds(tmp_path):
    runs = [
        in_folder(tmp_path / "a", 1, [(2, 0.6), (3, 0.7), (5, 0.8)], seed="1"),
        in_folder(tmp_path / "b", 2, [(2, 0.7), (3, 0.8), (5, 0.9)], seed="2"),
    ]
    leaderboard = make_leaderboard(runs)
    (cell,) = leaderboard.trained
    assert [examples for examples, _ in cell.curve] == [0, 16, 20, 36]
    assert [round(value, 3) for _, value in cell.curve] == [0.5, 0.65, 0.75, 0.85]
    assert any(
        note.startswith("Still rising on dev when the training stopped: mnrl · minilm") for note in leaderboard.notes
    )
    (place,) = group_by_place([RunEntry(run, run.primary) for run in [*runs, recorded(3, 0.1)]], make_axes())
    assert curve_of(place) == ()


def make_axes():
    from embexp.leaderboards.axes import Axes

    return Axes(("loss",), ("model",))


@pytest.mark.parametrize(
    ("values", "rises"),
    [
        ([0.5, 0.6, 0.7], True),
        ([0.5, 0.7, 0.701], False),
        ([0.5, 0.7, 0.69], False),
        ([0.5, 0.7], False),
        ([0.500, 0.5001, 0.5002], False),
    ],
)
def test_a_cell_still_rises_if_its_last_gain_is_worth_having(values, rises):
    cell = LeaderboardCell(("a",), ("b",), "test/sts/m", 1, Estimate(0.5), curve=tuple(enumerate(values)))
    assert cell.still_rises == rises


def test_all_cells_are_in_one_picture_and_one_that_still_rises_ends_in_a_triangle(drawn, tmp_path):
    runs = [
        in_folder(tmp_path / "a", 1, [(2, 0.6), (3, 0.7)], loss="mnrl"),
        in_folder(tmp_path / "b", 2, [(2, 0.7), (3, 0.6)], loss="cosent"),
    ]
    figure = drawn(draw_cells, make_leaderboard(runs))
    (axis,) = figure.axes
    assert sorted(line.get_marker() for line in axis.lines if len(line.get_xdata()) == 1) == ["^", "o"]
    assert len(figure.legends[0].get_texts()) == 2
