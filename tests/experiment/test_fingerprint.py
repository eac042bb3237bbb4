"""Two runs have one fingerprint only if their numbers are the same: each file that a run reads is edited once."""

import importlib
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_run import plan_of

from embexp.config.compose import option_of
from embexp.core.run_folder import read_record, write_json
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError
from embexp.experiment import fingerprint
from embexp.experiment.execute import execute
from embexp.experiment.fingerprint import run_fingerprint
from embexp.experiment.plan import plan_run
from embexp.experiment.resume import check_unused, resume_run, resumed, start_run
from embexp.exports.merge import MergedWeights
from embexp.models.adapters import LoraAdapter
from embexp.models.pretrained import PretrainedModel
from embexp.models.scratch import ScratchModel

TEXTS = ["the market rose", "the market fell", "a cat sleeps"]
KNOWS_LITTLE = ("max_unknown_tokens=1",)  # the models know three texts
OTHERS = ("README.md", "optimizer.pt", "onnx/model.onnx", "checkpoint-5/config.json", ".cache/x")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved model with a dense layer, whose network is in several shards."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    model = ScratchModel(2, 16, 2, vocabulary_size=100, max_seq_length=16).load(lambda: TEXTS, folder)
    model.append(Dense(16, 8))
    model.save_pretrained(str(folder / "model"))
    (folder / "model" / "model.safetensors").unlink()
    model.transformers_model.save_pretrained(folder / "model", max_shard_size="4KB")
    return folder / "model"


@pytest.fixture(scope="module")
def adapter(saved):
    """A saved adapter, whose base is the saved model."""
    pytest.importorskip("peft")
    lora = LoraAdapter(4, 8, 0.0, "all-linear", None, "none", False, False, False)
    folder = saved.parent / "adapter"
    PretrainedModel(path=str(saved), adapter=lora).load(list, saved.parent).save_pretrained(str(folder))
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(base).resolve() == saved.resolve()
    return folder


def with_a_bit_changed(path):
    """Change one bit of a file that stays as long and as old as it was; returns what puts it back."""
    kept, times = path.read_bytes(), os.stat(path)
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return lambda: path.write_bytes(kept)


def check_each_file(find, folder, others=OTHERS):
    """Assert that each file of a folder changes what `find` finds, and that other files, texts and times do not."""
    before, names = find(), []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"):
        put_back = with_a_bit_changed(path)
        assert find() != before, path
        put_back()
        names.append(path.relative_to(folder).as_posix())
    for name in others:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("another text")
    for path in folder.rglob("*"):
        os.utime(path)
    assert find() == before
    for name in (name for name in others if name != "README.md"):
        (folder / name).unlink()
    return names


def located_again(plan):
    return run_fingerprint(replace(plan, model_place=plan.model.locate()))


def test_each_file_of_a_base_model_is_part_of_the_run(saved, tmp_path):
    plan = plan_of(tmp_path, f"model={saved}", *KNOWS_LITTLE, "tracking=none", "paths.cache=null")
    names = check_each_file(lambda: located_again(plan), saved)
    assert {"1_Pooling/config.json", "2_Dense/model.safetensors", "modules.json", "tokenizer.json"} <= {*names}
    assert len([name for name in names if name.startswith("model-0000")]) > 2
    assert {"sentence_bert_config.json", "config_sentence_transformers.json", "config.json"} <= {*names}


def test_each_file_of_an_adapter_and_of_its_base_is_part_of_the_run(saved, adapter, tmp_path):
    plan = plan_of(tmp_path, f"model={adapter}", *KNOWS_LITTLE, "tracking=none", "paths.cache=null")
    names = check_each_file(lambda: located_again(plan), adapter)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {*names}
    names = check_each_file(lambda: located_again(plan), saved)
    assert "1_Pooling/config.json" in names


