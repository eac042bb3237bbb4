"""A run's folder, a model and a store from somebody else: nothing in them runs without trust."""

import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from embexp import api
from embexp.config.compose import compose, resolve
from embexp.config.session import option_files, remember_config_dir
from embexp.config.trust import check_trusted
from embexp.core.run_folder import CONFIG, LAYOUT, RECORD, RESULT, read_config, write_json
from embexp.errors import ConfigError, UnreadableError
from embexp.experiment.export_run import export, export_command
from embexp.experiment.resume import resumed
from embexp.tracking.outbox import UNSENT, Outbox
from embexp.tracking.run_parts import NullTracker

TYPED = ("model=tiny", "trainer=smoke", "tracking=none", "threads=1", "evaluator.sts.resamples=200")
NOTHING_TYPED = OmegaConf.create({"trust": False})
MARKER = "was-here"


class Planted:
    """Creates the marker when it is unpickled."""

    def __reduce__(self):
        return os.system, (f"touch {MARKER}",)


@pytest.fixture(scope="module")
def honest() -> dict:
    """The configuration of a run, as its config.yaml has it."""
    return resolve(compose(TYPED))


@pytest.fixture
def stranger(workplace, honest) -> Path:
    """The folder of an interrupted run, as one unpacks it in a working directory; with code and a pickle in it."""
    folder = workplace / "run"
    folder.mkdir()
    (folder / "planted.pickle").write_bytes(pickle.dumps(Planted()))
    (folder / "planted.py").write_text(f"open({MARKER!r}, 'w')\ndef f(*a, **k): open({MARKER!r}, 'w')\nT = F = f\n")
    write_run(folder, honest)
    return folder


