"""Prompts: named for a data set, and those of single rows written into their texts."""

import pytest

from embexp.data.dataset import Prompts
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.steps.prompting import set_prompts, with_prompts_in_texts, with_row_prompts

NAMED = {"query": "Q: ", "document": "D: "}
SIDES = {"anchor": "query", "positive": "document"}


def pairs(**columns):
    return dataset_of("mine", "positive_pair", {"train": {"anchor": ["a", "b"], "positive": ["x", "y"]} | columns})


def rows_of(dataset):
    return [tuple(row.values()) for row in dataset.splits["train"]]


def prompts_of(dataset):
    return [dataset.prompts.prompt_for(column) for column in dataset.text_columns]


def test_prompts_are_set_and_reported_and_rows_stay():
    made = set_prompts(pairs(), NAMED, default="query", columns=SIDES)
    assert made.prompts == Prompts(NAMED, "query", SIDES)
    assert rows_of(made) == rows_of(pairs())
    (report,) = made.history
    assert str(report) == (
        "set prompts: 2 -> 2 rows "
        "(query 'Q: ', document 'D: ', anchor takes query, positive takes document, default query)"
    )


def test_without_prompts_the_model_decides():
    assert prompts_of(pairs()) == [None, None]


@pytest.mark.parametrize(
    ("default", "columns", "expected"),
    [
        (None, SIDES, ["Q: ", "D: "]),
        (None, {"sentence1": "query", "negative_3": "document"}, ["Q: ", "D: "]),  # names of other shapes: same sides
        ("document", {"query": "query"}, ["Q: ", "D: "]),
        ("query", None, ["Q: ", "Q: "]),
        (None, {"anchor": "query"}, ["Q: ", ""]),
    ],
)
def test_a_column_takes_its_own_prompt_or_that_of_its_side_or_the_default(default, columns, expected):
    assert prompts_of(set_prompts(pairs(), NAMED, default, columns)) == expected


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as error:
        set_prompts(pairs(), NAMED, default="qery", columns={"anchr": "query", "positive": "documnt"})
    lines = [*map(str, error.value.problems)]
    assert lines[:2] == [
        "default=qery names no prompt. Expected one of those in named: query, document. Did you mean 'query'?",
        "columns.positive=documnt names no prompt. Expected one of those in named: query, document. "
        "Did you mean 'document'?",
    ]
    assert lines[2].startswith(
        "columns.anchr=query names no column of texts. Expected some of: sentence1, sentence2, anchor"
    )
    assert lines[2].endswith("Did you mean 'anchor'?")


@pytest.mark.parametrize("named", [{}, {"query": 3}])
def test_prompts_that_are_no_texts_are_refused(named):
    with pytest.raises(
        ConfigError, match=r"Expected one prompt or more, each a text\.\nhint: type \"named=\{query: 'query: '\}\""
    ):
        set_prompts(pairs(), named)


def test_a_row_takes_its_own_prompt_before_its_first_text():
    made = with_row_prompts(set_prompts(pairs(prompt=["Why: ", None]), NAMED, columns=SIDES))
    assert made.splits["train"].column_names == ["anchor", "positive"]
    assert rows_of(made) == [("Why: a", "x"), ("Q: b", "y")]
    assert prompts_of(made) == ["", "D: "]
    assert with_row_prompts(made) is made


def test_without_prompts_of_rows_nothing_is_done():
    dataset = set_prompts(pairs(), NAMED, columns=SIDES)
    assert with_row_prompts(dataset) is dataset


def test_a_column_without_any_row_prompt_may_be_all_empty():
    made = with_row_prompts(pairs(prompt=[None, None]))
    assert rows_of(made) == [("a", "x"), ("b", "y")]


def test_all_prompts_can_be_written_into_the_texts_of_lists_too():
    ranked = {"query": ["q", "r"], "positives": [["a", "b"], ["c"]], "negatives": [[], ["d"]], "prompt": ["P: ", None]}
    dataset = set_prompts(
        dataset_of("mine", "ranked", {"train": ranked}), NAMED, columns={"query": "query", "positives": "document"}
    )
    made = with_prompts_in_texts(dataset)
    assert rows_of(made) == [("P: q", ["D: a", "D: b"], []), ("Q: r", ["D: c"], ["D: d"])]
    assert prompts_of(made) == ["", "", ""]
