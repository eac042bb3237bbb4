"""The gate: ship, do not, undecided; guards, levels, and what a greedy loop over proposals without effect keeps."""

import json
import shutil
from dataclasses import replace

import numpy
import pyarrow
import pyarrow.parquet
import pytest
from recorded_runs import KEY, write_whole_run
from typed_commands import done_in

import embexp
from embexp.config.compose import compose
from embexp.errors import ConfigError
from embexp.evaluation.stats.seeds import Cell, resample_cells
from embexp.experiment.gate import DO_NOT, SHIP, UNDECIDED, decide, gate, guard, with_candidates
from embexp.experiment.ledger import level_of


def cell(difference: float, error: float, has_seed: bool = False) -> tuple[Cell, Cell]:
    """Nothing, and a difference with a standard error."""
    random = numpy.random.default_rng(0)
    drawn = random.normal(size=2000)
    resampled = difference + error * (drawn - drawn.mean())[None] / drawn.std()
    nothing = Cell(numpy.zeros(1), numpy.zeros((1, 2000)), 500, has_seed=False)
    return nothing, replace(nothing, values=numpy.array([difference]), resampled=resampled, has_seed=has_seed)


@pytest.mark.parametrize(
    ("difference", "error", "level", "word", "verdict"),
    [
        (0.030, 0.005, 0.05, SHIP, "better"),
        (0.012, 0.005, 0.05, SHIP, "better"),
        (0.012, 0.005, level_of(3), UNDECIDED, "undecided"),  # the third look needs more
        (0.030, 0.005, level_of(100), SHIP, "better"),
        (0.000, 0.005, 0.05, UNDECIDED, "undecided"),
        (0.002, 0.0005, 0.05, DO_NOT, "equal within 0.005"),  # better, and not worth having
        (0.000, 0.002, level_of(50), DO_NOT, "equal within 0.005"),
        (-0.030, 0.005, level_of(50), DO_NOT, "worse"),
        (-0.006, 0.005, 0.05, UNDECIDED, "undecided"),
    ],
)
def test_a_candidate_ships_only_if_it_is_better_at_the_level_of_the_look(difference, error, level, word, verdict):
    found = decide(cell(difference, error), 0.005, level)
    assert (found.word, found.verdict) == (word, verdict)


@pytest.mark.parametrize(
    ("difference", "error", "level", "word"),
    [
        (0.030, 0.005, 0.05, SHIP),
        (0.000, 0.002, 0.05, SHIP),
        (0.000, 0.002, level_of(20), UNDECIDED),
        (0.000, 0.010, 0.05, UNDECIDED),
        (-0.030, 0.005, 0.05, DO_NOT),
        (-0.003, 0.0005, 0.05, SHIP),  # worse, by less than what matters
    ],
)
def test_a_guard_holds_where_the_candidate_is_no_worse_by_the_margin(difference, error, level, word):
    assert guard(cell(difference, error), 0.005, level).word == word


@pytest.mark.parametrize(("finding", "words"), [("identical", (DO_NOT, SHIP)), ("worse: collapsed", (DO_NOT, DO_NOT))])
def test_what_is_known_besides_the_interval_decides_first(finding, words):
    assert tuple(each(cell(0.1, 0.001), 0.005, 0.05, finding).word for each in (decide, guard)) == words


