"""The end of a race: its endings, its table, its page, its curve, and the line after each round."""

import csv
import json
import shlex
from dataclasses import replace

import pytest
from recorded_runs import write_run
from simulated_races import World, run_race

from embexp.core.run_folder import RESULT, write_json
from embexp.leaderboards.bottom_line import KEEP, SHIP, WAIT
from embexp.racing.budget import Budget
from embexp.racing.record import RUNS, Entrant, Race, read_race, rules_of
from embexp.racing.report import close_race, race_line
from embexp.racing.rounds import (
    BETTER,
    EQUAL,
    HERE,
    NOTHING,
    TIED,
    UNDECIDED,
    UNTOUCHED,
    Ending,
    Level,
    Result,
    Round,
    Task,
)
from embexp.racing.scores import RaceScores
from embexp.reports.pictures.budget_curve import EMPTY, draw_budget_curve
from embexp.tracking.journal import Journal
from embexp.tracking.run_parts import NullTracker

CELLS = [("mnrl", "minilm"), ("余弦 <b>", "minilm"), ("mnrl", "static"), ("triplet", "static")]
MEANS = [0.80, 0.60, 0.79, 0.30]
SEEDS = [11, 12]
SPEED = "encode_texts_per_second"
QUARTER = Budget(seconds=900)


def race_of(means=MEANS, budget=QUARTER, of_untouched=0.55, **ending):
    """A race that was run on made-up scores; its candidates are called as their loss and model."""
    settings = {"rungs": [0.25, 1], "seeds": len(SEEDS), "margin": 0.005, "alpha": 0.05}
    settings["prior"] = {"seeds": 0.005, "drift": 0.03, "degrees": 12}
    world = World(means, 1, of_untouched, 0.002, 0.0, 200, 0.05, 100, [40] * len(CELLS))
    entrants = [
        Entrant(number, f"{loss} {model}", (f"loss={loss}", f"model={model}", "dataset=my data.csv"), (), model, 1000)
        for number, (loss, model) in enumerate(CELLS)
    ]
    entrants.append(Entrant(-1, "untouched minilm", model="minilm"))
    rules = rules_of(settings, entrants, 1)
    course = run_race(world, rules, budget)
    left_out = ["softmax: it reads classes"]
    metric = "dev/sts/spearman_cosine"
    return Race("ab12", "key", [], metric, "rows", entrants, left_out, SEEDS, budget, course, Ending(**ending))


def closed(race, folder, noise=0.3, **params):
    """What closing says, by its labels, and what it returns; the winner's runs see the gold scores through noise."""
    if race.ending.winner is not None:
        loss, model = CELLS[race.ending.winner]
        for seed in SEEDS:
            run = folder / RUNS / f"{race.ending.winner}-{seed}"
            write_run(run, noise, loss=loss, model=model, seed=seed, **params)
    with Journal(folder, NullTracker()).open("a race", None) as journal:
        result = close_race(race, folder, journal, {-1: 0.55})
    said = {}
    for label, text in result["bottom_line"]["lines"]:
        said.setdefault(label, []).append(text)
    return result["bottom_line"], said, result


def rows_of(folder):
    return {row["name"]: row for row in csv.DictReader((folder / "race.csv").read_text("utf-8").splitlines())}


