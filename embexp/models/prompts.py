"""Prompts of a model: texts by name that go before its texts, and which texts of a run get which of them.

E5 wants "query: " and "passage: ", EmbeddingGemma a prompt for each task, Qwen3 and E5-mistral an instruction before
queries only. The names are free; these are known: query and document (or passage, corpus) for search, similarity (or
sts), classification, clustering for the tasks of that name, where every text gets the same prompt.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from embexp.core.arguments import refuse
from embexp.core.file_contents import json_in
from embexp.data.dataset import Prompts
from embexp.errors import ConfigError, Problem, as_typed, did_you_mean, listed
from embexp.models.weights import LOCAL

AUTO, SIDES, SAVED = "auto", "sides", "saved"
SEARCH, SIMILARITY, CLASSIFICATION, CLUSTERING = "search", "similarity", "classification", "clustering"
_QUERY, _DOCUMENT = ("query", "queries"), ("document", "passage", "corpus")
# The names of the prompt that all texts of a task get, best first.
_SHARED = {
    SIMILARITY: ("similarity", "sts", *_QUERY),
    CLASSIFICATION: ("classification", *_QUERY),
    CLUSTERING: ("clustering", "classification", *_QUERY),
}
_TASK, _TEXT = "{task}", "{text}"


def prompt_problems(prompts: Any, prompt: Any, task: Any) -> Iterator[Problem]:
    """What is wrong with `prompts`, `prompt` and `task` of a model's YAML."""
    if prompts is None or prompts == SAVED:
        if task is not None:
            text, expected = "has no effect: no prompts are given", "prompts with {task} in them, or no task"
            fix = ("model.task=null", "\"model.prompts={query: 'Instruct: {task} Query:'}\"")
            yield Problem(text, "task", task, expected, fix=fix)
        if prompts is None and prompt not in (None, AUTO):
            yield Problem("names none: no prompts are given", "prompt", prompt, "auto", fix=("model.prompt=auto",))
        return
    fix = ("\"model.prompts={query: 'query: ', passage: 'passage: '}\"", "model.prompts=null")
    if not isinstance(prompts, Mapping) or not prompts or not all(isinstance(text, str) for text in prompts.values()):
        expected = "texts by name, saved (those that the model was saved with), or null"
        yield Problem(key="prompts", given=prompts, expected=expected, fix=fix)
        return
    for name, text in prompts.items():
        if _TEXT in text.removesuffix(_TEXT):
            expected = f"what goes before a text: {_TEXT} at its end, or left out"
            yield Problem("goes on after the text", f"prompts.{name}", text, expected)
        if _TASK in text and not (isinstance(task, str) and task.strip()):
            expected = "what is to be found, in a sentence"
            yield Problem(f"is needed by the prompt {name}: {text!r}", "task", task, expected, fix=(_SUCH_AS,))
    if task is not None and not any(_TASK in text for text in prompts.values()):
        text, expected = "has no effect: no prompt has {task} in it", "a prompt with it, or no task"
        yield Problem(text, "task", task, expected, fix=("model.task=null",))
    known = (None, AUTO, SIDES, *prompts)
    if prompt not in known:
        near, expected = did_you_mean(str(prompt), [*prompts]), f"one of: auto, sides, {listed(prompts)}; or null"
        yield Problem("names no prompt", "prompt", prompt, expected, near, fix=("model.prompt=auto",))
    elif prompt == SIDES and not _found(prompts, _QUERY + _DOCUMENT):
        expected = "prompts called query or document (or passage)"
        yield Problem("needs the names of the two sides", "prompt", prompt, expected, fix=(_first(prompts),))


_SUCH_AS = "'model.task=Given a question, retrieve passages that answer it'"


def filled(prompts: Mapping[str, str], task: str | None) -> dict[str, str]:
    r"""The prompts as they go before texts. Other braces than those of {task} and {text} stay as they are.

    >>> filled({"query": "Instruct: {task}\nQuery:{text}", "document": ""}, "Find {x}")
    {'query': 'Instruct: Find {x}\nQuery:', 'document': ''}
    >>> filled({"query": "Q:\\n"}, None)  # as a shell passes on a line break
    {'query': 'Q:\n'}
    """
    return {
        name: text.removesuffix(_TEXT).replace("\\n", "\n").replace(_TASK, task or "") for name, text in prompts.items()
    }


