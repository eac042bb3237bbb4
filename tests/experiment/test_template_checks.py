"""Templates of instruct models: refused on documents and before texts that begin with one; let through where right."""

import json
import shlex
from dataclasses import replace

import pytest
from shaped_rows import OTHERS, RIGHT, TEXTS, write_rows
from small_networks import edit_json, embedder_in

from embexp.cli.overrides import expand_paths
from embexp.config.compose import compose
from embexp.data.dataset import Prompts
from embexp.data.row_checks import dataset_of
from embexp.errors import EmbexpError
from embexp.experiment.plan import plan_run
from embexp.experiment.template_checks import check_templates
from embexp.models.pretrained import PretrainedModel

QWEN = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
SIMILAR = "Instruct: Retrieve semantically similar text.\nQuery:"
TEMPLATES = {
    "Qwen3": QWEN,
    "EmbeddingGemma": "task: search result | query: ",
    "BGE": "Represent this sentence for searching relevant passages: ",
    "BGE in Chinese": "为这个句子生成表示以用于检索相关文章：",
    "bge-en-icl": "<instruct>Given a question, find answers\n<query>",
    "Nomic": "search_query: ",
}
ON_BOTH = {"E5": "query: ", "GTE": "", "similarity": SIMILAR, "Gemma": "task: sentence similarity | query: "}


def findings(rows, prompts=None, own=None, default=None, folder=None, **arguments):
    """Of rows of a triplet with prompts of the data, or the model's own."""
    shape = "ranked" if "query" in rows else "triplet" if "negative_1" in rows else "positive_pair"
    dataset = dataset_of("mine", shape, {"train": rows})
    if prompts:
        dataset = replace(dataset, prompts=prompts)
    content = {"prompts": own or {}, "default_prompt_name": default}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(content))
    place = {"source": "path", "location": str(folder)}
    return check_templates(dataset, PretrainedModel(path=str(folder), **arguments), place)


def starts(texts, start):
    return [start + text for text in texts]


@pytest.mark.parametrize("shape", ["positive_pair", "triplet", "ranked"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_on_documents_is_refused(name, shape, tmp_path):
    prompts = Prompts({"query": TEMPLATES[name], "document": ""}, default="query")
    (error,) = findings(RIGHT[shape], prompts, folder=tmp_path).errors
    assert "documents would get the template of queries" in str(error)
    on_queries = Prompts(prompts.named, columns={"anchor": "query", "positive": "document"})
    assert findings(RIGHT[shape], on_queries, folder=tmp_path).errors == ()
    assert findings(RIGHT[shape], None, {"query": TEMPLATES[name]}, "query", tmp_path).errors != ()
    assert findings(RIGHT[shape], None, {"query": TEMPLATES[name]}, None, tmp_path).errors == ()


@pytest.mark.parametrize("name", ON_BOTH)
def test_a_prompt_of_both_sides_is_let_through(name, tmp_path):
    assert findings(RIGHT["triplet"], Prompts({"all": ON_BOTH[name]}, "all"), folder=tmp_path).errors == ()


def test_a_models_own_template_is_known_in_any_words(tmp_path):
    own = {"query": "Find what answers this question >> ", "document": ""}
    assert findings(RIGHT["triplet"], Prompts(own, "query"), own, folder=tmp_path).errors
    assert findings(RIGHT["triplet"], Prompts(own, "query"), folder=tmp_path).errors == ()  # of another model


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "bge-en-icl"])
def test_a_template_before_a_template_is_refused(name, tmp_path):
    rows = {"anchor": starts(TEXTS, TEMPLATES[name]), "positive": OTHERS}
    (error,) = findings(rows, None, {"query": QWEN.replace("web", "new")}, "query", tmp_path).errors[1:]
    assert "mine: 12 of 12 rows (100.0 %) begin with a template already" in str(error)
    few = {"anchor": [*rows["anchor"][:1], *TEXTS[1:]], "positive": OTHERS}
    (warning,) = findings(few, None, {"query": SIMILAR}, "query", tmp_path).warnings
    assert "1 of 12 rows (8.3 %)" in str(warning)
    assert findings(rows, folder=tmp_path) == findings(RIGHT["triplet"], folder=tmp_path)


def test_it_may_be_meant(tmp_path):
    prompts = Prompts({"query": QWEN}, "query")
    found = findings(RIGHT["triplet"], prompts, folder=tmp_path, unlike_training="warn")
    assert (found.errors, len(found.warnings)) == ((), 1)


def refusal(workplace, *typed):
    overrides = ["dataset=rows.jsonl", "model=pretrained", f"model.path={workplace / 'm'}", *typed]
    command = expand_paths(["trainer=smoke", "tracking=none", "max_unknown_tokens=1", *overrides])
    given = dict(each.partition("=")[::2] for each in command if "." not in each.partition("=")[0])
    try:
        plan_run(compose(command), given | {"loss": "mnrl"}, workplace / "run")
    except EmbexpError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    prompts = {"query": QWEN, "document": ""}
    return embedder_in(tmp_path_factory.mktemp("networks") / "qwen", "qwen3", "lasttoken", prompts)


PROMPTED = ["step=[prompts]", f"dataset.steps.prompts.named.query='{QWEN.splitlines()[0]} Query:'"]
ORIGINS = {
    "the data's default": ([*PROMPTED, "dataset.steps.prompts.default=query", "~dataset.steps.prompts.columns"], None),
    "a column of the data": ([*PROMPTED, "dataset.steps.prompts.columns.positive=query"], None),
    "the model's YAML": (["model.prompts=saved", "model.prompt=query"], None),
    "the model's files": ([], "query"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "origin", [*ORIGINS][:1] + [pytest.param(each, marks=pytest.mark.matrix) for each in [*ORIGINS][1:]]
)
def test_what_is_typed_takes_the_template_off_the_documents(origin, workplace, qwen):
    typed, default = ORIGINS[origin]
    (workplace / "m").symlink_to(qwen)
    edit_json(qwen / "config_sentence_transformers.json", default_prompt_name=default)
    write_rows(workplace / "rows.jsonl", RIGHT["triplet"])
    message = refusal(workplace, *typed)
    assert "documents would get the template of queries" in message
    fixes = [shlex.split(line.removeprefix("hint: type ")) for line in message.splitlines() if "hint: " in line]
    assert len(fixes) == 2
    assert [refusal(workplace, *typed, *fix) for fix in fixes] == ["", ""]
