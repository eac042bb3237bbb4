"""LoRA: only the adapter is trained, what is saved loads again, and merging changes no embedding."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy
import pytest
from small_networks import network_in

from embexp.config.compose import compose, instantiate
from embexp.core.environment import install_command
from embexp.errors import ConfigError, ModelError
from embexp.models.adapters import LoraAdapter, idle_part, merge_adapter, save_model
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel, wordpiece_tokenizer
from embexp.models.stack import module_stack
from embexp.training.checkpoints import load_weights

pytest.importorskip("peft")
TEXTS = ["the market rose", "the market fell sharply", "central banks raise rates", "a cat sleeps"]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
ARCHITECTURES = [
    "bert",
    *(pytest.param(name, marks=pytest.mark.matrix) for name in ("roberta", "mpnet", "xlm-roberta", "modernbert")),
]
ARGUMENTS = [{}, *(pytest.param(each, marks=pytest.mark.matrix) for each in ({"num_layers": 1}, {"dtype": "bfloat16"}))]
LORA = LoraAdapter(4, 8, 0.0, "all-linear", ["pooler.dense"], "none", False, False, False)


def base_of(architecture: str, folder):
    """A small network of an architecture with random weights, saved with a tokenizer, as on the Hub."""
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    tokenizer = wordpiece_tokenizer(TEXTS, 100, 32)
    special = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **SMALL, **special)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def base(tmp_path):
    return base_of("bert", tmp_path / "base_model")


def lora(base, folder, adapter=LORA, **arguments):
    import torch

    torch.manual_seed(1)
    return PretrainedModel(path=str(base), adapter=adapter, **arguments).load(list, folder)


def trained(model):
    """One step on the sum of the embeddings; returns the names of the tensors that moved."""
    import torch
    from sentence_transformers.util import batch_to_device

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    for _ in range(2):  # the first step moves B only: A has no gradient while B is zero
        features = batch_to_device(model.preprocess(TEXTS), model.device)
        model(features)["sentence_embedding"].pow(3).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_the_adapter_is_trained_and_what_is_saved_loads_again(architecture, tmp_path):
    from sentence_transformers import SentenceTransformer

    base = base_of(architecture, tmp_path / "base_model")
    untouched = PretrainedModel(path=str(base)).load(list, tmp_path).encode(TEXTS)
    model = lora(base, tmp_path)
    assert model.encode(TEXTS) == pytest.approx(untouched, abs=1e-6)
    moved = trained(model)
    assert moved
    assert all("lora_" in name for name in moved)
    assert moved == {name for name in model.state_dict() if "lora_" in name}
    embedded = model.encode(TEXTS)
    assert numpy.abs(embedded - untouched).max() > 0.01
    save_model(model, tmp_path / "saved")
    assert not list((tmp_path / "saved").rglob("model.safetensors"))
    assert numpy.abs(SentenceTransformer(str(tmp_path / "saved")).encode(TEXTS) - embedded).max() < 1e-6


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.slow
def test_another_process_in_another_folder_loads_the_adapter_on_its_base(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base_of("bert", tmp_path / "base_model")
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    model = lora("base_model", tmp_path / "run", **arguments)
    trained(model)
    save_model(model, tmp_path / "saved")
    program = """