def test_a_winner_that_beats_all_others_and_its_untouched_model_is_shipped(tmp_path, capsys):
    line, said, result = closed(race_of(status=BETTER, winner=0), tmp_path)
    assert line["decision"] == SHIP
    assert said["ship"] == ["mnrl minilm, seed 11, the first one"]
    assert said["why"][0].endswith("each of 3 other candidates and 1 untouched model is worse on the same examples")
    assert "better by more" not in said["how sure"][0]
    assert said["how sure"] == [
        "the chance that a race drops a candidate that is the best on dev by more than 0.005 is at most 5 %, "
        "over 3 looks at 4 rivals each"
    ]
    assert said["test"][0].startswith("mnrl minilm, 2 seeds: test/sts/spearman_cosine 0.")
    assert said["test"][0].endswith("to the untouched minilm: better")
    assert said["not tried"] == ["softmax: it reads classes"]
    words = shlex.split(said["again"][0])
    assert words == ["python", "-m", "embexp", "loss=mnrl", "model=minilm", "dataset=my data.csv", "seed=11"]
    assert line["folder"] == str(tmp_path / "runs" / "0-11" / "stages" / "main" / "model")
    assert shlex.split(line["command"])[2:] == ["embexp.export", f"run={tmp_path / 'runs' / '0-11'}", "export=[onnx]"]
    assert result["ending"] == {"status": BETTER, "winner": 0, "rivals": ()}
    printed = capsys.readouterr().out
    assert printed.index("candidate") < printed.index("bottom line ship") < printed.index("leaderboard.html")
    assert json.loads((tmp_path / RESULT).read_text("utf-8"))["bottom_line"]["decision"] == SHIP


@pytest.mark.parametrize(("noise", "decision"), [(1.4, KEEP), (0.9, WAIT)])
def test_test_decides_whether_the_winner_of_dev_is_shipped(tmp_path, noise, decision):
    line, said, _ = closed(race_of(status=BETTER, winner=0), tmp_path, noise)
    assert line["decision"] == decision
    assert "ship" not in said
    assert "race has not looked at test" in said["note"][0]


def test_an_ending_after_others_says_that_test_was_shown_before(tmp_path):
    small = replace(race_of(status=UNDECIDED, winner=2, rivals=(0,)), budget=Budget(seconds=130))
    for _ in range(2):  # the same ending again is no other look
        _, said, _ = closed(small, tmp_path)
        assert not [each for each in said["note"] if "before" in each]
        small = read_race(tmp_path)
    assert small.shown == [{"candidate": 2, "seeds": 2, "budget": "2 min 10 s"}]
    _, said, _ = closed(replace(race_of(status=BETTER, winner=0), shown=small.shown), tmp_path)
    assert said["note"][1].startswith("test was shown once before, of mnrl static after 2 min 10 s: ")
    _, said, _ = closed(replace(race_of(status=BETTER, winner=0), shown=read_race(tmp_path).shown), tmp_path)
    assert said["note"][1].startswith("test was shown once before, of mnrl static after 2 min 10 s: ")
    assert [each["candidate"] for each in read_race(tmp_path).shown] == [2, 0]


def test_the_front_covers_models_that_were_dropped(tmp_path):
    race = race_of(status=BETTER, winner=0)
    for number, speed in ((1, 500.0), (3, 9000.0)):
        path = tmp_path / RUNS / f"{number}-11/rungs/0.25.json"
        path.parent.mkdir(parents=True)
        write_json(path, {"step": 1, "costs": {f"cost/{SPEED}": speed}})
    _, said, _ = closed(race, tmp_path)
    assert 3 in race.course.dropped
    front = said["front"][0]
    assert front.startswith("of dev and texts/s, of 3 that were measured: mnrl minilm (0.")
    assert "triplet static (0." in front
    assert front.endswith(", 9,000)")
    assert "余弦" not in front
    assert float(rows_of(tmp_path)["triplet static"][SPEED]) == 9000