def test_without_an_interval_nothing_is_decided():
    cells = cell(numpy.nan, numpy.nan)
    assert decide(cells, 0.005).word == guard(cells, 0.005).word == UNDECIDED


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a good loss, two of a bad one; less noise is better."""
    folder = tmp_path_factory.mktemp("gate")
    for loss, noise in (("good", 0.4), ("bad", 0.9)):
        for seed in (1, 2):
            write_whole_run(folder / f"{loss}{seed}", noise, loss=loss, seed=seed)
    return folder


def gated(*words, **settings):
    options = [f"{key}={value}" for key, value in ({"resamples": 200, "ledger": "null"} | settings).items()]
    return gate(compose([*with_candidates([*map(str, words), *options])], "gate"))


def test_the_better_one_ships_and_the_worse_one_does_not(runs):
    found = gated(f"{runs / 'good1'},{runs / 'good2'}", against=f"{runs / 'bad1'},{runs / 'bad2'}")
    assert (found["decision"], found["exit_code"], found["holds"]) == (SHIP, 0, "examples and seeds")
    assert found["primary"]["metric"] == KEY
    assert found["primary"]["interval"][0] > 0
    assert found["candidate"]["seeds"] == [1, 2]
    turned = gated(runs / "bad1", against=runs / "good1")
    assert (turned["decision"], turned["exit_code"], turned["primary"]["verdict"]) == (DO_NOT, 1, "worse")
    assert (turned["holds"], turned["look"]) == ("examples", None)


def test_against_the_untouched_model_and_against_itself(runs):
    found = gated(runs / "good1", runs / "good2")
    assert (found["decision"], found["against"]["name"]) == (SHIP, "untouched")
    same = gated(runs / "good1", against=runs / "good1")
    assert (same["decision"], same["primary"]["verdict"]) == (DO_NOT, "identical")


def test_from_python(runs):
    found = embexp.gate(runs / "good1", "ledger=null", "resamples=200", against=embexp.load(runs / "bad1"))
    assert found.content["decision"] == SHIP
    assert [*found.table["metric"]] == [KEY]
    assert repr(found) == f"ship: {KEY} is better"
    with pytest.raises(embexp.EmbexpError, match="nowhere is neither a folder nor the id of a run"):
        embexp.gate("nowhere")


def test_looks_are_counted_once_for_each_question(runs, tmp_path):
    ledger = tmp_path / "looks.db"
    pairs = [("good1", "bad1"), ("good2", "bad1"), ("good1", "bad1"), ("bad2", "bad1")]
    looks = [gated(runs / one, against=runs / other, ledger=ledger)["look"] for one, other in pairs]
    assert [look["number"] for look in looks] == [1, 2, 1, 3]
    assert [look["repeated"] for look in looks] == [False, False, True, False]
    assert looks[-1]["level"] == level_of(3)
    assert looks[-1]["looks"] == 3
    undecided = gated(runs / "bad2", against=runs / "bad1", ledger=ledger, **{"verdict.margin.spearman": 0.001})
    assert (undecided["decision"], undecided["exit_code"]) == (UNDECIDED, 2)
    assert undecided["needed"]["examples"] > 300
    assert json.dumps(undecided)


def with_guard(folder, target, noise):
    """A copy of a run with a second evaluator."""
    shutil.copytree(folder, target)
    write_whole_run(target / "other", noise, texts="guard", seed=target.name)
    shutil.copy(target / "other" / "examples" / "sts_test.parquet", target / "examples" / "guard_test.parquet")
    return target


@pytest.mark.parametrize(
    ("noises", "name", "word"),
    [
        ((0.9, 0.4), "guard", SHIP),
        ((0.4, 0.9), "guard/spearman_cosine", DO_NOT),
        ((0.6, 0.6), "test/guard/spearman_cosine", UNDECIDED),
    ],
)
def test_a_guard_can_stop_what_is_better(runs, tmp_path, noises, name, word):
    bad = with_guard(runs / "bad1", tmp_path / "7", noises[0])
    good = with_guard(runs / "good1", tmp_path / "8", noises[1])
    found = gated(good, against=bad, no_worse_on=f"[{name}]")
    assert (found["decision"], found["primary"]["decision"], found["guards"][0]["decision"]) == (word, SHIP, word)
    assert "guard" in found["reason"]


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        ([], {}, "No run was named"),
        (["nowhere"], {}, "nowhere is neither a folder nor the id of a run"),
        (["good1"], {"metric": "sts/pearson"}, "metric=sts/pearson is no metric that all these runs have"),
        (["good1"], {"no_worse_on": "[retrieval]"}, r"no_worse_on=retrieval is no metric.*evaluator \(sts\)"),
        (["good1,bad2"], {}, "stand on one side and differ in loss"),
        (["good1,good1"], {}, "several runs with seed 1"),
        (["good1"], {"verdict.margin.spearman": -1}, "verdict.margin.spearman=-1 was given"),
    ],
)
def test_mistakes_decide_nothing(runs, words, settings, message, tmp_path):
    words = [",".join(str(runs / each if each != "nowhere" else each) for each in word.split(",")) for word in words]
    with pytest.raises(ConfigError, match=message):
        gated(*words, ledger=tmp_path / "looks.db", **settings)
    assert not (tmp_path / "looks.db").exists()


def test_a_verdict_on_dev_has_to_be_typed(runs, tmp_path):
    target = tmp_path / "only dev"
    shutil.copytree(runs / "good1", target)
    file = target / "examples" / "sts_test.parquet"
    table = pyarrow.parquet.read_table(file)
    ids = pyarrow.array([each.replace("test", "dev") for each in table["id"].to_pylist()])
    pyarrow.parquet.write_table(table.set_column(0, "id", ids), file.with_name("sts_dev.parquet"))
    file.unlink()
    result = json.loads((target / "result.json").read_text())
    key = KEY.replace("test", "dev")
    (target / "result.json").write_text(json.dumps(result | {"primary": {"key": key}}))
    with pytest.raises(ConfigError, match=f"falls on dev, which picked its checkpoint.*\n.*metric={key}"):
        gated(target)
    assert gated(target, metric=key)["decision"] == SHIP


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["good1", "against={}/bad1"], 0),
        (["bad1", "against={}/good1"], 1),
        (["bad1", "against={}/bad2", "verdict.margin.spearman=0.001"], 2),
        (["bad1", "against={}/nowhere"], 3),
        (["bad1", "resample=3"], 3),
        (["bad1", "--unknown"], 3),
        (["bad1", "ledger={}"], 3),
        (["bad1", "metric=broken", "hydra.run.dir={}/bad1/result.json/a"], 3),
    ],
)
def test_the_exit_code_is_the_decision_and_stdout_is_json(runs, words, code, tmp_path):
    typed = [str(runs / words[0]), "resamples=200", *(each.format(runs) for each in words[1:])]
    done = done_in(tmp_path, "gate", *typed)
    assert done.returncode == code, done.stderr
    if code == 3:
        assert done.stdout == ""
        assert done.stderr
    else:
        assert json.loads(done.stdout)["exit_code"] == code
        assert len(done.stderr.splitlines()) == 1


PROPOSALS, LOOPS = 100, 100


def kept_of(random, seeds, margin, spends):
    """How many of 100 proposals as good as the first model a loop keeps that keeps what ships."""
    effect = random.normal(0, 0.3, 200)
    best, kept = proposal(random, effect, seeds), 0
    for look in range(1, PROPOSALS + 1):
        candidate = proposal(random, effect, seeds)
        cells = resample_cells([best, candidate], 200, 100, seed=int(random.integers(2**31)))
        if decide(tuple(cells), margin, level_of(look) if spends else 0.05).word == SHIP:
            best, kept = candidate, kept + 1
    return kept


def proposal(random, effect, seeds):
    runs = [effect + random.normal(0, 0.01) + random.normal(0, 0.3, 200) for _ in range(seeds)]
    return [lambda sample, run=run: sample.counts @ run / sample.total for run in runs]


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "margin"), [(1, 0.0), (1, 0.005), pytest.param(3, 0.0, marks=pytest.mark.matrix)])
def test_a_greedy_loop_over_proposals_without_effect_keeps_none_in_95_of_100_cases(seeds, margin):
    random = numpy.random.default_rng(10 + seeds)
    loops = LOOPS if margin == 0 else LOOPS // 2
    kept = [kept_of(random, seeds, margin, spends=True) for _ in range(loops)]
    assert numpy.mean([each > 0 for each in kept]) <= 0.05 + 3 * (0.05 * 0.95 / loops) ** 0.5  # three standard errors
    assert sum(kept) / (loops * PROPOSALS) < 0.002
    if seeds == 1:
        plain = [kept_of(random, seeds, margin, spends=False) for _ in range(20)]
        assert numpy.mean([each > 0 for each in plain]) > 0.3  # at 5 % each, the first that is lucky is kept
