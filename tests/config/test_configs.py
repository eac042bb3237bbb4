"""Every YAML composes, says what it is for, and names a callable that takes its arguments."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from embexp.config.compose import check_arguments, compose, parameters_of
from embexp.config.session import conf_dir
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError
from embexp.experiment.routing import _fitting_losses
from embexp.losses.spec import spec_of
from embexp.training.trainer_values import without_budgets

YAMLS = sorted(conf_dir().rglob("*.yaml"))
OPTIONS = [(path.parent.name, path.stem) for path in YAMLS if path.parent.parent == conf_dir()]
OPTIONS = [(group, name) for group, name in OPTIONS if group != "race"]  # no run has them: tests/racing
SERVED = ("model", "served")  # is evaluated only, see tests/models/test_served.py
FOR_TEXTS = [
    "contrastive_tension",
    "contrastive_tension_in_batch",
    "diffcse",
    "simcse",
    "tsdae",
]  # any data come to these
NEEDS_A_VALUE = {
    ("dataset", "file"): ["dataset.reader.path=x.csv"],
    ("dataset", "hub"): ["dataset.reader.id=org/name"],
    ("dataset", "beir"): ["dataset.reader.folder=x"],
    ("evaluator", "beir"): ["evaluator.beir.dataset.reader.folder=x"],
    ("evaluator", "mteb"): ["evaluator.mteb.tasks=[STSBenchmark]"],
    ("guard", "mteb"): ["guard.mteb.tasks=[STSBenchmark]"],
    ("export", "soup"): ["export.soup.runs=[a]"],
    ("model", "pretrained"): ["model.path=a/b"],
}
for _step in ("augment_paraphrase", "augment_rewrite", "generate_queries", "generate_positives", "generate_negatives"):
    _endpoint = f"dataset.steps.{_step}.endpoint"
    NEEDS_A_VALUE["step", _step] = [f"{_endpoint}.url=http://localhost:8000/v1", f"{_endpoint}.model=toy"]
NEEDS_A_VALUE["step", "augment_rewrite"].append("dataset.steps.augment_rewrite.instruction=Shorten it")
LISTS = ("evaluator", "export", "guard", "step")  # groups of which several are chosen
# Where the options of a group stand, if not under its name.
PACKAGES = {"step": "dataset.steps", "silver": "dataset.steps.silver", "negatives": "dataset.steps.negatives"}


def name_of(path: Path) -> str:
    return path.relative_to(conf_dir()).as_posix()


def calls_in(node):
    """Every mapping with a `_target_`, at any depth."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from calls_in(value)


def test_steps_are_applied_in_the_order_typed_and_before_the_split_of_the_dataset():
    steps = compose(["step=[deduplicate,clean]", "dataset=file", "dataset.reader.path=x.csv"]).dataset.steps
    assert list(steps) == ["deduplicate", "clean", "split"]


def test_the_groups_have_options():
    groups = {group for group, _ in OPTIONS}
    assert {"dataset", "model", "loss", "modifier", "trainer", "evaluator", "tracking", "paths", "step"} <= groups
    assert len(OPTIONS) >= 35


def test_a_yaml_opens_with_what_it_is_for():
    silent = []
    for path in YAMLS:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
        if not lines[0].startswith("# ") or len(lines[0]) <= 20:
            silent.append(name_of(path))
    assert silent == []


def of_class(call):
    """The call without the budgets of a trainer, which are the run's own keys."""
    return without_budgets(call) if call["_target_"].endswith("TrainingArguments") else call


def rounds() -> Iterator[dict[str, str]]:
    """Options of every group, one of each at a time, until each has had its turn: composing is what takes long."""
    groups = {}
    for group, option in OPTIONS:
        if group != "experiment" and (group, option) != SERVED:  # whole runs, in tests/test_experiments.py
            groups.setdefault(group, []).append(option)
    for turn in range(max(map(len, groups.values()))):
        yield {group: options[turn % len(options)] for group, options in groups.items()}


def test_every_option_composes_and_its_callable_takes_its_arguments():
    seen, wrong = set(), []
    for chosen in rounds():
        overrides = [
            f"{group}=[{option}]" if group in LISTS else f"{group}={option}" for group, option in chosen.items()
        ]
        needed = [override for pair in chosen.items() for override in NEEDS_A_VALUE.get(pair, [])]
        config = OmegaConf.to_container(compose([*overrides, *needed]), resolve=True)
        made = OmegaConf.create(config)
        for group, option in chosen.items():
            calls = calls_in(OmegaConf.select(made, PACKAGES.get(group, group)))
            wrong += [
                f"{group}={option}: {problem}" for call in calls for problem in problems_of(of_class(call), group)
            ]
            seen.add((group, option))
        if chosen["loss"] != "auto" and not set(spec_of(chosen["loss"], config["loss"]).accepts) <= set(SHAPES):
            wrong.append(f"loss={chosen['loss']} accepts shapes that are none")
    assert wrong == []
    assert seen == {each for each in OPTIONS if each[0] != "experiment"} - {SERVED}


