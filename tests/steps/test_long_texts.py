"""Texts of 100 kB that no person wrote: what is done to a text is linear in its length.

The time has one bound, which work that grows with the square of the length exceeds many times over.
"""

import time

import pytest

from embexp.exports.delivery import without_folders
from embexp.steps.augment.text_changes import sentences_of, without_sentence
from embexp.steps.text_repair import cleaner
from embexp.steps.word_tokenizer import Terms, text_of, words_of

CHARS = 100_000
SECONDS = 4.0
HOSTILE = {
    "comments without end": "<!--",
    "document types without end": "<!doctype ",
    "tags without end": "<b <p ",
    "scripts without end": "<script>",
    "quoted attributes without end": "<a href='>",
    "ends of comments": "-->",
    "entities": "&#x&a",
    "dots": ".",
    "dots and brackets": ".).",
    "spaced dots": ". ",
    "marks in Chinese": "？！",
    "spaces": " \t\u3000",
    "brackets": "([{",
    "quotes": "'\"”",
    "one character of Chinese": "我",
    "Chinese and English": "我a银.b行",
    "joiners": "\u200d\u200c",
    "letters in a wrong encoding": "Ã©â€",
    "folders": "/a",
}


def cleaned(text: str) -> str:
    return cleaner(unicode="NFC", control=True, html=True, whitespace=True, mojibake=True)(text)


def cropped(text: str) -> str:
    return without_sentence(text, len(sentences_of(text)) // 2) if text.strip() else text


def split_into_words(text: str) -> str:
    Terms("english").numbers_of(text)
    return text_of(words_of(text))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_done_to_a_text_is_linear_in_its_length(name):
    text = HOSTILE[name] * (CHARS // len(HOSTILE[name]))
    start = time.process_time()
    for work in (cleaned, cropped, split_into_words, without_folders):
        work(f"a{text}")
        took = time.process_time() - start
        assert took < SECONDS, f"{work.__name__} of {name}: {took:.1f} s"


@pytest.mark.parametrize(
    ("text", "cleaned_text"),
    [
        ("a <!-- no end", "a <!-- no end"),
        ("a <!-- one --> b <!-- no end", "a b <!-- no end"),
        ("a <!doctype html> b", "a b"),
        ("a <!doctype html", "a <!doctype html"),
        ("a <!doctypes> b <!--> c", "a <!doctypes> b <!--> c"),
    ],
)
def test_comments_and_document_types_without_an_end_are_text(text, cleaned_text):
    assert cleaned(text) == cleaned_text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("... a", ["...", "a"]),
        ("a...b c?! d", ["a...b c?!", "d"]),
        (".", ["."]),
        ("a.)b.) c", ["a.)b.)", "c"]),
        ("真的？！」是。ok\nnew", ["真的？！」", "是。", "ok", "new"]),
    ],
)
def test_a_run_of_stops_ends_a_sentence_where_it_did(text, sentences):
    assert sentences_of(text) == sentences


def test_a_long_run_of_chinese_is_segmented_as_a_short_one():
    assert [word.core for word in words_of("我在银行工作" * 1_000)] == ["我", "在", "银行", "工作"] * 1_000
