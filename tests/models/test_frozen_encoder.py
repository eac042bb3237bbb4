"""An encoder by the name of its model: the vectors of that model, loaded late."""

import numpy
import pytest

from embexp.config.compose import compose, instantiate
from embexp.errors import ConfigError
from embexp.models.encoding import FrozenEncoder
from embexp.models.scratch import ScratchModel

TEXTS = ["a bond", "the market rose", "a bond"]


def test_a_folder_is_loaded_when_texts_come_and_gives_its_vectors(tmp_path):
    model = ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(lambda: TEXTS, tmp_path / "work")
    model.save_pretrained(str(tmp_path / "saved"))
    encoder = FrozenEncoder(str(tmp_path / "saved"))
    vectors = encoder.encode(TEXTS, "query: ")
    numpy.testing.assert_allclose(vectors, model.encode(TEXTS, prompt="query: "), atol=1e-5)
    assert (vectors[0] == vectors[2]).all()


def test_an_option_of_the_group_model_is_found_without_being_loaded():
    assert FrozenEncoder("minilm").model == instantiate(compose(["model=minilm"]).model)


def test_a_model_that_knows_nothing_and_a_name_that_nobody_has_are_refused():
    with pytest.raises(ConfigError, match=r"encoder\.model=tiny has random weights"):
        FrozenEncoder("tiny")
    with pytest.raises(ConfigError, match=r"encoder\.model=minillm is not known.*Did you mean 'minilm'"):
        FrozenEncoder("minillm")
