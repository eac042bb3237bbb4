"""Pushing to the Hub, against a stand-in for it: what arrives, what never does, and what is said when it fails."""

import json
import shlex
import subprocess
import sys

import pytest
from hub_stand_in import hub_stand_in
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from test_model_card import CONFIG, RESULT
from tiny_runs import finished_run, tiny_plan, training_texts

from embexp.config.compose import compose
from embexp.errors import ConfigError, EmbexpError, Problems
from embexp.experiment.export_run import export
from embexp.exports.delivery import Exported, TrainedModel, make_exports, plan_exports

TOKEN = "hf_of_the_test"
COMMON = "https://huggingface.co"
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
    assert result["exports"][1]["lines"] == [f"pushed to {hub.url}/me/tiny/commit/{1:040x}"]
    assert hub.messages == ["embexp: mnrl · tiny · 42"]


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
    assert "Invalid user token" in entry["problem"]
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
        ('export.hub.repo="me/my model!"', "hint: type export.hub.repo=me/my-model"),
        ('export.hub.repo="me/金融--v1.git"', "hint: type export.hub.repo=me/v1"),
        ('export.hub.repo="模型"', "hint: type export.hub.repo=<owner>/<name>"),
        ("export.hub.tag=v 1", "export.hub.tag=v 1 is no name of a tag. Expected a name as git takes it"),
        ("export.hub.revision=-x", "export.hub.revision=-x is no name of a branch"),
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


@pytest.fixture
def trained(workplace):
    """A saved model with an export that was made of it, and the result of a run."""
    for name in ("model/model.safetensors", "model/1_Pooling/config.json", "made/model.onnx"):
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / name).write_bytes(b"content")
    subject = TrainedModel(workplace / "model", workplace / "out", None, result=RESULT, config=CONFIG)
    subject.run_folder, subject.made = workplace, [Exported("onnx", workplace / "made")]
    return subject


def push_made(hub, trained, *overrides):
    """What an upload of it says, and why it failed."""
    settings = compose(["model=tiny", *GIVEN[:-1], f"export.hub.endpoint={hub.url}", *overrides], "export").export
    trained.made = trained.made[:1]
    (made,) = make_exports(plan_exports(OmegaConf.to_container(settings), Problems()), trained)
    return "".join(made.lines), made.problem or ""


def untouched(hub):
    return not (hub.created or hub.files or hub.branches or hub.removed or hub.tags or hub.proposed)


