"""Teacher scores: which text each one belongs to, each pair scored once, reports and errors."""

import numpy
import pytest
from plane_encoder import PlaneEncoder
from teachers import TableScorer

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError, ShapeError
from embexp.steps.conversions.conversion import default_settings
from embexp.steps.conversions.convert import convert_to
from embexp.steps.teacher_embeddings import CosineScorer
from embexp.steps.teacher_scores import score_by_teacher

TABLE = {("q", "good"): 0.75, ("q", "fine"): 0.5, ("q", "bad"): 0.25, ("q", "worse"): 0.625, ("r", "bad"): 1.0}
ROWS = {
    "query": ["q", "r", "s", "q"],
    "positives": [["good", "fine"], ["bad"], ["good"], ["good"]],
    "negatives": [["bad", "worse"], ["good"], [], ["bad"]],
}


def ranked(**splits):
    return dataset_of("mine", "ranked", {"train": ROWS, **splits})


def scored(dataset, scorer=None, **changes):
    arguments = {"splits": ["train"], "block_pairs": 3, "examples": 1, "conversion": default_settings()} | changes
    return score_by_teacher(dataset, scorer or TableScorer(TABLE), **arguments)


def test_each_text_has_its_score_and_rows_without_negatives_have_none():
    rows = scored(ranked()).splits["train"]
    assert rows.column_names == ["query", "positives", "negatives", "positive_scores", "negative_scores"]
    assert rows["positive_scores"][:] == [[0.75, 0.5], [1.0], None, [0.75]]
    assert rows["negative_scores"][:] == [[0.25, 0.625], [0.0], None, [0.25]]


@pytest.mark.parametrize("batch_rows", [10_000, 3])
def test_each_distinct_pair_is_scored_once_in_blocks(batch_rows, monkeypatch):
    monkeypatch.setattr("embexp.data.arrow.BATCH_ROWS", batch_rows)
    scorer = TableScorer(TABLE)
    scored(ranked(), scorer)
    asked = [pair for block in scorer.asked for pair in block]
    assert [len(block) for block in scorer.asked] == [3, 3]
    assert sorted(asked) == sorted({*asked}) == sorted([*TABLE, ("r", "good")])


def test_the_report_counts_negatives_above_the_positive_and_shows_how_margins_lie():
    report = scored(ranked()).history[-1]
    assert report.reason == (
        "train: 3 rows scored, 25.0 % of the negatives above the (lowest) positive, "
        "1 rows without positives or negatives not scored"
    )
    assert report.examples[0].startswith("positive - negative -0.12 |")
    assert report.examples[1] == "q | + fine [0.50] | - bad [0.25] | - worse [0.62]"
    assert len(report.examples) == 2


def test_margins_that_cosines_cannot_reach_are_reported():
    far = scored(ranked(), TableScorer({pair: 9 * score for pair, score in TABLE.items()})).history[-1]
    assert any("75.0 % of the margins are beyond 2" in line for line in far.examples)


def test_scores_become_the_labels_of_scored_triplets_and_unscored_splits_are_left_out():
    dataset = scored(ranked(dev={name: values[:1] for name, values in ROWS.items()}))
    assert "positive_scores" not in dataset.splits["dev"].column_names
    triplets = convert_to(dataset, "scored_triplet", max_negatives=2)
    assert triplets.splits["train"].to_list()[:3] == [
        {"anchor": "q", "positive": "good", "negative_1": "bad", "negative_2": "worse", "label": [0.75, 0.25, 0.625]},
        {"anchor": "q", "positive": "fine", "negative_1": "bad", "negative_2": "worse", "label": [0.5, 0.25, 0.625]},
        {"anchor": "r", "positive": "bad", "negative_1": "good", "negative_2": "good", "label": [1.0, 0.0, 0.0]},
    ]
    assert list(triplets.splits) == ["train"]
    assert "1 queries of dev, which has no teacher's scores" in triplets.history[-1].reason


def test_triplets_are_scored_too_and_earlier_scores_are_replaced():
    triplets = dataset_of("mine", "triplet", {"train": {"anchor": ["q"], "positive": ["good"], "negative_1": ["bad"]}})
    first = scored(triplets, TableScorer())
    assert first.splits["train"]["positive_scores"][:] == [[0.0]]
    again = scored(first).splits["train"]
    assert (again["positive_scores"][:], again["negative_scores"][:]) == ([[0.75]], [[0.25]])


def test_a_step_that_was_killed_resumes_with_the_blocks_that_are_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        scored(ranked(), TableScorer(TABLE, most=1), unfinished=tmp_path / "own")
    scorer = TableScorer(TABLE)
    made = scored(ranked(), scorer, unfinished=tmp_path / "own")
    assert [len(block) for block in scorer.asked] == [3]
    assert made.fingerprints() == scored(ranked()).fingerprints()


def test_cosines_of_an_encoder_are_scores_with_a_prompt_for_each_side():
    encoder = PlaneEncoder({"q": 0, "good": 60, "bad": 180})
    scores = CosineScorer(encoder, "query: ", "").score([("q", "good"), ("q", "bad"), ("good", "good")])
    numpy.testing.assert_allclose(scores, [0.5, -1, 1], atol=1e-6)
    assert encoder.calls == [(["q", "good"], "query: "), (["good", "bad"], "")]


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ConfigError, match=r"splits=\[dev\] names dev, which mine has not\. Expected .* train"):
        scored(ranked(), splits=["dev"])
    with pytest.raises(ConfigError, match=r"scores\.block_pairs=0 was given\. Expected a whole number of at least 1"):
        scored(ranked(), block_pairs=0)
    pairs = dataset_of("mine", "positive_pair", {"train": {"anchor": ["q"], "positive": ["good"]}})
    with pytest.raises(DataError, match=r"mine/train has both positives and negatives(.|\n)*type negatives=bm25"):
        scored(pairs)
    with pytest.raises(ShapeError, match="A teacher cannot score mine, which is text"):
        scored(dataset_of("mine", "text", {"train": {"text": ["q"]}}))


def test_a_teacher_that_puts_most_negatives_above_their_positive_is_reported(caplog):
    scored(ranked())
    assert not caplog.messages
    scored(ranked(), TableScorer({pair: -score for pair, score in TABLE.items()}))
    assert "mine/train: the teacher scores 100 % of the negatives above the (lowest) positive" in caplog.text


def test_a_prompt_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match=r"scorer\.query_prompt=\[a\] was given\. Expected a text, or null"):
        CosineScorer(PlaneEncoder({}), ["a"], None)