def test_where_none_is_better_those_that_are_as_good_and_the_faster_ones_are_named(tmp_path):
    race = race_of([0.801, 0.3, 0.8, 0.3], status=EQUAL, winner=0)
    faster = write_run(tmp_path / RUNS / "2-11", 0.3, loss="mnrl", model="static_model", seed=11)
    line, said, _ = closed(race, tmp_path)
    assert (faster / RESULT).is_file()
    assert line["decision"] == SHIP
    assert said["why"][0].endswith("each other candidate was worse than the one that led, or not ahead of it by 0.005")
    assert said["as good"] == ["not shown to be worse: mnrl static"]
    assert said["cheaper"] == ["mnrl static (1,200 texts/s); mnrl minilm has 600"]
    assert said["front"][0].startswith("of dev and texts/s, of 2 that were measured: ")
    line, said, _ = closed(replace(race, ending=Ending(HERE, 0)), tmp_path / "here")
    assert line["decision"] == SHIP
    assert said["why"][0].endswith(
        "each other candidate was not ahead by 0.005 of the one that led on these examples of dev"
    )
    assert said["as good"] == ["not shown to be worse on other examples: mnrl static"]
    for each in race.course.rounds:  # who was dropped at a rung is not called as good, however wide its limits
        each.leads |= {1: (-0.3, -0.9, 0.004, 0.004)} if 1 in each.leads else {}
    assert closed(race, tmp_path / "rung")[1]["as good"] == ["not shown to be worse: mnrl static"]


def test_an_undecided_race_says_who_may_be_better_and_what_goes_on(tmp_path):
    race = race_of([0.8, 0.3, 0.8, 0.3], Budget(seconds=130), status=UNDECIDED, winner=0, rivals=(2,))
    assert race.course.left == [0, 2]
    line, said, _ = closed(race, tmp_path)
    assert line["decision"] == SHIP
    assert said["leads"][0].startswith("mnrl minilm (0.")
    assert said["undecided"][0].startswith("mnrl static may be better by 0.005 or more")
    assert said["next"] == ["the same command with a larger budget goes on from here, such as budget=260s"]
    for noise in (1.4, 0.9):  # another one might still be better than the untouched model
        assert closed(race, tmp_path / str(noise), noise)[0]["decision"] == WAIT


def test_where_all_seeds_do_not_tell_two_apart_the_one_that_leads_may_be_shipped(tmp_path):
    race = race_of([0.8, 0.3, 0.8, 0.3], status=TIED, winner=0, rivals=(2,))
    line, said, _ = closed(race, tmp_path)
    assert line["decision"] == SHIP
    assert said["why"][0].endswith("is shown to be better than it by 0.005, after 2 seeds of each that is left")
    assert said["as good"] == ["not shown to be worse: mnrl static"]
    assert "all seeds are trained" in said["next"][0]


def test_an_untouched_model_that_test_has_not_scored_keeps_a_winner_from_being_shipped(tmp_path):
    race = race_of([0.8, 0.3, 0.3, 0.3], status=TIED, winner=0, rivals=(-1,))
    assert closed(race, tmp_path / "own")[0]["decision"] == SHIP  # test has compared it with that one
    other = replace(
        race, entrants=[replace(each, model="static") if each.number < 0 else each for each in race.entrants]
    )
    line, said, _ = closed(other, tmp_path / "other")
    assert line["decision"] == WAIT
    assert said["undecided"] == ["untouched minilm may be better by 0.005 or more; test has not scored it"]


@pytest.mark.parametrize(("noise", "decision"), [(0.3, WAIT), (0.9, KEEP)])
def test_where_the_untouched_model_leads_on_these_examples_alone_test_may_speak_against_it(tmp_path, noise, decision):
    race = race_of([0.8, 0.3, 0.3, 0.3], status=UNTOUCHED, winner=0)
    last = race.course.rounds[-1]
    last.dropped, last.leads[0] = {0: "not better here"}, (-0.01, -0.05, 0.03, 0.001)
    line, said, _ = closed(race, tmp_path, noise)
    assert line["decision"] == decision
    assert said["why"][0].endswith("no candidate is better than it by 0.005 on these examples of dev")
    assert "more examples of dev" in said["next"][0]


def test_a_record_without_limits_on_dev_is_read(tmp_path):
    race = race_of(status=BETTER, winner=0)
    race.write(tmp_path)
    record = json.loads((tmp_path / "race.json").read_text("utf-8"))
    for each in record["rounds"]:
        each["leads"] = {number: limits[:3] for number, limits in each["leads"].items()}
    write_json(tmp_path / "race.json", record)
    assert read_race(tmp_path).course.ending().winner == 0


