"""The step `negatives`: what becomes a negative, of which rows, what stays, what is refused and what is reported."""

import re

import pytest
from mined_rows import GivenScores, call, columns, guards, mined, negatives_of, pairs, ranked

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError, DataError, ShapeError
from embexp.steps.conversions.convert import convert_to

ROWS = [
    ("what is a bond", "A bond is a loan."),
    ("what is a share", "A share is a part."),
    ("what is gold", "A metal."),
]
SCORES = GivenScores(
    {
        ("what is a bond", "A bond is a loan."): 0.9,
        ("what is a bond", "A share is a part."): 0.8,
        ("what is a bond", "A metal."): 0.2,
        ("what is a share", "A bond is a loan."): 0.6,
        ("what is a share", "A share is a part."): 0.5,
        ("what is a share", "A metal."): 0.4,
    }
)


def test_pairs_become_ranked_rows_with_the_best_other_document():
    made = mined(pairs(*ROWS), SCORES)
    assert made.shape.name == "ranked"
    assert made.splits["train"].column_names == ["query", "positives", "negatives"]
    assert made.splits["train"]["positives"][:] == [[positive] for _, positive in ROWS]
    assert negatives_of(made) == [["A share is a part."], ["A bond is a loan."], ["A bond is a loan."]]


def test_what_a_copy_of_the_row_answers_is_no_negative():
    """The second row is a copy of the first: its answer, said otherwise, is right for both questions."""
    rows = [*ROWS[:1], ("what's a bond", "A bond is lent money."), *ROWS[1:]]
    names = {"made_from": ["1", "1", "2", None], "made_by": [None, "typos", None, None]}
    dataset = dataset_of("mine", "positive_pair", {"train": columns(rows) | names})
    made = mined(dataset, GivenScores({(rows[0][0], "A bond is lent money."): 0.9}), num_negatives=3)
    assert negatives_of(made)[0] == negatives_of(made)[1] == ["A share is a part.", "A metal."]
    assert len(negatives_of(made)[2]) == len(negatives_of(made)[3]) == 3
    assert made.splits["train"]["made_by"][:] == names["made_by"]


def test_dev_and_test_stay_unless_requested():
    dataset = pairs(*ROWS, dev=[("a", "b"), ("c", "d")])
    assert negatives_of(mined(dataset, SCORES), "dev") == [[], []]
    asked = mined(dataset, SCORES, splits=["dev"])
    assert negatives_of(asked, "dev") == [["d"], ["b"]]  # from the texts of dev alone
    assert negatives_of(asked) == [[], [], []]


def test_a_positive_of_any_row_that_asks_the_same_is_never_a_negative():
    dataset = pairs(("What is X?", "one"), ("what is x", "two"), ("y", "TWO!"), ("z", "three"))
    made = mined(dataset, GivenScores(), num_negatives=5)
    assert negatives_of(made) == [["three"], ["three"], ["one", "three"], ["one", "two"]]


def test_the_query_itself_is_never_its_negative():
    made = mined(pairs(("a cat", "a feline"), ("a dog", "A cat.")), GivenScores(), num_negatives=5)
    assert negatives_of(made) == [[], ["a feline"]]


def test_given_negatives_are_replaced_or_kept_before_the_mined_ones():
    dataset = ranked(("q", ["p"], ["n"]), ("r", ["s"], []))
    assert negatives_of(mined(dataset, GivenScores({("q", "n"): 1.0}))) == [["n"], ["p"]]
    assert negatives_of(mined(dataset, GivenScores({("q", "n"): 1.0}), given="keep")) == [["n", "s"], ["p"]]


def test_teacher_scores_of_the_former_negatives_go():
    dataset = ranked(("q", ["p"], ["n"]), ("r", ["s"], ["n"]), negative_scores=[[0.5], [0.5]], type=["a", "b"])
    assert mined(dataset, GivenScores()).splits["train"].column_names == ["query", "positives", "negatives", "type"]


def test_rows_that_find_too_few_stay_or_go_and_are_counted():
    dataset = pairs(("q", "one"), ("q", "two"), ("r", "three"))
    kept = mined(dataset, GivenScores(), num_negatives=2)
    assert negatives_of(kept) == [["three"], ["three"], ["one", "two"]]
    assert "train: 3 negatives of 2 queries from 3 documents; 1 (50.0 %) have fewer than 2, 0 none" in str(
        kept.history[-1]
    )
    dropped = mined(dataset, GivenScores(), num_negatives=2, too_few="drop")
    assert dropped.splits["train"]["query"][:] == ["r"]
    assert (dropped.history[-1].rows_in, dropped.history[-1].rows_out) == (3, 1)
    with pytest.raises(DataError, match="leaves no row of train"):
        mined(dataset, GivenScores(), num_negatives=3, too_few="drop")


