"""The step `silver`: what is gold, which labelled pairs stay, what becomes of them, warnings and errors."""

import numpy
import pytest
from silver_pairs import PLAIN, GivenLabels, binary, classed, scored, silver_of, with_silver

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError, ShapeError
from embexp.steps.augment.provenance import leave_out
from embexp.steps.silver.labelling import _keep_probabilities, _sample_like_gold
from embexp.steps.silver.sampling import split_gold
from embexp.steps.silver.silver import add_silver
from embexp.steps.split import split

GOLD = [("a", "b", 1.0), ("c", "d", 0.0)]
PAIRS = [("a", "c"), ("a", "d"), ("b", "c")]
SURE = GivenLabels({PAIRS[0]: 0.875, PAIRS[1]: 0.25, PAIRS[2]: 0.5})


def test_labelled_pairs_stand_after_the_gold_rows_and_tell_that_they_are_silver():
    made = with_silver(scored(*GOLD, dev=[("e", "f", 0.5)]), PAIRS, SURE)
    rows = made.splits["train"].to_dict()
    assert [*rows] == ["sentence1", "sentence2", "score", "made_from", "made_by"]
    assert rows["score"] == [1.0, 0.0, 0.875, 0.25, 0.5]
    assert rows["made_by"] == [None, None, "silver", "silver", "silver"]
    assert len({*rows["made_from"]}) == 5
    assert made.splits["dev"]["sentence1"][:] == ["e"]


def test_the_teacher_learns_from_gold_alone_and_is_evaluated_on_dev():
    teacher = GivenLabels()
    with_silver(scored(*GOLD, dev=[("e", "f", 0.5)]), PAIRS, teacher)
    train = {"sentence1": ["a", "c"], "sentence2": ["b", "d"], "label": [1.0, 0.0]}
    dev = {"sentence1": ["e"], "sentence2": ["f"], "label": [0.5]}
    assert [fitted[:3] for fitted in teacher.fitted] == [(train, dev, "score")]


def test_labels_with_a_low_confidence_are_left_out():
    assert silver_of(with_silver(scored(*GOLD), PAIRS, SURE, min_confidence=0.75)) == [
        ("a", "c", 0.875),
        ("a", "d", 0.25),
    ]
    assert silver_of(with_silver(scored(*GOLD), PAIRS, SURE, min_confidence=0.8)) == [("a", "c", 0.875)]


def test_a_class_is_the_most_probable_one_and_0_or_1_is_split_at_a_half():
    table = {PAIRS[0]: [0.1, 0.2, 0.7], PAIRS[1]: [0.4, 0.35, 0.25], PAIRS[2]: [0.0, 0.9, 0.1]}
    rows = [("a", "b", 0), ("c", "d", 2)]
    made = with_silver(classed(*rows), PAIRS, GivenLabels(table), min_confidence=0.6)
    assert silver_of(made) == [("a", "c", 2), ("b", "c", 1)]
    made = with_silver(binary(("a", "b", 1), ("c", "d", 0)), PAIRS, SURE, min_confidence=0.6)
    assert silver_of(made) == [("a", "c", 1), ("a", "d", 0)]


def test_classes_are_counted_by_their_names_or_their_numbers():
    rows, teacher = [("a", "b", 0), ("c", "d", 2)], GivenLabels({pair: [0.5, 0.25, 0.25] for pair in PAIRS})
    for names in (("no", "maybe", "yes", "never"), ()):
        with_silver(classed(*rows, names=names), PAIRS, teacher)
    assert [fitted[3] for fitted in teacher.fitted] == [4, 3]


def test_at_most_so_many_pairs_are_labelled_the_first_ones():
    assert [row[:2] for row in silver_of(with_silver(scored(*GOLD), PAIRS, num_pairs=2))] == PAIRS[:2]


def test_a_share_of_the_rows_is_gold_drawn_by_seed_in_their_order():
    rows = scored(*((f"a{number}", f"b{number}", 0.5) for number in range(10))).splits["train"]
    gold, rest = split_gold(rows, 0.3, None, 1)
    assert (gold.num_rows, rest.num_rows) == (3, 7)
    assert sorted([*gold["sentence1"], *rest["sentence1"]]) == rows["sentence1"][:]
    assert [*gold["sentence1"]] == sorted(gold["sentence1"])
    assert [*split_gold(rows, 0.3, None, 2)[0]["sentence1"]] != [*gold["sentence1"]]
    assert split_gold(rows, 1.0, 4, 1)[0].num_rows == 4
    assert split_gold(rows, 1.0, None, 1)[1].num_rows == 0


