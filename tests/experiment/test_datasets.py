"""The builder of data sets: what the results of its steps are kept under."""

import pytest

from embexp.config.compose import compose, resolve
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
