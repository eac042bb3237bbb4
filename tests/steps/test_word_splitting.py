"""Words of English, Chinese and mixed texts, which give the text again."""

import pytest
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


@pytest.mark.parametrize(
    "words",  # as jieba 0.42.1 has them
    [
        "武汉市/长江大桥/位于/武汉/蛇山/和/龟山/之间",
        "小明/硕士/毕业/于/中国科学院/计算所",
        "他/来到/了/网易/杭研/大厦",
        "工信处/女干事/每月/经过/下属/科室/都/要/亲口/交代",
        "㐀/㐁/银行/𠮷/野家飯/笠/鿕/鿖/〇/们",
        "臺/灣大學/的/學生",
    ],
)
def test_words_of_chinese_are_those_of_jieba(words):
    assert cores(words.replace("/", "")) == words.split("/")


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
