"""Mixtures of data sets: what is typed for them, what is planned, what is refused, and what a run of one leaves."""

import csv
import json

import pytest
from hydra.errors import HydraException
from killed_runs import assert_same_end, at_step, killed, resume, run
from typed_commands import run_typed

from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import composed
from embexp.config.session import hydra_started
from embexp.errors import ConfigError, EmbexpError
from embexp.experiment.fingerprint import run_fingerprint
from embexp.experiment.plan import plan_run

QUIET = ("model=tiny", "trainer=smoke", "threads=1", "tracking=none", "paths.cache=null")
MIXED = (
    "dataset=[faq.csv,sim.csv,nli.csv]",
    "dataset.faq.loss=mnrl",
    "dataset.sim.loss=cosent",
    "dataset.nli.loss=softmax",
)
ANIMALS = ["cat", "dog", "hen", "cow", "fox", "owl", "ant", "bee", "pig", "rat", "elk", "emu"]


def write(path, header, rows):
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def files(workplace):
    """Three files of three shapes."""
    pairs = [(f"{animal} {number}", f"the {animal} number {number}") for animal in ANIMALS for number in range(8)]
    numbered = [*enumerate(pairs)]
    classes = ("entailment", "neutral", "contradiction")
    write(workplace / "faq.csv", ["question", "answer"], [(f"what is {a}", f"{b} it is") for a, b in pairs])
    write(workplace / "sim.csv", ["sentence1", "sentence2", "score"], [(*pair, n % 5 / 4) for n, pair in numbered])
    write(
        workplace / "nli.csv",
        ["premise", "hypothesis", "label"],
        [(f"so {a}", b, classes[n * n % 7 % 3]) for n, (a, b) in numbered],
    )
    return workplace


def composed_of(*overrides):
    with hydra_started():
        return composed(quote_texts(expand_paths([*QUIET, *overrides], mixes=True)))


def plan_of(folder, *overrides):
    config, choices = composed_of(*overrides)
    return plan_run(config, choices, folder / "run")


def test_a_list_of_one_is_that_data_set(files):
    assert expand_paths(["dataset=[nli]", "dataset.nli.loss=mnrl"], mixes=True) == ["dataset=nli", "loss=mnrl"]
    typed = ("loss=mnrl", "dataset.reader.max_rows=40")
    alone = plan_of(files, "dataset=faq.csv", *typed)
    listed = plan_of(files, "dataset=[faq.csv]", "dataset.faq.reader.max_rows=40", "dataset.faq.loss=mnrl")
    assert run_fingerprint(alone) == run_fingerprint(listed)
    assert alone.config == listed.config
    assert "mixture" not in alone.config


def test_each_set_has_what_was_typed_for_it():
    typed = ["dataset=[nli,a/faq.csv,b/faq.csv,数据.csv]", "step=[clean]", "dataset.nli.step=[near_duplicates]"]
    typed += ["dataset.数据.weight=2", "dataset.a_faq.steps.clean.html=true", "dataset.b_faq.modifier=matryoshka"]
    typed += ["dataset.nli.negatives=bm25", "dataset.nli.loss.scale=7", "mixture.batches=round_robin"]
    config, choices = composed_of(*typed)
    assert config.mixture.batches == "round_robin"
    sets = config.mixture.sets
    assert [*sets] == ["nli", "a_faq", "b_faq", "set_4"]
    assert {*sets.nli.dataset.steps} == {"clean", "near_duplicates", "negatives"}
    assert sets.nli.loss == {"scale": 7}  # of the run's loss
    assert choices["modifier@mixture.sets.b_faq.modifier"] == "matryoshka"
    assert (sets.a_faq.dataset.steps.clean.html, sets.b_faq.dataset.steps.clean.html) == (True, False)
    assert sets.b_faq.modifier._target_.endswith("MatryoshkaLoss")
    assert (sets.set_4.name, sets.set_4.weight, sets.set_4.dataset.reader.path) == ("数据", 2, "数据.csv")


