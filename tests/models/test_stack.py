"""Every stack of modules that is not refused: it trains, and once saved it loads to the same embeddings."""

import numpy
import pytest

from embexp.errors import ConfigError, ModelError
from embexp.models.scratch import ScratchModel
from embexp.models.stack import module_stack

LIBRARY = "sentence_transformers.sentence_transformer.modules."
TEXTS = ["the market rose", "The market fell, sharply today.", "unheard words only", "central banks", "dogs bark"]
TRAINING = [text for text in TEXTS if "unheard" not in text]
WORDS = {"_target_": "embexp.models.words.word_vectors", "embedding_dimension": 8, "vocabulary_size": 99}
WORDS |= {"max_seq_length": 20}
BAG = {"_target_": "embexp.models.words.bag_of_words", "vocabulary_size": 99, "use_idf": True}
STATIC = {"_target_": "embexp.models.words.static_vectors", "embedding_dimension": 8, "vocabulary_size": 99}


def of(name: str, **arguments):
    return {"_target_": LIBRARY + name, **arguments}


def mean(mode="mean"):
    return of("Pooling", pooling_mode=mode)


DENSE, NORM, DROP = of("Dense", out_features=6), of("LayerNorm"), of("Dropout", dropout=0.1)
UNIT, LSTM = of("Normalize"), of("LSTM", hidden_dim=5)
CNN = of("CNN", out_channels=4, kernel_sizes=[1, 3, 5])
GELU = of("Dense", out_features=6, activation_function={"_target_": "torch.nn.GELU"})
TOKENS = {"module_input_name": "token_embeddings"}
ON_TRANSFORMER = {
    **{f"pooling {mode}": ([mean(mode)], 8) for mode in ("cls", "max", "mean", "mean_sqrt_len_tokens")},
    **{f"pooling {mode}": ([mean(mode)], 8) for mode in ("weightedmean", "lasttoken")},
    "two poolings": ([mean(["mean", "max"])], 16),
    "three poolings": ([mean(["cls", "mean", "lasttoken"]), DENSE], 6),
    "dense": ([mean(), DENSE], 6),
    "dense gelu": ([mean(), GELU], 6),
    "dense without activation": ([mean(), DENSE | {"activation_function": None}], 6),
    "dense residual": ([mean(), DENSE | {"use_residual": True}], 6),
    "dense on tokens": ([DENSE | TOKENS, mean()], 6),
    "unit tokens": ([UNIT | TOKENS, mean()], 8),
    "all of a sentence": ([mean(), NORM, DROP, DENSE, UNIT], 6),
    "all layers": ([of("WeightedLayerPooling", layer_start=1), mean(), UNIT], 8),
}
ON_TEXTS = {
    "words": ([WORDS, mean()], 8),
    "words last": ([WORDS, mean(["mean", "lasttoken"]), UNIT], 16),
    "frozen words dense": ([WORDS | {"update_embeddings": False}, mean(), DENSE], 6),
    "cnn": ([WORDS, CNN, mean()], 12),
    "lstm": ([WORDS, LSTM, mean()], 10),
    "lstm one way": ([WORDS, LSTM | {"bidirectional": False, "num_layers": 2}, mean("lasttoken")], 5),
    "cnn lstm": ([WORDS, CNN, LSTM, mean()], 10),
    "lstm cnn": ([WORDS, LSTM, CNN, mean()], 12),
    "dense lstm": ([WORDS, DENSE | TOKENS, LSTM, mean()], 10),
    "bag": ([BAG, DENSE], 6),
    "bag deep": ([BAG, DROP, NORM, DENSE, GELU, UNIT], 6),
    "static": ([STATIC], 8),
    "static deep": ([STATIC, NORM, DENSE, DROP, UNIT], 6),
}


def numbered(calls):
    return {f"m{number}": call for number, call in enumerate(calls)}


@pytest.fixture
def base(tmp_path):
    """The YAML of a small transformer."""
    import torch

    torch.manual_seed(1)
    ScratchModel(2, 8, 2, 100, 32).load(lambda: TRAINING, tmp_path).save_pretrained(str(tmp_path / "base"))
    return {"_target_": "embexp.models.pretrained.PretrainedModel", "path": str(tmp_path / "base")}


