"""One text's chat with a language model: the prompt, the check of the answer, and retries that name what was wrong."""

import functools
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import COUNT_FROM_0
from embexp.endpoints.client import BusyError, Connection, RefusedError, shown
from embexp.endpoints.keeping import Tokens, estimated_tokens
from embexp.errors import EndpointError, Problem, did_you_mean, listed
from embexp.steps.llm.answers import Answer, AnswerCache, Budget
from embexp.steps.llm.endpoint import Endpoint

if TYPE_CHECKING:
    from pydantic import BaseModel

_ROLES = ("system", "user")
_PLACE = re.compile(r"\{([a-z_]+)\}")

_Message = dict[str, str]


@dataclass(frozen=True)
class Request:
    """Messages that ask for a number of texts."""

    messages: Sequence[_Message]
    num_texts: int

    @classmethod
    def filled(cls, prompt: Mapping[str, str], values: Mapping[str, str], num_texts: int) -> "Request":
        """The request of a prompt, with values in place of `{names}`; braces around anything else stay.

        >>> Request.filled({"user": 'Say {text} as {"texts": []}'}, {"text": "{text} twice"}, 1).messages
        [{'role': 'user', 'content': 'Say {text} twice as {"texts": []}'}]
        """
        filled = {role: _PLACE.sub(lambda place: values.get(place[1], place[0]), prompt[role] or "") for role in prompt}
        return cls([{"role": role, "content": filled[role].strip()} for role in _ROLES if prompt.get(role)], num_texts)