import json, sys
from sentence_transformers import SentenceTransformer
print(json.dumps(SentenceTransformer("../saved").encode(json.loads(sys.argv[1])).tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(TEXTS)], cwd="elsewhere", check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert numpy.abs(numpy.array(found) - model.encode(TEXTS)).max() < 1e-6


@pytest.mark.parametrize("revision", [None, "v1"])
def test_an_adapter_on_a_revision_of_the_hub_has_its_base_beside_it(revision, base, tmp_path, monkeypatch):
    """An adapter's files name an id without a revision: its base would be loaded from the main branch."""
    place = {"id": "org/net", "source": "hub", "location": str(base), "revision": revision or "main"}
    monkeypatch.setattr("embexp.models.pretrained.find_weights", lambda *_: place)
    monkeypatch.setattr("embexp.models.weights.hub_is_reachable", lambda: True)
    model = PretrainedModel(id="org/net", revision=revision, adapter=LORA).load(list, tmp_path / "run")
    save_model(model, tmp_path / "saved")
    (file,) = (tmp_path / "saved").rglob("adapter_config.json")
    named = json.loads(file.read_text())["base_model_name_or_path"]
    assert named == str(tmp_path / "run" / "base" if revision else base)


def test_a_merged_model_embeds_the_same_and_is_a_plain_one(base, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = lora(base, tmp_path)
    trained(model)
    embedded = model.encode(TEXTS)
    names = set(PretrainedModel(path=str(base)).load(list, tmp_path).state_dict())
    save_model(model, tmp_path / "saved", merges_adapter=True)
    assert not list((tmp_path / "saved").rglob("adapter*"))
    loaded = SentenceTransformer(str(tmp_path / "saved"))
    assert set(loaded.state_dict()) == set(model.state_dict()) == names
    assert numpy.abs(loaded.encode(TEXTS) - embedded).max() < 1e-6
    assert all(weight.requires_grad for weight in model.parameters())


def test_merging_a_model_without_an_adapter_changes_nothing(tmp_path):
    model = ScratchModel(1, 8, 2, 100, 16).load(lambda: TEXTS, tmp_path)
    before = model.encode(TEXTS)
    merge_adapter(model)
    assert not merge_adapter(model)
    assert numpy.array_equal(model.encode(TEXTS), before)


def test_a_checkpoint_gives_its_adapter_back_bit_by_bit(base, tmp_path):
    import torch
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

    model = lora(base, tmp_path)
    trained(model)
    model.save_pretrained(str(tmp_path / "checkpoint"))
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained(model)
    load_weights(model, tmp_path / "checkpoint")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())

    trained(model)
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    arguments = SentenceTransformerTrainingArguments(str(tmp_path / "out"), report_to="none")
    SentenceTransformerTrainer(model, arguments)._load_from_checkpoint(str(tmp_path / "checkpoint"))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        name for name in kept if "lora_" in name
    }


def test_training_resumes_from_a_saved_adapter_merged_into_its_base(base, tmp_path):
    first = lora(base, tmp_path / "first")
    trained(first)
    save_model(first, tmp_path / "saved")
    model = PretrainedModel(path=str(tmp_path / "saved")).load(list, tmp_path)
    assert not merge_adapter(model)
    assert numpy.abs(model.encode(TEXTS) - first.encode(TEXTS)).max() < 1e-6
    assert any("query" in name for name in trained(model))
    save_model(model, tmp_path / "whole")
    assert numpy.array_equal(
        PretrainedModel(path=str(tmp_path / "whole")).load(list, None).encode(TEXTS), model.encode(TEXTS)
    )

    second = lora(tmp_path / "saved", tmp_path / "second")
    trained(second)
    save_model(second, tmp_path / "again")
    assert PretrainedModel(path=str(tmp_path / "again")).load(list, tmp_path).encode(TEXTS) == pytest.approx(
        second.encode(TEXTS), abs=1e-6
    )


def test_without_peft_one_message_says_what_to_type(without):
    without("peft")
    with pytest.raises(ConfigError) as refusal:
        instantiate(compose(["model/adapter=lora"]).model)
    assert str(refusal.value) == (
        "model.adapter=lora needs peft, which is not installed.\n"
        f"hint: type {install_command('lora')}\nhint: type model.adapter=null"
    )


def test_a_saved_adapter_without_peft_is_refused_before_loading(base, tmp_path, without):
    save_model(lora(base, tmp_path), tmp_path / "saved")
    without("peft")
    with pytest.raises(
        ModelError, match=r"an adapter, which needs peft, which is not installed\. .*\nhint: type .*lora"
    ):
        PretrainedModel(path=str(tmp_path / "saved")).locate()


def test_matrices_that_are_not_there_are_refused(base, tmp_path):
    with pytest.raises(ModelError, match=r"model\.adapter=lora does not fit the model: .*nowhere") as refusal:
        lora(base, tmp_path, LoraAdapter(4, 8, 0.0, ["nowhere"], None, "none", False, False, False))
    assert "type 'model.adapter.target_modules=[query,value]'" in str(refusal.value)


def test_a_model_without_a_transformer_is_refused(tmp_path):
    vectors = {"_target_": "embexp.models.words.static_vectors", "embedding_dimension": 4, "vocabulary_size": 50}
    module_stack({"vectors": vectors}).load(lambda: TEXTS, tmp_path).save_pretrained(str(tmp_path / "static"))
    with pytest.raises(ModelError, match=r"the model has no transformer\.\nhint: type model\.adapter=null"):
        lora(tmp_path / "static", tmp_path)