def train_and_reload(model, folder):
    """Three steps on in-batch negatives; the embeddings before saving and after loading."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = MultipleNegativesRankingLoss(model)
    before = {name: weight.clone() for name, weight in model.named_parameters() if "pooler" not in name}
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    model.train()
    for _ in range(3):
        loss([model.preprocess(TEXTS), model.preprocess(TEXTS[::-1])], None).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    moved = {name for name, weight in model.named_parameters() if name in before and not weight.equal(before[name])}
    assert moved == {name for name, weight in model.named_parameters() if name in before and weight.requires_grad}
    embedded = model.encode(TEXTS)
    model.save_pretrained(str(folder))
    return embedded, SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


@pytest.mark.parametrize("name", [*ON_TRANSFORMER, *ON_TEXTS])
def test_a_stack_trains_all_of_its_weights_and_loads_to_the_same_embeddings(name, base, tmp_path):
    import torch

    calls, width = {**ON_TRANSFORMER, **ON_TEXTS}[name]
    stack = module_stack(numbered(calls), base if name in ON_TRANSFORMER else None)
    stack.check()
    torch.manual_seed(2)
    model = stack.load(lambda: TRAINING, tmp_path).to("cpu")
    embedded, loaded = train_and_reload(model, tmp_path / "saved")
    assert embedded.shape == (len(TEXTS), width)
    assert numpy.isfinite(embedded).all()
    assert numpy.abs(loaded - embedded).max() < 1e-6
    alone = numpy.stack([model.encode(text) for text in TEXTS])
    assert numpy.abs(alone - embedded).max() < 1e-5, "an embedding must not depend on the texts beside it"


def test_the_base_keeps_its_prompts_and_lengths(base, tmp_path):
    from sentence_transformers import SentenceTransformer

    source = SentenceTransformer(base["path"])
    source.prompts, source.default_prompt_name = {"query": "q: "}, "query"
    source.save_pretrained(base["path"])
    model = module_stack(numbered([mean()]), base | {"max_seq_length": 7}).load(list, tmp_path)
    assert (model.prompts["query"], model.default_prompt_name, model.max_seq_length) == ("q: ", "query", 7)
    assert len(model[0].auto_model.encoder.layer) == 2


@pytest.mark.parametrize("most", [1, 2])
def test_a_limit_with_no_room_for_a_token_next_to_begin_and_end_is_refused(most, base, tmp_path):
    with pytest.raises(ModelError, match=rf"^model\.max_seq_length={most} was given\. Expected .* of at least 3"):
        module_stack(numbered([mean()]), base | {"max_seq_length": most}).load(list, tmp_path)


def test_an_adapter_is_trained_with_the_modules_behind_the_frozen_transformer(base, tmp_path):
    pytest.importorskip("peft")
    adapter = {"_target_": "embexp.models.adapters.LoraAdapter", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0}
    adapter |= {"target_modules": ["query"], "exclude_modules": None, "bias": "none", "use_rslora": False}
    adapter |= {"use_dora": False, "merge": True}
    stack = module_stack(numbered([mean(), DENSE]), base, adapter)
    assert stack.merges_adapter
    model = stack.load(list, tmp_path).to("cpu")
    trained = {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"0", "2"}
    embedded, loaded = train_and_reload(model, tmp_path / "saved")
    assert numpy.abs(loaded - embedded).max() < 1e-6


def test_an_adapter_without_a_transformer_is_refused():
    with pytest.raises(ConfigError, match=r"LoRA needs a pretrained transformer, .*\nhint: type model=minilm"):
        module_stack(numbered([STATIC]), adapter={"_target_": "x"})


def test_a_width_that_is_not_that_of_the_module_before_is_refused(base, tmp_path):
    stack = module_stack(numbered([mean(), DENSE | {"in_features": 9}]), base)
    with pytest.raises(ModelError, match=r"model\.modules\.m1\.in_features=9 .*; the model before it has 8\. Leave"):
        stack.load(list, tmp_path)
    assert module_stack(numbered([mean(), DENSE | {"in_features": 8}]), base).load(list, tmp_path)[2].in_features == 8


def test_a_layer_that_is_not_there_is_refused(base, tmp_path):
    stack = module_stack(numbered([of("WeightedLayerPooling", layer_start=3), mean()]), base)
    with pytest.raises(ModelError, match="has 2 layers"):
        stack.load(list, tmp_path)


def test_arguments_that_modules_do_not_take_are_refused_at_once_before_loading():
    stack = module_stack(numbered([WORDS | {"dimension": 3}, mean(), DENSE | {"out": 3}]))
    with pytest.raises(ConfigError) as refusal:
        stack.check()
    keys = [problem.key for problem in refusal.value.problems]
    assert keys == ["model.modules.m0.dimension", "model.modules.m2.out"]


def test_the_same_seed_gives_the_same_weights(tmp_path):
    import torch

    first, again, other = (
        torch.manual_seed(seed) and module_stack(numbered([WORDS, LSTM, mean()])).load(lambda: TRAINING, tmp_path)
        for seed in (1, 1, 2)
    )
    assert all(tensor.equal(again.state_dict()[name]) for name, tensor in first.state_dict().items())
    assert not numpy.allclose(first.encode(TRAINING), other.encode(TRAINING))


def test_it_lies_where_its_base_lies(base):
    assert module_stack(numbered([mean()]), base).locate()["location"] == base["path"]
    stack = module_stack(numbered([STATIC]))
    assert (stack.locate()["source"], stack.has_transformer, stack.merges_adapter) == ("scratch", False, False)
