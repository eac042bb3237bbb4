"""One text's chat with a language model: prompt, answer, schema, and another try with what was wrong."""

import functools
import json
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from embexp.errors import EndpointError, did_you_mean, listed
from embexp.steps.llm.answers import Answer, KeptAnswers, Spending, Tokens, answer_key, estimated_tokens
from embexp.steps.llm.client import BusyError, Line, Pace, RefusedError, wait_before
from embexp.steps.llm.endpoint import Endpoint

if TYPE_CHECKING:
    from pydantic import BaseModel

_ROLES = ("system", "user")
_PLACE = re.compile(r"\{([a-z_]+)\}")

_Message = dict[str, str]


def messages_of(prompt: Mapping[str, str], values: Mapping[str, str]) -> list[_Message]:
    """The messages of a chat, with values in place of `{names}`; braces around anything else stay.

    >>> messages_of({"user": 'Say {text} as {"texts": []}'}, {"text": "{text} twice"})
    [{'role': 'user', 'content': 'Say {text} twice as {"texts": []}'}]
    """

    def filled(template: str) -> str:
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), template).strip()

    return [{"role": role, "content": filled(prompt[role])} for role in _ROLES if prompt.get(role)]


def prompt_faults(prompt: Any, needed: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """What is wrong with a prompt, a line each.

    Args:
        needed: names of places that it must have.
        known: names of all places that are filled.
    """
    form = "prompt.system (or null) and prompt.user must be texts"
    if not isinstance(prompt, Mapping) or not {"user"} <= {*prompt} <= {*_ROLES}:
        yield f"prompt={prompt!r}: {form}, and there is nothing else."
        return
    if not isinstance(prompt["user"], str) or not isinstance(prompt.get("system"), str | None):
        yield f"prompt={prompt!r}: {form}."
        return
    known = [*known]
    places = {place for text in prompt.values() for place in _PLACE.findall(text or "")}
    for name in sorted(places - {*known}):
        places_known = listed(f"{{{each}}}" for each in known)
        yield f"prompt has the place {{{name}}}. Places are: {places_known}. {did_you_mean(name, known)}".strip()
    for name in needed:
        if name not in places:
            yield f"prompt has no place for the {name}: write {{{name}}} where it shall stand."


_SHOWN_FAULTS = 3


class _UnusableAnswerError(Exception):
    """An answer that does not fit the schema; its message tells a model why."""


def _response_format(num_texts: int) -> dict[str, Any]:
    """What asks a server to hold itself to the schema: `{"texts": [...]}` with so many texts."""
    schema = {"name": "texts", "strict": True, "schema": _schema(num_texts).model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}


def _texts_in(answer: Answer, num_texts: int) -> list[str]:
    """The texts of an answer, checked; what a model says around its JSON does not count.

    >>> _texts_in(Answer('Sure: {"texts": ["a", "b "]}', 9, 9), 2)
    ['a', 'b']

    Raises:
        _UnusableAnswerError: no JSON, or not so many texts with something in them, or one twice.
    """
    from pydantic import ValidationError

    start, end = answer.text.find("{"), answer.text.rfind("}") + 1
    try:
        given = json.loads(answer.text[start:end] if start >= 0 else answer.text)
        texts = [" ".join(text.split()) for text in _schema(num_texts).model_validate(given, strict=True).texts]
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:_SHOWN_FAULTS]]
        raise _UnusableAnswerError("; ".join(faults)) from error
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
_REPEATED_CHARS = 2_000  # of a problem answer, when it is shown to the model again
_NOTHING = "(nothing)"


@dataclass(frozen=True)
class Request:
    """So many texts that a model is asked for."""

    messages: Sequence[_Message]
    num_texts: int


class NotKeptError(Exception):
    """The next answer of a conversation is not kept: it must be asked for."""


