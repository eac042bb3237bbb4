"""Decoders and encoders of today, small and with random weights: vectors as on their model cards, and whole runs."""

import json

import numpy
import pytest
from small_networks import TEXTS, embedder_in

from embexp.config.compose import compose, instantiate, option_of
from embexp.config.session import conf_dir
from embexp.experiment.execute import execute
from embexp.experiment.plan import plan_run
from embexp.models.encoding import ModelEncoder
from embexp.models.pretrained import PretrainedModel
from embexp.models.tokens import token_limit

TASK = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
# What each stands for: architecture, pooling, configuration of the network, prompt of a query.
KINDS = {
    "qwen3_embedding_0_6b": ("qwen3", "lasttoken", {}, TASK),
    "e5_mistral_7b": ("mistral", "lasttoken", {"sliding_window": 16}, TASK),
    "embeddinggemma_300m": (
        "gemma3_text",
        "mean",
        {"use_bidirectional_attention": True, "sliding_window": 16},
        "task: search result | query: ",
    ),
    "bge_m3": ("xlm-roberta", "cls", {}, ""),
    "multilingual_e5_base": ("xlm-roberta", "mean", {}, "query: "),
    "gte_modernbert_base": ("modernbert", "cls", {"local_attention": 16}, ""),
    "multilingual_e5_small": ("xlm-roberta", "mean", {"num_hidden_layers": 3}, "query: "),
    "e5_small": ("bert", "mean", {}, "query: "),
    "paraphrase_multilingual_minilm": ("bert", "mean", {}, ""),
    "gte_multilingual_base": ("gte", "cls", {}, ""),
    "llama": ("llama", "lasttoken", {}, TASK),
    "qwen2": ("qwen2", "lasttoken", {}, TASK),
}
NO_PRESETS = ("llama", "qwen2")
LONG = " ".join(TEXTS) * 2  # longer than the windows of attention
ALL = [*TEXTS, LONG[:110]]


def some(*names):
    """These in this lane, the others in the lane `matrix`."""
    return [*names, *(pytest.param(name, marks=pytest.mark.matrix) for name in KINDS if name not in names)]


def option_named(name):
    """The preset of conf/model that a network stands in for."""
    return "pretrained" if name in NO_PRESETS else name


def stand_in(name, folder):
    architecture, pooling, config, _ = KINDS[name]
    return embedder_in(folder / name, architecture, pooling, **config)


def last_token_pool(hidden, mask):
    """As on the cards of E5-mistral and Qwen3-Embedding."""
    import torch

    if mask[:, -1].sum() == mask.shape[0]:  # padded on the left
        return hidden[:, -1]
    lengths = mask.sum(dim=1) - 1
    return hidden[torch.arange(hidden.shape[0]), lengths]


def average_pool(hidden, mask):
    """As on the cards of E5."""
    return hidden.masked_fill(~mask[..., None].bool(), 0.0).sum(dim=1) / mask.sum(dim=1)[..., None]


def first_token(hidden, _mask):
    """As on the cards of BGE and GTE."""
    return hidden[:, 0]


REFERENCES = {"lasttoken": last_token_pool, "mean": average_pool, "cls": first_token}


