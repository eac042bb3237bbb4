"""Words of English, Chinese and mixed texts, which give the text again."""

from hypothesis import given
from hypothesis import strategies as st

from embexp.steps.word_tokenizer import text_of, words_of

LETTERS = st.sampled_from("ab Ä我在银行工作ア。，.,-('\"…»1\n\u2028µ々\u3000𠮷")
TEXTS = st.text(LETTERS, max_size=30) | st.text(max_size=30)


def cores(text):
    return [word.core for word in words_of(text)]


def test_words_of_english_stand_between_spaces_and_signs():
    assert cores("Don't re-use it, (e.g.) 3.5 % — a/b!") == ["Don't", "re-use", "it", "e.g", "3.5", "", "", "a/b"]


def test_words_of_chinese_come_from_a_segmenter_and_kana_are_single():
    assert cores("什么是市盈率？如何使用它！") == ["什么", "是", "市盈率", "如何", "使用", "它"]
    assert cores("カメラ、T恤") == ["カ", "メ", "ラ", "T", "恤"]
    assert "".join(cores("人々。")) == "人々"


def test_words_of_mixed_texts():
    assert cores("央行raised利率，由3.5%到4%") == ["央行", "raised", "利率", "由", "3.5", "到", "4"]


def test_signs_go_with_the_word_that_they_stand_at():
    assert words_of('"Yes," (he) said。好') == [
        ('"', "Yes", '," '),
        ("(", "he", ") "),
        ("", "said", "。"),
        ("", "好", ""),
    ]


@given(TEXTS)
def test_words_give_the_text_again(text):
    words = words_of(text)
    assert text_of(words) == text.strip()
    assert all(any(word) for word in words)
    assert not any(character.isspace() for word in words for character in word.core)
