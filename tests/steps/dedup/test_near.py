"""NearIndex: what is found is exactly near, nothing clearly near is missed, and the seed decides nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embexp.steps.dedup.near import NearIndex, _bands_for, _similarity, ngrams


def test_similarity_is_that_of_the_least_similar_text():
    assert _similarity(("abcde", "same"), ("abcdf", "same"), 3) == 2 / 4
    assert _similarity(("abc",), ("xyz",), 3) == 0.0
    assert _similarity(("ab",), ("ab",), 3) == 1.0


def test_ngrams_of_short_texts():
    assert ngrams("", 3) == {""}
    assert ngrams("你好", 3) == {"你好"}
    assert ngrams("你好吗", 2) == {"你好", "好吗"}


def test_the_first_near_document_is_found():
    index = NearIndex(0.5)
    for text in ("abcdefgh", "zzzzzzzz", "abcdefghi"):
        index.add((text,))
    assert index.find(("abcdefgh",)) == 0
    assert index.find(("abcdefghi",)) == 0
    assert index.find(("qrstuvw",)) is None
    assert index.find_or_add(("qrstuvw",)) is None
    assert index.find_or_add(("qrstuvw",)) == 3


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("num_perm", [16, 100, 128])
def test_bands_fit_the_hashes(threshold, num_perm):
    bands, rows = _bands_for(threshold, num_perm)
    assert 1 <= bands * rows <= num_perm


TEXTS = st.text("ab你c", min_size=1, max_size=40)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(TEXTS, min_size=1, max_size=10), TEXTS, st.sampled_from([0.3, 0.8, 1.0]), st.integers(0, 3))
def test_what_is_found_is_near_and_the_same_text_is_always_found(texts, wanted, threshold, seed):
    index = NearIndex(threshold, seed=seed)
    for text in texts:
        index.add((text,))
    place = index.find((wanted,))
    if place is not None:
        assert _similarity((texts[place],), (wanted,), 3) >= threshold
    assert wanted not in texts or place is not None


def test_pairs_well_above_the_threshold_are_all_found():
    base = [f"{number:04d}" + "the annual report of the company says that revenue grew" for number in range(200)]
    near = [text[:-1] for text in base]
    index = NearIndex(0.8)
    for text in base:
        index.add((text,))
    assert all(index.find((text,)) is not None for text in near)
