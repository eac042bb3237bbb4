"""Keys of texts, rows and lists: the same for what is the same, different for what is not, in every process."""

import subprocess
import sys

import numpy
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.steps.dedup.row_keys import comparable, joined_keys, list_keys, pair_keys, text_keys


def keys_of_lists(lists):
    items = pyarrow.array([item for items in lists for item in items], pyarrow.string())
    return list_keys(text_keys(items), numpy.array([len(items) for items in lists], dtype="int64"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man, a plan.", "amanaplan"),
        ("Ｆｕｌｌ　ｗｉｄｔｈ１", "fullwidth1"),
        ("I´m don’t_know", "imdontknow"),  # NFKD makes a space and a mark of the accent
        ("Cafe\u0301 CAFÉ", "cafe\u0301cafe\u0301"),
        ("कि की", "किकी"),  # vowel signs are marks, and tell words apart
        ("什么？！", "什么"),
        ("❤️ ok", "ok"),
        ("?!", "?!"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_people_would_call_the_same_text(text, expected):
    assert comparable(pyarrow.array([text], pyarrow.string())).to_pylist() == [expected]


def test_columns_of_nothing():
    nothing = pyarrow.array([], pyarrow.null())
    assert len(text_keys(comparable(nothing))) == 0
    assert len(list_keys(text_keys(nothing), numpy.zeros(0, int))) == 0
    assert len(set(keys_of_lists([[], [""], ["", ""]]).tolist())) == 3


def test_keys_are_the_same_in_another_process():
    code = (
        "import pyarrow; from embexp.steps.dedup.row_keys import text_keys; "
        "print(text_keys(pyarrow.array(['a', '你']))[1])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(other) == int(text_keys(pyarrow.array(["你"]))[0])


LISTS = st.lists(st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4), max_size=12)


@settings(max_examples=100, deadline=None, database=None)
@given(LISTS)
def test_lists_have_the_same_key_only_when_they_are_the_same(lists):
    keys = keys_of_lists(lists)
    assert len(set(keys.tolist())) == len({tuple(items) for items in lists})
    assert keys.tolist() == [int(keys_of_lists([items])[0]) for items in lists]


def test_a_hundred_thousand_pairs_have_as_many_keys():
    numbers = numpy.arange(400, dtype="uint64")
    first, second = (side.ravel() for side in numpy.meshgrid(numbers, numbers))
    assert len(numpy.unique(joined_keys(first, second))) == 400 * 400
    assert len(numpy.unique(pair_keys(first, second))) == 400 * 401 // 2
