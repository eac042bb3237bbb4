"""Messages of refused commands: Hydra's wording is as we read it, and what a hint says to type leads further."""

import shlex

import pytest
from conftest import TINY, thinned
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from embexp.cli.app import MISTAKES, run_command
from embexp.cli.messages import explain, unknown_override
from embexp.cli.overrides import expand_paths
from embexp.cli.quoting import quote_texts
from embexp.config.compose import compose, composed
from embexp.config.session import hydra_started
from embexp.errors import ConfigError
from embexp.experiment.plan import plan_run


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("los=a b", "los", "a b"),
        ("trainer.learning_rat=1e-5", "trainer.learning_rat", "1e-5"),
        ("loss@adapt.mlm.loss=gist", "loss@adapt.mlm.loss", "gist"),
        ("loss@adapt.tsdae.loss=gist", "loss@adapt.tsdae.loss", "gist"),
        ("model/sampler=x", "model/sampler", "x"),
    ],
)
def test_hydra_names_the_override_that_it_has_no_use_for_in_these_words(typed, key, value):
    with pytest.raises(HydraException) as refusal:
        compose(["adapt=mlm", typed])
    assert unknown_override(refusal.value) == (key, value)


def test_other_errors_of_hydra_name_none():
    for typed in ("seed=abc", "loss=mnlr", "name=数据]"):
        with pytest.raises(HydraException) as refusal:
            compose([typed])
        assert unknown_override(refusal.value) is None


def test_the_error_of_a_resolver_of_ours_is_shown_as_it_is():
    def fail() -> None:
        raise ConfigError("is no run", key="resume", given="here", fix="resume=there")

    OmegaConf.register_new_resolver("tests.fail", fail, replace=True)
    with pytest.raises(InterpolationResolutionError) as refusal:
        _ = OmegaConf.create({"folder": "${tests.fail:}"}).folder
    assert explain(refusal.value) == "resume=here is no run.\nhint: type resume=there"


def message_of(folder, *typed: str) -> str:
    """What `python -m embexp` says to a command, without training; empty where a plan is made."""
    try:
        with hydra_started():
            overrides = [*TINY, "tracking=none", *typed]
            last = {override.partition("=")[0]: override for override in overrides}
            config, choices = composed(quote_texts(expand_paths([*last.values()])))
            plan_run(config, choices, folder)
    except MISTAKES as error:
        return explain(error)
    return ""


def hints_in(message: str) -> list[list[str]]:
    """The overrides of each hint."""
    hints = []
    for line in message.splitlines():
        typed = line.partition("hint: type ")[2]
        alternatives = typed.removeprefix("one of: ").split(", ") if typed.startswith("one of: ") else [typed]
        hints += [shlex.split(each) for each in alternatives if each]
    return hints


def key_of(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def with_hint(command: list[str], hint: list[str], message: str) -> list[str]:
    """The command with what a hint says to type, in place of what it replaces: the same keys, and those not known."""
    replaced = {key_of(each) for each in hint}
    if any(words in message for words in ("is not a key. Expected one of", "is no argument of", "has one loss")):
        replaced |= {key_of(each) for each in command if message.startswith(key_of(each))}
    return [*(each for each in command if key_of(each) not in replaced), *hint]


REFUSED = [
    ["loss=mnrl", "dataset=stsb"],
    ["loss=softmax", "dataset=stsb"],
    ["loss.scale=-1"],
    ["seed=abc"],
    ["loss=mnlr"],
    ["trainer.learning_rat=1e-5"],
    ["+trainer.learning_rat=1e-5"],
    ["+trainer.batch_sampler=no_duplicate"],
    ["trainer.per_device_train_batch_size=1"],
    ["shape=text"],
    ["step=[cleen]"],
    ["dataset.steps.clean.min_chars=5"],
    ["evaluator=[sts]", "dataset=trec"],
    ["primary_metric=sts/spearman"],
    ["keep=ful"],
    ["name=数据]"],
    ["loss=mega_batch", "modifier=adaptive_layer"],
    ["adapt=mlm", "adapt.mlm.loss=gist"],
    ["adapt=tsdae", "adapt.tsdae.trainer.fp16=true"],
    ["adapt=[mlm,tsdae]", "model=static"],
]


@pytest.mark.parametrize("command", thinned(REFUSED, 8), ids=" ".join)
def test_what_a_hint_says_to_type_leads_further(command, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = message_of(tmp_path, *command)
    hints = [hint for hint in hints_in(message) if "<" not in " ".join(hint)]
    assert hints, message
    for hint in hints[:3]:
        assert message_of(tmp_path, *with_hint(command, hint, message)) != message, hint


def test_a_message_says_what_was_given_what_was_expected_and_what_to_type(tmp_path):
    assert message_of(tmp_path, "loss.scale=-1") == (
        "loss.scale=-1 was given. Expected a number above 0.\nhint: type loss.scale=20.0"
    )
    fp16 = message_of(tmp_path, "adapt=tsdae", "adapt.tsdae.trainer.fp16=true")
    assert fp16 == (
        "adapt.tsdae (~adapt.tsdae leaves it out): adapt.tsdae.trainer.fp16=true needs a GPU and has no effect on a "
        "CPU. Expected false without a GPU.\nhint: type adapt.tsdae.trainer.fp16=false"
    )
    missing = message_of(tmp_path, "dataset=nothing/missing.csv")
    assert "nothing/missing.csv" in missing


@pytest.mark.parametrize("key", ["dataset", "evaluator.sts.dataset", "model"])
@pytest.mark.parametrize("name", ["mine", "数据 集", "."])
def test_a_folder_here_that_was_named_without_a_slash_gets_one(workplace, key, name):
    (workplace / name).mkdir(exist_ok=True)
    message = message_of(workplace / "run", f"{key}={name}")
    assert message.startswith(f"{key}={name} is a folder here, and no option.")
    ((hint,),) = hints_in(message)
    assert hint == f"{key}={name}/"
    if key == "dataset":
        assert "holds no split" in message_of(workplace / "run", hint)


@pytest.mark.parametrize("key", ["dataset", "evaluator.sts.dataset"])
@pytest.mark.parametrize("name", ["pairs.zip", "stsb1"])
def test_a_file_here_of_a_kind_that_is_not_read_is_said_to_be_one(workplace, key, name):
    (workplace / name).write_text("a")
    assert message_of(workplace / "run", f"{key}={name}").startswith(
        f"{key}={name} is a file here that cannot be read."
    )


@pytest.mark.parametrize(
    ("command", "typed"), [("inspect", "loss=mnrl"), ("prepare", "trainer=smoke"), ("evaluate", "loss=x")]
)
def test_a_choice_that_a_command_does_not_have_is_said_to_be_none(command, typed):
    with hydra_started(), pytest.raises(HydraException) as refusal:
        composed([typed], command)
    key, value = typed.split("=")
    assert explain(refusal.value) == (
        f"{key}={value} was given; this command has no such choice. Expected the command without it."
    )


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("seed=1,2", "seed=1,2"),
        ("loss=mnrl,cosent", "loss=mnrl,cosent"),
        ("model.max_seq_length=16,32", "model.max_seq_length=16,32"),
    ],
)
def test_several_values_without_a_multirun_propose_one(typed, said, monkeypatch, capsys, workplace):
    monkeypatch.setattr("sys.argv", ["embexp", f"hydra.run.dir={workplace}", typed])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit):
        run_command(lambda *given: None)
    err = capsys.readouterr().err
    assert (
        err == f"Error: {said} names several values. Expected one; or a multirun, with a run for each.\nhint: type -m\n"
    )
