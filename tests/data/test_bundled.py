"""The bundled corpora: their size, their splits without leaks, their grades and their labels."""

from collections import defaultdict
from itertools import combinations

import pytest

from embexp.data.bundled import NLI_LABELS, _concepts_of, read_bundled

CORPORA = ("finance_en", "finance_zh")
SHAPES = ("ranked", "scored_pair", "class_pair", "labelled_text", "text")


@pytest.mark.parametrize(("corpus", "least"), [("finance_en", 120), ("finance_zh", 60)])
def test_a_corpus_has_enough_concepts_each_once(corpus, least):
    names = [concept["concept"] for concept in _concepts_of(corpus)]
    assert len(names) == len(set(names)) >= least


@pytest.mark.parametrize("corpus", CORPORA)
def test_lookalikes_are_other_concepts_of_the_corpus(corpus):
    names = {concept["concept"] for concept in _concepts_of(corpus)}
    for concept in _concepts_of(corpus):
        assert concept["lookalikes"], concept["concept"]
        assert set(concept["lookalikes"]) <= names - {concept["concept"]}, concept["concept"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_no_text_is_in_two_splits_whatever_the_shapes(corpus):
    splits_of_text = defaultdict(set)
    for shape in SHAPES:
        dataset = read_bundled("finance", shape, corpus)
        assert list(dataset.splits) == ["train", "dev", "test"]
        for split in dataset.splits:
            for text in dataset.texts(split):
                splits_of_text[text].add(split)
    assert len(splits_of_text) > 1000
    assert [text for text, splits in splits_of_text.items() if len(splits) > 1] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_reading_twice_gives_the_same_rows(shape):
    first, second = (read_bundled("finance", shape, "finance_en") for _ in range(2))
    assert first.num_rows > 0
    assert first.fingerprints() == second.fingerprints()


@pytest.fixture(scope="module")
def graded():
    """The scores of the English train pairs by their two texts, and the concept that is looked at."""
    rows = read_bundled("finance", "scored_pair", "finance_en").splits["train"]
    scores = dict(zip(zip(rows["sentence1"], rows["sentence2"], strict=True), rows["score"], strict=True))
    return scores, next(concept for concept in _concepts_of("finance_en") if concept["concept"] == "pe_ratio")


def test_pairs_scored_by_hand_are_rescaled_from_five_to_one(graded):
    scores, concept = graded
    assert [pair["score"] for pair in concept["pairs"]] == [4.5, 1.5]
    assert [scores[pair["sentence1"], pair["sentence2"]] for pair in concept["pairs"]] == [0.9, 0.3]


def test_texts_of_one_intent_score_1(graded):
    scores, concept = graded
    for intent in ("definition", "use", "risk"):
        texts = [*concept["questions"][intent], concept["answers"][intent][0]]
        assert [scores[pair] for pair in combinations(texts, 2)] == [1.0] * 6


WHAT_IT_TELLS = "What does the price-to-earnings ratio tell me about a share?"


@pytest.mark.parametrize(
    ("other", "score"),
    [
        ("When does a low price-to-earnings ratio mislead an investor?", 0.6),  # another intent of the concept
        ("I'd like to understand the price-to-cash-flow ratio; what is it?", 0.3),  # another concept of the family
        ("In the bond world, what does duration measure?", 0.0),  # another family
    ],
)
def test_texts_that_share_less_score_less(graded, other, score):
    scores, _ = graded
    assert score in (scores.get((WHAT_IT_TELLS, other)), scores.get((other, WHAT_IT_TELLS)))


def test_no_pair_has_two_grades():
    rows = [row for split in read_bundled("f", "scored_pair", "finance_en").splits.values() for row in split]
    grades = defaultdict(set)
    for row in rows:
        grades[frozenset((row["sentence1"], row["sentence2"]))].add(row["score"])
    assert {score for scores in grades.values() for score in scores} >= {0.0, 0.3, 0.6, 1.0}
    assert [pair for pair, scores in grades.items() if len(scores) > 1] == []


@pytest.mark.parametrize("corpus", CORPORA)
def test_positives_are_the_answers_and_other_wordings_and_never_negatives(corpus):
    concepts = _concepts_of(corpus)
    intents = {
        text: {*concept["questions"][intent], *concept["answers"][intent]}
        for concept in concepts
        for intent, wordings in concept["questions"].items()
        for text in wordings
    }
    dataset = read_bundled("finance", "ranked", corpus)
    assert dataset.num_rows == 3 * len(concepts)
    for row in (row for split in dataset.splits.values() for row in split):
        assert {row["query"], *row["positives"]} == intents[row["query"]]
        assert row["query"] not in row["positives"]
        assert not intents[row["query"]] & set(row["negatives"])


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_family_is_a_label_and_occurs_in_every_split(corpus):
    dataset = read_bundled("finance", "labelled_text", corpus)
    assert set(dataset.label_names) == {concept["family"] for concept in _concepts_of(corpus)}
    for rows in dataset.splits.values():
        assert set(rows["label"]) == set(range(len(dataset.label_names)))


def test_a_text_has_the_label_of_its_family():
    dataset = read_bundled("finance", "labelled_text", "finance_en")
    rows = dataset.splits["train"]
    label = rows["label"][rows["text"][:].index(WHAT_IT_TELLS)]
    assert dataset.label_names[label] == "valuation_ratios"


@pytest.mark.parametrize("corpus", CORPORA)
def test_class_pairs_are_the_three_hypotheses_of_each_premise(corpus):
    dataset = read_bundled("finance", "class_pair", corpus)
    assert dataset.label_names == NLI_LABELS == ("entailment", "neutral", "contradiction")
    pairs = {
        (row["sentence1"], row["sentence2"], dataset.label_names[row["label"]])
        for split in dataset.splits.values()
        for row in split
    }
    nlis = [concept["nli"] for concept in _concepts_of(corpus)]
    assert pairs == {(nli["premise"], nli[name], name) for nli in nlis for name in NLI_LABELS}
    assert dataset.num_rows == len(pairs) == 3 * len(nlis)
