"""What holds for every step YAML on data of every kind: columns keep their order, the same input gives the same result,
rows in and out add up, and no text gets into two splits."""

import functools
from itertools import combinations

import pyarrow
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from embexp.config.compose import compose, instantiate
from embexp.config.session import conf_dir
from embexp.data.arrow import schema_of
from embexp.data.dataset import EmbeddingDataset
from embexp.data.shapes import MADE_BY, MADE_FROM, ROW_PROMPT, shape_named, text_columns, training_columns
from embexp.errors import DataError
from embexp.steps.dedup.row_keys import comparable
from embexp.steps.split_groups import tying_columns

STEPS = sorted(path.stem for path in conf_dir().glob("step/*.yaml"))
ASKING = {"augment_paraphrase", "augment_rewrite", "generate_queries", "generate_positives", "generate_negatives"}
BY_A_MODEL = {"augment_back_translation", "teacher_embeddings", "teacher_scores"}  # tested in files of their own
WITHOUT_A_SERVER = [step for step in STEPS if step not in ASKING | BY_A_MODEL]  # those that ask: test_endpoint_steps
ODD = ["A  b c!", "a b c", "e\u200b f", "<b>g</b>", "中文 文本", "ＡＢ", "caf\u00c3\u00a9", "h i j k l m"]
TEXT = st.sampled_from(ODD) | st.integers(0, 99).map("text {}".format)
LABELS = {"score": st.sampled_from([0.0, 0.5, 1.0]), "binary": st.integers(0, 1), "class": st.integers(0, 2)}
SHAPES = ("scored_pair", "binary_pair", "class_pair", "positive_pair", "triplet", "labelled_text", "ranked", "text")


@st.composite
def datasets(draw):
    """A data set of one of the shapes, sometimes with row prompts, with one split or three."""
    from datasets import Dataset

    shape = shape_named(draw(st.sampled_from(SHAPES)))
    columns = text_columns(shape, ["negative_1"])
    values = {name: st.lists(TEXT, min_size=1, max_size=2) if name in shape.text_lists else TEXT for name in columns}
    if shape.label:
        values[shape.label] = LABELS[shape.label_kind]
    if draw(st.booleans()):
        values[ROW_PROMPT] = st.none() | st.just("Query: ")
    schema = schema_of(shape, list(values))
    rows = st.lists(st.fixed_dictionaries(values), min_size=1, max_size=20)
    names = draw(st.sampled_from([["train"], ["train", "dev", "test"]]))
    splits = {name: Dataset(pyarrow.Table.from_pylist(draw(rows), schema=schema)) for name in names}
    return EmbeddingDataset("mine", shape, splits)


@functools.cache
def call_of(step):
    return compose([f"step=[{step}]"]).dataset.steps[step]


def applied(step, dataset):
    """The step as its YAML calls it; None when it refuses the data (too few rows for its splits, or none left)."""
    try:
        return instantiate(call_of(step), dataset=dataset)
    except DataError:
        return None


def rows_of(dataset):
    return {split: rows.to_dict() for split, rows in dataset.splits.items()}


def columns_after(dataset, made):
    """The columns that rows have besides those which tell where they come from: those before, in their order."""
    before = dataset.splits["train"].column_names
    return before if made.shape == dataset.shape else training_columns(made.shape, before)


def texts_of(dataset, split, columns=None):
    texts = [text for column in columns or dataset.text_columns for text in dataset.texts_of(split, column)]
    return set(comparable(pyarrow.array(texts, pyarrow.string())).to_pylist())


@pytest.mark.parametrize("step", WITHOUT_A_SERVER)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(dataset=datasets())
def test_a_step_keeps_columns_and_counts_and_gives_the_same_again(step, dataset):
    assume(step != "leaks" or len(dataset.splits) > 1)
    made = applied(step, dataset)
    if made is None:
        return
    assert set(made.splits) >= set(dataset.splits)
    for rows in made.splits.values():
        assert [name for name in rows.column_names if name not in (MADE_FROM, MADE_BY)] == columns_after(dataset, made)
    counts = [count for report in made.history for count in (report.rows_in, report.rows_out)]
    assert counts[1:-1:2] == counts[2::2]
    assert not counts or (counts[0], counts[-1]) == (dataset.num_rows, made.num_rows)
    again = applied(step, dataset)
    assert rows_of(again) == rows_of(made)
    assert [str(report) for report in again.history] == [str(report) for report in made.history]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(dataset=datasets())
def test_no_text_is_in_two_of_the_splits_that_are_made(dataset):
    assume(len(dataset.splits) == 1)
    made = applied("split", applied("clean", dataset) or dataset)
    if made is not None:
        tying = tying_columns(made.shape)
        for one, other in combinations(made.splits, 2):
            assert not texts_of(made, one, tying) & texts_of(made, other, tying)
            assert one != "train" or not texts_of(made, one) & texts_of(made, other, tying)  # negatives of train, too


def test_every_step_is_here():
    assert {"clean", "deduplicate", "near_duplicates", "languages", "leaks", "split", "prompts"} <= set(STEPS)
    assert {"augment_synonyms", "augment_typos", "leave_out", "noise_deletion", "noise_mask"} <= set(STEPS)
    assert set(STEPS) >= ASKING | BY_A_MODEL