def test_the_command_line_chooses_it_and_its_arguments():
    model = instantiate(compose(["model/adapter=lora", "model.adapter.r=8", "model.adapter.merge=true"]).model)
    assert (model.adapter.r, model.adapter.lora_alpha, model.merges_adapter) == (8, 128, True)
    assert not instantiate(compose([]).model).merges_adapter


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("r", 0, "a whole number of at least 1 and of at most 100,000"),
        ("lora_alpha", 0, "a number above 0"),
        ("lora_dropout", 1.0, "a number of at least 0 and below 1"),
        ("bias", "some", "one of: none, all, lora_only"),
    ],
)
def test_values_out_of_range_are_reported_by_their_names(argument, value, expected):
    with pytest.raises(ConfigError) as error:
        replace(LORA, **{argument: value})
    assert str(error.value).startswith(f"model.adapter.{argument}={value} was given. Expected {expected}.")
    assert f"\nhint: type model.adapter.{argument}=" in str(error.value)


def renamed_tensors(folder, rename):
    """Give the tensors of a saved adapter other names."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file({rename(name): tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})


NAMES = {
    "another class": lambda name: name.replace("base_model.model.", "base_model.model.bert."),
    "other layers": lambda name: name.replace("layers.", "blocks."),
    "one layer of two": lambda name: name.replace("layers.0", "layers.7"),
    "one tensor": lambda name: name.replace("layers.1.mlp.up_proj.lora_B", "layers.1.mlp.up.lora_B"),
}


@pytest.mark.parametrize("how", NAMES)
def test_an_adapter_that_is_not_applied_is_refused_when_it_is_loaded(how, tmp_path):
    """sentence-transformers loads its untouched base, with a report in the log."""
    model = lora(network_in(tmp_path / "base", "qwen3"), tmp_path)
    trained(model)
    save_model(model, tmp_path / "saved")
    renamed_tensors(tmp_path / "saved", NAMES[how])
    with pytest.raises(
        ModelError, match=r"identical: \d+ of the 28 tensors of the adapter are not applied to Qwen3Model"
    ):
        PretrainedModel(path=str(tmp_path / "saved")).load(list, tmp_path)


def test_an_adapter_of_a_language_model_is_applied(tmp_path):
    model = lora(network_in(tmp_path / "base", "qwen3"), tmp_path)
    trained(model)
    save_model(model, tmp_path / "saved")
    renamed_tensors(tmp_path / "saved", lambda name: name.replace("base_model.model.", "base_model.model.model."))
    again = PretrainedModel(path=str(tmp_path / "saved")).load(list, tmp_path)
    assert numpy.abs(again.encode(TEXTS) - model.encode(TEXTS)).max() < 1e-5


def test_an_adapter_that_adds_nothing_is_called_identical(base, tmp_path, caplog):
    model = lora(base, tmp_path)
    save_model(model, tmp_path / "saved")
    PretrainedModel(path=str(tmp_path / "saved")).load(list, tmp_path)
    assert "identical: " in caplog.text
    assert "none of the adapter's 12 matrices B (dense, key, query, value) was updated" in caplog.text
    trained(model)
    save_model(model, tmp_path / "trained")
    assert idle_part(tmp_path / "trained") == idle_part(base) == ""


def test_merging_into_weights_that_are_rounded_is_logged_and_a_broken_one_refused(base, tmp_path, caplog):
    model = lora(base, tmp_path)
    trained(model)
    merge_adapter(model)
    assert "Merging" not in caplog.text
    rounded = lora(base, tmp_path, dtype="bfloat16")
    trained(rounded)
    merge_adapter(rounded)
    assert "Merging the adapter changes the embeddings by a share of" in caplog.text
    assert "weights in bfloat16 are rounded" in caplog.text
    wrong = lora(base, tmp_path)
    trained(wrong)
    wrong.transformers_model.encoder.layer[0].attention.self.query.scaling["default"] *= 1
    for layer in wrong.transformers_model.encoder.layer:
        layer.output.dense.merge = lambda **_: None  # as a library might that does not know a kind of layer
    with pytest.raises(ModelError, match="the merged model is another one"):
        merge_adapter(wrong)


@pytest.mark.parametrize("architecture", ["qwen3", pytest.param("gemma3_text", marks=pytest.mark.matrix)])
def test_all_linear_is_every_matrix_of_a_decoder(architecture, tmp_path):
    model = lora(network_in(tmp_path / "base", architecture), tmp_path)
    names = {name.partition(".lora_")[0].rpartition(".")[2] for name in model.state_dict() if ".lora_" in name}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    few = LoraAdapter(4, 8, 0.0, ["query"], None, "none", False, False, False)
    with pytest.raises(ModelError, match=r"hint: type 'model\.adapter\.target_modules=\[q_proj,v_proj\]'"):
        lora(tmp_path / "base", tmp_path, few)


def test_matrices_that_no_embedding_reads_are_refused(base, tmp_path):
    alone = LoraAdapter(4, 8, 0.0, ["pooler.dense"], None, "none", False, False, False)
    with pytest.raises(ModelError) as error:
        lora(base, tmp_path, alone)
    assert str(error.value).startswith("model.adapter.target_modules=[pooler.dense] would train nothing, and leave the")
    assert "hint: type model.adapter.target_modules=all-linear" in str(error.value)
    lora(base, tmp_path, replace(alone, target_modules="all-linear"))


def test_an_adapter_of_another_mask_loads_again_with_it(tmp_path):
    from sentence_transformers import SentenceTransformer

    path = network_in(tmp_path / "net", "qwen3")
    model = lora(path, tmp_path, mask="bidirectional", pooling="mean")
    trained(model)
    save_model(model, tmp_path / "saved")
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert numpy.abs(again.encode(TEXTS) - model.encode(TEXTS)).max() < 1e-5
    plain = lora(path, tmp_path / "other", pooling="mean")
    assert numpy.abs(again.encode(TEXTS) - plain.encode(TEXTS)).max() > 1e-2


def test_checkpointed_activations_reach_the_adapter(tmp_path):
    from sentence_transformers.util import batch_to_device

    gradients = []
    for checkpointed in (False, True):
        model = lora(network_in(tmp_path / "base", "qwen3"), tmp_path)
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        model(batch_to_device(model.preprocess(TEXTS), model.device))["sentence_embedding"].pow(3).sum().backward()
        found = {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}
        gradients.append({name: each.numpy() for name, each in found.items() if ".lora_B" in name})
    assert all(numpy.array_equal(each, gradients[1][name]) and each.any() for name, each in gradients[0].items())


def test_qlora_without_its_package_is_one_message(without):
    without("bitsandbytes")
    with pytest.raises(ConfigError) as refusal:
        instantiate(compose(["model/adapter=qlora"]).model)
    assert str(refusal.value) == (
        "model.adapter=qlora needs peft, bitsandbytes; not installed: bitsandbytes.\n"
        f"hint: type {install_command('qlora')}\nhint: type model.adapter=lora\nhint: type model.adapter=null"
    )


@pytest.mark.parametrize("bits", [4, pytest.param(8, marks=pytest.mark.matrix)])
def test_qlora_trains_next_to_a_base_of_few_bits_and_loads_again_on_it(bits, tmp_path):
    pytest.importorskip("bitsandbytes")
    from sentence_transformers import SentenceTransformer

    sizes = {"hidden_size": 128, "intermediate_size": 128, "head_dim": 64}  # it packs 64 weights together
    base = network_in(tmp_path / "base_model", "qwen3", **sizes)
    adapter = replace(LORA, bits=bits)
    adapter.check()
    model = lora(base, tmp_path, adapter)
    assert trained(model)
    save_model(model, tmp_path / "saved")
    kept = model.encode(TEXTS)
    assert numpy.abs(SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS) - kept).max() < 2e-2
    trained(model)
    assert numpy.abs(model.encode(TEXTS) - kept).max() > 1e-3
    load_weights(model, tmp_path / "saved")  # as the best checkpoint is
    assert numpy.abs(model.encode(TEXTS) - kept).max() < 1e-6


@pytest.mark.parametrize("bits", [4, pytest.param(8, marks=pytest.mark.matrix)])
def test_a_base_of_few_bits_is_merged_in_whole_weights(bits, tmp_path):
    pytest.importorskip("bitsandbytes")
    from sentence_transformers import SentenceTransformer

    sizes = {"hidden_size": 128, "intermediate_size": 128, "head_dim": 64}
    base = network_in(tmp_path / "base_model", "qwen3", **sizes)
    for modules in ("all-linear", ["q_proj"]):
        model = lora(base, tmp_path / str(modules), replace(LORA, bits=bits, target_modules=modules))
        trained(model)
        kept, most = model.encode(TEXTS), 1e-4 if bits == 4 else 0.2  # in 8 bits activations are rounded, too
        save_model(model, tmp_path / "adapter")
        again = PretrainedModel(path=str(tmp_path / "adapter")).load(list, tmp_path)
        assert numpy.abs(again.encode(TEXTS) - kept).max() < most
        save_model(model, tmp_path / "whole", merges_adapter=True)
        plain = SentenceTransformer(str(tmp_path / "whole"), device="cpu")
        assert "quantization_config" not in json.loads((tmp_path / "whole" / "config.json").read_text())
        assert numpy.abs(plain.encode(TEXTS) - kept).max() < most
