"""The course of a race on candidates whose truth is known: who is dropped, what the budget reaches, what is resumed."""

import json
from dataclasses import replace

import numpy
import pytest
from simulated_races import World, run_race

from embexp.evaluation.stats.racing import Prior
from embexp.racing.budget import Budget
from embexp.racing.course import Course, Rules
from embexp.racing.rounds import (
    BETTER,
    EQUAL,
    HERE,
    NOTHING,
    TIED,
    UNDECIDED,
    UNTOUCHED,
    Level,
    Result,
    levels_of,
    rounds_from,
)

SPREAD = [0.62, 0.61, 0.60, 0.58, 0.57, 0.55, 0.52, 0.51, 0.50, 0.47, 0.45, 0.40]


def rules_of(number: int, seeds: int = 5, models: list[str] | None = None, workers: int = 1) -> Rules:
    return Rules(
        levels_of([0.25, 0.5, 1], seeds),
        0.005,
        0.05,
        number,
        Prior(),
        models or ["minilm"] * number,
        [1000] * number,
        [None] * number,
        workers,
    )


def finished(course: Course) -> list[int]:
    return sorted({task.candidate for _, task, _ in course.done() if task.level.share == 1})


def test_losers_are_dropped_early_and_the_best_is_found():
    course = run_race(World(SPREAD, 1), rules_of(12))
    assert course.ending().winner == 0
    assert course.spent(Budget(seconds=1e9)) < 0.4 * 12 * 5
    assert {*course.dropped.values()} <= {"worse", "not better", "not better here"}
    assert course.dropped[11] == "worse"
    assert 11 not in finished(course)


def test_the_best_by_more_than_the_margin_is_hardly_ever_dropped():
    lost, used = 0, []
    for number in range(40):
        means = 0.55 + 0.02 * numpy.random.default_rng(number).standard_normal(12)
        first, second = numpy.sort(means)[::-1][:2]
        course = run_race(World(means, number, resamples=100), rules_of(12))
        lost += first - second > 0.005 and int(means.argmax()) in course.dropped
        used.append(course.spent(Budget(seconds=1e9)) / 60)
    assert lost <= 2
    assert numpy.median(used) < 0.6


@pytest.mark.parametrize("examples", [60, 200])
def test_with_few_examples_the_best_on_these_over_all_seeds_is_hardly_ever_dropped(examples):
    """Few examples move the score of each run: seeds differ by 0.02 and 0.01, the prior says 0.005."""
    lost = 0
    for number in range(40):
        world = World([0.55] * 12, number, own=0.3, examples=examples, resamples=100)
        course = run_race(world, rules_of(12))
        means = [world.means[each] + world.own[each].mean() for each in range(12)]
        first, second = numpy.sort(means)[::-1][:2]
        lost += first - second > 0.005 and int(numpy.argmax(means)) in course.dropped
    assert lost <= 3


def test_a_race_of_equals_names_nobody_better():
    endings = [run_race(World([0.55] * 6, number, resamples=100), rules_of(6)).ending() for number in range(20)]
    assert BETTER not in {each.status for each in endings} <= {EQUAL, HERE, TIED}


def test_an_untouched_model_can_win():
    course = run_race(World([0.42, 0.40, 0.44], 3, of_untouched=0.7), rules_of(3))
    assert course.ending().status == UNTOUCHED
    assert course.left == []


def test_one_that_is_better_than_all_others_is_called_so():
    ending = run_race(World([0.62, 0.52, 0.51], 3), rules_of(3)).ending()
    assert (ending.status, ending.winner, ending.rivals) == (BETTER, 0, ())


@pytest.mark.parametrize("size", [4.0, 8.0, 20.0])
def test_a_budget_is_kept_and_somebody_comes_to_the_end(size: float):
    course = run_race(World(SPREAD, 5), rules_of(12), Budget(seconds=size))
    assert course.spent(Budget(seconds=size)) <= size
    assert finished(course)
    assert course.ending().status in (UNDECIDED, BETTER, EQUAL, HERE, TIED)