def prompt_problems(prompt: Any, known: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with a prompt, which must have the place {text}.

    Args:
        known: names of all places that are filled.
    """
    if not (
        isinstance(prompt, Mapping)
        and {"user"} <= {*prompt} <= {*_ROLES}
        and isinstance(prompt["user"], str)
        and isinstance(prompt.get("system"), str | None)
    ):
        fix = ("'prompt={user: \"<text with {text}>\"}'",)
        yield Problem(key="prompt", given=prompt, expected="a text for user, one or null for system", fix=fix)
        return
    known = [*known]
    places = {place for text in prompt.values() for place in _PLACE.findall(text or "")}
    for name in sorted(places - {*known}):
        expected = f"some of: {listed(f'{{{each}}}' for each in known)}"
        yield Problem(f"has the place {{{name}}}", key="prompt", expected=expected, note=did_you_mean(name, known))
    if "text" not in places:
        yield Problem("has no place for the text", key="prompt.user", expected="{text} where the text belongs")


class _UnusableAnswerError(Exception):
    """An answer that does not fit the schema; its message, sent to the model, says why."""


def _texts_in(answer: Answer, num_texts: int) -> list[str]:
    """The texts of an answer, checked; what a model says around its JSON does not count.

    >>> _texts_in(Answer('Sure: {"texts": ["a", "b "]}', 9, 9), 2)
    ['a', 'b']
    """
    from pydantic import ValidationError

    start, end = answer.text.find("{"), answer.text.rfind("}") + 1
    try:
        given = json.loads(answer.text[start:end] if start >= 0 else answer.text)
        texts = [" ".join(text.split()) for text in _schema(num_texts).model_validate(given, strict=True).texts]
    except ValidationError as error:
        errors = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]]
        raise _UnusableAnswerError("; ".join(errors)) from error
    except (ValueError, RecursionError) as error:
        raise _UnusableAnswerError("it is cut off" if answer.is_cut else "it is no JSON") from error
    if not all(texts):
        raise _UnusableAnswerError("a text is empty")
    if len({text.casefold() for text in texts}) < num_texts:
        raise _UnusableAnswerError("a text stands there twice")
    return texts


@functools.cache
def _schema(num_texts: int) -> "type[BaseModel]":
    from pydantic import ConfigDict, Field, create_model

    texts = (list[str], Field(min_length=num_texts, max_length=num_texts))
    model = create_model("Texts", __config__=ConfigDict(extra="forbid"), texts=texts)
    model.__doc__ = None
    return model


logger = logging.getLogger(__name__)
_REPEATED_CHARS = 2_000  # of an unusable answer, when the model sees it again


class NotCachedError(Exception):
    """The cache does not have the next answer of a conversation: a request is needed."""


@dataclass
class Conversations:
    """Leads conversations with one endpoint; all threads may use it."""

    endpoint: Endpoint
    connection: Connection
    cache: AnswerCache
    budget: Budget

    def __post_init__(self) -> None:
        self._takes_schema = self.endpoint.json_schema

    def recall(self, request: Request) -> list[str] | None:
        """The texts, from the cache alone; None when no answer fits the schema.

        Raises:
            NotCachedError: an answer is missing.
        """
        return self._lead(request, may_send=False)

    def send(self, request: Request) -> list[str] | None:
        """The texts; None when no answer fits the schema. What is in the cache is not requested again.

        Raises:
            RefusedError: the server does not accept the request.
            LimitError: it could pass a limit.
            EndpointError: further requests are of no use.
            CancelledError: everything is to stop.
        """
        try:
            return self._lead(request, may_send=True)
        except EndpointError:
            self.connection.stop.set()  # at once: another thread may be about to send
            raise

    def _lead(self, request: Request, may_send: bool) -> list[str] | None:
        messages = [*request.messages]
        for _ in range(self.endpoint.attempts):
            answer = self._answer(messages, request.num_texts, may_send)
            try:
                return _texts_in(answer, request.num_texts)
            except _UnusableAnswerError as error:
                said = answer.text[:_REPEATED_CHARS].strip() or "(nothing)"
                wanted = (
                    f'That does not fit: {error}. Answer with nothing but the JSON object {{"texts": [...]}} '
                    "that was requested."
                )
                messages += [{"role": "assistant", "content": said}, {"role": "user", "content": wanted}]
        return None

    def _answer(self, messages: Sequence[_Message], num_texts: int, may_send: bool) -> Answer:
        body = {"model": self.endpoint.model, "messages": [*messages], **self.endpoint.parameters}
        content = json.dumps([self.endpoint.address, body, num_texts], sort_keys=True, ensure_ascii=False)
        key = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        answer = self.cache.get(key)
        if answer is None and not may_send:
            raise NotCachedError
        if answer is None:
            tokens = Tokens(estimated_tokens(each["content"] for each in messages), self.endpoint.answer_tokens)
            with self.budget.reserve(tokens):
                answer = self._sent(body, num_texts, tokens)
                self.cache.put(key, answer)
                self.budget.add(answer)
        elif not may_send:  # counted once, before anything is sent
            self.budget.add(answer)
        return answer

    def _sent(self, body: Mapping[str, Any], num_texts: int, tokens: Tokens) -> Answer:
        """The answer to a request with the schema, or without it where the server refuses that."""
        if not self._takes_schema:
            return self._tried(body, tokens)
        schema = {"name": "texts", "strict": True, "schema": _schema(num_texts).model_json_schema()}
        try:
            wanted = {"type": "json_schema", "json_schema": schema}
            return self._tried({**body, "response_format": wanted}, tokens)
        except RefusedError as refusal:
            answer = self._tried(body, tokens)
            if self._takes_schema:
                logger.info("%s refuses json_schema: requests go without (%s).", self.endpoint.address, refusal)
            self._takes_schema = False
            return answer

    def _tried(self, body: Mapping[str, Any], tokens: Tokens) -> Answer:
        return self.connection.send(body, tokens.read + tokens.written, lambda content: _answer(content, body))


_MOST_TOKENS = 2**31  # that a count is believed


def _answer(content: str, body: Mapping[str, Any]) -> Answer:
    try:
        reply = json.loads(content)
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""
        usage = reply.get("usage") or {}
        is_cut = choice.get("finish_reason") == "length"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BusyError(f"no chat completion: {shown(content)}") from error
    if not isinstance(text, str) or not isinstance(usage, Mapping):
        raise BusyError(f"no chat completion: {shown(content)}")
    sent = estimated_tokens(message["content"] for message in body["messages"])
    read = _count(usage.get("prompt_tokens"), sent)
    written = _count(usage.get("completion_tokens"), estimated_tokens([text]))
    return Answer(text.encode("utf-8", "replace").decode("utf-8"), read, written, is_cut)


def _count(given: Any, estimate: int) -> int:
    """What a server counted, or an estimate where that is not a count."""
    return given if COUNT_FROM_0.allow(given) and given < _MOST_TOKENS else estimate