def test_a_plan_has_each_set_with_its_loss_its_evaluator_and_its_share(files):
    plan = plan_of(files, *MIXED, "dataset.sim.weight=2", "dataset.nli.modifier=orthogonal")
    (stage,) = plan.stages
    found = [(part.name, part.dataset.shape.name, part.loss.name, part.weight) for part in stage.sets]
    assert found == [
        ("faq", "positive_pair", "mnrl", 1),
        ("sim", "scored_pair", "cosent", 2),
        ("nli", "class_pair", "softmax", 1),
    ]
    assert [part.loss.modifier and part.loss.modifier.name for part in stage.sets] == [None, None, "orthogonal"]
    assert [each.name for each in plan.evaluators] == ["faq", "sim", "nli"]
    assert (plan.primary_evaluator, plan.primary_metric) == ("faq", "ndcg_at_10")
    assert plan.name.startswith("mnrl+cosent+softmax")
    assert plan.choices["dataset"] == "faq+2xsim+nli"
    for part, evaluator in zip(stage.sets, plan.evaluators, strict=True):  # divided in one way for both
        trained = {*part.dataset.texts("train")}
        tested = {text for some in evaluator.texts("test").values() for text in some}
        assert tested - trained
    assert not any("also in the training data" in str(each) for each in plan.warnings if "faq" in str(each))


def test_a_set_of_weight_0_is_left_out_and_scored_as_before(files):
    whole, left = plan_of(files, *MIXED), plan_of(files, *MIXED, "dataset.sim.weight=0")
    assert [part.name for part in left.stages[-1].sets] == ["faq", "nli"]
    assert [each.name for each in left.evaluators] == ["faq", "sim", "nli"]
    for one, other in zip(whole.evaluators, left.evaluators, strict=True):
        assert one.dataset.fingerprints()["test"] == other.dataset.fingerprints()["test"]
    assert left.choices["dataset"] == "faq+nli"
    first = plan_of(files, *MIXED, "dataset.faq.weight=0")
    assert first.primary_evaluator == "faq"
    assert run_fingerprint(first) != run_fingerprint(left)


def test_an_export_reads_the_data_that_the_end_of_the_run_reads(files):
    from embexp.experiment.export_run import _evaluators_and_data

    plan = plan_of(files, *MIXED, "dataset.faq.weight=0")
    evaluators, dataset = _evaluators_and_data(plan.config, plan.choices)
    assert dataset.fingerprints() == plan.stages[-1].dataset.fingerprints()
    assert [each.name for each in evaluators] == [each.name for each in plan.evaluators]


def test_auto_chooses_a_loss_for_each_set(files):
    plan = plan_of(files, MIXED[0], "loss=auto", MIXED[-1])
    assert [part.loss.name for part in plan.stages[-1].sets] == ["mnrl", "cosent", "softmax"]


def test_data_named_for_test_are_scored_alone_and_the_sets_are_all_train(files):
    write(files / "gold.csv", ["sentence1", "sentence2", "score"], [(f"a {n}", f"b {n}", n % 3 / 2) for n in range(40)])
    plan = plan_of(files, *MIXED, "test=gold.csv")
    assert [each.name for each in plan.evaluators] == ["sts"]
    assert [part.dataset.splits["train"].num_rows for part in plan.stages[-1].sets] == [96, 96, 96]


def test_rows_of_one_set_in_the_test_of_another_are_found(files):
    rows = [*csv.reader((files / "sim.csv").open(encoding="utf-8"))]
    write(files / "copy.csv", ["sentence1", "sentence2"], [row[:2] for row in rows[1:]])
    typed = ("dataset=[sim.csv,copy.csv]", "dataset.sim.loss=cosent", "dataset.copy.steps.split.seed=7")
    plan = plan_of(files, *typed)
    assert any("'dataset.copy.reader.columns=" in str(each) for each in plan.warnings)
    assert any("of test of the evaluator sim are also in the training data" in str(each) for each in plan.warnings)


def test_the_same_file_may_be_trained_on_with_two_losses(files):
    typed = ("dataset=[nli.csv,nli.csv]", "dataset.nli.loss=contrastive", "dataset.nli_2.loss=softmax")
    plan = plan_of(files, *typed)
    assert [(part.name, part.loss.name) for part in plan.stages[-1].sets] == [
        ("nli", "contrastive"),
        ("nli_2", "softmax"),
    ]