def test_budgets_are_doubled_in_their_own_unit(tmp_path):
    race = race_of([0.8, 0.3, 0.8, 0.3], Budget(seconds=130), status=UNDECIDED, winner=0, rivals=(2,))
    for budget, typed in ((Budget(seconds=900.0), "budget=30m"), (Budget(examples=20000), "budget=40000examples")):
        _, said, _ = closed(replace(race, budget=budget), tmp_path / typed)
        assert said["next"][0].endswith(typed)


def test_an_untouched_model_may_win(tmp_path):
    race = race_of([0.5, 0.4, 0.3, 0.3], of_untouched=0.9, status=UNTOUCHED, winner=0)
    line, said, _ = closed(race, tmp_path)
    assert line["decision"] == KEEP
    assert said["why"] == ["untouched minilm (0.5500 on dev): no candidate is better than it by 0.005"]
    assert said["best"][0].startswith("of those that were trained: mnrl minilm")
    assert rows_of(tmp_path)["untouched minilm"]["outcome"] == "not trained: to be kept"
    _, said, _ = closed(replace(race, ending=Ending(UNTOUCHED)), tmp_path / "nobody")
    assert not {"best", "test", "again", "ship"} & said.keys()


def test_a_race_in_which_nothing_was_trained_names_what_failed(tmp_path):
    race = race_of(status=NOTHING)
    failed = "OutOfMemoryError: no memory\nTraceback"
    tasks = tuple(Task(number, number, Level(0, 0.25)) for number in (0, 1, 2))
    results = {each.number: Result(seconds=3.0, error=failed) for each in tasks}
    only = Round(Level(0, 0.25), tasks, waiting=(3,), results=results, dropped=dict.fromkeys(results, failed))
    race.course.rounds = [replace(only, has_ended=True)]
    line, said, _ = closed(race, tmp_path)
    assert line["decision"] == WAIT
    assert said["why"] == ["no training came to its end"]
    assert said["failed"][0] == "mnrl minilm: OutOfMemoryError: no memory"
    assert said["not reached"] == ["triplet static"]
    assert "how sure" not in said
    rows = rows_of(tmp_path)
    assert rows["mnrl static"]["outcome"] == "round 1: failed, OutOfMemoryError: no memory"
    assert rows["triplet static"]["outcome"] == "not reached by the budget"
    assert (
        "no finished run" not in (tmp_path / "leaderboard" / "leaderboard.html").read_text("utf-8").partition("<h2>")[0]
    )


def test_the_table_says_how_far_each_came_and_when_it_was_dropped(tmp_path):
    race = race_of(status=EQUAL, winner=0)
    closed(race, tmp_path)
    text = (tmp_path / "race.md").read_text("utf-8")
    assert text.index("- **bottom line** ship") < text.index("| candidate | dev | reached |")
    assert "- **again** `python -m embexp loss=mnrl" in text
    assert "余弦 \\<b> minilm" in text
    rows = rows_of(tmp_path)
    assert next(iter(rows)) == "mnrl minilm"
    dropped = {each.dropped[3]: place for place, each in enumerate(race.course.rounds, 1) if 3 in each.dropped}
    assert rows["triplet static"]["outcome"] == f"round {dropped['worse']}: worse"
    assert rows["triplet static"]["share"] == "0.25"
    assert float(rows["triplet static"]["high"]) < 0
    assert float(rows["triplet static"]["seconds"]) == 10
    assert rows["mnrl minilm"]["seeds"] == str(race.course.place(0) - 1)
    assert rows["untouched minilm"]["outcome"] == "not trained: worse"


