"""Conversions: exact rows for each of them, what is left out and why, prompts, and what is refused."""

import re

import pytest

from embexp.data.arrow import rows_of
from embexp.data.dataset import StepReport
from embexp.data.row_checks import dataset_of
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError, ShapeError
from embexp.steps.conversions.conversion import default_settings
from embexp.steps.conversions.convert import convert, convert_to, limit_negatives
from embexp.steps.conversions.registry import CONVERSIONS
from embexp.steps.prompting import set_prompts
from embexp.steps.word_tokenizer import words_of

NLI = ("entailment", "neutral", "contradiction")
# For each shape a few rows, column by column.
ROWS = {
    "class_pair": {
        "sentence1": ["p1", "p1", "p1", "p1", "p2"],
        "sentence2": ["e1", "n1", "c1", "e2", "c2"],
        "label": [0, 1, 2, 0, 2],
    },
    "ranked": {
        "query": ["q", "r"],
        "positives": [["a", "b", "c"], ["d"]],
        "negatives": [["x", "y"], []],
        "positive_scores": [[0.9, 0.8, 0.7], [0.6]],
        "negative_scores": [[0.2, 0.1], []],
    },
    "triplet": {"anchor": ["a"], "positive": ["p"], "negative_1": ["n1"], "negative_2": ["n2"]},
    "scored_triplet": {"anchor": ["a"], "positive": ["p"], "negative_1": ["n"], "label": [[0.9, 0.1]]},
    "labelled_text": {"text": ["t1", "u", "t2"], "label": [0, 1, 0]},  # leaves the draw no choice
    "binary_pair": {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [1, 0]},
    "scored_pair": {"sentence1": ["a", "b", "c"], "sentence2": ["x", "y", "x"], "score": [0.8, 0.5, 0.2]},
    "positive_pair": {"anchor": ["a", "b"], "positive": ["b", "c"]},
    "embedded_text": {"text": ["a", "b", "a"], "label": [[0.1], [0.2], [0.1]]},
    "text": {"text": ["one", "two"]},
}
ALONE = "1 alone in their class"
# The rows of each conversion, and what its report says.
EXPECTED = {
    ("class_pair", "triplet"): (
        [("p1", "e1", "c1")],
        "premises with entailment and contradiction; left out: 1 neutral, 2 without a counterpart",
    ),
    ("class_pair", "positive_pair"): (
        [("p1", "e1"), ("p1", "e2")],
        "entailment only; left out: 1 neutral, 2 contradiction",
    ),
    ("class_pair", "binary_pair"): (
        [("p1", "e1", 1), ("p1", "c1", 0), ("p1", "e2", 1), ("p2", "c2", 0)],
        "entailment 1, contradiction 0; left out: 1 neutral",
    ),
    ("class_pair", "scored_pair"): (
        [("p1", "e1", 1.0), ("p1", "n1", 0.0), ("p1", "c1", 0.0), ("p1", "e2", 1.0), ("p2", "c2", 0.0)],
        "entailment 1, neutral 0, contradiction 0",
    ),
    ("ranked", "triplet"): (
        [("q", "a", "x"), ("q", "b", "y"), ("q", "c", "x")],
        "one row per positive, each with one negative; left out: 1 queries without positives or negatives",
    ),
    ("ranked", "positive_pair"): ([("q", "a"), ("q", "b"), ("q", "c"), ("r", "d")], "one row per positive"),
    ("ranked", "scored_triplet"): (
        [("q", "a", "x", [0.9, 0.2]), ("q", "b", "y", [0.8, 0.1]), ("q", "c", "x", [0.7, 0.2])],
        "one row per positive, each with one negative and their scores; "
        "left out: 1 queries without positives or negatives",
    ),
    ("triplet", "positive_pair"): ([("a", "p")], "negatives left out"),
    ("triplet", "binary_pair"): ([("a", "p", 1), ("a", "n1", 0), ("a", "n2", 0)], "positive 1, each negative 0"),
    ("scored_triplet", "triplet"): ([("a", "p", "n")], "scores left out"),
    ("labelled_text", "triplet"): (
        [("t1", "t2", "u"), ("t2", "t1", "u")],
        f"positive and negative sampled by class; left out: {ALONE}",
    ),
    ("labelled_text", "positive_pair"): (
        [("t1", "t2"), ("t2", "t1")],
        f"positive sampled from the class; left out: {ALONE}",
    ),
    ("binary_pair", "positive_pair"): ([("a", "c")], "pairs labelled 1 only; left out: 1 labelled 0"),
    ("binary_pair", "scored_pair"): ([("a", "c", 1.0), ("b", "d", 0.0)], "the label as score"),
    ("scored_pair", "positive_pair"): ([("a", "x")], "pairs scored at least 0.8; left out: 2 below 0.8"),
    ("scored_pair", "binary_pair"): (
        [("a", "x", 1), ("c", "x", 0)],
        "at least 0.8 is 1, at most 0.2 0; left out: 1 between 0.2 and 0.8",
    ),
    ("text", "twin_text"): ([("one", "one"), ("two", "two")], "each text twice"),
    ("text", "noised_text"): ([("one", "one"), ("two", "two")], "0.6 of the words deleted"),
}
DISTINCT = "distinct texts, labels left out"
EXPECTED |= {
    (shape, "text"): (
        [(text,) for text in texts.split()],
        f"{DISTINCT}; left out: {repeated} repeated texts" * bool(repeated) or DISTINCT,
    )
    for shape, texts, repeated in (
        ("class_pair", "p1 e1 n1 c1 e2 p2 c2", 3),
        ("ranked", "q a b c x y r d", 0),
        ("triplet", "a p n1 n2", 0),
        ("scored_triplet", "a p n", 0),
        ("labelled_text", "t1 u t2", 0),
        ("binary_pair", "a c b d", 0),
        ("scored_pair", "a x b y c", 1),
        ("positive_pair", "a b c", 1),
        ("embedded_text", "a b", 1),
    )
}
BY_ENDS = {(conversion.source, conversion.target): conversion for conversion in CONVERSIONS}
SETTINGS = default_settings(min_score=0.8, max_score=0.2)


