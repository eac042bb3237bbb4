"""Which pairs are sampled: by hand-made retrievers, at random, from a file, and which are never made."""

import numpy
import pytest
from silver_pairs import scored

from embexp.data.arrow import select_rows
from embexp.errors import ConfigError, DataError
from embexp.steps.negatives.candidates import RandomRetriever, _best_first
from embexp.steps.silver.sampling import RemainingPairs, RetrievedPairs, make_pair_pool

GOLD = scored(("a", "b", 1.0), ("c", "d", 0.0))


class InOrder:
    """Finds for each text all documents in their order, the text itself among them."""

    has_scores = True

    def search(self, pool, k):
        shape = (len(pool.queries), len(pool.documents))
        places = numpy.broadcast_to(numpy.arange(shape[1]), shape)
        return _best_first(-places.astype(float), places, k)


def pool_of(dataset, num_gold=None):
    rows = dataset.splits["train"]
    is_gold = numpy.arange(rows.num_rows) < (num_gold or rows.num_rows)
    return make_pair_pool(dataset, select_rows(rows, is_gold), select_rows(rows, ~is_gold))


def sampled(dataset=GOLD, pairs_per_text=1, across=False, **retrievers):
    return RetrievedPairs(retrievers or {"order": InOrder()}, pairs_per_text, across).sample(pool_of(dataset))


def test_each_text_gets_its_best_text_that_it_does_not_stand_with():
    """Texts a, c, b, d: a stands with b and c with d, so that a gets c, c gets a, b gets c and d gets a."""
    assert sampled() == [("a", "c"), ("c", "a"), ("b", "c"), ("d", "a")]


def test_the_best_of_all_texts_come_before_the_second_best():
    assert sampled(pairs_per_text=2)[4:] == [("a", "d"), ("c", "b"), ("b", "d"), ("d", "b")]


def test_across_pairs_first_texts_with_second_ones():
    assert sampled(across=True) == [("a", "d"), ("c", "b")]


def test_several_retrievers_find_as_many_pairs_each():
    found = sampled(one=InOrder(), none=None, two=InOrder())
    assert sorted(found) == sorted(2 * sampled())


def test_random_sampling_finds_pairs_that_may_be_made_and_others_by_another_seed():
    rows = scored(*((f"first {number}", f"second {number}", 0.5) for number in range(20)))
    one, same, other = (sampled(rows, random=RandomRetriever(seed)) for seed in (1, 1, 2))
    assert len(one) == 40
    assert one == same != other
    assert len(pool_of(rows).free_pairs(one)[0]) + pool_of(rows).free_pairs(one)[1]["there before"] == 40


def test_no_pair_of_gold_dev_or_test_is_made_in_either_order_nor_one_twice():
    dataset = scored(("a", "b", 1.0), dev=[("c", "d", 0.5)], test=[("e", "f", 0.5)])
    wanted = [("A!", "b"), ("b", "a"), ("d", "c"), ("f", "e"), ("a", "A"), ("a", "c"), ("C", "a"), ("a", "c")]
    kept, reasons = pool_of(dataset).free_pairs(wanted)
    assert kept == [("a", "c")]
    assert reasons == {"in gold, dev or test": 4, "of one text": 1, "there before": 2}


def test_what_is_not_gold_remains_without_its_label():
    assert RemainingPairs(None, ("sentence1", "sentence2")).sample(pool_of(GOLD, 1)) == [("c", "d")]
    with pytest.raises(ConfigError, match=r"all rows are(.|\n)*type dataset\.steps\.silver\.gold_share=0\.2"):
        RemainingPairs(None, ("sentence1", "sentence2")).sample(pool_of(GOLD))


def test_pairs_of_a_file_are_read_by_the_columns_that_are_named(tmp_path):
    (tmp_path / "pairs.csv").write_text("left,right,score\nx,y,1\nz,w,0\n")
    path = str(tmp_path / "pairs.csv")
    assert RemainingPairs(path, ("left", "right")).sample(pool_of(GOLD)) == [("x", "y"), ("z", "w")]
    with pytest.raises(
        DataError, match=r"has no column sentence1, (.|\n)*type 'dataset\.steps\.silver\.sampler\.columns="
    ):
        RemainingPairs(path, ("sentence1", "sentence2")).sample(pool_of(GOLD))
    with pytest.raises(
        ConfigError, match=r"silver\.sampler\.columns=\[left\] was given\. Expected the columns of two texts"
    ):
        RemainingPairs(path, ["left"]).sample(pool_of(GOLD))


def test_no_pairs_are_refused():
    with pytest.raises(
        ConfigError, match=r"silver\.sampler\.pairs_per_text=0 was given\. Expected a whole number of at least 1"
    ):
        sampled(pairs_per_text=0)
