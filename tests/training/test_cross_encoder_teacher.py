"""Cross-encoders that learn from gold pairs: what they give, what is kept, how a stopped training resumes."""

import json

import numpy
import pytest

from embexp.errors import ConfigError
from embexp.training import cross_encoders
from embexp.training.cross_encoders import CrossEncoderTeacher

TRAINER = {
    "max_steps": 4,
    "per_device_train_batch_size": 4,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "logging_steps": 1,
}
PAIRS = [("a text 1", "another 1"), ("a text 2", "another 5"), ("one more", "a text 1")]


def rows(labels, start=0):
    from datasets import Dataset

    numbers = range(start, start + len(labels))
    texts = {"sentence1": [f"a text {number}" for number in numbers], "sentence2": [f"another {n}" for n in numbers]}
    return Dataset.from_dict(texts | {"label": labels})


def teacher(model="tiny", seeds=(1,), **trainer):
    return CrossEncoderTeacher(model, TRAINER | trainer, seeds, None, 8)


SCORES, DEV = rows([0.0, 0.25, 0.5, 0.75] * 3), rows([0.0, 0.5, 1.0, 0.25], 20)


def test_scores_are_one_number_and_the_training_is_kept_with_its_record(tmp_path):
    labeller = teacher().fit(SCORES, DEV, "score", 0, tmp_path)
    labels = labeller.label(PAIRS)
    assert labels.shape == (3, 1)
    assert ((labels > 0) & (labels < 1)).all()
    (folder,) = labeller.trainings
    assert folder.parent.parent == tmp_path / "cross_encoders"
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".claim") == [
        "metrics.jsonl",
        "model",
        "result.json",
    ]
    result = json.loads((folder / "result.json").read_text())
    assert result["run"]["status"] == "FINISHED"
    assert (result["params"]["train_rows"], result["params"]["dev_rows"], result["params"]["seed"]) == (12, 4, 1)
    assert result["metrics"]["cost/steps"] == 4
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [0, 1, 2, 2, 3, 4, 4, None]
    assert set(labeller.dev_scores) == {"spearman", "pearson"}