def of_shape(shape, label_names=NLI, **columns):
    names = {"class_pair": label_names, "labelled_text": ("t", "u")}.get(shape, ())
    return dataset_of("mine", shape, {"train": ROWS[shape] | columns}, names)


def tuples(dataset):
    return [tuple(row.values()) for row in dataset.training_rows()]


def test_every_conversion_has_its_expected_rows():
    assert len(BY_ENDS) == len(CONVERSIONS)
    assert set(BY_ENDS) == set(EXPECTED)


def test_every_shape_but_those_made_of_texts_becomes_text():
    assert {source for source, target in BY_ENDS if target == "text"} == {*SHAPES} - {
        "text",
        "twin_text",
        "noised_text",
    }


@pytest.mark.parametrize("ends", EXPECTED, ids=" to ".join)
def test_a_conversion_gives_exactly_these_rows_and_reports_them(ends):
    before, (rows, reason) = of_shape(ends[0]), EXPECTED[ends]
    made = convert(before, BY_ENDS[ends], SETTINGS)
    assert (made.shape.name, made.label_names) == (ends[1], ())
    assert tuples(made) == rows
    assert made.history == (StepReport(f"convert {ends[0]} -> {ends[1]}", before.num_rows, len(rows), reason),)


def test_the_class_names_count_and_not_their_numbers():
    dataset = of_shape("class_pair", ("contradiction", "neutral", "entailment"))
    assert tuples(convert(dataset, BY_ENDS["class_pair", "triplet"])) == [("p1", "c1", "e1")]


def test_classes_of_other_names_are_read_as_the_settings_say():
    dataset = of_shape("class_pair", ("same", "unclear", "other"))
    settings = default_settings(
        positive_labels=["same"],
        negative_labels=["other", "unclear"],
        label_scores={"same": 1, "unclear": 0.5, "other": 0},
    )
    assert tuples(convert(dataset, BY_ENDS["class_pair", "triplet"], settings)) == [
        ("p1", "e1", "n1"),
        ("p1", "e2", "c1"),
    ]
    assert [score for *_, score in tuples(convert(dataset, BY_ENDS["class_pair", "scored_pair"], settings))] == [
        1.0,
        0.5,
        0.0,
        1.0,
        0.0,
    ]