def test_one_page_has_the_race_and_the_winner_on_test(tmp_path):
    closed(race_of(status=EQUAL, winner=1), tmp_path)
    text = (tmp_path / "leaderboard" / "leaderboard.html").read_text("utf-8")
    assert text.startswith("<!doctype html>")
    assert "<h1>race ab12: 4 candidates by dev/sts/spearman_cosine</h1>" in text
    assert "<h2>The winner where the race has not looked: test/sts/spearman_cosine</h2>" in text
    assert "余弦 &lt;b&gt; minilm" in text
    assert "<b>" not in text
    assert text.count('class="sorts"') == 2
    assert text.count("<img") == 1
    assert (tmp_path / "plots" / "budget.png").is_file()


def test_a_race_without_a_test_split_says_that_its_number_is_flattered(tmp_path):
    _, said, _ = closed(race_of(status=BETTER, winner=0), tmp_path)
    for seed in SEEDS:
        path = tmp_path / RUNS / f"0-{seed}" / RESULT
        path.write_text(path.read_text("utf-8").replace("test/sts", "dev/sts").replace("sts/test", "sts/dev"), "utf-8")
        (path.parent / "examples" / "sts_test.parquet").rename(path.parent / "examples" / "sts_dev.parquet")
    race = race_of(status=BETTER, winner=0)
    with Journal(tmp_path, NullTracker()).open("a race", None) as journal:
        lines = dict(close_race(race, tmp_path, journal, {-1: 0.55})["bottom_line"]["lines"])
    assert "test" in said
    assert "test" not in lines
    assert lines["note"].startswith("there is no test split")


def test_a_line_after_a_round_says_where_the_race_is():
    race = race_of(status=EQUAL, winner=0)
    rounds = race.course.rounds
    lines = []
    for place in range(1, len(rounds) + 1):
        lines.append(
            race_line(
                replace(race, course=replace(race.course, rounds=rounds[:place], elapsed=rounds[place - 1].elapsed))
            )
        )
    assert lines[0].startswith("round 1 of at most 4: 4 of 4 candidates left, ")  # what the models cost
    assert ", mnrl minilm leads with 0." in lines[0]
    assert lines[0].endswith(", 10.0 s of 15 min spent")
    assert lines[2].startswith("round 3 of at most 5: 2 of 4 candidates left, ")
    by_examples = race_line(replace(race, budget=Budget(examples=500_000)))
    assert by_examples.endswith(" of 500,000 examples spent")
    assert race_line(replace(race, budget=Budget())).endswith(" s spent")


def curve(line):
    return [*zip(line.get_xdata(), line.get_ydata(), strict=True)]


def test_the_curve_of_the_budget_is_in_minutes_where_it_is_long(drawn):
    best = [(0.0, 0.5), (120.0, 0.6), (600.0, 0.7)]
    dropped = [(120.0, 0.4)]
    axis = drawn(draw_budget_curve, "race", best, best[1:], dropped, 0.5, "sts/ndcg", "seconds", 900.0).axes[0]
    base, tried, crosses, steps, budget = axis.lines
    assert curve(tried) == [(2, 0.6), (10, 0.7)]
    assert curve(crosses) == [(2, 0.4)]
    assert curve(steps) == [(0, 0.5), (2, 0.6), (10, 0.7)]
    assert [*budget.get_xdata()] == [15, 15]
    assert [*base.get_ydata()] == [0.5, 0.5]
    assert axis.get_xlabel() == "minutes"
    axis = drawn(draw_budget_curve, "race", [(500.0, 0.6)], [], [], None, "sts/ndcg", "examples").axes[0]
    assert (axis.get_xlabel(), len(axis.lines)) == ("examples", 1)


def test_a_race_without_any_value_has_an_empty_picture(drawn):
    axis = drawn(draw_budget_curve, "race", [], [], [], None, "sts/ndcg", "seconds").axes[0]
    assert axis.texts[0].get_text() == EMPTY


def test_an_untouched_model_of_which_no_candidate_has_begun_has_no_scores():
    race = race_of(status=EQUAL, winner=0)
    assert RaceScores(replace(race, course=replace(race.course, rounds=[])), {}).untouched() == {}
