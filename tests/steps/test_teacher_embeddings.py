"""Teacher embeddings: which text has which one, blocks that are stored, invalid arguments."""

import pytest
from teachers import LengthEncoder

from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.steps.teacher_embeddings import embed_by_teacher

PAIRS = {"anchor": ["gold", "a bond", "gold"], "positive": ["黄金", "债券", "黄金"]}


def pairs():
    return dataset_of("mine", "positive_pair", {"train": PAIRS, "dev": {"anchor": ["share"], "positive": ["股票"]}})


def embedded(encoder=None, dataset=None, **changes):
    arguments = {"source": None, "prompt": None, "block_texts": 2} | changes
    return embed_by_teacher(dataset or pairs(), encoder or LengthEncoder(), **arguments)


def rows_of(dataset, split="train"):
    return [(row["text"], row["label"]) for row in dataset.splits[split].to_list()]


def test_each_distinct_text_has_its_own_embedding_in_all_splits():
    encoder = LengthEncoder()
    made = embedded(encoder, prompt="q: ")
    assert made.shape.name == "embedded_text"
    assert rows_of(made) == [("gold", [4, 3]), ("黄金", [2, 3]), ("a bond", [6, 3]), ("债券", [2, 3])]
    assert rows_of(made, "dev") == [("share", [5, 3]), ("股票", [2, 3])]
    assert encoder.asked == [["gold", "黄金"], ["a bond", "债券"], ["share", "股票"]]
    assert made.splits["train"].features["label"].feature.dtype == "float32"


def test_a_translation_has_the_embedding_of_what_it_translates():
    made = embedded(source="anchor")
    assert rows_of(made) == [("gold", [4, 0]), ("黄金", [4, 0]), ("a bond", [6, 0]), ("债券", [6, 0])]
    assert (made.history[-1].step, made.history[-1].rows_in, made.history[-1].rows_out) == ("teacher embeddings", 4, 6)
    assert made.history[-1].reason == "the teacher's embedding of the row's anchor; left out: 2 repeated texts"


def test_plain_texts_lose_their_repeats():
    made = embedded(dataset=dataset_of("mine", "text", {"train": {"text": ["a", "bb", "a"]}}))
    assert rows_of(made) == [("a", [1, 0]), ("bb", [2, 0])]


def test_a_step_that_was_killed_resumes_with_the_blocks_that_are_not_there(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embedded(LengthEncoder(most=2), unfinished=tmp_path / "own")
    encoder = LengthEncoder()
    made = embedded(encoder, unfinished=tmp_path / "own")
    assert encoder.asked == [["share", "股票"]]
    assert made.fingerprints() == embedded().fingerprints()


def test_invalid_arguments_are_reported_together():
    ranked = dataset_of("mine", "ranked", {"train": {"query": ["q"], "positives": [["p"]], "negatives": [["n"]]}})
    with pytest.raises(
        ConfigError, match=r"embeddings\.source=query is no column(.|\n)*prompt=\[a\] was(.|\n)*block_texts=0 was"
    ):
        embedded(dataset=ranked, source="query", prompt=["a"], block_texts=0)
