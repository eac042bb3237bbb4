"""First modules whose vocabulary comes from the training texts: word vectors, bags of words, static token vectors."""

import math
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from embexp.errors import ModelError
from embexp.models.scratch import wordpiece_tokenizer

if TYPE_CHECKING:
    from sentence_transformers.sentence_transformer.modules import BoW, StaticEmbedding, WordEmbeddings

_PADDING = "PADDING_TOKEN"  # sentence-transformers fills rows up with the word of number 0
_UNSPACED = (("\u3040", "\u30ff"), ("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\u0e00", "\u0e7f"))


def word_vectors(
    training_texts: Iterable[str],
    embedding_dimension: int,
    vocabulary_size: int,
    max_seq_length: int,
    path: str | None = None,
    update_embeddings: bool = True,
) -> "WordEmbeddings":
    """A vector for each word: the texts between white space, in lower case, without punctuation.

    Words that are not in the vocabulary are left out. The vectors are normally distributed, by the run's seed, or read
    from a file. That of the padding is zero and stays zero: a CNN after it sees nothing there.

    Args:
        embedding_dimension: numbers in a vector; without effect with `path`.
        vocabulary_size: most words: the most frequent ones, or the first of the file.
        max_seq_length: most words that are read of a text.
        path: vectors in the text form of GloVe or word2vec (also .gz), a line for each word.
        update_embeddings: whether the vectors are trained, too.

    Raises:
        ModelError: there is no such file, or the texts have no white space between words.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import WordEmbeddings
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    tokenizer = WhitespaceTokenizer(stop_words=(), do_lower_case=True)
    if path is None:
        words = [_PADDING, *_most_frequent_words(training_texts, vocabulary_size)]
        tokenizer.set_vocab(words)
        module = WordEmbeddings(tokenizer, torch.randn(len(words), embedding_dimension), update_embeddings)
    elif not Path(path).is_file():
        raise ModelError(f"There is no file {path}", expected="the path of word vectors in the text form of GloVe")
    else:
        module = WordEmbeddings.from_text_file(path, update_embeddings, " ", tokenizer, vocabulary_size)
        module.float()
    module.max_seq_length = max_seq_length
    module.emb_layer.padding_idx = 0  # no gradient for the padding's vector
    module.emb_layer.weight.data[0] = 0
    return module


def bag_of_words(
    training_texts: Iterable[str], vocabulary_size: int, cumulative_term_frequency: bool = True, use_idf: bool = False
) -> "BoW":
    """One number for each word of the vocabulary: how often the text has it. Nothing in it is trained.

    Args:
        vocabulary_size: most words, the most frequent ones of the training texts.
        cumulative_term_frequency: count each occurrence of a word; false: count the word once.
        use_idf: weigh a word by ln(texts / texts with the word), so that rare words count more.

    Raises:
        ModelError: the texts have no white space between words.
    """
    from sentence_transformers.sentence_transformer.modules import BoW

    texts = list(training_texts)
    words = _most_frequent_words(texts, vocabulary_size)
    weights = _inverse_document_frequencies(texts, words) if use_idf else {}
    return BoW(words, weights, cumulative_term_frequency=cumulative_term_frequency)


def static_vectors(training_texts: Iterable[str], embedding_dimension: int, vocabulary_size: int) -> "StaticEmbedding":
    """A vector for each word piece, averaged: random vectors by the run's seed, tokenizer as of models from scratch.

    Chinese text is split into characters, so it works for any language.
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    tokenizer = wordpiece_tokenizer(training_texts, vocabulary_size, max_seq_length=10**6)
    return StaticEmbedding(tokenizer, embedding_dim=embedding_dimension)


def words_of(text: str) -> list[str]:
    """Words as sentence-transformers' WhitespaceTokenizer looks them up: in lower case, without punctuation around.

    >>> words_of("The cat (a tabby) sleeps.")
    ['the', 'cat', 'a', 'tabby', 'sleeps']
    """
    return [word for part in text.lower().split() if (word := part.strip(string.punctuation))]


def _most_frequent_words(texts: Iterable[str], vocabulary_size: int) -> list[str]:
    """The most frequent words of the texts, each text counted once; ties by spelling."""
    counts = Counter(word for text in sorted(set(texts)) for word in words_of(text))
    unspaced = sum(count for word, count in counts.items() if _is_unspaced(word))
    if 2 * unspaced > counts.total():
        expected = "words separated by white space, or a model that reads characters"
        fix = ("model=static_scratch", "model=tiny")
        raise ModelError("The training texts have no white space between words", expected=expected, fix=fix)
    return sorted(counts, key=lambda word: (-counts[word], word))[:vocabulary_size]


def _is_unspaced(word: str) -> bool:
    return any(first <= character <= last for character in word for first, last in _UNSPACED)


def _inverse_document_frequencies(texts: Iterable[str], words: Iterable[str]) -> dict[str, float]:
    """ln(texts / texts with the word) of each word.

    >>> _inverse_document_frequencies(["a b", "a c"], ["a", "b"])
    {'a': 0.0, 'b': 0.6931471805599453}
    """
    distinct = sorted(set(texts))
    counts = Counter(word for text in distinct for word in set(words_of(text)))
    return {word: math.log(len(distinct) / counts[word]) for word in words}
