"""Embeddings kept on disk: the same ones, for the same model and texts only."""

import copy
import logging

import numpy
import pytest

from embexp.models.encoding import DiskCachedEncoder, ModelEncoder, model_fingerprint
from embexp.models.scratch import ScratchModel

TEXTS = ["a bond", "the market rose", "a bond", "bank"]


class CountingEncoder:
    """Vectors of the texts' lengths; remembers how many texts it was asked for."""

    def __init__(self):
        self.asked = []

    def encode(self, texts, prompt=None):
        self.asked.append(len(texts))
        return numpy.array([[len(text), len(prompt or "")] for text in texts], dtype="float32")


@pytest.fixture
def model(tmp_path):
    import torch

    torch.manual_seed(0)
    model = ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(lambda: TEXTS, tmp_path)
    model.save_pretrained(str(tmp_path / "saved"))
    return model


def test_vectors_come_from_the_folder_the_second_time_in_the_order_of_the_texts(tmp_path):
    encoder = CountingEncoder()
    first = DiskCachedEncoder(encoder, tmp_path, "model").encode(TEXTS, "x")
    again = DiskCachedEncoder(encoder, tmp_path, "model").encode(TEXTS, "x")
    assert encoder.asked == [3]
    assert numpy.array_equal(first, again)
    assert again[:, 0].tolist() == [6, 15, 6, 4]
    assert again.dtype == numpy.float32


@pytest.mark.parametrize(
    ("key", "texts", "prompt"), [("other", TEXTS, "x"), ("model", TEXTS[:2], "x"), ("model", TEXTS, None)]
)
def test_another_model_other_texts_or_another_prompt_are_encoded_anew(key, texts, prompt, tmp_path):
    encoder = CountingEncoder()
    DiskCachedEncoder(encoder, tmp_path, "model").encode(TEXTS, "x")
    DiskCachedEncoder(encoder, tmp_path, key).encode(texts, prompt)
    assert len(encoder.asked) == 2


def test_texts_that_join_alike_are_distinguished(tmp_path):
    encoder = DiskCachedEncoder(CountingEncoder(), tmp_path, "model")
    assert encoder.encode(["ab", "c"])[0, 0] != encoder.encode(["a", "bc"])[0, 0]


def test_a_folder_that_cannot_be_written_is_reported_and_nothing_is_lost(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        vectors = DiskCachedEncoder(CountingEncoder(), tmp_path / "file" / "cache", "model").encode(TEXTS)
    assert len(vectors) == 4
    assert "were not kept" in caplog.text


def test_a_file_that_was_being_written_is_not_taken(tmp_path):
    encoder = CountingEncoder()
    DiskCachedEncoder(encoder, tmp_path, "model").encode(TEXTS)
    (file,) = tmp_path.glob("*.npy")
    file.rename(file.with_suffix(".4711"))
    DiskCachedEncoder(encoder, tmp_path, "model").encode(TEXTS)
    assert encoder.asked == [3, 3]


def test_the_key_of_a_model_changes_with_all_that_its_embeddings_depend_on(model, tmp_path):
    import torch

    folder = tmp_path / "saved"
    keys = [model_fingerprint(model, folder, {"pooling": None})]
    assert model_fingerprint(copy.deepcopy(model), folder, {"pooling": None}) == keys[0]
    keys.append(model_fingerprint(model, folder, {"pooling": "cls"}))
    changed = copy.deepcopy(model)
    with torch.no_grad():
        next(changed.parameters()).view(-1)[0] += 1e-6
    keys.append(model_fingerprint(changed, folder, {"pooling": None}))
    changed = copy.deepcopy(model)
    changed.max_seq_length = 8
    keys.append(model_fingerprint(changed, folder, {"pooling": None}))
    changed = copy.deepcopy(model)
    changed.prompts, changed.default_prompt_name = {"query": "query: "}, "query"
    keys.append(model_fingerprint(changed, folder, {"pooling": None}))
    keys.append(model_fingerprint(copy.deepcopy(model).bfloat16(), folder, {"pooling": None}))
    del model.transformers_model.forward  # packed until now
    keys.append(model_fingerprint(model, folder, {"pooling": None}))
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    keys.append(model_fingerprint(model, folder, {"pooling": None}))
    assert len(set(keys)) == len(keys)


def test_cached_vectors_are_those_of_the_model_to_the_bit(model, tmp_path):
    encoder = ModelEncoder(model)
    cached = DiskCachedEncoder(encoder, tmp_path / "cache", "model")
    assert numpy.array_equal(cached.encode(TEXTS), encoder.encode(TEXTS))
    assert numpy.array_equal(cached.encode(TEXTS), encoder.encode(TEXTS))
