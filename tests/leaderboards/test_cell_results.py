"""Cells evaluated by their examples and by their metrics alone: the same verdicts, and what each can show."""

import re
from dataclasses import replace

import numpy
import pytest
from recorded_runs import EXAMPLES, KEY, MEASURE, recorded, write_run

from embexp.evaluation.metrics import Statistics
from embexp.evaluation.scores import KeptExamples, Scores, read_examples, write_examples
from embexp.evaluation.stats.resampling import observed_sample
from embexp.evaluation.stats.seeds import cell_difference, resample_cells
from embexp.leaderboards import estimates, groups
from embexp.leaderboards.cells import MetricKeys
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.runs import runs_in
from embexp.leaderboards.tables import notes_of

NOISES = {"better": 0.5, "same": 1.0, "worse": 2.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three losses on two models with three seeds each."""
    root = tmp_path_factory.mktemp("runs")
    return [
        write_run(root / f"{loss}-{model}-{seed}", noise, loss=loss, model=model, seed=seed)
        for loss, noise in NOISES.items()
        for model in ("minilm", "static")
        for seed in (1, 2, 3)
    ]


def verdicts(leaderboard):
    return {(cell.row[0], cell.column[0]): cell.verdict for cell in leaderboard.trained}


EXPECTED = {(loss, model): "undecided" if loss == "same" else loss for loss in NOISES for model in ("minilm", "static")}


def test_examples_give_the_verdicts_that_the_noise_makes(folders):
    leaderboard = make_leaderboard(runs_in(folders), resamples=500)
    assert verdicts(leaderboard) == EXPECTED
    assert leaderboard.rows == (("better",), ("same",), ("worse",))
    assert {cell.row for cell in leaderboard.cells if cell.is_best} == {("better",)}
    assert "Intervals and ties are taken of the runs' examples, paired." in leaderboard.notes


def test_metrics_alone_give_the_same_verdicts_with_intervals_that_are_no_shorter(folders, monkeypatch):
    paired = make_leaderboard(runs_in(folders), resamples=500)
    monkeypatch.setattr(groups, "_MOST_WITH_EXAMPLES", len(folders) - 1)
    told = make_leaderboard(runs_in(folders), resamples=500)
    assert verdicts(told) == EXPECTED
    assert any("metrics alone" in note for note in told.notes)
    for row in paired.rows:
        for column in paired.columns:
            (first,), (second,) = paired.at(row, column), told.at(row, column)
            assert first.score.value == pytest.approx(second.score.value)
            assert first.difference.value == pytest.approx(second.difference.value)
            widths = [cell.difference.high - cell.difference.low for cell in (first, second)]
            assert widths[0] * 0.9 < widths[1] < widths[0] * 2.5


def test_numbers_are_those_of_the_statistics_of_seeds(folders):
    leaderboard = make_leaderboard(runs_in(folders[:3]), resamples=300)
    kept = [read_examples(folder / "examples" / "sts_test.parquet") for folder in folders[:3]]
    statistics = Statistics()
    measure = kept[0].base.measures[0]
    runs = [statistics.statistic_for(measure, each.trained.columns) for each in kept]
    base, trained = resample_cells([[statistics.statistic_for(measure, kept[0].base.columns)], runs], EXAMPLES, 300)
    found = cell_difference(replace(base, has_seed=False), trained)
    (cell,) = leaderboard.trained
    assert (cell.difference.value, cell.difference.low, cell.difference.high) == pytest.approx(
        (found.value, found.low, found.high)
    )
    assert cell.p == pytest.approx(found.interval.p)
    assert cell.alone == (cell.difference.low, cell.difference.high)  # one cell: nothing is corrected
    assert cell.std == pytest.approx(trained.values.std(ddof=1))
    assert cell.seeds == ("1", "2", "3")


def test_single_seeds_are_noted_and_one_cell_with_several_helps_its_column(folders):
    alone = make_leaderboard(runs_in(folders[::3]), resamples=200)
    assert all(cell.lacks_seeds for cell in alone.trained)
    assert any("another seed may change a verdict" in note for note in alone.notes)
    helped = make_leaderboard(runs_in([*folders[:3], *folders[3::3]]), resamples=200)
    assert {cell.column[0] for cell in helped.trained if cell.lacks_seeds} == {"static"}


def test_other_examples_make_another_group_with_a_best_of_its_own(folders, tmp_path):
    other = write_run(tmp_path / "other", 0.9, texts="an other text", dataset="stsb")
    leaderboard = make_leaderboard(runs_in([*folders[:9], other]), resamples=200)
    assert {cell.group for cell in leaderboard.cells} == {1, 2}
    assert {cell.group for cell in leaderboard.cells if cell.is_best} == {1, 2}
    assert any("2 sets of examples" in note for note in leaderboard.notes)
    assert any(cell.on_front for cell in leaderboard.trained if cell.group == 2)


def test_seeds_that_have_other_examples_are_compared_by_their_metrics(folders, tmp_path):
    other = write_run(tmp_path / "other", 0.5, texts="an other text", loss="better", seed=9)
    leaderboard = make_leaderboard(runs_in([*folders[:3], other]), resamples=200)
    (cell,) = leaderboard.trained
    assert len(cell.seeds) == 4
    assert any("metrics alone" in note for note in leaderboard.notes)


def test_two_single_runs_by_metrics_have_the_intervals_that_they_logged():
    leaderboard = make_leaderboard([recorded(1, 0.05), recorded(2, -0.05, loss="cosent")])
    better, worse = leaderboard.trained
    assert better.alone == pytest.approx((0.04, 0.06))
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert (better.is_best, worse.is_best) == (True, False)
    assert better.lacks_seeds


def test_seeds_that_differ_much_widen_the_interval_of_the_metrics():
    gains = (0.05, 0.06, 0.01)
    (cell,) = make_leaderboard([recorded(seed, gain, 0.001, seed=seed) for seed, gain in enumerate(gains)]).trained
    half = 4.302653 * 0.0264575 / 3**0.5  # Student's t of two degrees of freedom
    assert cell.difference.value == pytest.approx(0.04)
    assert cell.difference.high - cell.difference.value == pytest.approx(half, rel=0.01)
    assert cell.verdict == "undecided"


def test_models_of_other_bases_are_tied_where_their_own_intervals_do_not_part_them():
    runs = [recorded(1, 0.05, half=0.02, base=0.6), recorded(2, 0.05, half=0.02, base=0.62, model="static")]
    assert all(cell.is_best for cell in make_leaderboard(runs).trained)
    runs[1] = recorded(2, 0.05, half=0.02, base=0.8, model="static")
    assert [cell.column for cell in make_leaderboard(runs).trained if cell.is_best] == [("static",)]


def test_cells_without_intervals_are_told_from_nothing():
    runs = [recorded(1, 0.05), recorded(2, 0.01, loss="cosent")]
    for run in runs:
        for key in [key for key in run.metrics if key.endswith(("_low", "_high"))]:
            del run.metrics[key]
    leaderboard = make_leaderboard(runs)
    assert {cell.verdict for cell in leaderboard.trained} == {"no interval"}
    assert all(cell.is_best for cell in leaderboard.cells)


def test_other_true_values_make_another_group(folders, tmp_path):
    other = write_run(tmp_path / "other", 0.9, loss="corrected")
    file = other / "examples" / "sts_test.parquet"
    kept = read_examples(file)
    gold = kept.base.examples["gold"].copy()
    gold[0] += 0.5
    sides = (replace(each, examples={**each.examples, "gold": gold}) for each in (kept.base, kept.trained))
    write_examples(file, dict(zip(("base", "trained"), sides, strict=True)))
    leaderboard = make_leaderboard(runs_in([*folders[:9], other]), resamples=200)
    assert {cell.group for cell in leaderboard.cells} == {1, 2}
    assert any("2 sets of examples" in note for note in leaderboard.notes)


def test_without_leaks_the_examples_count_that_no_run_was_trained_on():
    measure = MEASURE.without("no_leaks")
    gold, cosine = numpy.arange(6.0), numpy.array([9.0, 1, 2, 4, 3, 9])
    masks = {"a": [0, 1, 1, 1, 1, 1], "b": [1, 1, 1, 1, 1, 0]}
    kept = {}
    for run, mask in masks.items():
        examples = {"id": [*range(6)], "gold": gold, "no_leaks": numpy.array(mask, dtype=bool)}
        scores = Scores("test", examples, {"cosine": cosine}, {}, (measure,))
        kept[run] = KeptExamples(scores, scores)
    statistic = estimates._statistics(kept, MetricKeys(f"{KEY}_no_leaks", recorded(1, 0.1)))
    found = [float(statistic(each.trained)(observed_sample(6))[0]) for each in kept.values()]
    assert found == pytest.approx([0.8, 0.8])  # of the four in the middle, two of them swapped


def test_seeds_of_one_cell_that_began_with_other_model_files_are_noted():
    runs = [recorded(seed, 0.05, seed=seed) for seed in (1, 2, 3)]
    tagged = [replace(run, tags=run.tags | {"base_model.files": "x"}) for run in runs]
    assert not any("other files" in note for note in make_leaderboard(tagged).notes)
    tagged[2] = replace(runs[2], tags=runs[2].tags | {"base_model.files": "y"})
    assert any("began with other files of the same model" in note for note in make_leaderboard(tagged).notes)


def test_verdicts_of_several_cells_are_corrected_for_their_number():
    gains = {"a": 0.05, "b": 0.0105, "c": 0.001, "d": 0.0}
    runs = [recorded(number, gain, loss=loss) for number, (loss, gain) in enumerate(gains.items(), 1)]
    alone = {loss: make_leaderboard([run]).trained[0].verdict for loss, run in zip(gains, runs, strict=True)}
    assert alone == {"a": "better", "b": "better", "c": "undecided", "d": "undecided"}
    leaderboard = make_leaderboard(runs)
    found = {cell.row[0]: cell for cell in leaderboard.trained}
    assert {loss: cell.verdict for loss, cell in found.items()} == alone | {"b": "undecided"}
    assert found["b"].alone == pytest.approx((0.0005, 0.0205))
    assert found["b"].difference.low < 0 < found["b"].alone[0]
    assert found["b"].p > 0.05
    assert notes_of(leaderboard)[3] == (
        "differences to the untouched models: intervals and verdicts are corrected for their number, 4 (Holm)"
    )


def test_identical_cells_do_not_count_among_those_that_are_compared():
    same = replace(recorded(2, 0.0, loss="cosent"), tags=recorded(2, 0.0).tags | {"verdict": "identical"})
    leaderboard = make_leaderboard([recorded(1, 0.0105), same])
    assert {cell.row[0]: cell.verdict for cell in leaderboard.trained} == {"mnrl": "better", "cosent": "identical"}
    assert not any("corrected for their number" in note for note in notes_of(leaderboard))


def test_an_undecided_cell_says_which_seeds_or_examples_would_decide(folders, monkeypatch):
    runs = runs_in(folders)
    ways = r"\d+ more seeds, or about [\d,]+ more examples, would", "neither seeds nor examples alone would"
    for most, way in zip((60, 1), ways, strict=True):  # by examples, and by metrics, which tell less
        monkeypatch.setattr(groups, "_MOST_WITH_EXAMPLES", most)
        leaderboard = make_leaderboard(runs, resamples=200, margins=0.01)
        undecided = [cell for cell in leaderboard.trained if cell.verdict == "undecided"]
        assert undecided
        assert all(re.search(rf"{way} show a difference of 0.01 in 80 of 100", cell.needed) for cell in undecided)
        lines = [note for note in notes_of(leaderboard) if " is undecided: " in note]
        assert len(lines) == len(undecided)
        assert not any(cell.needed for cell in leaderboard.trained if cell.verdict != "undecided")


def test_a_long_table_names_what_decides_for_ten_cells_and_where_the_rest_is():
    runs = [recorded(number, 0.0, loss=f"loss {number}") for number in range(1, 13)]
    notes = notes_of(make_leaderboard(runs))
    assert sum(" is undecided: about " in note for note in notes) == 10
    assert "2 more cells are undecided: the column needed of the CSV says what would decide them" in notes