def test_every_split_is_converted():
    dataset = dataset_of("mine", "ranked", {"train": ROWS["ranked"], "dev": ROWS["ranked"]})
    made = convert(dataset, BY_ENDS["ranked", "triplet"])
    assert made.splits["dev"].to_dict() == made.splits["train"].to_dict()
    assert (made.history[0].rows_in, made.history[0].rows_out) == (4, 6)


def test_several_negatives_go_into_a_row_as_many_in_every_row():
    ranked = {"query": ["q", "r"], "positives": [["a", "b"], ["c"]], "negatives": [["1", "2", "3"], ["4"]]}
    dataset = dataset_of("mine", "ranked", {"train": ranked})
    made = convert(dataset, BY_ENDS["ranked", "triplet"], default_settings(max_negatives=2))
    assert tuples(made) == [("q", "a", "1", "2"), ("q", "b", "3", "1"), ("r", "c", "4", "4")]
    assert made.history[0].reason == "one row per positive, each with 2 negatives (repeated where there are fewer)"
    made = convert(dataset, BY_ENDS["ranked", "triplet"], default_settings(max_negatives=9))
    assert made.text_columns == ["anchor", "positive", "negative_1", "negative_2", "negative_3"]


def test_drawn_texts_are_of_the_right_class_and_the_same_each_time():
    texts = [f"{letter}{number}" for letter in "abc" for number in range(5)]
    dataset = dataset_of("mine", "labelled_text", {"train": {"text": texts, "label": [n // 5 for n in range(15)]}})
    triplets = tuples(convert(dataset, BY_ENDS["labelled_text", "triplet"]))
    assert [anchor for anchor, _, _ in triplets] == texts
    assert all(
        anchor != positive and anchor[0] == positive[0] != negative[0] for anchor, positive, negative in triplets
    )
    assert tuples(convert(dataset, BY_ENDS["labelled_text", "triplet"])) == triplets
    assert tuples(convert(dataset, BY_ENDS["labelled_text", "triplet"], default_settings(seed=1))) != triplets


@pytest.mark.parametrize(
    "text", ["the bank raised its rate again today", "央行今天再次提高了利率", "银行 raised 利率 today"]
)
def test_a_damaged_text_holds_some_words_of_the_original_in_their_order(text):
    made = {}
    for ratio in (0.0, 0.6, 0.99):
        dataset = dataset_of("mine", "text", {"train": {"text": [text, "other words", text]}})
        rows = tuples(convert(dataset, BY_ENDS["text", "noised_text"], default_settings(deletion_ratio=ratio)))
        assert rows[0] == rows[2]  # the place among the rows changes nothing
        made[ratio] = rows[0][0]
    assert made[0.0] == text
    assert 0 < len(words_of(made[0.99])) <= len(words_of(made[0.6])) < len(words_of(text))
    assert re.fullmatch(".*".join(["", *map(re.escape, made[0.6].replace(" ", "")), ""]), text)


def test_a_share_of_the_words_is_deleted():
    text = " ".join(f"w{number}" for number in range(1000))
    dataset = dataset_of("mine", "text", {"train": {"text": [text]}})
    ((damaged, _),) = tuples(convert(dataset, BY_ENDS["text", "noised_text"]))
    assert len(damaged.split()) == pytest.approx(400, abs=50)
    assert set(damaged.split()) < set(text.split())


@pytest.mark.parametrize(
    ("target", "speaks_of"),
    [
        ("triplet", ["positive_labels", "negative_labels"]),
        ("positive_pair", ["positive_labels"]),
        ("binary_pair", ["positive_labels", "negative_labels"]),
    ],
)
def test_classes_that_the_settings_do_not_speak_of_are_refused(target, speaks_of):
    with pytest.raises(ShapeError) as error:
        convert(of_shape("class_pair", ("same", "different", "unclear")), BY_ENDS["class_pair", target])
    names = {"positive_labels": "entailment", "negative_labels": "contradiction"}

    def way_with(name):
        others = ",".join(other for other in ("same", "different", "unclear") if other != name)
        typed = {"positive_labels": f"[{name}]", "negative_labels": f"[{others}]"}
        return " ".join(f"conversion.{key}={typed[key]}" for key in speaks_of)

    assert str(error.value) == (
        "The classes of mine are same, different, unclear; this conversion reads "
        + " and ".join(f"{names[key]} ({key})" for key in speaks_of)
        + ". Expected some of your classes, or a loss that takes all of them."
        + "".join(f"\nhint: type {way}" for way in (*map(way_with, ("same", "different", "unclear")), "loss=softmax"))
    )


def test_a_class_without_a_score_is_refused():
    with pytest.raises(ShapeError) as error:
        convert(of_shape("class_pair", ("entailment", "other", "contradiction")), BY_ENDS["class_pair", "scored_pair"])
    assert str(error.value) == (
        "The classes of mine are entailment, other, contradiction; no score is given for other. Expected a score "
        "from 0 to 1 for each class.\n"
        "hint: type 'conversion.label_scores={entailment: 1.0, other: 1, contradiction: 0.0}'"
    )


@pytest.mark.parametrize("target", ["triplet", "scored_pair"])
def test_classes_without_names_are_said_to_be_not_named(target):
    with pytest.raises(
        ShapeError, match=r"The classes of mine are not named\. (.|\n)*dataset\.reader\.label_names=\[\.\.\.\]"
    ):
        convert(of_shape("class_pair", ()), BY_ENDS["class_pair", target])


def test_a_conversion_that_leaves_no_row_to_train_on_is_refused():
    all_different = {"sentence1": ["a"], "sentence2": ["b"], "label": [0]}
    with pytest.raises(ShapeError) as error:
        convert(dataset_of("mine", "binary_pair", {"train": all_different}), BY_ENDS["binary_pair", "positive_pair"])
    assert str(error.value) == (
        "No row of mine is left after binary_pair -> positive_pair (pairs labelled 1 only; left out: 1 labelled 0). "
        "Expected another shape, or other data."
    )


@pytest.mark.parametrize("target", ["positive_pair", "binary_pair"])
def test_no_threshold_is_guessed(target):
    with pytest.raises(
        ShapeError,
        match=r"needs a number\. Expected min_score to take pairs scored(.|\n)*type conversion\.min_score=0\.8",
    ):
        convert(of_shape("scored_pair"), BY_ENDS["scored_pair", target])


def test_ranked_rows_without_scores_are_refused_with_the_columns_they_lack():
    ranked = {key: ROWS["ranked"][key] for key in ("query", "positives", "negatives", "positive_scores")}
    with pytest.raises(ShapeError) as error:
        convert(dataset_of("mine", "ranked", {"train": ranked}), BY_ENDS["ranked", "scored_triplet"])
    assert "mine/train has no negative_scores (it has: query, positives, negatives, positive_scores)." in str(
        error.value
    )


@pytest.mark.parametrize("scores", [None, [0.2], [0.2, None]])
def test_queries_without_a_score_for_each_text_are_left_out_and_counted(scores):
    dataset = dataset_of(
        "mine",
        "ranked",
        {
            "train": {
                "query": ["q", "r"],
                "positives": [["p"], ["s"]],
                "negatives": [["m", "n"], ["o"]],
                "positive_scores": [[0.9], [0.8]],
                "negative_scores": [scores, [0.1]],
            }
        },
    )
    made = convert(dataset, BY_ENDS["ranked", "scored_triplet"])
    assert [row["anchor"] for row in made.splits["train"]] == ["r"]
    assert "left out: 1 queries without a teacher's score for each text" in made.history[-1].reason


@pytest.mark.parametrize("ends", [ends for ends in EXPECTED if "text" not in f"{ends}"], ids=" to ".join)
def test_the_prompt_of_a_row_goes_with_its_first_text(ends):
    rows = [f"{text}: " for text in next(iter(ROWS[ends[0]].values()))]
    made = convert(of_shape(ends[0], prompt=rows), BY_ENDS[ends], SETTINGS)
    assert tuples(made) == EXPECTED[ends][0]
    assert {(row[made.text_columns[0]], row["prompt"]) for row in rows_of(made.splits["train"])} == {
        (first, f"{first}: ") for first, *_ in EXPECTED[ends][0]
    }


def test_premises_with_different_prompts_do_not_share_hypotheses():
    dataset = of_shape("class_pair", prompt=["A: ", "A: ", "B: ", "B: ", "A: "])
    (row,) = rows_of(convert(dataset, BY_ENDS["class_pair", "triplet"]).splits["train"])
    assert row == {"anchor": "p1", "positive": "e2", "negative_1": "c1", "prompt": "B: "}


def test_prompts_of_rows_are_written_into_texts_that_change_places():
    dataset = set_prompts(of_shape("labelled_text", prompt=["A: ", None, "B: "]), {"d": "D: "}, default="d")
    made = convert(dataset, BY_ENDS["labelled_text", "triplet"])
    assert tuples(made) == [("A: t1", "B: t2", "D: u"), ("B: t2", "A: t1", "D: u")]
    assert [made.prompts.prompt_for(column) for column in made.text_columns] == ["", "", ""]


def test_texts_of_one_column_keep_its_prompt_wherever_they_come_to_stand():
    dataset = set_prompts(of_shape("labelled_text"), {"q": "Q: ", "d": "D: "}, default="d", columns={"text": "q"})
    made = convert(dataset, BY_ENDS["labelled_text", "triplet"])
    assert [made.prompts.prompt_for(column) for column in made.text_columns] == ["Q: ", "Q: ", "Q: "]


def test_texts_of_columns_with_different_prompts_are_mixed_with_the_prompts_in_them():
    columns = {"anchor": "q", "positive": "d"}
    dataset = set_prompts(of_shape("positive_pair"), {"q": "Q: ", "d": "D: "}, columns=columns)
    made = convert_to(dataset, "twin_text")
    texts = ["Q: a", "D: b", "Q: b", "D: c"]
    assert tuples(made) == [(text, text) for text in texts]
    assert [made.prompts.prompt_for(column) for column in ("text", "twin")] == ["", ""]


def test_the_step_goes_the_shortest_way_with_its_settings():
    made = convert_to(of_shape("scored_pair"), "positive_pair", min_score=0.5)
    assert tuples(made) == [("a", "x"), ("b", "y")]
    made = convert_to(of_shape("ranked"), "binary_pair")
    assert [report.step for report in made.history] == ["convert ranked -> triplet", "convert triplet -> binary_pair"]
    assert convert_to(made, "binary_pair") is made


def test_the_step_says_what_it_needs_and_where_it_can_go():
    with pytest.raises(ShapeError) as error:
        convert_to(of_shape("scored_pair"), "binary_pair", min_score=0.7)
    assert str(error.value) == (
        "mine is scored_pair, and no conversion leads to binary_pair. Expected max_score to take pairs scored at most "
        "0.3 as negatives (those between are left out).\nhint: type dataset.steps.convert.max_score=0.3"
    )
    with pytest.raises(ShapeError, match=r"leads to triplet\. Expected one of: text, twin_text, noised_text\."):
        convert_to(of_shape("positive_pair"), "triplet")
    with pytest.raises(ConfigError, match=r"steps\.convert\.min_scor=0\.7 is no setting of .*Did you mean 'min_score'"):
        convert_to(of_shape("scored_pair"), "positive_pair", min_scor=0.7)


def triplets(num_negatives, **columns):
    columns |= {f"negative_{number}": [f"n{number}"] for number in range(1, num_negatives + 1)}
    return dataset_of("mine", "triplet", {"train": {"anchor": ["a"], "positive": ["p"], **columns}})


def test_further_negatives_go_to_rows_of_their_own():
    made = limit_negatives(triplets(3), 1)
    assert tuples(made) == [("a", "p", "n1"), ("a", "p", "n2"), ("a", "p", "n3")]
    assert made.history == (StepReport("at most 1 negative(s) a row", 1, 3, "one row for each further negative"),)
    assert tuples(limit_negatives(triplets(4), 2)) == [("a", "p", "n1", "n2"), ("a", "p", "n3", "n4")]


def test_rows_of_further_negatives_keep_the_prompt():
    made = limit_negatives(triplets(2, prompt=["Q: "]), 1)
    assert [row["prompt"] for row in rows_of(made.splits["train"])] == ["Q: ", "Q: "]


def test_negatives_that_do_not_divide_evenly_are_all_kept():
    made = limit_negatives(triplets(3), 2)
    assert {text for row in tuples(made) for text in row} == {"a", "p", "n1", "n2", "n3"}


@pytest.mark.parametrize(("dataset", "most"), [(triplets(3), None), (triplets(3), 3), (of_shape("binary_pair"), 0)])
def test_rows_within_the_limit_stay_as_they_are(dataset, most):
    assert limit_negatives(dataset, most) is dataset
