"""Queries cut out of passages: which sentence is sampled, what is left, what stays out of which split."""

import functools

import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError

PASSAGES = ["Gold rose. Banks fell. Bonds held.", "利率上升了。债券下跌。", "Only one sentence here."]


def texts(*passages, **splits):
    rows = {"train": passages, **splits}
    return dataset_of("mine", "text", {split: {"text": list(some)} for split, some in rows.items()})


@functools.cache
def call():
    """The step as its YAML calls it."""
    return resolve(compose(["step=[crop_queries]"]))["dataset"]["steps"]["crop_queries"]


def cropped(dataset, **changes):
    return instantiate(call() | changes, dataset=dataset)


def pairs_of(dataset, split="train"):
    return [(row["anchor"], row["positive"]) for row in dataset.splits[split].to_list()]


def test_every_sentence_asks_for_the_rest_of_its_passage_in_both_languages():
    made = cropped(texts(*PASSAGES), per_text=3, removed=1.0)
    assert sorted(pairs_of(made)) == [
        ("Banks fell.", "Gold rose. Bonds held."),
        ("Bonds held.", "Gold rose. Banks fell."),
        ("Gold rose.", "Banks fell. Bonds held."),
        ("债券下跌。", "利率上升了。"),
        ("利率上升了。", "债券下跌。"),
    ]
    assert made.shape.name == "positive_pair"
    assert made.history[-1].reason == "5 queries made; left out: 1 passages of one sentence"
    rows = made.splits["train"].to_list()
    assert {row["made_by"] for row in rows} == {"cropped"}
    assert len({row["made_from"] for row in rows}) == 2


def test_a_sentence_stays_in_its_passage_as_often_as_configured():
    many = texts(*(f"Number {place} is here. It is not there." for place in range(1000)))
    kept = sum(anchor in positive for anchor, positive in pairs_of(cropped(many)))
    assert 70 < kept < 130  # 0.1 of 1,000; its standard deviation is 9.5
    assert all(anchor in positive for anchor, positive in pairs_of(cropped(many, removed=0)))


def test_passage_and_seed_alone_decide_which_sentence_is_drawn():
    one, other = cropped(texts(*PASSAGES)), cropped(texts(*PASSAGES[::-1]))
    assert sorted(pairs_of(one)) == sorted(pairs_of(other))
    several = {pairs_of(cropped(texts(PASSAGES[0]), seed=seed))[0][0] for seed in range(20)}
    assert several == {"Gold rose.", "Banks fell.", "Bonds held."}


def test_no_text_gets_into_two_splits():
    dataset = texts("Gold rose. Banks fell.", "Read the notice. Shares fell.", dev=["Read the notice. Oil held."])
    made = cropped(dataset, per_text=2, removed=1.0)
    assert sorted(pairs_of(made, "dev")) == [("Oil held.", "Read the notice."), ("Read the notice.", "Oil held.")]
    assert sorted(pairs_of(made)) == [("Banks fell.", "Gold rose."), ("Gold rose.", "Banks fell.")]
    assert "2 with a text of another split" in made.history[-1].reason
    assert list(made.splits) == ["train", "dev"]


def test_a_passage_that_says_one_thing_twice_asks_nothing():
    with pytest.raises(
        DataError, match=r"no row of train in mine .*1 sentences that repeat(.|\n)*step=\[generate_queries\]"
    ):
        cropped(texts("Gold rose. Gold rose."), removed=1.0)


def test_the_texts_of_any_data_are_passages():
    pairs = {"anchor": ["who?", "why?"], "positive": PASSAGES[:2]}
    made = cropped(dataset_of("mine", "positive_pair", {"train": pairs}))
    assert len(pairs_of(made)) == 2
    assert made.history[-1].rows_in == made.history[-2].rows_out == 4


def test_invalid_arguments_are_reported_together():
    with pytest.raises(
        ConfigError, match=r"queries\.per_text=0 was given(.|\n)*seed=-1 was given(.|\n)*removed=9 was given"
    ):
        cropped(texts(*PASSAGES), per_text=0, removed=9, seed=-1)
