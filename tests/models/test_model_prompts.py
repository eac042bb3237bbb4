"""Prompts of a model: their names, the task of an instruct model, and which texts get which."""

import json
from types import SimpleNamespace

import pytest

from embexp.config.compose import compose, instantiate, resolve
from embexp.data.row_checks import dataset_of
from embexp.errors import ConfigError
from embexp.experiment.presets import prompt_findings, prompted, task_of
from embexp.models.pretrained import PretrainedModel
from embexp.models.prompts import filled, prompts_for, with_prompts

E5 = {"query": "query: ", "passage": "passage: "}
GEMMA = {"query": "q| ", "document": "d| ", "similarity": "s| ", "classification": "c| ", "clustering": "k| "}
CHINESE = {"query": "为这个句子生成表示以用于检索相关文章：", "document": ""}


def sides(prompts):
    return prompts.prompt_for("anchor"), prompts.prompt_for("positive")


@pytest.mark.parametrize(
    ("named", "prompt", "kind", "expected"),
    [
        (E5, "auto", "search", ("query: ", "passage: ")),
        (E5, "auto", "similarity", ("query: ", "query: ")),
        (E5, "auto", "clustering", ("query: ", "query: ")),
        (E5, "sides", "similarity", ("query: ", "passage: ")),
        (E5, "passage", "search", ("passage: ", "passage: ")),
        (GEMMA, "auto", "search", ("q| ", "d| ")),
        (GEMMA, "auto", "similarity", ("s| ", "s| ")),
        (GEMMA, "auto", "classification", ("c| ", "c| ")),
        (GEMMA, "auto", "clustering", ("k| ", "k| ")),
        ({"query": "Q: "}, "auto", "search", ("Q: ", "")),
        ({"STS": "S: ", "Query": "Q: "}, "auto", "similarity", ("S: ", "S: ")),
        ({"legal": "L: "}, "auto", "search", ("L: ", "L: ")),
        (CHINESE, "auto", "search", (CHINESE["query"], "")),
        ({"a": "A", "b": "B"}, "b", "search", ("B", "B")),
    ],
)
def test_the_task_decides_unless_the_name_of_a_prompt_is_given(named, prompt, kind, expected):
    assert sides(prompts_for(named, prompt, kind)) == expected


def test_prompts_that_all_texts_share_are_the_default_of_the_saved_model():
    assert prompts_for(E5, "auto", "similarity").default == "query"
    assert prompts_for(E5, "auto", "search").default is None


def test_no_prompt_is_none_at_all_not_what_the_model_was_saved_with():
    nothing = prompts_for(E5, None, "search")
    assert (sides(nothing), nothing.default) == (("", ""), None)
    assert set(with_prompts({"query": "Q: ", "document": "D: "}, nothing.named).values()) == {""}
    assert prompted(pairs(["query: a"]), nothing).prompts == nothing
    assert PretrainedModel(id="org/name", prompt=None).prompts_for("search") is None  # none were given


LOADED = {"query": "", "document": ""}  # as sentence-transformers has it


@pytest.mark.parametrize(
    ("own", "named", "default", "expected"),
    [
        (LOADED, E5, None, ("query: ", "passage: ")),
        (LOADED, {"Query": "Q: ", "corpus": "C: "}, None, ("Q: ", "C: ")),
        (LOADED, GEMMA, "similarity", ("q| ", "d| ")),
        (LOADED, {"all": "x: "}, "all", ("x: ", "x: ")),
        (LOADED, {"query": "Q: ", "similarity": "S: "}, "similarity", ("Q: ", "")),
        ({"query": "q", "document": "", "passage": "p"}, {"query": "Q: "}, None, ("Q: ", "")),
        ({"query": "q", "document": "d"}, E5, None, ("query: ", "passage: ")),
    ],
)
def test_encode_query_and_encode_document_put_the_prompts_of_their_sides(own, named, default, expected):
    from sentence_transformers import SentenceTransformer

    prompts = with_prompts(own, named)
    model = SimpleNamespace(prompts=prompts, encode=lambda prompt_name=None, **_: prompts[prompt_name or default])
    found = SentenceTransformer.encode_query(model, ["a"]), SentenceTransformer.encode_document(model, ["a"])
    assert found == expected


def test_free_names_that_say_nothing_of_the_task_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)which of a, b goes before the texts of this task \(similarity\).*=a"):
        prompts_for({"a": "A", "b": "B"}, "auto", "similarity")