REFUSED = [
    (("dataset.sim.loss=mnrl",), "dataset.sim.conversion.min_score=0.8, dataset.sim.loss=angle"),
    (("dataset.simm.loss=mnrl",), "dataset.simm.loss=mnrl names no set. Expected a key of one of: faq, sim, nli"),
    (("dataset.sim.wieght=2",), "hint: type dataset.sim.weight=2"),
    (("dataset.sim.weight=-1",), "dataset.sim.weight=-1 was given. Expected a number of at least 0"),
    (("dataset.reader.max_rows=3",), "hint: type dataset.faq.reader.max_rows=3"),
    (("negatives=bm25",), "hint: type dataset.faq.negatives=bm25"),
    (("dataset.faq.weight=0", "dataset.sim.weight=0", "dataset.nli.weight=0"), "leaves nothing to train on"),
    (
        ("mixture.batches=round_robin", "dataset.sim.weight=2"),
        "dataset.sim.weight=2 has no effect with mixture.batches",
    ),
    (("mixture.batches=random",), "mixture.batches=random was given. Expected one of: proportional, round_robin"),
    (("trainer.processes=2",), "hint: type trainer.processes=1"),
    (("vary=[split]",), "vary=[split] drives the steps of one data set"),
    (("dataset.nli.modifier=matryoshka",), "dataset.nli.modifier=matryoshka does not compose with the loss softmax"),
]


@pytest.mark.parametrize(("typed", "message"), REFUSED, ids=[" ".join(typed) for typed, _ in REFUSED])
def test_what_does_not_fit_a_set_is_refused_by_its_key(typed, message, files):
    with pytest.raises((EmbexpError, HydraException)) as refused:
        plan_of(files, *MIXED, *typed)
    assert message in str(refused.value)


@pytest.mark.parametrize(("given", "expected"), [("[nli,stbs]", "dataset=[nli,stsb]"), ("[]", "names none")])
def test_what_is_no_data_set_is_refused(given, expected):
    with pytest.raises(ConfigError) as refused:
        expand_paths([f"dataset={given}"], mixes=True)
    assert expected in str(refused.value)


def test_a_yaml_says_the_same(files):
    (files / "own/experiment").mkdir(parents=True)
    (files / "own/experiment/mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - /dataset@mixture.sets.faq.dataset: file\n"
        "  - /loss@mixture.sets.faq.loss: mnrl\n"
        "  - /dataset@mixture.sets.sim.dataset: file\n"
        "  - /loss@mixture.sets.sim.loss: cosent\n"
        "mixture:\n"
        "  batches: round_robin\n"
        "  sets:\n"
        "    faq: {dataset: {reader: {path: faq.csv}}}\n"
        "    sim: {dataset: {reader: {path: sim.csv}}}\n",
        encoding="utf-8",
    )
    with hydra_started(files / "own"):
        config, choices = composed([*QUIET, "experiment=mine"])
        plan = plan_run(config, choices, files / "run")
    (stage,) = plan.stages
    assert [(part.name, part.loss.name) for part in stage.sets] == [("faq", "mnrl"), ("sim", "cosent")]
    assert stage.batches == "round_robin"