def test_a_path_may_be_typed_in_any_way_and_logging_changes_nothing(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("rows")
    Path("link").symlink_to(saved)
    plan = plan_of(tmp_path, "tracking=none", "paths.cache=null")

    def seen(key, value):
        config = OmegaConf.create(dict(plan.config))
        OmegaConf.update(config, key, str(value), force_add=True)
        return run_fingerprint(replace(plan, config=OmegaConf.to_container(config)))

    ways = (saved, f"{saved}/", os.path.relpath(saved), "./link")
    for key in ("model.path", "model.base.path", "loss.guide", "dataset.steps.negatives.retriever.model"):
        assert len({seen(key, path) for path in ways}) == 1
        assert seen(key, saved) != seen(key, saved.parent)
    assert len({seen("evaluator.sts.dataset.reader.path", path) for path in ("rows.csv", tmp_path / "rows.csv")}) == 1
    assert seen("name", "other") == seen("trainer.logging_steps", 1) == seen("trainer.logging_first_step", True)
    assert seen("adapt.mlm.trainer.logging_steps", 1) == seen("adapt.mlm.trainer.logging_strategy", "no")
    assert seen("name", "other") != seen("trainer.eval_steps", 0.5)


def test_the_files_of_a_guide_are_part_of_the_run(saved, tmp_path):
    plan = plan_of(tmp_path, "loss=gist", f"loss.guide={saved}", *KNOWS_LITTLE, "tracking=none", "paths.cache=null")
    seen = [run_fingerprint(plan)]
    for name in ("1_Pooling/config.json", "tokenizer.json"):
        put_back = with_a_bit_changed(saved / name)
        seen.append(run_fingerprint(plan))
        put_back()
    assert len({*seen, run_fingerprint(plan)}) == 3


def test_the_settings_of_a_guide_that_is_an_option_are_part_of_the_run(tmp_path, monkeypatch):
    plan = plan_of(tmp_path, "loss=gist", "loss.guide=minilm", "tracking=none", "paths.cache=null")
    usual, seen = option_of("model", "minilm"), [run_fingerprint(plan)]
    for change in ({}, {"max_seq_length": 8}, {"pooling": "cls"}, {"num_layers": 1}):
        monkeypatch.setattr(fingerprint, "option_of", lambda group, name, change=change: usual | change)
        seen.append(run_fingerprint(plan))
    assert seen[0] == seen[1]
    assert len({*seen}) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": Prompts({"query": "query: "}, "query")},
        {"prompts": Prompts({"query": "other: "}, "query")},
        {"prompts": Prompts({"query": "query: "}, None, {"anchor": "query"})},
        {"label_names": ("no", "yes")},
    ],
    ids=["a prompt", "its text", "its column", "classes"],
)
def test_what_a_prepared_data_set_says_besides_its_rows_is_part_of_the_run(workplace, change):
    plan = plan_of(workplace / "run", "tracking=none")
    before, record = run_fingerprint(plan), start_run(plan)
    stage = plan.stages[-1]
    changed = replace(plan, stages=(*plan.stages[:-1], replace(stage, dataset=replace(stage.dataset, **change))))
    assert run_fingerprint(changed) != before
    assert resume_run(plan)["fingerprint"] == record["fingerprint"]
    with pytest.raises(ConfigError, match=r"prompts of main \w+ is now"):
        resume_run(changed)


