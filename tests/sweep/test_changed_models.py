"""The mutation test of identities, whole: edited models and code of the user are run anew, with another README not."""

import json

import pytest
from conftest import TINY
from test_sweep_cells import plan
from typed_commands import run_typed

from embexp.core.run_context import RunContext
from embexp.core.run_folder import read_record
from embexp.models.adapters import LoraAdapter
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel
from embexp.sweep.jobs import run_or_reuse

pytestmark = pytest.mark.slow
SETTINGS = ("tracking=none", "max_unknown_tokens=1", "loss=cosent", "trainer.max_steps=1")
TEXTS = ["the market rose", "the market fell", "a cat sleeps", "central banks raise rates"]


def saved_model(folder):
    import torch

    torch.manual_seed(0)
    ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(lambda: TEXTS, folder).save_pretrained(
        str(folder)
    )
    return folder


def sharded_model(folder):
    saved_model(folder)
    network = PretrainedModel(path=str(folder)).load(list, folder).transformers_model
    (folder / "model.safetensors").unlink()
    network.save_pretrained(folder, max_shard_size="4KB")
    return folder


def adapter_of(base, folder):
    pytest.importorskip("peft")
    lora = LoraAdapter(4, 8, 0.0, "all-linear", None, "none", False, False, False)
    PretrainedModel(path=str(base), adapter=lora).load(list, folder).save_pretrained(str(folder))
    return folder


def named(folder):
    return ["model=pretrained", f"model.path={folder}"]


def of_a_folder(place):
    return named(saved_model(place / "mine")), place / "mine", "1_Pooling/config.json"


def of_shards(place):
    folder = sharded_model(place / "mine")
    return named(folder), folder, sorted(folder.glob("model-*.safetensors"))[-1].name


def of_an_adapter(place):
    folder = adapter_of(saved_model(place / "base_model"), place / "mine")
    return named(folder), folder, "adapter_model.safetensors"


def of_an_adapters_base(place):
    base = saved_model(place / "base_model")
    return named(adapter_of(base, place / "mine")), base, "model.safetensors"


def of_a_teacher(place):
    teacher = f"dataset.steps.teacher_embeddings.encoder.model={saved_model(place / 'mine')}"
    return ["loss=mse", "step=[teacher_embeddings]", teacher], place / "mine", "1_Pooling/config.json"


def edit(path):
    if path.suffix == ".json":
        settings = json.loads(path.read_text())
        path.write_text(json.dumps(settings | {"pooling_mode": "max"}))
        return
    content = bytearray(path.read_bytes())
    content[-64:] = bytes(byte ^ 1 for byte in content[-64:])
    path.write_bytes(content)


AGAIN = [pytest.param(kind, marks=pytest.mark.matrix) for kind in (of_a_folder, of_shards, of_an_adapter, of_a_teacher)]


@pytest.mark.parametrize("kind", [of_an_adapters_base, *AGAIN])
def test_a_job_with_an_edited_model_is_run_anew_and_with_an_edited_readme_it_is_not(kind, workplace):
    overrides, folder, file = kind(workplace / "models")
    job = workplace / "sweeps/day/time/0"

    def finish():
        run_or_reuse(plan(job, *SETTINGS, *overrides), "failed", RunContext(sweep="sweep-1"))
        return read_record(job)["key"]

    first = finish()
    (folder / "README.md").write_text("Another text.")
    assert finish() == first
    edit(folder / file)
    second = finish()
    assert second != first
    assert finish() == second
    (outdated,) = (job.parent / "outdated").iterdir()
    assert read_record(outdated)["key"] == first


LOSSES = """
import torch
import pull
class Own(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, features, labels):
        return pull.strength * self.model(features[0])["sentence_embedding"].sum()
"""
CODE = {
    "own/loss/own.yaml": "_target_: own_losses.Own\n_accepts_: [triplet]\n",
    "own_losses.py": LOSSES,
    "pull.py": "strength = 1.0\n",
}


def test_a_sweep_runs_only_the_cells_anew_whose_code_was_edited(workplace):
    for name, text in CODE.items():
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / name).write_text(text)

    def keys_of_cells():
        typed = ("-m", "--config-dir", "own", *TINY, "tracking=none", "trainer.max_steps=1", "loss=own,cosent")
        code, output = run_typed(workplace, *typed)
        assert code == 0, output
        (sweep,) = (workplace / "sweeps").glob("*/*")
        return [read_record(sweep / number)["key"] for number in "01"]

    first = keys_of_cells()
    (workplace / "README.md").write_text("Another text.")
    (workplace / "beside.py").write_text("import os")  # which no loss imports
    assert keys_of_cells() == first
    for name, text in {"pull.py": "strength = 0.5\n", "own_losses.py": LOSSES.replace("[0]", "[1]")}.items():
        (workplace / name).write_text(text)
        second = keys_of_cells()
        assert second[0] != first[0], name
        assert second[1] == first[1], name
        first = second
