"""Deletion, swap, mask and crop on English and Chinese, their shares counted over many words."""

from random import Random

import pytest

from embexp.errors import ConfigError
from embexp.steps.augment.text_changes import Crop, Deletion, Mask, Swap, change_text
from embexp.steps.word_tokenizer import words_of

ENGLISH = "the bank raised its rate again."
CHINESE = "中央银行今年再次提高了基准利率。"
CHINESE_WORDS = ["中央银行", "今年", "再次", "提高", "了", "基准利率"]
LONG = " ".join(f"w{number}" for number in range(10_000))


def cores(text):
    return [word.core for word in words_of(text)]


def made(change, text, seeds=20):
    return [change(text, Random(seed)) for seed in range(seeds)]


def is_part_in_order(part, whole):
    left = iter(whole)
    return all(word in left for word in part)


def test_the_chinese_words_are_these():
    assert cores(CHINESE) == CHINESE_WORDS


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_deletion_leaves_some_words_in_their_order(text):
    texts = made(Deletion(0.6), text)
    assert all(cores(text) != [] and is_part_in_order(cores(each), cores(text)) for each in texts)
    assert min(len(cores(each)) for each in texts) == 1
    assert len(set(texts)) > 10


def test_deletion_takes_the_share_and_does_not_leave_it():
    """TSDAE deletes 0.6 of the words and keeps 0.4; scripts that have it the wrong way round keep 0.6."""
    assert len(cores(Deletion(0.6)(LONG, Random(1)))) == pytest.approx(4000, abs=150)
    assert len(cores(Deletion(0.1)(LONG, Random(1)))) == pytest.approx(9000, abs=100)


def test_one_word_stays_when_all_would_go():
    assert set(made(Deletion(0.999), "one two")) == {"one", "two"}
    assert set(made(Deletion(0.999), CHINESE)) <= {*CHINESE_WORDS[:-1], "基准利率。"}


def test_swap_moves_words_and_leaves_signs_in_place():
    assert set(made(Swap(0.1), "(one) two.")) == {"(two) one."}
    assert set(made(Swap(0.1), "利率，提高。")) == {"提高，利率。"}
    assert set(made(Swap(0.9), "one two three")) == {"three one two"}


def test_swap_moves_exactly_the_share():
    moved = cores(Swap(0.1)(LONG, Random(1)))
    assert sorted(moved) == sorted(cores(LONG))
    assert sum(one != other for one, other in zip(moved, cores(LONG), strict=True)) == 1000


@pytest.mark.parametrize("text", ["one", "one!", "利率", "— …"])
def test_a_text_of_one_word_is_not_swapped(text):
    assert made(Swap(0.5), text, 3) == [text] * 3


def test_mask_puts_the_token_in_the_place_of_words_and_leaves_signs():
    assert set(made(Mask(0.999, "<mask>"), "Yes, (he) 提高！")) == {"<mask>, (<mask>) <mask>！"}
    assert cores(Mask(0.6, "MASK")(LONG, Random(1))).count("MASK") == pytest.approx(6000, abs=150)
    assert Mask(0.6, "MASK")("— …", Random(1)) == "— …"


def test_crop_keeps_words_that_stood_together():
    assert set(made(Crop(0.5), "a b c d")) == {"a b", "b c", "c d"}
    assert set(made(Crop(0.1), "利率提高。")) == {"利率", "提高。"}
    assert made(Crop(0.9), "one", 2) == ["one", "one"]
    assert len(cores(Crop(0.2)(LONG, Random(1)))) == 8000


@pytest.mark.parametrize("change", [Deletion(0), Swap(0), Mask(0, "X"), Crop(0)], ids=repr)
def test_a_share_of_nothing_changes_nothing(change):
    assert [change(text, Random(1)) for text in (ENGLISH, CHINESE)] == [ENGLISH, CHINESE]


@pytest.mark.parametrize("share", [1, 1.5, -0.1, True, "half", None, float("nan")])
@pytest.mark.parametrize("change", [Deletion, Swap, Crop, lambda share: Mask(share, "X")])
def test_a_share_that_is_none_is_refused(change, share):
    with pytest.raises(
        ConfigError, match=r"share=.* was given\. Expected a number of at least 0 and below 1\.\nhint: type share=0\.1"
    ):
        change(share)


def test_seed_and_text_alone_decide():
    assert change_text(LONG, Deletion(0.5), 1) == change_text(LONG, Deletion(0.5), 1)
    assert change_text(LONG, Deletion(0.5), 1) != change_text(LONG, Deletion(0.5), 2)