def test_what_the_budget_did_not_reach_goes_on_when_it_is_raised():
    world, small = World(SPREAD, 5), Budget(examples=4000)
    course = run_race(world, rules_of(12), small)
    waiting = {number for each in course.rounds for number in each.waiting}
    assert waiting
    assert course.spent(small) <= 4000
    course.raise_budget()
    while begun := course.next_round(Budget(examples=60_000)):
        course.end(begun, results_in(world, course, begun), world.cells_at)
    assert course.ending().winner == 0
    assert not {number for each in course.rounds for number in each.waiting}


def results_in(world: World, course: Course, begun) -> dict[int, Result]:
    return {task.number: world.result(task.candidate, task.level, course.width(task.level)) for task in begun.tasks}


def test_a_race_that_is_killed_in_any_round_goes_on_as_it_would_have():
    whole = run_race(World(SPREAD, 7), rules_of(12), Budget(examples=30_000))
    world, plain, elapsed = World(SPREAD, 7), json.dumps([]), 0.0
    for _ in range(2 * len(whole.rounds)):
        course = Course(rules_of(12), rounds_from(json.loads(plain)), (-1,), elapsed)
        begun = course.next_round(Budget(examples=30_000))
        if begun is None:
            break
        half_done = json.dumps(course.as_plain())  # killed while its tasks run: the round stands as it began
        course = Course(rules_of(12), rounds_from(json.loads(half_done)), (-1,), elapsed)
        again = course.next_round(Budget(examples=30_000))
        assert again.tasks == begun.tasks
        results = results_in(world, course, again)
        course.elapsed = elapsed = elapsed + sum(result.seconds for result in results.values())
        course.end(again, results, world.cells_at)
        plain = json.dumps(course.as_plain())
    assert json.loads(plain) == json.loads(json.dumps(whole.as_plain()))


def test_candidates_that_fail_are_out_and_leave_the_others_alone():
    course, world = Course(rules_of(3), untouched=(-1,)), World([0.6, 0.5, 0.4], 1)
    while begun := course.next_round(Budget()):
        results = results_in(world, course, begun)
        if len(course.rounds) == 1:
            results[begun.tasks[0].number] = Result(error="OutOfMemoryError: too large")
        course.end(begun, results, world.cells_at)
    assert course.dropped[0].startswith("OutOfMemoryError")
    assert course.ending().winner == 1


def test_all_that_fail_leave_nothing():
    course = Course(rules_of(2), untouched=(-1,))
    while begun := course.next_round(Budget()):
        course.end(begun, {task.number: Result(error="ShapeError: no") for task in begun.tasks}, lambda *_: {})
    assert course.ending().status == NOTHING
    assert course.ending().winner is None


def test_the_first_of_each_model_shows_what_it_costs():
    models = ["minilm", "minilm", "static", "static"]
    world = World([0.6, 0.59, 0.55, 0.5], 1, costs=[10.0, 10.0, 1.0, 1.0])
    course = run_race(world, rules_of(4, models=models), Budget(seconds=1000))
    assert [[task.candidate for task in each.tasks] for each in course.rounds[:3]] == [[0], [2], [1, 3]]
    assert [each.is_pilot for each in course.rounds[:3]] == [True, True, False]
    assert not course.rounds[0].dropped
    assert course.rounds[2].leader is not None
    assert course.cost(1, Level(0, 1), Budget(seconds=1)) == pytest.approx(10 * 0.5)


def test_prices_in_examples_are_known_without_pilots():
    models = [f"model {number}" for number in range(10)]
    course = run_race(World([0.6] * 10, 1), rules_of(10, models=models), Budget(examples=1500))
    assert not any(each.is_pilot for each in course.rounds)
    assert course.spent(Budget(examples=1)) <= 1500
    assert finished(course)


def test_where_each_has_a_model_of_its_own_the_first_rung_is_judged():
    models = [f"model {number}" for number in range(4)]
    course = run_race(World([0.9, 0.5, 0.4, 0.3], 1), rules_of(4, models=models))
    assert course.rounds[0].leader == 0
    assert {*course.rounds[0].dropped} == {1, 2, 3}