def problems_of(call: Mapping, group: str) -> Iterator[str]:
    """What is wrong with a call that a YAML describes."""
    own = {key: value for key, value in call.items() if key == "_target_" or not key.startswith("_")}
    if group in ("evaluator", "guard"):
        own.pop("dataset", None)
    try:
        check_arguments(own, {})
    except ConfigError as error:
        yield str(error)
    if parameters_of(own["_target_"]) is None and [*own] != ["_target_"]:
        yield f"{own['_target_']} does not name its parameters"


@pytest.mark.parametrize(
    ("shapes", "losses"),
    [
        (["scored_pair"], ["angle", "cosent", "cosine", *FOR_TEXTS]),
        (["embedded_text"], ["embed_distill", "mse", *FOR_TEXTS]),
        (["positive_pair"], ["cached_gist", "cached_mnrl", "gist", "info_nce", "mega_batch", "mnrl", *FOR_TEXTS]),
        (["text"], FOR_TEXTS),
    ],
)
def test_losses_that_fit_a_shape_are_found(shapes, losses):
    assert _fitting_losses(shapes) == sorted(losses)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.learning_rate=fast", "trainer.learning_rate=fast is a text. Expected a number."),
        ("trainer.bf16=3", "trainer.bf16=3 is a whole number. Expected true or false.\nhint: type trainer.bf16=false"),
        ("loss.scale=true", "loss.scale=true is true or false. Expected a number.\nhint: type loss.scale=20.0"),
        ("trainer.max_steps=1.5", "trainer.max_steps=1.5 is a number. Expected a whole number."),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(override, message):
    with pytest.raises(ConfigError) as refusal:
        compose([override])
    assert message in str(refusal.value)


@pytest.mark.parametrize("override", ["loss.scale=30", "trainer.warmup_steps=100", "trainer.save_total_limit=null"])
def test_a_value_of_a_fitting_type_is_taken(override):
    key, _, value = override.partition("=")
    assert str(OmegaConf.select(compose([override]), key)) == {"null": "None"}.get(value, value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dataset.shapes=scored_pair", "was given. Expected a list.\nhint: type dataset.shapes=[scored_pair]"),
        ("dataset.shapes=[]", "holds no shape. Expected one.\nhint: type dataset.shapes=[scored_pair]"),
        ("conversion.positive_labels=a", "was given. Expected a list.\nhint: type conversion.positive_labels=[a]"),
    ],
)
def test_what_must_be_a_list_is_requested_as_one(override, message):
    with pytest.raises(ConfigError) as refusal:
        compose([override])
    assert str(refusal.value) == f"{override} {message}"


def test_the_shapes_of_a_file_and_of_an_evaluator_are_a_list_too():
    file = ["dataset=file", "dataset.reader.path=x.csv", "dataset.shapes=text"]
    with pytest.raises(ConfigError) as refusal:
        compose([*file, "evaluator=[stsb]", "evaluator.stsb.dataset.shapes=[]"])
    assert [problem.key for problem in refusal.value.problems] == ["dataset.shapes", "evaluator.stsb.dataset.shapes"]


def test_all_wrong_types_are_reported_at_once():
    with pytest.raises(ConfigError) as refusal:
        compose(["loss.scale=a", "trainer.learning_rate=b"])
    assert {problem.key for problem in refusal.value.problems} == {"trainer.learning_rate", "loss.scale"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.learning_rate=nan", "a finite number"),
        ("loss.scale=-inf", "a finite number"),
        ("seed=99999999999999999999", "a finite number"),
        ("evaluator.sts.dimensions=[32,inf]", "a finite number"),
        ("trainer.per_device_train_batch_size=[8]", "a whole number"),
        ("trainer.bf16={a: 1}", "true or false"),
        ("dataset.steps=5", "a mapping"),
        ("dataset.reader=0.5", "a mapping"),
    ],
)
def test_what_no_key_can_mean_is_refused(override, expected):
    with pytest.raises(ConfigError) as refusal:
        compose([override])
    assert any(problem.expected.startswith(expected) for problem in refusal.value.problems)