def test_sets_of_a_yaml_have_the_keys_of_sets(files):
    (files / "own/experiment").mkdir(parents=True)
    (files / "own/experiment/mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - /dataset@mixture.sets.faq.dataset: file\n"
        "  - /dataset@mixture.sets.sim.dataset: file\n"
        "  - /loss@mixture.sets.sim.loss: cosent\n"
        "mixture:\n"
        "  sets:\n"
        "    faq: {dataset: {reader: {path: faq.csv}}}\n"
        "    sim: {weight: 2, dataset: {reader: {path: sim.csv}}}\n",
        encoding="utf-8",
    )

    def composed_with(*typed):
        with hydra_started(files / "own"):
            return composed(quote_texts(expand_paths([*QUIET, "experiment=mine", *typed], mixes=True)))

    typed = ("dataset.sim.weight=1", "dataset.sim.loss=angle", "dataset.faq.reader.max_rows=40", "step=[clean]")
    config, choices = composed_with(*typed, "dataset.faq.loss.scale=30", "dataset.faq.negatives=random")
    plan = plan_run(config, choices, files / "run")
    found = [(part.name, part.loss.name, part.weight, part.dataset.shape.name) for part in plan.stages[-1].sets]
    assert found == [("faq", "mnrl", 1, "triplet"), ("sim", "angle", 1, "scored_pair")]
    sets = plan.config["mixture"]["sets"]
    assert (sets["faq"]["loss"]["scale"], sets["faq"]["dataset"]["reader"]["max_rows"]) == (30, 40)
    assert all("clean" in each["dataset"]["steps"] for each in sets.values())
    for given, fix in (
        ("dataset.reader.max_rows=9", "dataset.faq.reader.max_rows=9"),
        ("dataset=nli.csv", "dataset@mixture.sets.faq.dataset=nli.csv"),
        ("negatives=bm25", "dataset.faq.negatives=bm25"),
        ("dataset.fag.weight=3", "dataset.faq.weight=3"),
    ):
        with pytest.raises(ConfigError) as refused:
            composed_with(given)
        assert f"type {fix}" in str(refused.value)
        composed_with(fix)


def test_what_an_experiment_chooses_for_one_data_set_is_refused_with_several(files):
    (files / "own/experiment").mkdir(parents=True)
    (files / "own/experiment/mined.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /negatives: random\n  - override /step: [clean]\n",
        encoding="utf-8",
    )
    typed = ("experiment=mined", "dataset=[faq.csv,sim.csv]", "dataset.sim.loss=cosent", "~dataset.faq.steps.split")

    def plan(*more):
        with hydra_started(files / "own"):
            config, choices = composed(quote_texts(expand_paths([*QUIET, *typed, *more], mixes=True)))
        return plan_run(config, choices, files / "run")

    with pytest.raises(ConfigError) as refused:
        plan()
    assert "dataset.steps.clean is for one data set" in str(refused.value)
    assert "type negatives=none" in str(refused.value)
    found = plan("negatives=none", "step=[]", "dataset.sim.steps.split.ratios=[8,1,1]", "test=sim.csv")
    assert "negatives" not in found.stages[-1].sets[0].dataset.history


def test_a_data_set_after_those_in_brackets_is_not_dropped():
    with pytest.raises(ConfigError, match=r"type dataset=\[nli,stsb,faq.csv\]"):
        expand_paths(["dataset=[nli,stsb]", "seed=1", "dataset=faq.csv"], mixes=True)
    assert "dataset=nli" in expand_paths(["dataset=faq.csv", "dataset=[nli,stsb]"], mixes=True)


@pytest.mark.parametrize(
    ("shared", "own", "name", "arguments"),
    [
        (("loss.scale=50",), "directions=[query_to_doc,doc_to_query]", "mnrl", {"scale": 50}),
        (("loss=cached_mnrl",), "scale=30", "cached_mnrl", {"scale": 30}),
        (("loss=info_nce", "loss.margin=null"), "temperature=0.2", "info_nce", {"temperature": 0.2, "margin": None}),
        (("experiment=other",), "temperature=0.2", "info_nce", {"temperature": 0.2, "margin": 0.3}),
    ],
)
def test_arguments_of_a_set_change_the_loss_of_the_run_and_no_other(shared, own, name, arguments, files):
    (files / "own/experiment").mkdir(parents=True)
    (files / "own/experiment/other.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loss: info_nce\nloss: {margin: 0.3}\n", encoding="utf-8"
    )
    typed = ("dataset=[faq.csv,sim.csv]", "dataset.sim.loss=cosent", *shared, f"dataset.faq.loss.{own}")
    with hydra_started(files / "own"):
        config, choices = composed(quote_texts(expand_paths([*QUIET, *typed], mixes=True)))
    plan = plan_run(config, choices, files / "run")
    loss = plan.stages[-1].sets[0].loss
    assert plan.choices["loss@faq"] == loss.name == name
    assert {key: loss.call[key] for key in arguments} == arguments
    assert plan.stages[-1].sets[1].loss.name == "cosent"


