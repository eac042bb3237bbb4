"""The builder of data sets: what the results of its steps are kept under."""

import pytest

from embexp.config.compose import compose, resolve
from embexp.data.row_checks import dataset_of
from embexp.experiment import datasets as dataset_steps
from embexp.experiment.datasets import DataBuilder
from embexp.steps.conversions.conversion import default_settings


@pytest.fixture
def made_from(tmp_path, caplog):
    """Whether teacher embeddings of the bundled texts come from the cache."""
    caplog.set_level("INFO")

    def build():
        caplog.clear()
        node = resolve(compose(["dataset=finance", "step=[teacher_embeddings]", ENCODER]))["dataset"]
        DataBuilder(default_settings(), tmp_path).read(node, "finance", "ranked")
        return any("taken from the cache" in message for message in caplog.messages)

    return build


ENCODER = "dataset.steps.teacher_embeddings.encoder.model=static"


def test_an_option_of_another_content_is_another_model(made_from, monkeypatch):
    assert [made_from(), made_from()] == [False, True]
    usual = dataset_steps.option_of
    monkeypatch.setattr(dataset_steps, "option_of", lambda group, name: usual(group, name) | {"max_seq_length": 8})
    assert not made_from()


@pytest.mark.parametrize("place", ["encoder.model", "scorer.path", "there.path"])
def test_a_model_of_the_hub_counts_by_its_files(monkeypatch, tmp_path, place):
    part, key = place.split(".")
    step = {"_target_": "embexp.steps.x", part: {key: "org/teacher"}, "source": "org/no-model"}
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(
        dataset_steps, "cached_snapshot", lambda name, revision: tmp_path if "teacher" in name else None
    )
    seen = [dataset_steps._with_models(step)]
    (tmp_path / "tokenizer.json").write_text("{}")
    seen.append(dataset_steps._with_models(step))
    assert [[*call["_fetched_"]] for call in seen] == [["org/teacher"]] * 2
    assert seen[0] != seen[1]


def test_a_step_that_has_fetched_its_model_need_not_be_done_again(monkeypatch, tmp_path, caplog):
    caplog.set_level("INFO")
    found = iter([{}, {"org/teacher": "hash"}])
    monkeypatch.setattr(dataset_steps, "_fetched_models", lambda step: next(found, {"org/teacher": "hash"}))
    step = resolve(compose(["dataset=finance", "step=[deduplicate]"]))["dataset"]["steps"]["deduplicate"]
    texts = dataset_of("toy", "text", {"train": {"text": ["a", "b"]}})
    for _ in range(2):
        DataBuilder(default_settings(), tmp_path)._stepped({"steps": {"deduplicate": step}}, texts)
    assert sum("taken from the cache" in message for message in caplog.messages) == 1
