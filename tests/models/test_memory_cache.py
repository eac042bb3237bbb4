"""Texts that were encoded before are not encoded again, whoever asks."""

import numpy

from embexp.models.encoding import MemoryCachedEncoder


class Counting:
    """Gives each text its length after the prompt, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], str | None]] = []

    def encode(self, texts, prompt=None):
        self.asked.append((list(texts), prompt))
        return numpy.array([[len((prompt or "") + text)] for text in texts], dtype="float32")


def test_each_distinct_text_is_encoded_once_after_each_prompt():
    encoder = Counting()
    memory = MemoryCachedEncoder(encoder)
    assert memory.encode(["aa", "b", "aa"]).ravel().tolist() == [2, 1, 2]
    assert memory.encode(["ccc", "b", "aa"]).ravel().tolist() == [3, 1, 2]
    assert memory.encode(["b"], "query: ").ravel().tolist() == [8]
    assert memory.encode(["b", "b"], "query: ").ravel().tolist() == [8, 8]
    assert encoder.asked == [(["aa", "b"], None), (["ccc"], None), (["b"], "query: ")]