def reference(folder, pooling, texts, side):
    """The vectors by transformers alone, without sentence-transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    network = AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    names = ("input_ids", "attention_mask")
    with torch.no_grad():
        hidden = network(**{name: batch[name] for name in names}).last_hidden_state
    pooled = REFERENCES[pooling](hidden, batch["attention_mask"])
    return torch.nn.functional.normalize(pooled, p=2, dim=1).numpy()


def test_each_preset_has_its_stand_in():
    texts = {path.stem: path.read_text("utf-8") for path in (conf_dir() / "model").glob("*.yaml")}
    assert {*KINDS} - {*NO_PRESETS, "e5_small"} == {name for name, text in texts.items() if "_loss_:" in text}


@pytest.mark.parametrize("name", some("qwen3_embedding_0_6b", "embeddinggemma_300m", "gte_modernbert_base"))
def test_vectors_are_those_of_the_code_on_the_model_card(name, tmp_path):
    _, pooling, _, prompt = KINDS[name]
    path = stand_in(name, tmp_path)
    sides = ("left", "right") if pooling == "lasttoken" else ("right",)
    expected = [reference(path, pooling, [prompt[-30:] + text for text in ALL], side) for side in sides]
    for side in (None, *sides):
        node = {} if side is None else {"padding_side": side}
        typed = {"path": str(path), "max_seq_length": None, "dtype": "float32", **node}
        model = instantiate(option_of("model", option_named(name)) | typed)
        model.check()
        found = ModelEncoder(model.load(list, tmp_path), batch_tokens=64).encode(ALL, prompt[-30:])
        assert max(numpy.abs(found - each).max() for each in expected) < 1e-5


@pytest.mark.parametrize(("architecture", "reads"), [("xlm-roberta", 127), ("bert", 128)])
def test_a_saved_limit_that_counts_positions_that_are_taken_is_lowered(architecture, reads, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = PretrainedModel(path=str(embedder_in(tmp_path / "from", architecture, "mean")))
    model.load(list, tmp_path).save_pretrained(str(tmp_path / "saved"))
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert saved.max_seq_length == reads == token_limit(model, model.locate()).max_tokens
    assert numpy.isfinite(saved.encode("rates " * 40)).all()


def run_of(path, name, folder, *typed):
    option = option_named(name)
    overrides = [f"model={option}", f"model.path={path}", "model.max_seq_length=120", "model.dtype=float32", *typed]
    command = ["trainer=smoke", "tracking=none", "threads=1", "dataset.reader.max_rows=24", *overrides]
    plan = plan_run(compose(command), {"model": option, "loss": "mnrl", "dataset": "finance"}, folder)
    return execute(plan).content, plan


ADAPTER = ["model/adapter=lora", "model.adapter.r=4", "trainer.learning_rate=1e-3"]
WAYS = {"full": ["trainer.learning_rate=1e-3"], "lora": ADAPTER, "merged": [*ADAPTER, "model.adapter.merge=true"]}
RUNS = [(name, way) for name in KINDS for way in WAYS]
FEW = [("qwen3_embedding_0_6b", "lora"), ("bge_m3", "full")]


@pytest.mark.parametrize(
    ("name", "way"),
    [*FEW, *(pytest.param(*each, marks=pytest.mark.matrix) for each in RUNS if each not in FEW)],
)
@pytest.mark.slow
def test_a_run_is_trained_saved_and_loaded_by_sentence_transformers_alone(name, way, workplace):
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    path = stand_in(name, workplace)
    result, plan = run_of(path, name, workplace / "run", *WAYS[way])
    primary = result["primary"]
    assert primary["verdict"] != "identical"
    folder = workplace / "run" / "stages" / "main" / "model"
    assert (folder / "adapter_model.safetensors").is_file() == (way == "lora")
    model = SentenceTransformer(str(folder), device="cpu")
    rows = next(each for each in plan.evaluators if each.name == primary["evaluator"]).dataset.splits[primary["split"]]
    first, second = (model.encode(rows[column][:]) for column in ("sentence1", "sentence2"))
    cosines = (first * second).sum(axis=1)
    assert spearmanr(cosines, rows["score"][:]).statistic == pytest.approx(primary["trained"], abs=2e-4)
    assert json.loads((workplace / "run" / "result.json").read_text())["verdict"] == primary["verdict"]
    prompt = model.prompts.get(model.default_prompt_name, "")
    assert ("similar" in prompt) == (name in ("qwen3_embedding_0_6b", "e5_mistral_7b", "embeddinggemma_300m"))
    untouched = SentenceTransformer(str(path), device="cpu")
    untouched.max_seq_length = model.max_seq_length
    before = untouched.encode(rows["sentence1"][:20], prompt=prompt)
    assert numpy.abs(before - first[:20]).max() > 1e-3