def test_without_a_teacher_the_gold_rows_stand_alone():
    dataset = scored(*GOLD)
    alone = add_silver(dataset, **PLAIN, sampler=None, teacher=None)
    assert alone.fingerprints() == dataset.fingerprints()
    half = add_silver(dataset, **PLAIN | {"gold_share": 0.5}, sampler=None, teacher=None)
    assert half.splits["train"].num_rows == 1
    assert str(half.history[-1]) == "gold: 2 -> 1 rows (1 of 2 train rows are gold)"


def test_silver_rows_can_be_left_out_again_and_stay_in_train_when_it_is_split():
    rows = [(f"a{number}", f"b{number}", 0.5) for number in range(20)]
    pairs = [(f"a{number}", f"b{number + 1}") for number in range(0, 19, 2)]
    made = with_silver(scored(*rows), pairs)
    assert leave_out(made, ["silver"]).splits["train"]["sentence1"][:] == [row[0] for row in rows]
    parts = split(made, seed=1).splits
    held_out = {text for name in ("dev", "test") for text in (*parts[name]["sentence1"], *parts[name]["sentence2"])}
    assert held_out
    assert not {*parts["dev"]["made_by"], *parts["test"]["made_by"]} - {None}
    assert not held_out & {*parts["train"]["sentence1"], *parts["train"]["sentence2"]}


def test_the_report_sets_gold_next_to_silver_and_the_teacher_next_to_the_untrained_one():
    report = with_silver(scored(*GOLD), [*PAIRS, ("b", "a")], SURE, min_confidence=0.75).history[-1]
    assert (report.step, report.rows_in, report.rows_out) == ("silver", 2, 4)
    assert report.reason == (
        "2 of 2 train rows are gold; 2 of 3 labelled pairs are kept; left out: 1 in gold, dev or test, 1 with a "
        "confidence below 0.75; the teacher on dev, untrained -> trained: spearman 0.0000 -> 0.7500"
    )
    assert [line.partition(":")[0] for line in report.examples[:3]] == ["gold", "labelled", "kept"]
    assert report.examples[0].endswith("| 1.00, median 0.50")
    assert report.examples[3:] == ("0.25: a | d", "0.88: a | c")
    assert report.trainings[0].endswith("/training")


def test_classes_are_shown_by_their_names_and_shares():
    report = with_silver(
        classed(("a", "b", 0), ("c", "d", 2)),
        PAIRS,
        GivenLabels({PAIRS[0]: [0, 0, 1.0]} | {pair: [1.0, 0, 0] for pair in PAIRS[1:]}),
    ).history[-1]
    assert report.examples[:2] == ("gold: no 50.0 %, yes 50.0 %", "labelled: no 66.7 %, yes 33.3 %")
    assert report.examples[-1] == "yes: a | c"


def test_pairs_are_kept_where_gold_has_as_many_of_their_score():
    """Gold is spread evenly, silver crowds near 0.1: there most go, elsewhere all stay."""
    gold = numpy.linspace(0, 1, 101)
    silver = numpy.concatenate([numpy.full(900, 0.1) + numpy.linspace(-0.05, 0.05, 900), numpy.linspace(0.5, 1, 100)])
    probabilities = _keep_probabilities(gold, silver)
    assert probabilities[:900].max() < 0.3
    assert (probabilities[925:975] == 1).all()
    kept = _sample_like_gold(gold, silver, "score", 1)
    assert kept[925:975].all()
    assert kept[:900].sum() == pytest.approx(probabilities[:900].sum(), rel=0.2)


def test_classes_are_kept_in_the_proportion_of_gold():
    gold, silver = numpy.array([0, 0, 1]), numpy.array([1] * 2 + [0] * 10 + [2])
    kept = silver[_sample_like_gold(gold, silver, "class", 1)]
    assert numpy.bincount(kept).tolist() == [4, 2]
    assert _keep_probabilities(numpy.ones(3), silver).tolist() == [1.0] * 13