def test_a_corpus_gives_further_documents_but_none_of_another_split(tmp_path):
    (tmp_path / "more.txt").write_text("apples\npears\nB!\n")
    dataset = pairs(("q", "p"), dev=[("a", "b")])
    made = mined(dataset, GivenScores(), num_negatives=5, corpus=str(tmp_path / "more.txt"))
    assert negatives_of(made) == [["apples", "pears"]]


def test_a_query_is_mined_once_and_all_its_rows_have_its_negatives():
    made = mined(pairs(("q", "one"), ("Q!", "two"), ("r", "three"), ("s", "four")), negatives="random")
    first, second, *_ = negatives_of(made)
    assert first == second


@pytest.mark.parametrize("option", ["random", "bm25"])
def test_the_same_seed_gives_the_same_negatives_and_another_one_others(option):
    dataset = pairs(*((f"word{number} common", f"text{number} common") for number in range(50)))

    def drawn(seed):
        return negatives_of(mined(dataset, negatives=option, overrides=("choose=random", f"seed={seed}")))

    assert drawn(1) == drawn(1) != drawn(2)


def test_triplets_get_the_mined_negatives():
    made = convert_to(mined(pairs(*ROWS), SCORES, num_negatives=2), "triplet", max_negatives=2)
    assert made.splits["train"][0] == {
        "anchor": "what is a bond",
        "positive": "A bond is a loan.",
        "negative_1": "A share is a part.",
        "negative_2": "A metal.",
    }


def test_other_shapes_are_converted_first_and_those_without_known_positives_refused():
    columns = {"sentence1": ["a", "b"], "sentence2": ["c", "d"]}
    labelled = dataset_of("mine", "binary_pair", {"train": columns | {"label": [1, 1]}})
    assert negatives_of(mined(labelled, GivenScores())) == [["d"], ["c"]]
    scored = dataset_of("mine", "scored_pair", {"train": columns | {"score": [1.0, 0.0]}})
    with pytest.raises(ShapeError, match=r"mine, which is scored_pair(.|\n)*type conversion\.min_score=0\.8"):
        mined(scored, GivenScores())
    with pytest.raises(ShapeError, match=r"labelled_text.*Expected rows whose positives are known"):
        mined(dataset_of("mine", "labelled_text", {"train": {"text": ["a"], "label": [0]}}), GivenScores())


def test_all_bad_arguments_are_named_at_once():
    with pytest.raises(ConfigError) as refusal:
        mined(
            pairs(*ROWS),
            GivenScores(has_scores=False),
            guards=guards(skip=-1, within=3, margin=0.1, near_duplicate=2.0),
            **{"num_negatives": 5, "choose": "best", "given": "x", "too_few": "y", "splits": ["dev"]},
        )
    for fault in (
        "choose=best was given. Expected one of: top, random.",
        "guards.skip=-1 was given. Expected a whole number of at least 0.\nhint: type dataset.steps.negatives",
        "guards.within=3 candidates cannot give num_negatives=5. Expected at least as many.\nhint: type",
        "guards.near_duplicate=2.0 was given. Expected a number of at least 0.01 and of at most 1, or null.\nhint:",
        "guards.margin=0.1 reads scores, and those of this retriever cannot be compared. Expected null",
        "given=x was given. Expected one of: replace, keep.",
        "too_few=y was given. Expected one of: keep, drop.",
        "splits=[dev] names dev, which mine has not. Expected some of those that mine has: train.",
    ):
        assert f"dataset.steps.negatives.{fault}" in str(refusal.value)