def test_what_was_trained_is_not_trained_again_but_for_other_gold_or_settings(tmp_path, monkeypatch):
    first = teacher().fit(SCORES, DEV, "score", 0, tmp_path)
    trained = []
    monkeypatch.setattr(cross_encoders, "_train", lambda task, _: trained.append(task.seed))
    again = teacher().fit(SCORES, DEV, "score", 0, tmp_path)
    assert again.trainings == first.trainings
    assert (again.label(PAIRS) == first.label(PAIRS)).all()
    assert trained == []
    others = ((teacher(learning_rate=0.1), SCORES), (teacher(), rows([0.5] * 12)), (teacher("minilm"), SCORES))
    for other, gold in others:
        assert other.fit(gold, DEV, "score", 0, tmp_path).trainings != first.trainings
    assert teacher(seeds=[1, 2]).fit(SCORES, DEV, "score", 0, tmp_path).trainings[0] == first.trainings[0]
    assert trained == [1, 1, 1, 2]


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    from embexp.training.callbacks import JournalCallback

    whole = teacher().fit(SCORES, DEV, "score", 0, tmp_path / "whole")
    on_log = JournalCallback.on_log

    def stop_at_step_3(self, args, state, control, logs, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt
        on_log(self, args, state, control, logs, **kwargs)

    with monkeypatch.context() as stopping:
        stopping.setattr(JournalCallback, "on_log", stop_at_step_3)
        with pytest.raises(KeyboardInterrupt):
            teacher().fit(SCORES, DEV, "score", 0, tmp_path / "stopped")
    (folder,) = (tmp_path / "stopped").glob("cross_encoders/*/seed-1")
    assert json.loads((folder / "result.json").read_text())["run"]["status"] == "KILLED"
    assert [path.name for path in folder.glob("checkpoints/checkpoint-*")] == ["checkpoint-2"]
    started = []
    train_on = cross_encoders.train_on
    monkeypatch.setattr(cross_encoders, "train_on", lambda *given: started.append(given[2].step) or train_on(*given))
    went_on = teacher().fit(SCORES, DEV, "score", 0, tmp_path / "stopped")
    assert started == [2]
    assert (went_on.label(PAIRS) == whole.label(PAIRS)).all()
    assert went_on.dev_scores == whole.dev_scores
    assert metrics_of(went_on) == metrics_of(whole)


def metrics_of(labeller):
    """All metrics of a training by step, but for its time."""
    lines = map(json.loads, (labeller.trainings[0] / "metrics.jsonl").read_text().splitlines())
    return {
        (line["step"], key): value
        for line in lines
        for key, value in line["metrics"].items()
        if not key.startswith("cost/")
    }


def test_zero_or_one_gives_a_probability_and_classes_one_of_each(tmp_path):
    binary = teacher().fit(rows([0, 1] * 6), rows([0, 1, 1, 0], 20), "binary", 0, tmp_path)
    assert binary.label(PAIRS).shape == (3, 1)
    assert set(binary.dev_scores) == {"average_precision", "accuracy"}
    classes = teacher().fit(rows([0, 1, 2] * 4), rows([0, 1, 2, 0], 20), "class", 3, tmp_path)
    assert classes.label(PAIRS).sum(axis=1) == pytest.approx(numpy.ones(3))
    assert set(classes.dev_scores) == {"f1_macro", "f1_micro"}


def test_several_seeds_are_averaged(tmp_path):
    one, other, both = (
        teacher(seeds=seeds, max_steps=2).fit(SCORES, None, "score", 0, tmp_path) for seeds in ([1], [2], [1, 2])
    )
    first, second = one.label(PAIRS), other.label(PAIRS)
    assert (first != second).any()
    assert both.label(PAIRS) == pytest.approx((first + second) / 2)


def test_without_dev_rows_the_last_state_is_kept_and_nothing_is_said_of_it(tmp_path):
    labeller = teacher(max_steps=2).fit(SCORES, None, "score", 0, tmp_path)
    assert labeller.dev_scores == {}
    assert labeller.label(PAIRS).shape == (3, 1)


def test_without_a_cache_it_is_trained_in_a_folder_that_goes():
    (folder,) = teacher(max_steps=1).fit(SCORES, None, "score", 0, None).trainings
    assert folder.is_relative_to(cross_encoders._folder().name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("static",), r"teacher\.model=static has no transformer\. .*\nhint: type teacher\.model=minilm"),
        (("minilm_l4",), r"teacher\.model=minilm_l4 is not known\..*Did you mean"),
        (
            ("tiny", []),
            r"teacher\.seeds=\[\] was given\. Expected different whole numbers\.\nhint: type teacher\.seeds=\[42\]",
        ),
        (("tiny", [1, 1]), r"teacher\.seeds=\[1,1\] was given\. Expected different"),
    ],
)
def test_what_cannot_be_a_teacher_is_refused_before_anything_is_loaded(given, message):
    with pytest.raises(ConfigError, match=message):
        teacher(*given)


def test_numbers_that_no_teacher_can_have_are_reported_together():
    with pytest.raises(ConfigError) as refusal:
        CrossEncoderTeacher("tiny", TRAINER, [1], "x", 0)
    batch_size, max_tokens = map(str, refusal.value.problems)
    assert batch_size.startswith("teacher.batch_size=0 was given. Expected a whole number of at least 1.")
    assert max_tokens.endswith("\nhint: type teacher.max_tokens=null")


def test_a_value_that_the_trainer_does_not_take_is_refused():
    with pytest.raises(
        ConfigError, match=r"(?s)eval_strategy=stepz was given.*type teacher\.trainer\.eval_strategy=steps"
    ):
        teacher(eval_strategy="stepz")


def test_an_argument_that_the_trainer_does_not_take_is_refused():
    with pytest.raises(ConfigError, match=r"learning_rat=\S+ is no argument of .*Did you mean 'learning_rate'"):
        teacher(learning_rat=1)
