"""Describing keys: those of conf/ are known, and a mistyped one is refused in a user's own folder."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from embexp.cli.app import run_command
from embexp.config.__main__ import COMMAND, _as_markdown, _meanings
from embexp.config.checks import key_problems, read_keys
from embexp.config.compose import compose, option_of
from embexp.config.session import conf_dir, remember_config_dir
from embexp.config.yaml_keys import (
    KEYS_OF_GROUPS,
    SHAPE_NAMES,
    CallKeys,
    LossKeys,
    LossOfShape,
    Needs,
    describes,
    keys_of,
)
from embexp.data.shapes import SHAPES
from embexp.errors import ConfigError

YAMLS = sorted(path for path in conf_dir().rglob("*.yaml") if "hydra" not in path.parts)
MNRL = (conf_dir() / "loss" / "mnrl.yaml").read_text(encoding="utf-8")
CALL = {each.name for each in dataclasses.fields(CallKeys)}
GROUPS_OF_STEPS = ("step", "silver", "negatives")
TRAITS, SAMPLER = "_traits_: [in_batch_negatives]", "_batch_sampler_: no_duplicates"
# A mistake in a copy of conf/loss/mnrl.yaml: what it replaces, what it is, what the message says and what to type.
MISTAKES = {
    "misspelt": (SAMPLER, "_batch_samplr_: no_duplicates", "'_batch_sampler_'?", "_batch_sampler_: no_duplicates"),
    "singular": (TRAITS, "_trait_: [in_batch_negatives]", "'_traits_'?", "_traits_: [in_batch_negatives]"),
    "no last underscore": (SAMPLER, "_batch_sampler: no_duplicates", "'_batch_sampler_'?", SAMPLER),
    "no first underscore": (SAMPLER, "batch_sampler_: no_duplicates", "'_batch_sampler_'?", SAMPLER),
    "capital": (TRAITS, "_Traits_: [in_batch_negatives]", "Did you mean '_traits_'?", TRAITS),
    "of another group": (TRAITS, "_reads_: [triplet]", "It is a key of: evaluator.", "~loss._reads_"),
    "unknown": (
        TRAITS,
        "_xyzzy_: 1",
        "is not a describing key of a loss. Expected some of: _accepts_, ",
        "~loss._xyzzy_",
    ),
    "one in place of a list": (TRAITS, "_traits_: in_batch_negatives", "Expected a list", TRAITS),
    "null": (TRAITS, "_traits_:", "loss._traits_=null was given. Expected a list", ""),
    "unknown word": (TRAITS, "_traits_: [in_batch_negative]", "Did you mean 'in_batch_negatives'?", ""),
    "unknown sampler": (SAMPLER, "_batch_sampler_: no_duplicate", "Did you mean 'no_duplicates'", ""),
    "list in place of a word": (SAMPLER, "_batch_sampler_: [no_duplicates]", "Expected one of: batch_sampler, ", ""),
    "unknown shape": ("[triplet, positive_pair]", "[triplets]", "Did you mean 'triplet'", ""),
    "unknown need": (TRAITS, "_needs_: {transformr: true}", "Did you mean 'transformer'?", ""),
    "text in place of true": (TRAITS, "_needs_: {transformer: please}", "Expected true or false", ""),
    "unknown bound": ("scale: {above: 0}", "scale: {abov: 0}", "loss._values_.scale.abov=0 is not known.", ""),
    "bound of no number": ("scale: {above: 0}", "scale: {above: none}", "Expected a number, or null", ""),
    "unknown argument": ("scale: {above: 0}", "scal: {above: 0}", "names the argument scal, which is not there", ""),
    "count below 1": (TRAITS, "_max_negatives_: 0", "Expected a whole number of at least 1, or null", ""),
    "switch": (TRAITS, "_traits_: [{owns_head: hardnes_mode}]", "the argument hardnes_mode, which is not there", ""),
}


def problems_of(mistake: str) -> list[str]:
    before, after, _, _ = MISTAKES[mistake]
    assert before in MNRL
    loss = OmegaConf.to_container(OmegaConf.create(MNRL.replace(before, after)))
    return [*map(str, key_problems({"loss": loss}))]


def in_folder(tmp_path: Path, name: str, text: str) -> list[str]:
    """`--config-dir` with one YAML more."""
    path = tmp_path / "my" / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return ["--config-dir", str(tmp_path / "my")]


def refusal_of(tmp_path: Path, *arguments: str, command: str = "embexp") -> str:
    call = [sys.executable, "-m", command, *arguments]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stdout
    assert not (tmp_path / "runs").exists() or not [*(tmp_path / "runs").rglob("result.json")]
    return done.stderr


def nodes_in(node):
    """Every mapping, at any depth."""
    if isinstance(node, dict | list):
        if isinstance(node, dict):
            yield node
        for value in node.values() if isinstance(node, dict) else node:
            yield from nodes_in(value)


def test_every_key_of_the_shipped_files_is_one_of_its_group():
    found = {}
    for path in YAMLS:
        group = path.relative_to(conf_dir()).parts[0]
        kind = KEYS_OF_GROUPS.get(
            {**dict.fromkeys(GROUPS_OF_STEPS, "step"), "adapt": "loss"}.get(group, group), CallKeys
        )
        for node in nodes_in(OmegaConf.to_container(OmegaConf.load(path))):
            if keys := [key for key in node if key.startswith("_") and key.endswith("_")]:
                found[path] = keys
                assert set(keys) <= set(keys_of(kind)), path
                described = {key: value for key, value in node.items() if key in keys or not describes(key)}
                if set(keys) - set(keys_of(CallKeys)):
                    read_keys(kind, described, group)
    assert len(found) >= 100


def test_the_shapes_are_those_of_the_data():
    assert tuple(SHAPES) == SHAPE_NAMES


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_loss_is_refused_with_what_to_type(mistake):
    (problem,) = problems_of(mistake)
    assert MISTAKES[mistake][2] in problem
    last = MISTAKES[mistake][3]
    assert not last or problem.endswith(
        ("hint: type +loss." + last.replace(": ", "="), f"hint: type {last}", last.replace(": ", "="))
    )


def test_the_shipped_loss_has_no_problem_and_is_read():
    node = OmegaConf.to_container(OmegaConf.create(MNRL))
    assert [*key_problems({"loss": node})] == []
    keys = read_keys(LossKeys, node, "loss")
    assert (keys.batch_sampler, keys.traits, keys.accepts[0]) == ("no_duplicates", ("in_batch_negatives",), "triplet")
    assert keys.values["scale"].above == 0
    assert keys.values["directions"].one_of[0] == "query_to_doc"


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"adapt": {"x": {"loss": {"_target_": "a.b", "_trait_": []}}}}, "adapt.x.loss._trait_"),
        ({"modifier": {"_target_": "a.b", "_refuse_": ["owns_head"]}}, "modifier._refuse_"),
        ({"dataset": {"steps": {"mine": {"_target_": "a.b", "_cost_": True}}}}, "dataset.steps.mine._cost_"),
        ({"dataset": {"steps": {"mine": {"_target_": "a.b", "_costly_": "yes"}}}}, "dataset.steps.mine._costly_"),
        (
            {"dataset": {"steps": {"mine": {"scorer": {"_target_": "a.b", "_costly_": True}}}}},
            "dataset.steps.mine.scorer._costly_",
        ),
        (
            {"dataset": {"steps": {"mine": {"parts": [{"_target_": "a.b", "_last_": True}]}}}},
            "dataset.steps.mine.parts.0._last_",
        ),
        ({"dataset": {"_costly_": True}}, "dataset._costly_"),
        ({"evaluator": {"e": {"_target_": "a.b", "_reads_": ["ranekd"]}}}, "evaluator.e._reads_"),
        ({"evaluator": {"e": {"_target_": "a.b"}}}, "evaluator.e"),
        (
            {"evaluator": {"e": {"_reads_": [], "dataset": {"steps": {"s": {"_make_": "ranked"}}}}}},
            "evaluator.e.dataset.steps.s._make_",
        ),
        ({"model": {"_target_": "a.b", "_reads_": []}}, "model._reads_"),
        ({"model": {"_target_": "a.b", "_recursive_": "no"}}, "model._recursive_"),
        ({"model": {"adapter": {"_target_": "a.b", "_recursiv_": False}}}, "model.adapter._recursiv_"),
        ({"trainer": {"_target_": "a.b", "_modle_": "minilm"}}, "trainer._modle_"),
        ({"tune": {"sampler": {"_target_": "a.b", "_papr_": "x"}}}, "tune.sampler._papr_"),
        ({"export": {"onnx": {"_target_": "a.b", "_costly_": True}}}, "export.onnx._costly_"),
    ],
)
def test_a_mistake_is_found_wherever_it_stands(config, key):
    (problem,) = key_problems(config)
    assert problem.key == key


@pytest.mark.parametrize(
    "config",
    [
        {"loss": {"_target_": "a.b", "_accepts_": "${x}", "_needs_": {"transformer": "${y}"}}},
        {"dataset": {"reader": {"_target_": "a.b", "columns": {"_id": "query", "text_": "text", "_x_": "label"}}}},
        {"model": {"_target_": "a.b", "lambda_": 1, "_partial_": False, "_args_": [1]}},
    ],
)
def test_what_may_stand_there_is_no_problem(config):
    assert [*key_problems(config)] == []


def test_an_override_is_refused_with_what_to_type_in_its_place():
    with pytest.raises(ConfigError) as refusal:
        compose(["+loss._trait_=[owns_head]"])
    assert str(refusal.value).endswith("Did you mean '_traits_'?\nhint: type +loss._traits_=[owns_head]")


@pytest.mark.parametrize(
    ("mistake", "command"),
    [
        *((mistake, "embexp") for mistake in ("misspelt", "no first underscore", "capital", "of another group")),
        *((mistake, "embexp") for mistake in ("one in place of a list", "null", "unknown need")),
        ("singular", "embexp.tune"),
    ],
)
def test_a_loss_in_a_folder_of_ones_own_is_refused_with_file_and_line(mistake, command, tmp_path):
    before, after, message, last = MISTAKES[mistake]
    text = MNRL.replace(before, after)
    line = 1 + text[: text.index(after)].count("\n")
    said = refusal_of(
        tmp_path, *in_folder(tmp_path, "loss/mine.yaml", text), "loss=mine", "tracking=none", command=command
    )
    assert said.startswith(f"Error: my/loss/mine.yaml:{line}: loss.")
    assert message in said
    assert said.rstrip().endswith(f"hint: type {last}" if last else "")


def test_all_mistakes_of_a_folder_are_refused_at_once_in_a_multirun_too(tmp_path):
    text = MNRL.replace("_batch_sampler_", "_batch_samplr_").replace("_traits_", "_trait_")
    folder = in_folder(tmp_path, "loss/mine.yaml", text)
    said = refusal_of(tmp_path, *folder, "-m", "loss=mine,mnrl", "tracking=none")
    assert "Did you mean '_batch_sampler_'?" in said
    assert "Did you mean '_traits_'?" in said


def test_the_page_in_docs_is_the_generated_one():
    written = (conf_dir().parent / "docs" / "yaml-keys.md").read_text(encoding="utf-8")
    assert written == _as_markdown(), f"docs/yaml-keys.md is stale. Type: {COMMAND}"


def test_every_key_is_documented():
    for kind in (*KEYS_OF_GROUPS.values(), CallKeys, Needs, LossOfShape):
        own = {each.name for each in dataclasses.fields(kind)} - (set() if kind is CallKeys else CALL)
        assert own == set(_meanings(kind)), kind


def test_evaluators_and_steps_of_a_folder_are_checked_by_other_commands(tmp_path):
    evaluator = (conf_dir() / "evaluator" / "sts.yaml").read_text(encoding="utf-8").replace("_reads_", "_read_")
    folder = in_folder(tmp_path, "evaluator/mine.yaml", evaluator.replace("evaluator.sts", "evaluator.mine"))
    said = refusal_of(tmp_path, *folder, "evaluator=[mine]", "tracking=none", command="embexp.evaluate")
    assert "evaluator.mine._read_=[scored_pair] is not a describing key of an evaluator." in said
    step = (conf_dir() / "step" / "languages.yaml").read_text(encoding="utf-8").replace("steps.languages", "steps.mine")
    (tmp_path / "my" / "step").mkdir()
    (tmp_path / "my" / "step" / "mine.yaml").write_text(f"{step}_costly: true\n", encoding="utf-8")
    for command in ("embexp.inspect", "embexp.prepare"):
        said = refusal_of(tmp_path, *folder, "step=[mine]", command=command)
        assert f"my/step/mine.yaml:{1 + step.count(chr(10))}: dataset.steps.mine._costly=true" in said


def test_an_option_that_is_edited_is_read_again(tmp_path, monkeypatch):
    mine = tmp_path / "loss" / "mine.yaml"
    mine.parent.mkdir()
    mine.write_text("defaults: [mnrl]\nscale: 7.0\n")
    command = ["--config-dir", str(tmp_path)]
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["embexp", *command, "loss=mine", "tracking=none"])
    seen = []
    for scale in ("7.0", "9.0"):
        mine.write_text(f"defaults: [mnrl]\nscale: {scale}\n")
        run_command(lambda *_: seen.append(option_of("loss", "mine")["scale"]))
        assert option_of("loss", "mnrl")["scale"] == 20.0
    remember_config_dir(None)
    assert seen == [7.0, 9.0]