def test_the_task_of_an_instruct_model_is_filled_in_and_other_braces_stay():
    given = {"query": "Instruct: {task}\nQuery:{text}", "document": "{x: {}}", "shell": "a:\\nb"}
    assert filled(given, "Find {x}") == {"query": "Instruct: Find {x}\nQuery:", "document": "{x: {}}", "shell": "a:\nb"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompts": {}}, "model.prompts={} was given"),
        ({"prompts": {"query": 3}}, "Expected texts by name"),
        ({"prompts": "query: "}, "Expected texts by name"),
        ({"prompts": {"q": "{text} is it?"}}, "model.prompts.q={text} is it? goes on after the text"),
        ({"prompts": {"q": "Instruct: {task}"}}, "model.task=null is needed by the prompt q"),
        ({"prompts": E5, "task": "find"}, "model.task=find has no effect: no prompt has {task}"),
        ({"task": "find"}, "model.task=find has no effect: no prompts are given"),
        ({"prompts": E5, "prompt": "qery"}, "Did you mean 'query'?"),
        ({"prompts": {"legal": "L: "}, "prompt": "sides"}, "model.prompt=sides needs the names of the two sides"),
        ({"prompt": "query"}, "model.prompt=query names none: no prompts are given"),
    ],
)
def test_what_is_wrong_with_prompts_is_told_at_once(arguments, said):
    with pytest.raises(ConfigError) as error:
        PretrainedModel(id="org/name", **arguments)
    assert said in str(error.value)


def saved(folder, prompts):
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    (folder / "model.safetensors").write_bytes(b"")
    return PretrainedModel(path=str(folder), prompts="saved", prompt="auto")


def test_prompts_that_were_saved_with_a_model_can_be_named(tmp_path):
    model = saved(tmp_path, {"query": "query: ", "document": "passage: ", "empty": ""})
    assert sides(model.prompts_for("search")) == ("query: ", "passage: ")
    assert sides(model.prompts_for("similarity")) == ("query: ", "query: ")
    with pytest.raises(ConfigError, match=r"model\.prompts=saved was given; no prompts are saved with the model"):
        saved(tmp_path, {"query": ""}).prompts_for("search")


@pytest.mark.parametrize(
    ("evaluators", "kind"),
    [
        ("[sts]", "similarity"),
        ("[retrieval,sts]", "search"),
        ("[rerank]", "search"),
        ("[binary]", "similarity"),
        ("[classification]", "classification"),
        ("[clustering]", "clustering"),
        ("[]", "similarity"),
    ],
)
def test_the_first_evaluator_names_the_task(evaluators, kind):
    config = resolve(compose([f"evaluator={evaluators}"]))
    assert task_of(config["evaluator"]) == kind


def pairs(anchors, prompts=None):
    dataset = dataset_of("mine", "positive_pair", {"train": {"anchor": anchors, "positive": ["x"] * len(anchors)}})
    return prompted(dataset, prompts)


def test_texts_that_begin_with_a_prompt_already_are_refused_and_some_are_a_warning():
    shared = prompts_for(E5, "query", "similarity")
    findings = prompt_findings(pairs(["query: a", "passage: b"], shared), shared)
    (error,) = map(str, findings.errors)
    assert "anchor of mine: 2 of 2 rows (100.0 %) begin with a prompt already, such as 'query: a'" in error
    assert error.endswith("hint: type model.prompts=null")
    findings = prompt_findings(pairs(["query: a", *"bcdefghij"], shared), shared)
    assert (len(findings.errors), len(findings.warnings)) == (0, 1)
    assert prompt_findings(pairs([*"abc"], shared), shared) == prompt_findings(pairs(["query: a"]), None)


def test_prompts_of_the_data_come_before_those_of_the_model_which_is_said():
    shared, own = prompts_for(E5, "query", "similarity"), prompts_for({"query": "Q: "}, "query", "similarity")
    dataset = pairs(["a", "b"], own)
    assert prompted(dataset, shared) is dataset
    (warning,) = map(str, prompt_findings(dataset, shared).warnings)
    assert "has no effect: the data bring prompts of their own" in warning
    assert not prompt_findings(prompted(pairs(["a"]), shared), shared).warnings


def test_a_stack_and_static_vectors_take_the_prompts_of_their_transformer():
    for name, place in (("minilm_dense", "base"), ("static", "source")):
        typed = [f"model={name}", f"model.{place}.prompts={{query: 'query: '}}"]
        assert sides(instantiate(resolve(compose(typed))["model"]).prompts_for("similarity")) == ("query: ",) * 2
