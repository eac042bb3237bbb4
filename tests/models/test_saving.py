"""Every model of conf/model that needs no Hub: what is saved loads to the same embeddings, by any of the usual ways."""

import numpy
import pytest
from conftest import thinned

from embexp.config.compose import compose, instantiate
from embexp.config.session import conf_dir
from embexp.models.adapters import save_model

TEXTS = ["The market rose.", "Stocks fell sharply, again.", "a cat sleeps on the mat", "central banks raise rates"]
FROM_THE_HUB = {
    "bert_base",
    "bert_base_chinese",
    "bert_base_cls",
    "bge_small_en",
    "bge_small_zh",
    "distilroberta",
    "mpnet",
    "pretrained",
}
FROM_THE_HUB |= {"bge_m3", "e5_mistral_7b", "e5_small", "embeddinggemma_300m", "gte_modernbert_base"}
FROM_THE_HUB |= {"gte_multilingual_base", "multilingual_e5_base", "multilingual_e5_small", "qwen3_embedding_0_6b"}
FROM_THE_HUB |= {"paraphrase_multilingual_minilm"}
OFFLINE = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml") if path.stem not in FROM_THE_HUB)
WITH_ADAPTER = ["model=minilm model/adapter=lora", "model=minilm_l3 model/adapter=lora model.adapter.merge=true"]
WITH_ADAPTER += ["model=minilm_dense model/adapter=lora"]
CHOICES = [*(f"model={name}" for name in OFFLINE), *WITH_ADAPTER]


def model_of(choice: str, folder):
    """The configured model with prompts, its trained weights moved a little, as by training."""
    import torch

    if "lora" in choice:
        pytest.importorskip("peft")
    torch.manual_seed(1)
    base = instantiate(compose(choice.split()).model)
    base.check()
    model = base.load(lambda: TEXTS, folder)
    model.prompts |= {"query": "market: "}
    model.default_prompt_name = "query"
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.01 * torch.randn_like(weight))
    return model.eval(), base.merges_adapter


def test_the_models_that_need_no_hub_are_found():
    assert {"minilm", "static", "tiny", "minilm_dense", "word_lstm", "bow", "static_scratch"} <= set(OFFLINE)
    assert len(OFFLINE) >= 11


@pytest.mark.parametrize("choice", thinned(CHOICES, 6))
def test_a_saved_model_loads_to_the_same_embeddings(choice, tmp_path):
    import mlflow
    from sentence_transformers import SentenceTransformer

    model, merges = model_of(choice, tmp_path / "run")
    embedded = model.encode(TEXTS)
    save_model(model, tmp_path / "saved", merges)
    plain = SentenceTransformer(str(tmp_path / "saved"))
    mlflow.sentence_transformers.save_model(
        plain, str(tmp_path / "tracked"), pip_requirements=["sentence-transformers"]
    )
    tracked = mlflow.sentence_transformers.load_model(str(tmp_path / "tracked"))
    for loaded in (plain, tracked):
        assert numpy.abs(loaded.encode(TEXTS) - embedded).max() < 1e-6
        assert (loaded.prompts["query"], loaded.default_prompt_name) == ("market: ", "query")
        assert loaded.max_seq_length == model.max_seq_length
    assert numpy.abs(model.encode(TEXTS, prompt="") - embedded).max() > 1e-4, "the prompt must make a difference"