def test_a_swept_loss_is_that_of_a_set_with_arguments_of_its_own():
    typed = ["loss=mnrl,cached_mnrl", "dataset=[nli,stsb]", "dataset.nli.loss.scale=30"]
    assert [each for each in expand_paths(typed, mixes=True) if "," in each] == ["loss=mnrl,cached_mnrl"]


def test_of_two_names_the_one_that_was_typed_is_the_set_s():
    config, choices = composed_of("dataset=[v1.5.csv,v1_5.csv]", "dataset.v1_5.loss=cosent")
    named = {node.get("name") or key: key for key, node in config.mixture.sets.items()}
    assert choices[f"loss@mixture.sets.{named['v1_5']}.loss"] == "cosent"
    assert f"loss@mixture.sets.{named['v1.5']}.loss" not in choices


def test_a_stage_before_a_mixture_reads_the_first_set_that_is_trained_on(files):
    typed = (*MIXED, "adapt=[tsdae]", "adapt.tsdae.trainer.max_steps=2")
    whole, left = plan_of(files, *typed), plan_of(files, *typed, "dataset.faq.weight=0")
    assert any("what is" in text for text in whole.stages[0].dataset.texts("train"))
    assert not any("what is" in text for text in left.stages[0].dataset.texts("train"))
    assert {*left.stages[0].dataset.texts("train")} & {*left.stages[1].sets[0].dataset.texts("train")}


def test_a_run_of_a_mixture_scores_each_set_and_names_its_losses(files):
    typed = [*QUIET, *MIXED, "dataset.sim.weight=2", "hydra.run.dir=run", "trainer.logging_steps=4"]
    code, output = run_typed(files, *typed)
    assert code == 0, output
    result = json.loads((files / "run/result.json").read_text())
    assert {row["evaluator"] for row in result["comparisons"]} == {"faq", "sim", "nli"}
    assert [line.partition(" as ")[0] for line in result["data"] if " as " in line] == ["faq", "sim", "nli"]
    assert {path.name for path in (files / "run/plots").glob("training*.png")} == {
        "training.png",
        *(f"training_{name}.png" for name in ("faq", "sim", "nli")),
    }
    card = (files / "run/stages/main/model/README.md").read_text(encoding="utf-8")
    assert all(f"loss:{name}Loss" in card for name in ("MultipleNegativesRanking", "CoSENT", "Softmax"))
    logged = {
        key for line in (files / "run/metrics.jsonl").read_text().splitlines() for key in json.loads(line)["metrics"]
    }
    assert {key for key in logged if key.endswith("/loss")} <= {
        f"train/{name}/loss" for name in ("faq", "sim", "nli")
    } | {"train/loss"}


def test_rows_of_files_are_planned_from_disk(workplace):
    """What tests/benchmarks/mixtures.py measures with five million rows."""
    from benchmarks.mixtures import planned, write_sets

    write_sets(workplace, 80)
    assert planned() == {"pairs": 40, "scores": 40}


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ("dataset.sim.weight=2", "dataset.nli.weight=0.5"),
        pytest.param(("mixture.batches=round_robin", "dataset.faq.loss=cached_mnrl"), marks=pytest.mark.matrix),
        pytest.param(("trainer.gradient_accumulation_steps=2", "model.forward=plain"), marks=pytest.mark.matrix),
    ],
)
def test_a_killed_mixture_that_is_resumed_equals_one_that_was_not(more, files):
    steps = ["trainer.max_steps=7", "trainer.logging_steps=3", "trainer.per_device_train_batch_size=8"]
    steps += ["trainer.eval_steps=2", "trainer.save_steps=2", "keep=full"]
    typed = expand_paths([*QUIET, *MIXED, *steps, *more], mixes=True)
    run(files / "whole", *typed)
    killed(at_step, (6,), files / "broken", *typed)
    resume(files / "broken")
    assert_same_end(files / "whole", files / "broken")
