"""Cross-encoders as pair scorers: loaded late, one score for each pair, refused where there is no score."""

import numpy
import pytest

from embexp.errors import ConfigError, ModelError
from embexp.models.cross_encoder import CrossEncoderScorer

PAIRS = [("a bond", "a loan"), ("gold", "a metal"), ("a share", "a part")]


@pytest.fixture(scope="module")
def save(tmp_path_factory):
    """Saves a tiny cross-encoder with random weights and so many outputs; returns its folder."""

    def save(num_labels):
        import torch
        from sentence_transformers import CrossEncoder
        from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

        folder = tmp_path_factory.mktemp("cross_encoder")
        torch.manual_seed(0)
        words = [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *{word for pair in PAIRS for text in pair for word in text.split()},
        ]
        (folder / "vocab.txt").write_text("\n".join(words))
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = BertConfig(vocab_size=len(words), num_labels=num_labels, max_position_embeddings=32, **sizes)
        BertForSequenceClassification(config).save_pretrained(folder)
        BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        CrossEncoder(str(folder), max_length=32).save_pretrained(str(folder))
        return folder

    return save


def test_each_pair_gets_the_score_that_the_model_predicts(save):
    from sentence_transformers import CrossEncoder

    folder = save(1)
    scorer = CrossEncoderScorer(str(folder), batch_size=2, max_tokens=None)
    scores = scorer.score(PAIRS)
    assert scores.tolist() == pytest.approx(CrossEncoder(str(folder)).predict(PAIRS).tolist(), abs=1e-6)
    assert (scores.dtype, scores.shape) == ("float32", (3,))
    assert scorer.score([]).shape == (0,)


def test_the_activation_that_is_requested_makes_the_score(save):
    folder, scores = str(save(1)), {}
    for activation in ("identity", "sigmoid"):
        scorer = CrossEncoderScorer(folder, batch_size=2, max_tokens=None, activation=activation)
        scores[activation] = scorer.score(PAIRS)
    assert scores["sigmoid"].tolist() == pytest.approx((1 / (1 + numpy.exp(-scores["identity"]))).tolist(), abs=1e-6)
    with pytest.raises(ConfigError, match=r"scorer\.batch_size=0 was given.*\nhint: type scorer\.batch_size=64"):
        CrossEncoderScorer(folder, batch_size=0, max_tokens=None)
    with pytest.raises(ConfigError, match=r"scorer\.activation=sigmoidal was given.*Did you mean 'sigmoid'"):
        CrossEncoderScorer(folder, batch_size=2, max_tokens=None, activation="sigmoidal")


def test_a_model_that_gives_classes_is_refused(save):
    with pytest.raises(ModelError, match="gives 3 numbers for a pair"):
        CrossEncoderScorer(str(save(3)), batch_size=2, max_tokens=None).score(PAIRS)


def test_a_model_that_is_not_there_is_reported_when_it_is_needed(tmp_path):
    scorer = CrossEncoderScorer(str(tmp_path / "none"), batch_size=2, max_tokens=None)
    with pytest.raises(ModelError, match=r"none cannot be loaded: .*\nhint: type scorer\.path=<folder or id>"):
        scorer.score(PAIRS)