def test_code_of_a_users_own_is_part_of_the_run(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    (workplace / "my_loss.py").write_text(
        "from sentence_transformers.sentence_transformer.losses import CoSENTLoss\nfrom my_scale import SCALE\n"
        "class Mine(CoSENTLoss):\n    def __init__(self, model):\n        super().__init__(model, scale=SCALE)\n"
    )
    (workplace / "my_scale.py").write_text("SCALE = 20.0")
    importlib.invalidate_caches()
    plan = plan_of(workplace / "run", "loss=cosent", "tracking=none")
    call = {**plan.config["loss"], "_target_": "my_loss.Mine"}
    plan = replace(plan, config={**plan.config, "loss": call})
    before = run_fingerprint(plan)
    (workplace / "my_scale.py").write_text("SCALE = 5.0")
    assert run_fingerprint(plan) != before


def test_code_of_a_task_of_mteb_that_is_the_users_own_is_part_of_the_run(workplace, monkeypatch):
    monkeypatch.syspath_prepend(str(workplace))
    (workplace / "my_tasks.py").write_text("class Mine:\n    scale = 20.0\n")
    importlib.invalidate_caches()
    plan = plan_of(workplace / "run", "loss=cosent", "tracking=none")
    node = {**option_of("evaluator", "mteb")["mteb"], "_reads_": []}

    def seen(group, *tasks):
        return fingerprint.code(replace(plan, config={**plan.config, group: {"mteb": {**node, "tasks": [*tasks]}}}))

    before = [seen(group, "my_tasks.Mine") for group in ("evaluator", "guard")]
    (workplace / "my_tasks.py").write_text("class Mine:\n    scale = 5.0\n")
    after = [seen(group, "my_tasks.Mine") for group in ("evaluator", "guard")]
    assert all("code of my_tasks" in each for each in before)
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert seen("guard", "STS12", "STS22.v2", "TERRa.V2", "MTEB(eng, v2)") == fingerprint.code(plan)


def test_the_margins_are_part_of_the_run_where_they_choose_a_share(workplace):
    pytest.importorskip("mergekit")
    plan = plan_of(workplace / "run", "tracking=none")

    def seen(margin, *exports):
        config = {**plan.config, "verdict": {**plan.config["verdict"], "margin": margin}}
        return run_fingerprint(replace(plan, config=config, exports=exports))

    assert seen(0.005) == seen(0.05) == run_fingerprint(plan)
    merged = MergedWeights("merge", [0.5], "dev")
    assert seen(0.005, merged) == seen(0.005, merged)
    assert len({seen(0.005), seen(0.005, merged), seen(0.05, merged), seen({"default": 0.05}, merged)}) == 4


def test_a_run_is_resumed_with_its_own_fingerprint_and_not_with_other_evaluated_rows(workplace, monkeypatch, caplog):
    plan = plan_of(workplace / "run", "tracking=none", "loss=cosent")
    record = start_run(plan)
    config, choices = resumed(plan.folder, [])
    again = plan_run(config, choices, plan.folder)
    assert resume_run(again)["fingerprint"] == record["fingerprint"]
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr("embexp.experiment.fingerprint.code_of", lambda package: "other code")
        assert resume_run(again)["fingerprint"] not in (record["fingerprint"], run_fingerprint(again))
    assert "what the run did before the break was done by the earlier code" in caplog.text
    write_json(plan.folder / "run.json", read_record(plan.folder) | {"evaluated": {"sts/test": "others"}})
    with pytest.raises(ConfigError, match=r"sts/test others is now"):
        resume_run(again)


def test_a_folder_with_a_finished_run_proposes_one_beside_it(finished_run):
    (finished_run.parent / "run-2").mkdir()
    with pytest.raises(
        ConfigError, match=r"run holds a run already \(FINISHED\)\. .*\nhint: type hydra.run.dir=\S*run-3$"
    ):
        check_unused(finished_run)


@pytest.mark.slow
def test_a_model_that_was_fetched_by_the_run_is_known_by_its_files(saved, workplace):
    """Once it lies in the cache of Hugging Face, the run can be resumed and is found by the same command."""
    plan = plan_of(workplace / "run", f"model={saved}", *KNOWS_LITTLE, "tracking=none", "trainer.max_steps=1")
    on_hub = plan.model_place | {"source": "hub", "revision": "main", "files": "", "sha256": ""}
    before = replace(plan, model_place=on_hub)
    started = run_fingerprint(before)
    execute(before)
    record = read_record(plan.folder)
    assert record["weights"]["base model"] == plan.model_place["files"]
    assert record["fingerprint"] == run_fingerprint(plan) != started