class _Model(Protocol):
    prompts: Mapping[str, str] | str | None
    prompt: str | None
    task: str | None

    def locate(self) -> dict[str, str]: ...


def prompts_of(model: _Model, kind: str) -> Prompts | None:
    """What goes before the texts of a task of this kind; None where the model names no prompts.

    Raises:
        ConfigError: no prompt is known to go with the task, or none were saved with the model.
    """
    given = model.prompts
    if given == SAVED:
        place = model.locate()
        own = json_in(Path(place["location"]) / "config_sentence_transformers.json") if place["source"] in LOCAL else {}
        given = {name: text for name, text in ((own or {}).get("prompts") or {}).items() if text}
        if not given:
            text, expected = "was given; no prompts are saved with the model", "prompts, or null"
            raise ConfigError(text, key="model.prompts", given=SAVED, expected=expected, fix="model.prompts=null")
        refuse([*prompt_problems(given, model.prompt, model.task)], under="model")
    return prompts_for(filled(given, model.task), model.prompt, kind) if given else None


def prompts_for(prompts: Mapping[str, str], prompt: str | None, kind: str) -> Prompts:
    """Which of the prompts go before which texts.

    Args:
        prompt: auto, sides, the name of the prompt of all texts, or None: nothing goes before any text, not even what
            the model was saved with under these names.
        kind: of the task: search, similarity, classification or clustering; it decides where `prompt` is auto.

    Raises:
        ConfigError: auto, and no prompt has a name that is known.

    >>> prompts_for({"query": "q: ", "passage": "p: "}, "auto", "search").prompt_for("positive")
    'p: '
    >>> prompts_for({"query": "q: ", "passage": "p: "}, "auto", "similarity").prompt_for("sentence2")
    'q: '
    """
    if prompt is None:
        return Prompts(dict.fromkeys(prompts, ""))
    query, document = _found(prompts, _QUERY), _found(prompts, _DOCUMENT)
    if prompt == SIDES or (prompt == AUTO and kind == SEARCH and (query or document)):
        columns = {"query": query, "positives": document}  # other columns take that of their side
        return Prompts(dict(prompts), None, {column: name for column, name in columns.items() if name})
    if prompt != AUTO:
        return Prompts(dict(prompts), prompt)
    shared = _found(prompts, _SHARED.get(kind, ())) or (next(iter(prompts)) if len(prompts) == 1 else None)
    if shared is None and not (query or document):
        raise ConfigError(
            f"does not say which of {listed(prompts)} goes before the texts of this task ({kind})",
            key="model.prompt",
            given=AUTO,
            expected="the name of one, or prompts with names that are known: query, document, similarity, "
            "classification, clustering",
            fix=_first(prompts),
        )
    return Prompts(dict(prompts), shared)


def with_prompts(own: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """A loaded model's own prompts and those that it gets: its `encode_query` and `encode_document` put the latter.

    These take the prompt called query, and the first of document, passage and corpus that there is, also an empty one
    that sentence-transformers adds when it loads a model. Where sides are named they replace what the model had for
    both; where none is, an empty one goes, so that the default prompt is put.

    >>> with_prompts({"query": "", "document": ""}, {"query": "q: ", "passage": "p: "})
    {'query': 'q: ', 'document': 'p: ', 'passage': 'p: '}
    >>> with_prompts({"query": "", "document": ""}, {"all": "x: "})
    {'all': 'x: '}
    """
    sides = {"query": _found(named, _QUERY), "document": _found(named, _DOCUMENT)}
    if any(sides.values()):
        kept = {name: text for name, text in own.items() if name.lower() not in _QUERY + _DOCUMENT}
        return {**{side: named[name] if name else "" for side, name in sides.items()}, **kept, **named}
    return {name: text for name, text in own.items() if text or name not in sides} | dict(named)


def _found(prompts: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The first of these names, in capitals or not, that has a prompt; None without any."""
    own = {name.lower(): name for name in prompts}
    return next((own[name] for name in names if name in own), None)


def _first(prompts: Mapping[str, str]) -> str:
    return f"model.prompt={as_typed(next(iter(prompts)))}"