def test_a_dry_run_lists_what_would_be_pushed_without_token_and_network(hub, trained, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line, problem = push_made(hub, trained, "export.hub.dry_run=true", "export.hub.tag=v1")
    assert not problem
    assert not hub.tokens
    first, *rows = line.splitlines()
    assert f"me/tiny on {hub.url}, branch main, tag v1: private if it is created, refused if it holds files" in first
    sizes = {name: size for size, name in (row.split() for row in rows[1:5])}
    assert sizes.keys() == {"1_Pooling/config.json", "README.md", "model.safetensors", "onnx/model.onnx"}
    assert (sizes["model.safetensors"], rows[0]) == ("7", "  4 files, 0.0 MB:")
    assert {"  - loss:MultipleNegativesRankingLoss", "  # me/tiny"} <= {row[2:] for row in rows}


def test_a_push_is_one_commit_with_its_tag(hub, trained):
    line, problem = push_made(hub, trained, "export.hub.tag=v1", "export.hub.private=false")
    assert not problem
    assert line == f"pushed to {hub.url}/me/tiny/commit/{1:040x}, tag v1"
    assert hub.tags == {"v1": f"{1:040x}"}
    assert hub.created[0]["visibility"] == "public"
    assert {path for _, path in hub.files} >= {"model.safetensors", "onnx/model.onnx", "README.md"}
    assert (trained.output / "hub/pushed.txt").read_text() == f"{line}\n"
    listed, _ = push_made(hub, trained, "export.hub.dry_run=true")  # forgets no push
    assert listed.startswith(f"earlier: {line}dry run, nothing was sent. ")
    assert (trained.output / "hub/pushed.txt").read_text() == f"{line}\n"


HELD = {"main": [".gitattributes", "README.md", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin"]}


@pytest.mark.parametrize("is_private", [True, False])
def test_a_repository_that_holds_files_is_pushed_over_only_when_that_is_said(hub, trained, is_private):
    hub.private, hub.there = {"me/tiny": is_private}, HELD
    _, problem = push_made(hub, trained)
    assert problem.startswith(f"Nothing was pushed: me/tiny is there already (4 files) and {'private' * is_private}")
    again = f"hint: type python -m embexp.export run={trained.run_folder} export=hub export.hub.repo=me/tiny"
    assert [each.partition(" export.hub.license")[0] for each in problem.splitlines()[1:]] == [again, again]
    assert "export.hub.overwrite=true" in problem.splitlines()[1]
    assert untouched(hub)
    line, _ = push_made(hub, trained, "export.hub.overwrite=true")
    assert line.endswith("/commit/" + f"{1:040x}, where pytorch_model.bin of an earlier model went")
    assert hub.removed == ["pytorch_model.bin"]
    assert not hub.created


def test_an_empty_repository_takes_a_push_and_a_public_one_only_a_public_push(hub, trained):
    hub.private = {"me/tiny": False}
    assert "(0 files) and public: everybody sees what is pushed there" in push_made(hub, trained)[1]
    assert untouched(hub)
    assert push_made(hub, trained, "export.hub.private=false")[0].startswith("pushed to ")
    hub.private = {"me/tiny": True}
    assert push_made(hub, trained, "export.hub.private=false")[0].endswith(", which is private and stays so")


def test_a_pull_request_is_opened_where_there_is_a_repository(hub, trained):
    hub.private, hub.there, hub.user["name"] = {"me/tiny": False}, HELD, "other"
    line, problem = push_made(hub, trained, "export.hub.create_pr=true")
    assert not problem
    assert line.startswith(f"proposed in {hub.url}/me/tiny/discussions/1")
    assert hub.proposed == ["main"]
    hub.private, hub.proposed, hub.files = {}, [], {}
    _, problem = push_made(hub, trained, "export.hub.create_pr=true")
    assert f"me/tiny is not on {hub.url}, or the token of other does not see it" in problem
    assert not hub.created


@pytest.mark.parametrize(
    ("user", "repo", "message"),
    [
        ({"name": "other"}, "me/tiny", "the token is of other, who is not me and in no organisation of that name"),
        ({"orgs": [{"name": "team", "roleInOrg": "read"}]}, "team/tiny", "me may only read in the organisation team"),
        ({"auth": {"accessToken": {"role": "read"}}}, "me/tiny", "the token of me may only read"),
    ],
)
def test_who_may_not_write_there_is_told_before_anything_is_sent(hub, trained, user, repo, message):
    hub.user |= user
    _, problem = push_made(hub, trained, f"export.hub.repo={repo}")
    assert message in problem
    assert problem.splitlines()[1].startswith(("hint: type python -m embexp.export run=", "hint: type hf auth login"))
    assert untouched(hub)


@pytest.mark.parametrize(
    ("user", "repo"),
    [
        ({}, "tiny"),
        ({}, "ME/tiny"),
        ({"orgs": [{"name": "team", "roleInOrg": "write"}]}, "team/tiny"),
        ({"auth": {"accessToken": {"role": "fineGrained"}}}, "team/tiny"),
    ],
)
def test_who_may_write_there_pushes(hub, trained, user, repo):
    hub.user |= user
    assert push_made(hub, trained, f"export.hub.repo={repo}")[0].startswith("pushed to ")
    assert hub.private == {repo if "/" in repo else "me/tiny": True}


def test_an_organisation_that_refuses_is_one_message_and_nothing_is_sent(hub, trained):
    hub.refused = {"/repos/create": 403}
    _, problem = push_made(hub, trained)
    assert problem.startswith(f"me/tiny could not be pushed to {hub.url}: 403 Forbidden")
    assert f"If that is a mirror for downloads only, type export.hub.endpoint={COMMON}" in problem
    assert not hub.files


@pytest.mark.parametrize(("tag", "free"), [("v1", "v3"), ("first", "first-2")])
def test_a_tag_that_is_taken_is_told_before_anything_is_sent(hub, trained, tag, free):
    hub.private, hub.tags = {"me/tiny": True}, dict.fromkeys(("v1", "v2", "first"), "c" * 40)
    _, problem = push_made(hub, trained, f"export.hub.tag={tag}")
    assert problem.startswith(f"me/tiny has a tag {tag} already. Expected another tag.\n")
    assert f"export.hub.tag={free}" in problem
    assert not hub.files


def test_a_tag_that_the_hub_refuses_is_told_with_the_command_for_it_alone(hub, trained):
    hub.refused = {"/tag/": 403}
    _, problem = push_made(hub, trained, "export.hub.tag=v1")
    assert problem.startswith(f"The model is pushed to {hub.url}/me/tiny/commit/{1:040x}, but its tag was refused: 403")
    assert problem.endswith(f"hint: type hf repos tag create me/tiny v1 --revision {1:040x}")


def test_a_branch_is_made_when_missing_and_looked_at_when_there(hub, trained):
    hub.private, hub.there = {"me/tiny": True}, {"main": [".gitattributes"], "try": ["model.safetensors"]}
    assert push_made(hub, trained, "export.hub.revision=new")[0].startswith("pushed to ")
    assert hub.branches == ["new"]
    assert "is there already (1 files)" in push_made(hub, trained, "export.hub.revision=try")[1]


def test_the_command_to_push_again_keeps_what_was_given(hub, trained):
    hub.private, hub.there = {"me/tiny": True}, HELD
    given = ["export.hub.language=[en,zh]", "export.hub.commit_message=a first try", "export.hub.private=false"]
    _, problem = push_made(hub, trained, *given)
    hint = shlex.split(problem.splitlines()[1].partition("embexp.export ")[2])
    again = compose([each for each in hint if not each.startswith("run=")], "export").export.hub
    assert (again.language, again.commit_message, again.private, again.overwrite) == (
        ["en", "zh"],
        "a first try",
        False,
        True,
    )
