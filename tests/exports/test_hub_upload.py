"""Pushing to the Hub, against a stand-in for it: what arrives, what never does, and what is said when it fails."""

import json
import subprocess
import sys

import pytest
from hub_stand_in import hub_stand_in
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from tiny_runs import finished_run, tiny_plan, training_texts

from embexp.config.compose import compose
from embexp.errors import ConfigError, EmbexpError, Problems
from embexp.experiment.export_run import export
from embexp.exports.delivery import TrainedModel, make_exports, plan_exports

TOKEN = "hf_of_the_test"
GIVEN = ("export=[hub]", "export.hub.repo=me/tiny", "export.hub.license=cc-by-4.0", "tracking=none")


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the stand-in takes large files by LFS
    with hub_stand_in() as running:
        yield running


def push(hub, folder, *overrides):
    return finished_run(folder, *GIVEN, f"export.hub.endpoint={hub.url}", *overrides).content


def test_model_card_and_other_exports_arrive_and_no_text_and_no_token(hub, workplace):
    result = push(hub, workplace / "run", "export=[hub,binary]", "export.hub.language=[en]")
    assert [entry["name"] for entry in result["exports"]] == ["binary", "hub"]
    assert hub.created == [{"name": "tiny", "organization": "me", "visibility": "private"}]
    sent = {path: content for (branch, path), content in hub.files.items() if branch == "main"}
    model = workplace / "run/stages/main/model"
    for path in ("modules.json", "model.safetensors", "tokenizer.json"):
        assert sent[path] == (model / path).read_bytes()
    assert "binary/README.md" in sent
    assert sent["README.md"] == (workplace / "run/exports/hub/README.md").read_bytes()
    data = ModelCard(sent["README.md"].decode()).data
    assert (data.license, data.language, data.library_name) == ("cc-by-4.0", ["en"], "sentence-transformers")
    scores = {entry.metric_type: entry.metric_value for entry in data.eval_results}
    assert scores["spearman_cosine"] == round(result["metrics"]["test/sts/spearman_cosine"], 6)
    texts = training_texts(workplace / "again")
    assert len(texts) > 500
    for path, content in sent.items():
        if path.endswith(".md"):
            assert not [text for text in texts if text.encode() in content]
    assert hub.tokens == {TOKEN}
    assert not [path for path in workplace.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert result["exports"][1]["lines"] == [f"pushed to {hub.url}/me/tiny/commit/{2:040x}"]


@pytest.mark.slow
def test_branch_message_and_examples_are_those_that_were_requested(hub, workplace):
    push(hub, workplace / "run", "export.hub.revision=try", "export.hub.commit_message=first", "export.hub.examples=2")
    assert hub.branches == ["try"]
    assert hub.messages == ["first"]
    card = hub.files["try", "README.md"].decode()
    assert sum(text in card for text in training_texts(workplace / "again")) >= 2


@pytest.mark.slow
def test_a_refused_token_leaves_a_finished_run_that_can_be_pushed_again(hub, workplace, capsys):
    hub.refuses = 401
    result = push(hub, workplace / "run")
    assert result["run"]["status"] == "FINISHED"
    (entry,) = result["exports"]
    again = f"python -m embexp.export run={workplace / 'run'} export=hub export.hub.repo=me/tiny"
    assert "401" in entry["problem"]
    assert again in entry["problem"]
    assert "hub: me/tiny could not be pushed" in " ".join(capsys.readouterr().out.split())
    hub.refuses = None
    command = [f"run={workplace / 'run'}", *GIVEN[:-1], f"export.hub.endpoint={hub.url}"]
    export(compose(command, "export"), {})
    assert ("main", "README.md") in hub.files
    (entry,) = json.loads((workplace / "run/result.json").read_text())["exports"]
    assert "problem" not in entry


@pytest.mark.slow
def test_metadata_that_the_hub_does_not_take_is_one_message(hub, workplace):
    hub.faults = [{"message": "license: no such license"}]
    (entry,) = push(hub, workplace / "run")["exports"]
    assert "license: no such license" in entry["problem"]
    assert not hub.files


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_one_message(hub, workplace):
    hub.url = "http://127.0.0.1:9"
    (entry,) = push(hub, workplace / "run")["exports"]
    assert entry["problem"].startswith("me/tiny could not be pushed to http://127.0.0.1:9: ")
    assert entry["problem"].count("\n") == 1
    assert "\nhint: type python -m embexp.export run=" in entry["problem"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("export.hub.license=null", "export.hub.license was not given. Expected one that you have chosen"),
        ("export.hub.license=Apache 2", "export.hub.license=Apache 2 is no license that the Hub knows"),
        ("export.hub.license=apache2", "Did you mean 'apache-2.0'"),
        ("export.hub.license=other", "type export.hub.license_name=<license_name> export.hub.license_link=<license_l"),
        ("export.hub.license_name=ours", "export.hub.license_name=ours belongs to license other."),
        ("export.hub.repo=null", "a repository to push to.\nhint: type export.hub.repo=<owner>/<name>"),
        ("export.hub.repo=a/b/c", "export.hub.repo=a/b/c is no name of a repository"),
        ("export.hub.examples=-1", "export.hub.examples=-1 was given. Expected a whole number of at least 0"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_is_missing_is_said_before_training(override, message, workplace):
    with pytest.raises(ConfigError) as refusal:
        tiny_plan(workplace / "run", *GIVEN, override)
    assert message in str(refusal.value)
    assert not (workplace / "run").exists()


def test_without_a_token_or_a_way_to_the_hub_nothing_is_trained(workplace, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError) as refusal:
        tiny_plan(workplace / "run", *GIVEN, "export.hub.license=foo")
    assert [(problem.key, problem.given, problem.text) for problem in refusal.value.problems] == [
        ("export.hub.license", "foo", "is no license that the Hub knows"),
        ("export", "hub", "cannot push while HF_HUB_OFFLINE is set"),
        ("export", "hub", "finds no token of the Hub"),
    ]


@pytest.mark.usefixtures("hub")
def test_an_adapter_of_a_model_that_is_a_folder_is_refused_before_training(workplace):
    adapter = ["model=minilm", "model/adapter=lora"]
    with pytest.raises(ConfigError, match=r"export=hub is for an adapter .*\nhint: type model\.adapter\.merge=true$"):
        tiny_plan(workplace / "run", *GIVEN, *adapter)
    assert tiny_plan(workplace / "run", *GIVEN, *adapter, "model.adapter.merge=true").exports


def test_an_adapter_whose_base_is_a_folder_is_not_pushed(hub, workplace):
    adapter = workplace / "model/adapter_config.json"
    adapter.parent.mkdir()
    adapter.write_text(json.dumps({"base_model_name_or_path": str(workplace)}))
    trained = TrainedModel(adapter.parent, workplace, encoder=None)
    settings = compose(["model=tiny", *GIVEN[:-1], f"export.hub.endpoint={hub.url}"], "export").export
    (made,) = make_exports(plan_exports(OmegaConf.to_container(settings), Problems()), trained)
    assert made.problem.endswith("in the command of the run.\nhint: type model.adapter.merge=true")
    assert not hub.created


@pytest.mark.usefixtures("hub", "workplace")
def test_a_plain_model_has_no_numbers_to_put_into_a_card():
    with pytest.raises(EmbexpError, match=r"export=\[hub\] needs the result of a run"):
        export(compose(["model=tiny", *GIVEN[:-1]], "export"), {"model": "tiny"})


@pytest.mark.usefixtures("workplace")
def test_the_command_line_refuses_with_one_message():
    command = [sys.executable, "-m", "embexp", "export=hub", "model=tiny"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("Error: ") == 1
    assert "export.hub.repo was not given. Expected a repository" in done.stderr
