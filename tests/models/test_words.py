"""First modules made from the training texts: which words they know, and what they give for them."""

import numpy
import pytest

from embexp.errors import ModelError
from embexp.models.words import _most_frequent_words, bag_of_words, static_vectors, word_vectors

TEXTS = ["The market rose.", "the market (again) fell!", "rates"]
CHINESE = ["股票市场今天上涨", "央行 加息", "the ECB"]


def vectors(**arguments):
    given = {"embedding_dimension": 4, "vocabulary_size": 10, "max_seq_length": 5} | arguments
    return word_vectors(TEXTS, **given)


def test_the_most_frequent_words_come_first_and_ties_by_spelling():
    assert _most_frequent_words(TEXTS, 10) == ["market", "the", "again", "fell", "rates", "rose"]
    assert _most_frequent_words(TEXTS[::-1] + TEXTS, 2) == ["market", "the"]


def test_word_vectors_find_words_in_any_case_and_with_punctuation_and_leave_out_others():
    module = vectors()
    features = module.preprocess(['"The" market, unheard-of FELL?', "nothing"])
    words = list(module.tokenizer.word2idx)
    assert [words[number] for number in features["input_ids"][0]] == ["the", "market", "fell"]
    assert features["sentence_lengths"].tolist() == [3, 0]


def test_a_text_is_cut_after_max_seq_length_words():
    assert vectors(max_seq_length=2).preprocess(["the market rose"])["sentence_lengths"].tolist() == [2]


def test_the_vector_of_the_padding_is_zero_and_is_not_trained():
    module = vectors()
    module(module.preprocess(["the market rose", "rates"]))["token_embeddings"].sum().backward()
    assert module.emb_layer.weight[0].tolist() == [0, 0, 0, 0]
    assert module.emb_layer.weight.grad[0].tolist() == [0, 0, 0, 0]
    assert module.emb_layer.weight.grad.abs().sum() == 16  # four words of four numbers


def test_word_vectors_from_a_file_in_the_form_of_glove(tmp_path):
    import torch

    (tmp_path / "glove.txt").write_text("market 1 2\nrose 3 4\nfell 5 6\n")
    module = vectors(path=str(tmp_path / "glove.txt"), vocabulary_size=2, update_embeddings=False)
    found = module(module.preprocess(["Market rose fell"]))["token_embeddings"]
    assert found.dtype == torch.float32
    assert found.tolist() == [[[1, 2], [3, 4]]]
    assert not module.emb_layer.weight.requires_grad


def test_a_file_of_vectors_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match=r"There is no file glove\.txt\. Expected the path of word vectors"):
        vectors(path="glove.txt")


def test_a_bag_counts_words_and_weighs_them_by_how_few_texts_have_them():
    plain = bag_of_words(TEXTS, 2)
    assert plain.preprocess(["the market, the Market, the rates"])["sentence_embedding"].tolist() == [[2, 3]]
    once = bag_of_words(TEXTS, 2, cumulative_term_frequency=False)
    assert once.preprocess(["the market, the Market, the rates"])["sentence_embedding"].tolist() == [[1, 1]]
    weighed = bag_of_words(TEXTS, 3, use_idf=True).preprocess(["market again again"])["sentence_embedding"]
    assert weighed[0].tolist() == pytest.approx([numpy.log(3 / 2), 0, 2 * numpy.log(3)])


def test_static_vectors_are_drawn_with_the_seed_and_read_any_language():
    import torch

    def drawn(seed):
        torch.manual_seed(seed)
        return static_vectors(CHINESE, 4, 100)

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert first.embedding.weight.equal(again.embedding.weight)
    assert not first.embedding.weight.equal(other.embedding.weight)
    assert len(first.preprocess(["股票上涨"])["input_ids"]) == 4
    assert len(first.preprocess(["the " * 5000])["input_ids"]) == 5000


def test_texts_without_white_space_between_words_are_refused():
    with pytest.raises(
        ModelError, match=r"a model that reads characters\.\nhint: type model=static_scratch\nhint: type model=tiny"
    ):
        bag_of_words(CHINESE, 9)
    assert _most_frequent_words([*CHINESE, *TEXTS], 1) == ["the"]  # a few Chinese words among English ones