@pytest.mark.parametrize(
    ("option", "typed", "fault"),
    [
        (
            "bm25",
            "guards.relative_margin=-5",
            "guards.relative_margin=-5 was given. Expected a number of at least 0, or null.\nhint",
        ),
        (
            "bm25",
            "guards.near_duplicate=0",
            "guards.near_duplicate=0 was given. Expected a number of at least 0.01 and of at most 1, or null.\nhint:",
        ),
        ("bm25", "retriever.k1=-1", "retriever.k1=-1 was given. Expected a number of at least 0.\nhint: type"),
        (
            "bm25",
            "retriever.b=7",
            "retriever.b=7 was given. Expected a number of at least 0 and of at most 1.\nhint: type",
        ),
        (
            "union",
            "retriever.rank_constant=-61",
            "retriever.rank_constant=-61 was given. Expected a number of at least 0.\nhint: type",
        ),
        ("union", "retriever.retrievers.bm25.k1=-1", "retriever.retrievers.bm25.k1=-1 was given"),
        ("union", "retriever.retrievers={bm25: null, embedding: null}", "retriever.retrievers are all null: bm25, emb"),
        (
            "cross_encoder",
            "retriever.most=0",
            "retriever.most=0 was given. Expected a whole number of at least 1.\nhint: type",
        ),
        ("cross_encoder", "retriever.retriever.b=7", "retriever.retriever.b=7 was given"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_whole_key(option, typed, fault):
    with pytest.raises(ConfigError, match=f"dataset.steps.negatives.{re.escape(fault)}"):
        mined(pairs(*ROWS), negatives=option, overrides=[typed])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("guards.margin=a", "a number, or null"),
        ("guards.max_score=x", "a number, or null"),
        ("guards.within=null", "a whole number"),
        ("num_negatives=null", "a whole number"),
        ("corpus=[a]", "a text, or null"),
    ],
)
def test_a_value_of_another_type_is_refused(typed, expected):
    with pytest.raises(ConfigError, match=re.escape(f"{typed} was given. Expected {expected}.")):
        mined(pairs(*ROWS), overrides=[typed])


def test_the_partner_of_a_labelled_pair_is_no_negative_of_it_in_either_direction():
    """a asks b, and b asks c: b is no negative of a, nor a of b."""
    made = mined(pairs(("a", "b"), ("b", "c"), ("x", "A!"), ("y", "z")), GivenScores(), num_negatives=5)
    assert negatives_of(made) == [["c", "z"], ["z"], ["b", "c", "z"], ["b", "c", "A!"]]


def test_texts_that_labelled_pairs_connect_are_no_negatives_of_each_other(monkeypatch):
    columns = {"sentence1": ["a", "b", "x"], "sentence2": ["b", "c", "y"], "label": [1, 1, 1]}
    labelled = dataset_of("mine", "binary_pair", {"train": columns})
    assert negatives_of(mined(labelled, GivenScores(), num_negatives=5)) == [["y"], ["y"], ["b", "c"]]
    monkeypatch.setattr("embexp.steps.negatives.pool.MOST_ALIKE", 1)  # b and c are two: too long a chain
    assert negatives_of(mined(labelled, GivenScores(), num_negatives=5)) == [["c", "y"], ["y"], ["b", "c"]]


def test_class_pairs_without_a_contradiction_stay_where_given_negatives_are_replaced():
    columns = {"sentence1": ["a", "a", "b"], "sentence2": ["one", "two", "three"], "label": [0, 1, 0]}
    labelled = dataset_of("mine", "class_pair", {"train": columns}, label_names=("entailment", "contradiction"))
    assert negatives_of(mined(labelled, GivenScores())) == [["three"], ["one"]]
    assert negatives_of(mined(labelled, GivenScores(), given="keep")) == [["two"]]


def test_given_negatives_that_go_are_counted():
    rows = ranked(("q", ["p"], ["n", "m"]), ("r", ["s"], []))
    assert mined(rows, GivenScores()).history[-1].reason.endswith("; 2 given negatives replaced")
    assert "replaced" not in mined(rows, GivenScores(), given="keep").history[-1].reason


def test_a_guard_that_leaves_most_queries_without_a_negative_is_named(caplog):
    caplog.set_level("INFO")
    mined(pairs(*ROWS), SCORES, guards=guards(max_score=-1))
    assert (
        "mine/train: 3 of 3 queries found no negative. Expected guards that leave some: 6 candidates went by "
        "dataset.steps.negatives.guards.max_score=-1; loosen it, or type dataset.steps.negatives.guards.max_score=null."
    ) in caplog.messages
    assert any(text.startswith("mine/train: 3 rows have no negative; too_few=keep") for text in caplog.messages)
    mined(pairs(*ROWS), SCORES, guards=guards(skip=100))
    assert "or type dataset.steps.negatives.guards.skip=0." in caplog.text
    mined(pairs(("a", "gold"), ("b", "silver")))
    assert "2 of 2 queries found no negative. Expected candidates besides the known positives" in caplog.text


def test_the_report_tells_how_negatives_score_and_shows_some():
    report = mined(pairs(*ROWS), SCORES).history[-1]
    assert report.step == "mine negatives"
    assert "left out: 3 known positives or same texts" in report.reason
    assert report.examples[0].startswith("positive - negative -0.10 |")
    assert report.examples[0].endswith("| 0.10, median 0.00")
    assert report.examples[1] == "33.3 % of the first candidates score above the (lowest) positive"
    assert report.examples[2] == "what is a bond | + A bond is a loan. [0.90] | - A share is a part. [0.80]"


def test_more_negatives_than_triplets_get_are_reported(caplog):
    caplog.set_level("INFO")
    mined(pairs(*ROWS), SCORES, num_negatives=2)
    assert (
        "mine: 2 negatives a query; triplets get 1 of them: type conversion.max_negatives=2 for all." in caplog.messages
    )


@pytest.mark.parametrize("option", ["random", "rules", "bm25", "embedding", "cross_encoder", "union"])
def test_an_option_makes_ranked_rows_of_train(option):
    node = call(option)
    assert node["_makes_"] == "ranked"
    assert node["splits"] == ["train"]
    assert instantiate(node["guards"]).within >= node["num_negatives"]


def test_none_adds_no_step_and_the_step_comes_after_the_split():
    steps = resolve(compose(["dataset=financial_qa", "negatives=bm25", "step=[clean]"]))["dataset"]["steps"]
    assert [*steps] == ["clean", "split", "negatives"]
    assert "negatives" not in resolve(compose(["negatives=none"]))["dataset"]["steps"]
