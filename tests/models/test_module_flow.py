"""Which stacks of modules are refused, with which reason."""

import pytest

from embexp.errors import ConfigError
from embexp.models.modules import stack_problems
from embexp.models.stack import module_stack

LIBRARY = "sentence_transformers.sentence_transformer.modules."
POOLING = {"_target_": LIBRARY + "Pooling", "pooling_mode": "mean"}
DENSE = {"_target_": LIBRARY + "Dense", "out_features": 8}
LSTM = {"_target_": LIBRARY + "LSTM", "hidden_dim": 8}
CNN = {"_target_": LIBRARY + "CNN", "out_channels": 8, "kernel_sizes": [1, 3]}
LAYERS = {"_target_": LIBRARY + "WeightedLayerPooling", "layer_start": 0}
NORM = {"_target_": LIBRARY + "LayerNorm"}
WORDS = {"_target_": "embexp.models.words.word_vectors", "embedding_dimension": 8}
BAG = {"_target_": "embexp.models.words.bag_of_words"}
STATIC = {"_target_": "embexp.models.words.static_vectors"}
ON_TOKENS = {"module_input_name": "token_embeddings"}


def problems(*calls, base: bool = False) -> list[str]:
    return [str(problem) for problem in stack_problems({f"m{number}": call for number, call in enumerate(calls)}, base)]


@pytest.mark.parametrize(
    ("calls", "base", "reason"),
    [
        ([LSTM, POOLING], True, "it needs the lengths of the texts"),
        ([CNN, POOLING], True, "a text's embedding would depend on the other texts of the batch"),
        ([WORDS, CNN, CNN, POOLING], False, "a text's embedding would depend on the other texts of the batch"),
        (
            [WORDS, DENSE | ON_TOKENS, CNN, POOLING],
            False,
            "a text's embedding would depend on the other texts of the batch",
        ),
        ([{"_target_": LIBRARY + "WordWeights"}, POOLING], True, "a saved model loads those that it began with"),
        ([WORDS, LAYERS, POOLING], False, "it reads all layers of the transformer before it"),
        ([DENSE | ON_TOKENS, LAYERS, POOLING], True, "it reads all layers of the transformer before it"),
        ([POOLING, POOLING], True, "it reads the vectors of tokens"),
        ([STATIC, POOLING], False, "it reads the vectors of tokens"),
        ([NORM, POOLING], True, "it reads one vector for each text"),
        ([DENSE, POOLING], True, "it reads one vector for each text"),
        ([WORDS, POOLING], True, "as the first module and nowhere else"),
        ([POOLING], False, "as the first module and nowhere else"),
        ([POOLING, STATIC], True, "as the first module and nowhere else"),
        ([{"_target_": LIBRARY + "Transformer"}, POOLING], False, "under base, as conf/model/minilm_dense.yaml does"),
        ([{"_target_": LIBRARY + "BoW"}, DENSE], False, "embexp.models.words.bag_of_words"),
        ([{"_target_": "mine.Pooling"}], True, "a saved model could not be loaded without its code"),
        ([{"_target_": LIBRARY + "Dens"}], True, "Did you mean 'Dense'?"),
        ([], True, "ends with the transformer, which gives no vector for a text"),
        ([WORDS], False, "ends with word_vectors, which gives no vector for a text"),
        ([BAG], False, "model.modules has nothing to train"),
        ([WORDS | {"update_embeddings": False}, POOLING], False, "model.modules has nothing to train"),
        ([POOLING, DENSE | {"activation_function": {"_target_": "mine.Swish"}}], True, "only one of torch.nn"),
        (
            [POOLING, DENSE | {"activation_function": {"_target_": "torch.nn.LeakyReLU", "negative_slope": 0.3}}],
            True,
            "Expected it without arguments",
        ),
        ([WORDS, CNN | {"kernel_sizes": [2, 3]}, POOLING], False, "an even one changes a text's length"),
        ([WORDS, CNN | {"stride_sizes": [1, 2]}, POOLING], False, "change the length of a text"),
        ([WORDS, POOLING | {"pooling_mode": "max"}], False, "pooling_mode=max does not go with word vectors"),
        (
            [POOLING, DENSE | {"out_features": 1}],
            True,
            "out_features=1 was given. Expected a whole number of at least 2",
        ),
        ([STATIC | {"embedding_dimension": 1}], False, "embedding_dimension=1 was given. Expected a whole number of"),
        ([BAG | {"vocabulary_size": 1}, DENSE], False, "vocabulary_size=1 was given. Expected a whole number of"),
        ([WORDS | {"max_seq_length": 0}, POOLING], False, "max_seq_length=0 was given. Expected a whole number of"),
        ([WORDS, LSTM, POOLING | {"pooling_mode": ["mean", "cls"]}], False, "pooling_mode=cls does not go with word"),
    ],
)
def test_a_stack_that_cannot_be_trained_or_kept_is_refused(calls, base, reason):
    (found,) = problems(*calls, base=base)
    assert reason in found


def test_the_message_names_the_module_and_what_stands_before_it():
    (found,) = problems(LSTM, POOLING, base=True)
    assert found.startswith(f"model.modules.m0 is {LIBRARY}LSTM, after the transformer: ")


def test_all_arguments_that_do_not_fit_are_reported_at_once():
    wrong = {"w": WORDS, "c": CNN | {"kernel_sizes": [2]}, "p": POOLING | {"pooling_mode": "cls"}}
    with pytest.raises(ConfigError) as refusal:
        module_stack(wrong)
    keys = [problem.key for problem in refusal.value.problems]
    assert keys == ["model.modules.c.kernel_sizes", "model.modules.p.pooling_mode"]
