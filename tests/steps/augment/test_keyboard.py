"""Typing errors: near keys, one an affected word, in words that have letters enough."""

from random import Random

import pytest

from embexp.errors import ConfigError
from embexp.steps.augment.text_changes import NEIGHBOURS, KeyboardTypos

TEXT = "The central bank (in 2026) raised its interest rate."


def one_error(word, wrong):
    """Whether a word is another one with one typing error after its first letter."""
    if len(wrong) < len(word):
        return any(word[:place] + word[place + 1 :] == wrong for place in range(1, len(word)))
    if len(wrong) > len(word):
        return any(word[:place] + word[place] + word[place:] == wrong for place in range(1, len(word)))
    places = [place for place in range(len(word)) if word[place] != wrong[place]]
    if len(places) == 1:
        return places[0] > 0 and wrong[places[0]] in NEIGHBOURS[word[places[0]]]
    first, second = places
    return second == first + 1 and first > 0 and (wrong[first], wrong[second]) == (word[second], word[first])


def test_neighbours_touch_each_other():
    assert sorted(NEIGHBOURS["g"]) == list("bfhtvy")
    assert sorted(NEIGHBOURS["q"]) == list("aw")
    assert all(letter in NEIGHBOURS[other] for letter, near in NEIGHBOURS.items() for other in near)


def test_a_share_of_the_words_has_one_error_each():
    long_text = " ".join(["central"] * 1000)
    words = KeyboardTypos(0.1, 4)(long_text, Random(1)).split()
    wrong = [word for word in words if word != "central"]
    assert (len(words), len(wrong)) == (1000, 100)
    assert all(one_error("central", word) for word in wrong)
    assert {len(word) for word in wrong} == {6, 7, 8}


def test_short_words_numbers_and_signs_stay():
    made = {KeyboardTypos(0.9, 4)(TEXT, Random(seed)) for seed in range(30)}
    assert len(made) > 20
    for text in made:
        words = text.split()
        assert [words[place] for place in (0, 3, 4, 6)] == ["The", "(in", "2026)", "its"]
        assert words[-1].endswith(".")
        assert all(words[place] != TEXT.split()[place] for place in (1, 2, 5, 7, 8))


@pytest.mark.parametrize("text", ["利率提高了", "it is so", "Ärger über Öl", "aaaa"])
def test_texts_without_such_words_stay_and_equal_letters_do_not_hang(text):
    made = KeyboardTypos(0.5, 4)(text, Random(1))
    assert (made == text) == (text != "aaaa")


def test_capitals_stay_capitals():
    made = "".join(KeyboardTypos(0.9, 4)("BANK", Random(seed)) for seed in range(50))
    assert made.isupper()


def test_a_wrong_share_is_refused():
    with pytest.raises(ConfigError, match="share=2 was given"):
        KeyboardTypos(2, 4)
