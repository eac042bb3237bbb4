"""Every loss: a run killed with SIGKILL in the middle and resumed ends like one that was not, bit for bit."""

import json
from pathlib import Path
from typing import Any

import pytest
from killed_runs import at_step, killed, resume, run
from shaped_rows import CLASSES, RIGHT, TEXTS, write_rows

from embexp.config.compose import compose
from embexp.config.session import conf_dir
from embexp.data.shapes import SHAPES
from embexp.models.scratch import ScratchModel
from embexp.training.checkpoints import folders

LOSSES = sorted(path.stem for path in conf_dir().glob("loss/*.yaml") if path.stem != "auto")
TINY = ["model=tiny", "model.num_layers=1", "model.hidden_size=16", "model.vocabulary_size=100", "trainer=smoke"]
# Three batches an epoch: killed at the end of the second one, two steps after a checkpoint in the middle of it.
STEPS = [
    "trainer.max_steps=7",
    "trainer.logging_steps=3",
    "trainer.per_device_train_batch_size=4",
    "trainer.eval_steps=2",
    "trainer.save_steps=2",
]
QUIET = ["threads=1", "keep=full", "tracking.log_model=false", "tracking.checkpoint=none", "evaluator.sts.resamples=40"]


def overrides_of(loss: str, data: Path) -> list[str]:
    """A run of seconds with that loss, on rows of the shape that it accepts first, evaluated on scored pairs."""
    shape = compose([f"loss={loss}"]).loss._accepts_[0]
    if not (data / shape).exists():
        write_rows(data / shape / "train.jsonl", RIGHT[shape])
        write_rows(data / "judged" / "dev.jsonl", RIGHT["scored_pair"])
    of_file = ["dataset=file", f"dataset.reader.path={data / shape}", f"dataset.shapes=[{shape}]"]
    of_file.append("~dataset.steps.split")
    classes = [f"dataset.reader.label_names=[{','.join(CLASSES)}]"] if SHAPES[shape].label_kind == "class" else []
    reader = f"{{_target_:embexp.data.readers.read_files,path:{data / 'judged'},columns:{{}}}}"
    judged = [f"+evaluator.sts.dataset={{shapes:[scored_pair],reader:{reader},steps:{{}}}}"]
    return [f"loss={loss}", *TINY, *STEPS, *QUIET, *of_file, *classes, *judged]


def weights_of(folder: Path) -> dict[str, Any]:
    """All that a run trained: the model it kept, and the last checkpoint's model, loss and optimizer."""
    import torch

    last = folder / "stages/main/checkpoints/checkpoint-7"
    files = {"kept": folder / "stages/main/model", "last": last}
    found = {f"{name} {key}": value for name, path in files.items() for key, value in model_weights(path).items()}
    if (last / "loss.pt").exists():
        found |= {f"loss {key}": value for key, value in torch.load(last / "loss.pt", weights_only=True).items()}
    states = torch.load(last / "optimizer.pt", weights_only=True)["state"]
    return found | {f"adam {n} {key}": value for n, state in states.items() for key, value in state.items()}


def model_weights(folder: Path) -> dict[str, Any]:
    """The weights of a saved model, or those of its adapter."""
    from safetensors.torch import load_file

    (file,) = [*folder.glob("model.safetensors"), *folder.glob("adapter_model.safetensors")]
    return load_file(file)


def metrics_of(folder: Path) -> list[tuple[int | None, dict[str, float]]]:
    """What was logged, in its order, without costs."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["metrics"]) for line in lines if not str(line["metrics"]).startswith("{'cost/")]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_the_catalogue_is_large():
    assert len(LOSSES) >= 27
    assert len(OTHERS) >= 20


# What a resumed training must restore, once each. The default lane runs the first.
MECHANISMS = {
    "the model alone": ("mnrl",),
    "a head": ("softmax",),
    "a decoder": ("tsdae",),
    "a copy of the model": ("contrastive_tension",),
    "a temperature": ("info_nce", "loss.learnable_temperature=true"),
    "a gradient cache": ("cached_mnrl",),
    "random dimensions and layers": ("mnrl", "modifier=matryoshka_2d", "trainer.gradient_accumulation_steps=2"),
}
OTHERS = [(loss,) for loss in LOSSES if (loss,) not in MECHANISMS.values()] + [("softmax", "modifier=orthogonal")]
VARIANTS = [
    pytest.param(variant, id=name, marks=[] if number < 1 else pytest.mark.matrix)
    for number, (name, variant) in enumerate(MECHANISMS.items())
]
VARIANTS += [pytest.param(variant, id="-".join(variant), marks=pytest.mark.matrix) for variant in OTHERS]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_that_is_resumed_equals_one_that_was_not(variant, data, workplace, store):
    assert_same_end(workplace, store, *overrides_of(variant[0], data), *variant[1:])


@pytest.mark.parametrize("change", ["model/adapter=lora", "model.forward=plain"])
@pytest.mark.matrix
def test_a_changed_pretrained_model_is_resumed(change, data, workplace, store):
    model = ScratchModel(num_layers=1, hidden_size=16, num_heads=2, vocabulary_size=100, max_seq_length=16)
    model.load(lambda: TEXTS, workplace).save_pretrained(str(workplace / "base"))
    others = [override for override in overrides_of("softmax", data) if not override.startswith("model")]
    assert_same_end(workplace, store, *others, "model=pretrained", f"model.path={workplace / 'base'}", change)
    files = {path.name for path in (workplace / "whole/stages/main/model").iterdir()}
    assert ("adapter_model.safetensors" in files) == (change == "model/adapter=lora")


def assert_same_end(workplace: Path, store: str, *overrides: str) -> None:
    """A run that nobody stops and one that is killed in the middle leave the same."""
    whole, broken = workplace / "whole", workplace / "broken"
    first = run(whole, *overrides)
    killed(at_step, (6,), broken, *overrides)
    assert [path.name for path in folders(broken / "stages/main/checkpoints")] == ["checkpoint-2", "checkpoint-4"]
    assert not (broken / "result.json").exists()
    second = resume(broken)
    assert_same_weights(weights_of(whole), weights_of(broken))
    assert metrics_of(whole) == metrics_of(broken)
    assert (first["verdict"], first["primary_value"]) == (second["verdict"], second["primary_value"])
    assert_one_run_each(store, whole, broken)


def assert_same_weights(whole: dict[str, Any], broken: dict[str, Any]) -> None:
    import torch

    assert list(whole) == list(broken)
    assert [name for name in whole if not torch.equal(whole[name], broken[name])] == []


def assert_one_run_each(store: str, *folders: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("embexp").experiment_id])
    assert {run.info.run_id for run in runs} == {json.loads((f / "run.json").read_text())["id"] for f in folders}
    assert {run.info.status for run in runs} == {"FINISHED"}
    one, other = (
        {
            key: [(entry.step, entry.value) for entry in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
            if not key.startswith("cost/")
        }
        for run in runs
    )
    assert one == other
    assert [step for step, _ in one["train/loss"]] == [2, 3, 4, 6, 7]