def write_run(folder: Path, config: dict) -> None:
    (folder / CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    names = ("dataset", "model", "loss", "trainer", "evaluator", "tracking", "conversion", "paths")
    record = {"key": "k", "layout": LAYOUT, "fingerprint": "f", "name": "n", "directory": str(folder.parent)}
    record["choices"] = dict.fromkeys(names, "default")
    write_json(folder / RECORD, record | {"versions": {}, "data": {}, "weights": {}})


def planted(config: dict, place: str, value: object) -> dict:
    """The configuration with a value at a place, of which it is a copy."""
    changed = OmegaConf.create(config)
    OmegaConf.update(changed, place, value, merge=False, force_add=True)
    return OmegaConf.to_container(changed)


READ = {"_target_": "pandas.read_pickle", "filepath_or_buffer": "run/planted.pickle"}
TOUCH = ["touch", MARKER]
SHELL = f"touch {MARKER}"
ATTACKS = {
    "a pickle among the settings of the conversion": ("conversion.label_scores", READ),
    "a callable of Python in a list, three levels deep": (
        "evaluator.sts.similarity",
        ["cosine", {"a": [{"_target_": "builtins.eval", "_args_": [f"open({MARKER!r}, 'w')"]}]}],
    ),
    "the model": ("model", {"_target_": "subprocess.run", "args": TOUCH}),
    "a path through a module that embexp imports": (
        "model",
        {"_target_": "embexp.core.environment.os.system", "command": SHELL},
    ),
    "a path through a module that transformers imports": (
        "dataset.reader",
        {"_target_": "transformers.utils.import_utils.subprocess.run", "args": TOUCH},
    ),
    "a partial": ("loss.x", {"_target_": "functools.partial", "_args_": [{"_target_": "os.system", "command": SHELL}]}),
    "a call that Hydra would prepare only": ("trainer", {"_target_": "os.system", "_partial_": True, "command": SHELL}),
    "a method of the library": ("model", {"_target_": "transformers.AutoModel.from_pretrained", "_args_": ["run"]}),
    "torch.load": ("tracking", {"_target_": "torch.load", "f": "run/planted.pickle", "weights_only": False}),
    "torch.hub": ("conversion.min_score", {"_target_": "torch.hub.load", "repo_or_dir": "run", "source": "local"}),
    "an extension that is compiled": ("model", {"_target_": "torch.utils.cpp_extension.load", "name": "x"}),
    "a look-up of Hydra": (
        "conversion.seed",
        {"_target_": "hydra.utils.call", "config": {"_target_": "os.system", "command": SHELL}},
    ),
    "a function by its path": ("loss.similarity_fct", {"_target_": "hydra.utils.get_method", "path": "os.system"}),
    "code in the folder itself": ("dataset.steps.x", {"_target_": "run.planted.f"}),
    "the trainer's class": ("loss._trained_by_", "run.planted.T"),
    "a task of mteb": (
        "evaluator.sts",
        {"_target_": "embexp.evaluation.mteb_tasks.mteb_evaluator", "tasks": ["run.planted.T"]},
    ),
    "a function of embexp that writes files": (
        "conversion.seed",
        {"_target_": "embexp.core.run_folder.write_text", "path": MARKER, "text": ""},
    ),
    "code of the model": (
        "model",
        {"_target_": "embexp.models.pretrained.PretrainedModel", "path": "run", "trust_remote_code": True},
    ),
    "a class whose arguments are code": (
        "model",
        {
            "_target_": "sentence_transformers.SentenceTransformer",
            "_args_": ["run"],
            "model_kwargs": {"trust_remote_code": True},
        },
    ),
    "a stage whose name is a path": ("adapt", {"../../x": {}}),
    "a target that is no text": ("model._target_", ["os.system"]),
    "a secret of the environment for a server": (
        "dataset.steps.x",
        {"endpoint": {"url": "https://a.b", "api_key_env": "HOME"}},
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_run_from_somebody_else_runs_nothing_and_says_what_asks_for_trust(attack, stranger, honest):
    place, value = ATTACKS[attack]
    write_run(stranger, planted(honest, place, value))
    with pytest.raises(ConfigError) as refusal:
        resumed(Path("run"), ["resume=run"], NOTHING_TYPED)
    assert not Path(MARKER).exists()
    said = str(refusal.value)
    assert said.startswith("run/config.yaml: asks for trust: ")
    assert said.endswith("hint: type python -m embexp resume=run trust=true")
    assert "embexp's own configuration" in said


def typed_in_hint(error: ConfigError) -> list[str]:
    return shlex.split(error.problems[0].fix[0])[3:]


def test_what_the_hint_says_lets_it_through(stranger, honest):
    write_run(stranger, planted(honest, "conversion.label_scores", READ))
    with pytest.raises(ConfigError) as refusal:
        api.run("resume=run")
    with pytest.raises((TypeError, ConfigError)) as later:  # what the pickle gives is no table of scores
        api.run(*typed_in_hint(refusal.value))
    assert "asks for trust" not in str(later.value)
    assert Path(MARKER).exists()  # what was planted works


def test_a_configuration_cannot_trust_itself(stranger, honest):
    write_run(stranger, planted(honest, "conversion.label_scores", READ) | {"trust": True})
    with pytest.raises(ConfigError, match=r"conversion\.label_scores\._target_=pandas\.read_pickle"):
        api.run("resume=run")


UNREADABLE = {
    "an interpolation that reads the environment": "conversion:\n  x: ${oc.env:HOME}\n",
    "an interpolation that decodes": "a: b\nx: ['${oc.decode:\"{a: b}\"}']\n",
    "a tag of Python": f"x: !!python/object/apply:os.system ['touch {MARKER}']\n",
    "aliases that unfold": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_configuration_holds_values_only(content, stranger):
    (stranger / CONFIG).write_text(content)
    with pytest.raises(UnreadableError, match="cannot be read: "):
        read_config(stranger)
    assert not Path(MARKER).exists()


def test_a_text_with_a_dollar_is_no_interpolation(stranger, honest):
    write_run(stranger, planted(honest, "name", "\\${price}"))
    assert read_config(stranger)["name"] == "${price}"


@pytest.mark.parametrize("name", [CONFIG, RECORD])
def test_what_has_no_end_is_not_read(name, stranger):
    (stranger / name).unlink()
    (stranger / name).symlink_to("/dev/zero")
    with pytest.raises(ConfigError):
        api.run("resume=run")


@pytest.mark.parametrize("name", ["embexp.log", "metrics.jsonl", "stages/main/model", "config.yaml.making"])
def test_a_link_out_of_the_folder_asks_for_trust(name, stranger, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "profile"
    (stranger / name).parent.mkdir(parents=True, exist_ok=True)
    (stranger / name).symlink_to(outside)
    with pytest.raises(ConfigError) as refusal:
        resumed(Path("run"), ["resume=run"], NOTHING_TYPED)
    assert f"asks for trust: the link {name} leads to {outside}." in str(refusal.value)
    assert str(refusal.value).endswith("resume=run trust=true")
    assert not outside.exists()


def test_a_link_inside_of_the_folder_does_not(stranger):
    (stranger / "latest").symlink_to("planted.py")
    assert resumed(Path("run"), ["resume=run"], NOTHING_TYPED)[0].trust is False


def with_code(model: Path, module: str = "planted.T") -> None:
    """A saved model whose modules.json names a class of its own, in a file beside it."""
    model.mkdir(parents=True)
    (model / "planted.py").write_text(f"open({MARKER!r}, 'w')\nclass T: pass\n")
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": module}]))


@pytest.mark.parametrize("place", ["stages/main/model", "stages/main/checkpoints/checkpoint-2", "stages/x/model/deep"])
def test_a_model_in_the_folder_that_brings_code_asks_for_trust(place, stranger):
    with_code(stranger / place)
    with pytest.raises(ConfigError) as refusal:
        resumed(Path("run"), ["resume=run"], NOTHING_TYPED)
    assert "a model in it brings code of its own, planted.T (modules.json)" in str(refusal.value)
    assert not Path(MARKER).exists()


EXPORTED = {
    "the configuration": lambda run, config: write_run(run, planted(config, "conversion.label_scores", READ)),
    "the tracker": lambda run, config: write_run(run, planted(config, "tracking", {"_target_": "os.system"})),
    "the model's modules": lambda run, config: with_code(run / "stages/main/model"),
    "a link": lambda run, config: (run / "exports").symlink_to("/tmp"),
}


@pytest.mark.parametrize("arrange", EXPORTED.values(), ids=EXPORTED)
def test_an_export_of_somebody_elses_run_asks_for_trust(arrange, stranger, honest):
    arrange(stranger, honest)
    (stranger / "stages/main/model").mkdir(parents=True, exist_ok=True)
    write_json(stranger / RESULT, {"run": {"status": "FINISHED"}, "metrics": {}})
    with pytest.raises(ConfigError, match="asks for trust"):
        export(compose(["run=run", "export=[int8]"], "export"), {})
    assert not Path(MARKER).exists()


def test_the_hint_of_an_export_is_its_command_with_trust(stranger, honest, monkeypatch, capsys):
    write_run(stranger, planted(honest, "conversion.label_scores", READ))
    (stranger / "stages/main/model").mkdir(parents=True)
    write_json(stranger / RESULT, {"run": {"status": "FINISHED"}, "metrics": {}})
    for typed in (["run=run", "export=[int8]"], ["run=run", "export=[int8]", "trust=true"]):
        monkeypatch.setattr(sys, "argv", ["export", *typed])
        with pytest.raises((SystemExit, UnreadableError, OSError)):
            export_command()
        remember_config_dir(None)
    first, second = capsys.readouterr().err.partition("hint: type ")[::2]
    assert "asks for trust" in first
    assert second.startswith("python -m embexp.export run=run 'export=[int8]' trust=true\n")
    assert "asks for trust" not in second


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"method": "log_artifact", "arguments": ["../outside", None]}, "outside of the run's folder"),
        ({"method": "log_artifact", "arguments": ["/etc/passwd", None]}, "outside of the run's folder"),
        ({"method": "log_artifact", "arguments": ["plots", None]}, "in which a.png leads to"),
        ({"method": "prepare.__globals__", "arguments": []}, "it is no record"),
    ],
)
def test_what_waits_to_be_sent_is_of_the_folder(record, said, stranger):
    (stranger.parent / "outside").write_text("secret")
    (stranger / "plots").mkdir()
    (stranger / "plots/a.png").symlink_to("../../outside")
    (stranger / UNSENT).write_text("".join(json.dumps(each) + "\n" for each in ({"name": "x"}, record)))
    with pytest.raises(UnreadableError, match=said):
        Outbox(stranger, NullTracker()).load()


@pytest.fixture
def own(workplace, monkeypatch):
    """A package of one's own and a folder of YAML files that names a loss of it."""
    (workplace / "mine").mkdir()
    (workplace / "mine/__init__.py").write_text("import os\nimport pandas\n")
    (workplace / "mine/losses.py").write_text(
        "import os\nfrom sentence_transformers.sentence_transformer.losses import CoSENTLoss\n"
        "class Loss(CoSENTLoss): pass\nclass Other(CoSENTLoss): pass\n"
    )
    (workplace / "conf/loss").mkdir(parents=True)
    (workplace / "conf/loss/mine.yaml").write_text("_target_: mine.losses.Loss\n_accepts_: [scored_pair]\n")
    monkeypatch.syspath_prepend(str(workplace))
    yield workplace / "conf"
    for name in [each for each in sys.modules if each.partition(".")[0] == "mine"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "is_known"),
    {
        "mine.losses.Loss": True,
        "mine.losses.Other": True,  # of the same package
        "torch.nn.GELU": True,
        "transformers.DataCollatorWithPadding": True,
        "sentence_transformers.losses.CoSENTLoss": True,
        "sentence_transformers.sentence_transformer.losses.CoSENTLoss": True,
        "hydra.utils.get_method": True,  # its path is looked at
        "mine.os.system": False,
        "mine.losses.os.system": False,
        "mine.pandas.read_pickle": False,
        "pandas.read_pickle": False,
        "torch.nn.modules.os.system": False,
        "torch.nn.functional.importlib.import_module": False,
        "torch.optim.optimizer.os.system": False,
        "sentence_transformers.losses.os.system": False,
        "sentence_transformers.util.import_from_string": False,
        "transformers.pipeline": False,
        "mines.losses.Loss": False,
        "": False,
    }.items(),
)
def test_what_is_known_of_a_package_of_ones_own_and_of_the_libraries(target, is_known, own):
    with api._session(own):
        config = {"loss": {"_target_": target, "x": [{"_target_": "torch.nn.Tanh"}]}}
        if is_known:
            check_trusted(config, Path("x"), "y")
        else:
            with pytest.raises(ConfigError, match="asks for trust"):
                check_trusted(config, Path("x"), "y")


