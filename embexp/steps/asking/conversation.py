"""One text's conversation with a model: asked, checked, asked again with what was wrong."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from embexp.errors import EndpointError
from embexp.steps.asking.answers import Answer, KeptAnswers, answer_key
from embexp.steps.asking.endpoint import Endpoint
from embexp.steps.asking.sending import BusyError, Line, RefusedError
from embexp.steps.asking.spending import Spending, Tokens
from embexp.steps.asking.structured import MisfitError, response_format, texts_in
from embexp.steps.asking.templates import Message
from embexp.steps.asking.token_estimate import estimated_tokens
from embexp.steps.asking.waiting import Pace, wait_before

logger = logging.getLogger(__name__)
REPEATED_CHARS = 2_000  # of a misfit answer, when it is shown to the model again
NOTHING = "(nothing)"


@dataclass(frozen=True)
class Request:
    """So many texts that a model is asked for."""

    messages: Sequence[Message]
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

    def body_of(self, messages: Sequence[Message]) -> dict[str, Any]:
        """What is sent, but for the schema."""
        return {"model": self.endpoint.model, "messages": [*messages], **self.endpoint.parameters}

    def _lead(self, request: Request, may_send: bool) -> list[str] | None:
        messages = [*request.messages]
        for _ in range(self.endpoint.attempts):
            answer = self._answer(messages, request.num_texts, may_send)
            try:
                return texts_in(answer, request.num_texts)
            except MisfitError as fault:
                messages += _once_more(answer, fault)
        return None

    def _answer(self, messages: Sequence[Message], num_texts: int, may_send: bool) -> Answer:
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
            return self._tried({**body, "response_format": response_format(num_texts)}, tokens)
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


def _once_more(answer: Answer, fault: MisfitError) -> list[Message]:
    said = answer.text[:REPEATED_CHARS].strip() or NOTHING
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
