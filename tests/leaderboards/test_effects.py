"""Which parts help: how often a planted poison is named, how often equal parts are not, and what the lines say."""

from dataclasses import replace

import numpy
import pytest
from recorded_runs import recorded, write_run

from embexp.evaluation.stats.seeds import resample_cells
from embexp.leaderboards import effects
from embexp.leaderboards.bottom_line import _Decides
from embexp.leaderboards.effects import HELPS, HURTS, NO_EFFECT, OPEN, effects_of
from embexp.leaderboards.make import make_leaderboard
from embexp.leaderboards.runs import runs_in
from embexp.leaderboards.tables import as_markdown

PARTS = ("web", "forum", "mail", "poison")
MARGIN = 0.005


def simulated(number: int, effect: float, seeds: int = 3, examples: int = 500):
    """The words of one sweep: a score for each example and seed, as a metric such as nDCG gives them.

    Scores of examples have a standard deviation of 0.3, most of which all models share; what another seed trains moves
    the score of the whole by 0.005 and that of each example by 0.1; without a part the model is another one, too.

    Args:
        effect: of the last part on the score; that of the others is 0.
    """
    random = numpy.random.default_rng(number)
    shared, cells = random.normal(0.5, 0.3, examples), []
    for part in ("", *PARTS):
        own = random.normal(0, 0.08, examples)
        level = -effect * (part == PARTS[-1])
        runs = [shared + own + level + random.normal(0, 0.005) + random.normal(0, 0.1, examples) for _ in range(seeds)]
        cells.append([lambda sample, run=run: sample.counts @ run / sample.total for run in runs])
    whole, *without = resample_cells(cells, examples, 400)
    (found,) = effects_of([(whole, dict(zip(PARTS, without, strict=True)))], [MARGIN], [examples])
    return {each.part: each.word for each in found}


@pytest.fixture
def words_of_sweeps(monkeypatch):
    """What simulated sweeps say, without what would decide, which takes long and changes no word."""
    monkeypatch.setattr(effects, "deciding", lambda *_: _Decides())
    return _words_of_sweeps


def _words_of_sweeps(first: int, number: int, effect: float):
    return [simulated(first + each, effect) for each in range(number)]


def test_a_poisoned_part_is_named_in_at_least_19_of_20_sweeps(words_of_sweeps):
    words = words_of_sweeps(0, 20, effect=-0.04)
    assert sum(each["poison"] == HURTS for each in words) >= 19
    assert not any(each["poison"] == HELPS for each in words)


@pytest.mark.slow
def test_of_equal_parts_one_is_named_in_at_most_5_of_100_sweeps(words_of_sweeps):
    words = words_of_sweeps(1000, 100, effect=0.0)
    assert sum(bool({HURTS, HELPS} & {*each.values()}) for each in words) <= 5


def runs_of(folder, noises, seeds=(1, 2, 3), **params):
    """Runs of a sweep that leaves out one part after the other: how far each is from the true scores."""
    found = []
    for part, noise in noises.items():
        for seed in seeds:
            values = {"seed": seed, "loss": "mnrl", "trainer.max_steps": 20, **params}
            path = write_run(folder / f"{part}-{seed}", noise, **values)
            (run,) = runs_in([path])
            typed = (f'sweep.part="{part}"', "sweep=leave_one_out", "dataset=my.csv", f"seed={seed}")
            found.append(replace(run, typed=typed, params=run.params | {"part": part}))
    return found


def line_of(runs, command="python -m embexp -m sweep=leave_one_out dataset=my.csv by=source seed=1,2,3"):
    board = make_leaderboard(runs, resamples=300, command=command)
    return board, *board.bottom_lines


def test_parts_that_help_hurt_or_do_nothing_are_named_with_the_run_that_leaves_out_what_hurts(tmp_path):
    noises = {"all": 0.5, "without web": 0.9, "without forum": 0.3, "without mail": 0.5, "only web": 0.6}
    board, line = line_of(runs_of(tmp_path, noises))
    words = {text.partition(":")[0]: word for word, text in line.lines if word in (HELPS, HURTS, NO_EFFECT, OPEN)}
    assert words == {"web": HELPS, "forum": HURTS, "mail": NO_EFFECT}
    assert line.decision == "train without forum"
    assert line.command == "python -m embexp dataset=my.csv seed=1"
    said = dict(line.lines)
    assert said[HELPS].startswith("web: +0.")
    assert said[HELPS].endswith(" to the untouched model: better")
    assert said[NO_EFFECT].endswith("with it; identical predictions with and without it")
    assert said["budget"] == "all trained 20 steps: fewer rows are read more often"
    assert board.row_keys == ("loss", "part")
    assert "**hurts** forum" in as_markdown(board)


def test_one_seed_decides_nothing_and_the_sweep_with_more_is_proposed(tmp_path):
    _, line = line_of(runs_of(tmp_path, {"all": 0.5, "without web": 0.9, "without forum": 0.3}, seeds=(7,)))
    assert {word for word, _ in line.lines if word in (HELPS, HURTS, NO_EFFECT, OPEN)} == {OPEN}
    assert line.decision == "keep all until more is known"
    assert line.command.endswith("by=source seed=7,8,9")


def test_what_would_decide_is_said_where_the_difference_is_small(tmp_path):
    _, line = line_of(runs_of(tmp_path, {"all": 0.5, "without web": 0.505, "without forum": 0.9}, seeds=(1, 2)))
    (said,) = (text for word, text in line.lines if word == OPEN)
    assert said.startswith("web: +0.0")
    assert "more seed" in said


def test_of_two_parts_each_alone_is_the_run_without_the_other_and_several_models_have_lines_of_their_own(tmp_path):
    runs = runs_of(tmp_path / "a", {"all": 0.5, "without web": 0.9, "without forum": 0.3, "only web": 0.4})
    runs += runs_of(tmp_path / "b", {"all": 0.5, "without web": 0.3, "without forum": 0.9}, loss="cosent")
    _, line = line_of(runs)
    hurting = [text.partition(": ")[0::2] for word, text in line.lines if word == HURTS]
    assert [name for name, _ in hurting] == ["cosent · minilm", "mnrl · minilm"]
    assert line.decision.startswith("train without ")


def test_without_the_whole_or_without_values_of_examples_nothing_is_named(tmp_path):
    _, line = line_of(runs_of(tmp_path, {"without web": 0.9, "without forum": 0.3}))
    assert line.decision == "nothing to compare"
    runs = [recorded(number, 0.01 * number, part=part) for number, part in enumerate(("all", "without web"), 1)]
    (line,) = make_leaderboard(runs).bottom_lines
    assert any("no values of single examples" in text for _, text in line.lines)


def test_the_note_says_whether_test_is_of_the_same_data(tmp_path):
    runs = runs_of(tmp_path, {"all": 0.5, "without web": 0.9}, dataset="2xfaq+tickets")
    on = {"evaluated_on.sts/dev": "faq"}
    cases = [({}, False), (on, True), (on | {"evaluated_on.sts/test": "graded"}, False)]
    for tags, is_said in [*cases, (on | {"evaluated_on.sts/test": "tickets+graded"}, True)]:
        _, line = line_of([replace(run, tags=run.tags | tags) for run in runs])
        assert any("test is of the same data" in text for _, text in line.lines) == is_said