@pytest.mark.usefixtures("own")
def test_without_the_folder_that_names_it_the_same_package_asks_for_trust():
    with pytest.raises(ConfigError, match=r"loss\._target_=mine\.losses\.Loss"), api._session(None):
        check_trusted({"loss": {"_target_": "mine.losses.Loss"}}, Path("x"), "y")


def test_what_this_command_names_itself_is_known():
    named = {"loss": {"_target_": "pandas.DataFrame"}}
    check_trusted(named, Path("x"), "y", own=named)


def test_an_endpoint_of_ones_own_files_may_get_its_key(own):
    endpoint = {"endpoint": {"url": "https://a.b/v1", "api_key_env": "MY_KEY"}}
    (own / "step").mkdir()
    (own / "step/asked.yaml").write_text(json.dumps(endpoint))
    with api._session(own):
        check_trusted(endpoint, Path("x"), "y")
        with pytest.raises(ConfigError, match="variable MY_KEY would be sent to https://other"):
            check_trusted({"a": [endpoint["endpoint"] | {"url": "https://other"}]}, Path("x"), "y")


def test_all_that_embexp_ships_is_known():
    seen = 0
    for group in (
        "loss",
        "modifier",
        "model",
        "evaluator",
        "dataset",
        "step",
        "silver",
        "negatives",
        "export",
        "adapt",
    ):
        for name in option_files(group):
            check_trusted({group: OmegaConf.to_container(OmegaConf.load(option_files(group)[name]))}, Path("x"), "y")
            seen += 1
    assert seen > 80


@pytest.mark.slow
def test_a_run_with_a_loss_of_ones_own_resumes_without_trust(own):
    typed = ("loss=mine", *TYPED, "trainer.save_steps=2", f"hydra.run.dir={own.parent / 'run'}")
    killed = "import embexp.api as a, embexp.training.callbacks as c, os; c.complete = lambda *_: os._exit(9); "
    command = [sys.executable, "-c", f"{killed}a.run(*{typed!r}, config_dir='conf')"]
    done = subprocess.run(command, cwd=own.parent, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 9
    assert api.run("resume=run", config_dir="conf").result["run"]["status"] == "FINISHED"
