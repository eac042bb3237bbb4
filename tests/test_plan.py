"""What a plan says before anything is loaded."""

import logging
from types import SimpleNamespace

import numpy
import pytest
from conftest import TINY

from embexp.config.compose import compose
from embexp.errors import EmbexpError
from embexp.experiment.evaluators import _leak_warnings
from embexp.experiment.plan import plan_run
from embexp.experiment.stage_config import stages_of

CHOICES = {"dataset": "nli", "model": "tiny", "loss": "mnrl", "trainer": "smoke"}


def plan_of_nli(folder, data, *overrides):
    overrides = [*TINY[:2], "dataset=nli", "evaluator=stsb", f"paths.data={data}", *overrides]
    return plan_run(compose(overrides), CHOICES, folder)


def test_a_conversion_that_keeps_few_rows_of_nli_is_not_taken_silently(tmp_path, real_data):
    with pytest.raises(EmbexpError) as error:
        plan_of_nli(tmp_path, real_data)
    assert str(error.value) == (
        "Of 45,384 training rows of nli (class_pair) the loss can train on 776 as triplet, 15,073 as positive_pair. "
        "Expected the shape to train on, named by you.\nhint: type shape=triplet\nhint: type shape=positive_pair"
    )
    assert plan_of_nli(tmp_path, real_data, "shape=triplet").stages[0].dataset.splits["train"].num_rows == 776


def test_the_shape_that_is_requested_is_trained_on(tmp_path, real_data):
    (stage,) = plan_of_nli(tmp_path, real_data, "shape=positive_pair").stages
    labels = plan_of_nli(tmp_path, real_data, "loss=softmax").stages[0].dataset.splits["train"]["label"][:]
    assert stage.dataset.shape.name == "positive_pair"
    assert stage.dataset.splits["train"].num_rows == labels.count(0)


def plan_of_finance(folder, *overrides):
    choices = CHOICES | {override.partition("=")[0]: override.partition("=")[2] for override in overrides}
    return plan_run(compose([*TINY, "tracking=none", *overrides]), choices | {"dataset": "finance"}, folder)


def test_a_run_is_called_by_its_adapter_too(tmp_path):
    pytest.importorskip("peft")
    assert plan_of_finance(tmp_path, "model=minilm").name == "mnrl · minilm · 42"
    assert plan_of_finance(tmp_path, "model=minilm", "model/adapter=lora").name == "mnrl · minilm+lora · 42"


def test_what_the_machine_lacks_for_the_model_is_reported_by_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EmbexpError, match=r"model\.attention=flash_attention_2 needs an NVIDIA GPU"):
        plan_of_finance(tmp_path, "model=minilm", "model.attention=flash_attention_2")


def mistakes_of(*arguments) -> list[str]:
    """What the error of a plan lists, without its first line."""
    with pytest.raises(EmbexpError) as error:
        plan_of_finance(*arguments)
    heading, *mistakes = str(error.value).split("\n\n")
    assert heading == f"{len(mistakes)} things do not fit:"
    return mistakes


def test_all_that_the_yaml_files_tell_is_reported_at_once_for_every_stage(tmp_path):
    adapt = "+adapt.first={shape: triplets}", "+adapt.second={loss: {_target_: a.b, _accepts_: [text]}, shape: triplet}"
    unknown, size, second, main = mistakes_of(tmp_path, *adapt, "shape=text", "trainer.per_device_train_batch_size=1")
    assert unknown.startswith("1. 'triplets' is not a shape.")
    assert size.startswith("2. trainer.per_device_train_batch_size=1 leaves the loss mnrl nothing to learn")
    whose = "adapt.second (~adapt.second leaves it out)"
    assert second.startswith(
        f"3. {whose}: adapt.second.shape=triplet is not accepted by the loss second. Expected null, or one of: text.\n"
        "hint: type adapt.second.shape=null\nhint: type adapt.second.shape=text"
    )
    assert main.startswith(
        "4. shape=text is not accepted by the loss mnrl. Expected null, or one of: triplet, positive_pair."
    )


WRONG_SCORE = (
    "conversion.min_score=3 was given. Expected a number of at least 0 and of at most 1, or null.\n"
    "hint: type conversion.min_score=0.8"
)