@dataclass
class Conversations:
    """Leads conversations with one endpoint; all threads may use it."""

    endpoint: Endpoint
    line: Line
    kept: KeptAnswers
    spending: Spending
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        limits = self.endpoint
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute, self.stop)
        self._takes_schema = limits.json_schema

    def recall(self, request: Request) -> list[str] | None:
        """The texts, from kept answers alone; None when none of them fits.

        Raises:
            NotKeptError: an answer is missing.
        """
        return self._lead(request, may_send=False)

    def ask(self, request: Request) -> list[str] | None:
        """The texts; None when no answer fits the schema. Answers that are kept are not asked for again.

        Raises:
            RefusedError: the server does not take the request.
            LimitError: it could pass a limit.
            EndpointError: it is of no use to go on.
            CancelledError: all is to stop.
        """
        try:
            return self._lead(request, may_send=True)
        except EndpointError:
            self.stop.set()  # at once: another thread may be about to send
            raise

    def body_of(self, messages: Sequence[_Message]) -> dict[str, Any]:
        """What is sent, but for the schema."""
        return {"model": self.endpoint.model, "messages": [*messages], **self.endpoint.parameters}

    def _lead(self, request: Request, may_send: bool) -> list[str] | None:
        messages = [*request.messages]
        for _ in range(self.endpoint.attempts):
            answer = self._answer(messages, request.num_texts, may_send)
            try:
                return _texts_in(answer, request.num_texts)
            except _UnusableAnswerError as fault:
                messages += _once_more(answer, fault)
        return None

    def _answer(self, messages: Sequence[_Message], num_texts: int, may_send: bool) -> Answer:
        body = self.body_of(messages)
        key = answer_key(self.endpoint.address, body, num_texts)
        answer = self.kept.get(key)
        if answer is None and not may_send:
            raise NotKeptError
        if answer is None:
            tokens = Tokens(estimated_tokens(each["content"] for each in messages), self.endpoint.answer_tokens)
            with self.spending.room_for(tokens):
                answer = self._sent(body, num_texts, tokens)
                self.kept.keep(key, answer)
                self.spending.add(answer)
        elif not may_send:  # counted once, before anything is sent
            self.spending.add(answer)
        return answer

    def _sent(self, body: Mapping[str, Any], num_texts: int, tokens: Tokens) -> Answer:
        """The answer of a server that takes the schema, or else of one that is asked without."""
        if not self._takes_schema:
            return self._tried(body, tokens)
        try:
            return self._tried({**body, "response_format": _response_format(num_texts)}, tokens)
        except RefusedError as refusal:
            answer = self._tried(body, tokens)
            if self._takes_schema:
                logger.info("%s takes no json_schema: asked without (%s).", self.endpoint.address, refusal)
            self._takes_schema = False
            return answer

    def _tried(self, body: Mapping[str, Any], tokens: Tokens) -> Answer:
        limits = self.endpoint
        for attempt in range(1, limits.tries + 1):
            self._pace.wait(tokens.read + tokens.written)
            try:
                return self.line.send(body)
            except BusyError as busy:
                if attempt == limits.tries or (busy.wait or 0) > limits.longest_wait:
                    raise EndpointError(_given_up(limits, attempt, busy)) from busy
                self._wait(attempt, busy)
        raise AssertionError("a try either returns or raises")

    def _wait(self, attempt: int, busy: BusyError) -> None:
        seconds = wait_before(attempt, self.endpoint.first_wait, self.endpoint.longest_wait)
        if busy.wait is None:
            self._pace.sleep(seconds)
        else:  # all requests wait, and chance spreads them afterwards
            self._pace.hold(busy.wait)
            self._pace.sleep(busy.wait + min(seconds, self.endpoint.first_wait))


def _once_more(answer: Answer, fault: _UnusableAnswerError) -> list[_Message]:
    said = answer.text[:_REPEATED_CHARS].strip() or _NOTHING
    wanted = (
        f'That does not fit: {fault}. Answer with nothing but the JSON object {{"texts": [...]}} that was asked for.'
    )
    return [{"role": "assistant", "content": said}, {"role": "user", "content": wanted}]


def _given_up(endpoint: Endpoint, attempt: int, busy: BusyError) -> str:
    asked = ""
    if busy.wait is not None and busy.wait > endpoint.longest_wait:
        asked = f" It asked to wait {busy.wait:,.0f} s, longer than endpoint.longest_wait={endpoint.longest_wait:g}."
    return (
        f"{endpoint.address} gave no answer in {attempt} of {endpoint.tries} tries; the last one: {busy}.{asked}\n"
        "Expected a chat completion. Answers that came are kept: type the same command to go on, or raise "
        "endpoint.tries, endpoint.longest_wait or endpoint.timeout."
    )
