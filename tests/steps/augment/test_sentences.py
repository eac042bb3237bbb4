"""Sentences separated and put into another order."""

from itertools import permutations
from random import Random

import pytest

from embexp.steps.augment.text_changes import SentenceShuffle, sentences_of


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rose 3.5 %. Why? Nobody knows!", ["It rose 3.5 %.", "Why?", "Nobody knows!"]),
        ("他问：“为什么？”没人知道。真的……", ["他问：“为什么？”", "没人知道。", "真的……"]),
        ("a line\nanother line. and more", ["a line", "another line.", "and more"]),
        ('"Yes." (No.) end', ['"Yes."', "(No.)", "end"]),
        ("see example.com now", ["see example.com now"]),
        ("Wait... what?! ok", ["Wait...", "what?!", "ok"]),
    ],
)
def test_sentences_are_distinguished(text, sentences):
    assert sentences_of(text) == sentences


def test_every_order_comes_and_what_stands_between_stays():
    made = {SentenceShuffle(3)("A.  B. 丙。丁", Random(seed)) for seed in range(300)}
    assert made == {"{}  {} {}{}".format(*order) for order in permutations(["A.", "B.", "丙。", "丁"])}


def test_short_texts_stay():
    assert SentenceShuffle(3)("One. Two.", Random(1)) == "One. Two."
    assert {SentenceShuffle(0)("One. Two.", Random(seed)) for seed in range(20)} == {"One. Two.", "Two. One."}
    assert SentenceShuffle(0)("One", Random(1)) == "One"