def test_like_gold_leaves_out_and_counts():
    rows = [("a", "b", 1), ("c", "d", 0)]
    teacher = GivenLabels({PAIRS[0]: 0.9} | dict.fromkeys(PAIRS[1:], 0.1))
    made = with_silver(binary(*rows), PAIRS, teacher, like_gold=True)
    assert sorted(label for *_, label in silver_of(made)) == [0, 1]
    assert "1 for the distribution of gold" in made.history[-1].reason


def test_what_has_no_labelled_pairs_is_refused():
    texts = dataset_of("mine", "text", {"train": {"text": ["a"]}})
    with pytest.raises(ShapeError, match=r"mine, which is text\. Expected pairs with labels: (.|\n)*silver=none"):
        with_silver(texts, PAIRS)


def test_nothing_is_trained_where_no_pair_is_left():
    teacher = GivenLabels()
    with pytest.raises(DataError, match=r"no pair to label: .* are left out \(1 in gold, dev or test\)\. Expected"):
        with_silver(scored(*GOLD), [("a", "b")], teacher)
    assert teacher.fitted == []


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(ConfigError) as refusal:
        with_silver(
            scored(*GOLD), PAIRS, gold_share=1.5, num_gold=0, num_pairs=True, min_confidence=2, sampler=None, seed="x"
        )
    for fault in (
        "gold_share=1.5 was given. Expected a number above 0 and of at most 1.",
        "num_gold=0 was given. Expected a whole number of at least 1, or null.\nhint: type dataset.steps.silver.num",
        "num_pairs=true was given. Expected a whole number",
        "num_gold=0 was given, and so was gold_share=1.5. Expected one of them.",
        "min_confidence=2 was given. Expected a number above 0 and below 1, or null.",
        "sampler is missing. Expected a sampler and a teacher, or neither",
        "seed=x was given. Expected a whole number of at least 0.",
    ):
        assert f"dataset.steps.silver.{fault}" in str(refusal.value)


def test_more_gold_rows_than_there_are_rows_are_refused_with_their_number():
    with pytest.raises(ConfigError, match=r"num_gold=1000 was given\. Expected at most 2, (.|\n)*type .*num_gold=null"):
        with_silver(scored(*GOLD), PAIRS, num_gold=1000)


def test_the_report_stands_in_the_log(caplog):
    caplog.set_level("INFO")
    made = with_silver(scored(*GOLD), PAIRS, SURE)
    assert caplog.messages == [f"mine: {made.history[-1].reason}"]


def test_a_warning_names_the_keys_to_loosen_where_no_pair_is_kept(caplog):
    made = with_silver(scored(*GOLD), PAIRS, SURE, min_confidence=0.999)
    assert made.splits["train"].num_rows == 2
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert (
        "No silver pair is kept: the train rows are gold alone (left out: 3 with a confidence below 0.999)" in warning
    )
    assert "Type dataset.steps.silver.min_confidence=null" in warning


@pytest.mark.parametrize(
    ("scores", "is_warned"),
    [
        ({"spearman": (-0.2, 0.09)}, True),
        ({"spearman": (0.5, 0.5)}, True),
        ({"spearman": (0.0, 0.2), "pearson": (0.5, 0.4)}, False),
        ({"average_precision": (0.5, 0.4)}, True),
        ({"average_precision": (0.01, 0.05)}, False),
        ({}, False),
    ],
)
def test_a_warning_says_that_the_teacher_has_not_learned(scores, is_warned, caplog):
    with_silver(scored(*GOLD), PAIRS, GivenLabels(SURE.table, dev_scores=scores))
    assert ("has not learned to label" in caplog.text) == is_warned


def test_pairs_that_share_a_text_with_dev_or_test_are_counted_and_stay():
    dev, test = [("c", "e", 0.5)], [("f", "B!", 0.5)]
    made = with_silver(scored(*GOLD, dev=dev, test=test), PAIRS, SURE)
    assert [row[:2] for row in silver_of(made)] == PAIRS
    assert "3 of 3 labelled pairs are kept; 2 of them hold a text of dev or test;" in made.history[-1].reason