def test_wrong_settings_of_conversions_hide_no_other_mistake_and_make_none_up(tmp_path):
    score, shape = mistakes_of(tmp_path, "conversion.min_score=3", "shape=text")
    assert score == f"1. {WRONG_SCORE}"
    assert shape.startswith("2. shape=text is not accepted by the loss mnrl.")
    stsb = [*TINY, "tracking=none", "dataset=stsb", "conversion.min_score=3"]  # a number that mnrl needs
    with pytest.raises(EmbexpError) as error:
        plan_run(compose(stsb), CHOICES | {"dataset": "stsb"}, tmp_path)
    assert str(error.value) == WRONG_SCORE


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("metric", "without"),
    [
        ("spearman_cosine_no_leaks", "The metrics that end in _no_leaks leave them out."),
        ("spearman_cosine", "Too few are left without them."),
    ],
)
def test_rows_seen_in_training_are_reported_with_a_step_only_where_it_reaches_them(own, metric, without):
    judge = SimpleNamespace(name="sts", metric_names=(metric,))
    (told,) = _leak_warnings(judge, {"dev": numpy.array([True, False]), "test": numpy.array([False])}, own)
    found = "1 of 2 rows (50.0 %) of dev of the evaluator sts are also in the training data."
    assert str(told).startswith(f"{found} {without}")
    assert told.fix == (() if own else ("step=[leaks] dataset.steps.leaks.remove=train",))


def test_all_that_the_rows_tell_is_reported_at_once_with_the_metric(tmp_path):
    (tmp_path / "mine").mkdir()
    for split, score in (("train", 0.5), ("dev", 0.25)):
        rows = [
            f"{number}\ttext {number} here\t{0.5 if split == 'train' else score * (number % 4)}" for number in range(8)
        ]
        (tmp_path / "mine" / f"{split}.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    file = ["dataset=file", f"dataset.reader.path={tmp_path}/mine", "loss=cosent", "dataset.steps.split=null"]
    constant, ids, metric = mistakes_of(tmp_path, *file, "primary_metric=sts/spearman")
    assert constant.startswith("1. score of finance is 0.5 in all 8 training rows")
    assert ids.startswith("2. sentence1 of finance holds ids, not texts: '0' and 7 more of 8.")
    assert metric.startswith("3. primary_metric=sts/spearman is not measured.")


def test_all_that_only_the_libraries_tell_is_reported_at_once(tmp_path):
    wrong = ["+loss.scales=3", "+trainer.learning_rat=1", "modifier=matryoshka", "+modifier.dims=[8]"]
    rate, scale, dims = mistakes_of(tmp_path, *wrong)
    assert rate.startswith("1. trainer.learning_rat=1 is no argument of sentence_transformers.")
    assert rate.endswith("hint: type ++trainer.learning_rate=1")
    assert scale.endswith("Did you mean 'scale'?\nhint: type ++loss.scale=3")
    assert dims.startswith("3. modifier.dims=[8] is no argument of ")


def test_warnings_stand_in_the_plan_and_in_the_log_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        plan = plan_of_finance(tmp_path, "trainer.gradient_accumulation_steps=4", "+adapt.first={shape: positive_pair}")
    told = [message for message in caplog.messages if "adds no negatives" in message]
    assert len(told) == 1
    assert set(told) <= set(map(str, plan.warnings))


def test_a_modifier_belongs_to_its_loss():
    main = {"dataset": 1, "shape": None, "loss": "l", "modifier": "m", "trainer": 2}
    adapt = {"same": {"dataset": 3}, "own": {"loss": "o"}, "both": {"loss": "o", "modifier": "n"}}
    stages = dict(stages_of(main | {"adapt": adapt}))
    assert [stages[name]["modifier"] for name in ("same", "own", "both", "main")] == ["m", None, "n", "m"]


def test_a_modifier_stands_in_the_runs_name(tmp_path):
    plan = plan_of_finance(tmp_path, "modifier=adaptive_layer")
    assert plan.name == "mnrl+adaptive_layer · tiny · 42"
    assert plan.stages[0].loss.modifier.refuses == ("gradient_cache", "owns_copy")


@pytest.mark.parametrize("model", ["minilm", "static"])
def test_weights_that_cannot_be_trained_are_reported_by_the_plan(model, tmp_path):
    key = {"minilm": "model.dtype", "static": "model.source.dtype"}[model]
    with pytest.raises(
        EmbexpError, match=r"model\.dtype=float16 cannot be trained: .*\nhint: type model\.dtype=bfloat16"
    ):
        plan_of_finance(tmp_path, f"model={model}", f"{key}=float16")