def one_round(course: Course, world: World, failing: dict[int, str] | None = None) -> None:
    """The next round, in which candidates have these values, or fail."""
    begun = course.next_round(Budget())
    results = results_in(world, course, begun)
    for task in begun.tasks:
        if task.candidate in (failing or {}):
            results[task.number] = Result(error=failing[task.candidate])
    course.end(begun, results, world.cells_at)


def test_whom_one_has_beaten_that_fails_later_races_on():
    world = World([0.9, 0.5, 0.8], 1)
    course = Course(rules_of(3), untouched=(-1,))
    one_round(course, world)  # a pilot
    one_round(course, world)
    assert course.dropped[1] == "worse"
    one_round(course, world, {0: "OutOfMemoryError: full"})
    assert course.left == [1, 2]
    while begun := course.next_round(Budget()):
        course.end(begun, results_in(world, course, begun), world.cells_at)
    assert course.ending().winner == 2
    assert course.ending().status == BETTER
    course.forget_failures()
    assert 0 in course.left


def test_a_single_candidate_gets_seeds_until_it_is_decided_against_the_untouched_model():
    rules = replace(rules_of(1), prior=Prior(seeds=0.05))
    course = run_race(World([0.51], 2, of_untouched=0.505), rules, Budget(seconds=1000))
    assert course.place(0) == len(course.levels)
    assert course.ending().status == TIED


def test_few_seeds_are_spent_on_what_only_more_examples_would_show():
    course = run_race(World([0.55, 0.50], 1, -2.0, seeds=0.001, spread=0.01, own=2.0, examples=100), rules_of(2))
    assert course.ending().status == HERE
    assert [*course.dropped.values()] == ["not better here"]
    assert len(finished(course)) == 2
    assert {task.level.seed for _, task, _ in course.done()} == {0, 1}  # the second one shows what seeds do


def test_who_is_too_dear_does_not_keep_the_others_from_their_end():
    models = ["large", "small"]
    world = World([0.52, 0.5], 1, costs=[100.0, 1.0], spread=2.0)
    course = run_race(world, rules_of(2, models=models), Budget(seconds=60))
    assert finished(course) == [1]
    assert course.spent(Budget(seconds=60)) <= 60


def test_after_a_raise_one_that_lacks_a_seed_alone_gets_it():
    world = World([0.60, 0.60, 0.60], 4, spread=0.05)
    course = run_race(world, rules_of(3), Budget(seconds=5.5))
    before = [course.place(each) for each in course.candidates]
    course.raise_budget()
    while begun := course.next_round(Budget(seconds=1e6)):
        course.end(begun, results_in(world, course, begun), world.cells_at)
    assert max(before) < 7
    assert all(course.place(each) == 7 for each in course.left)


def test_a_run_that_was_taken_prices_nothing_and_is_not_compared_before_the_end():
    world, course = World([0.9, 0.85, 0.5], 1), Course(rules_of(3), untouched=(-1,))
    while begun := course.next_round(Budget(seconds=1000)):
        results = results_in(world, course, begun)
        for task in begun.tasks:
            if task.candidate == 0:
                results[task.number] = replace(results[task.number], seconds=0.1, examples=0, is_taken=True)
        course.end(begun, results, world.cells_at)
    early = [each for each in course.rounds if each.level.share < 1]
    assert all(0 not in {each.leader, *each.leads} for each in early)
    assert course.cost(1, Level(1, 1), Budget(seconds=1)) == pytest.approx(1.0)
    assert course.ending().winner == 0


def test_a_model_that_cannot_be_trained_leaves_the_others_to_decide():
    course, world = Course(rules_of(2, models=["large", "small"]), untouched=(-1, -2)), World([0.6, 0.9], 1)

    def known(level, numbers):
        return world.cells_at(level, [each for each in numbers if each != -1])  # nothing of `large` was ever scored

    while begun := course.next_round(Budget()):
        results = results_in(world, course, begun)
        results |= {task.number: Result(error="OutOfMemoryError") for task in begun.tasks if task.candidate == 0}
        course.end(begun, results, known)
    assert course.ending().winner == 1
    assert course.ending().status == BETTER
