"""Many requests to a language model: their estimated cost, their progress, their outcome."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from embexp.data.arrow import with_progress
from embexp.endpoints.client import Connection, RefusedError, sends_key_unencrypted
from embexp.endpoints.keeping import Tokens, estimated_tokens
from embexp.errors import EndpointError, listed
from embexp.steps.llm.answers import Budget, LimitError, open_answer_cache
from embexp.steps.llm.chat import Conversations, NotCachedError, Request
from embexp.steps.llm.endpoint import Endpoint

logger = logging.getLogger(__name__)
_MOST_REFUSED = 10  # requests that a server refuses before it accepts one
UNUSABLE, REFUSED, OVER_LIMIT = "answers fit no schema", "requests refused by the server", "requests over the limit"


@dataclass
class RequestOutcome:
    """The outcome of requests.

    Attributes:
        texts: for each request its texts, None where there are none.
        left_out: how many have none, by the reason.
        cost: tokens and price of all answers, in words.
    """

    texts: list[list[str] | None]
    left_out: Counter[str] = field(default_factory=Counter)
    cost: str = ""

    def report(self, left_out: Mapping[str, int] = MappingProxyType({})) -> str:
        """What the answers cost and what was left out, `left_out` included."""
        counts = listed(f"{count:,} {reason}" for reason, count in {**self.left_out, **left_out}.items() if count)
        return self.cost + (f"; left out: {counts}" if counts != listed([]) else "")


def request_all(endpoint: Endpoint, requests: Sequence[Request], what: str, cache: Path | None) -> RequestOutcome:
    """The texts that a model answers with. Logs the estimated tokens before anything is sent, and the real ones after.

    Each answer goes to `cache` as it arrives: after an interruption no answer is paid for twice.

    Args:
        what: the texts are for, for the progress bar and the log.

    Raises:
        ConfigError: the key is missing.
        EndpointError: the server cannot be reached or used; answers that came are cached.
    """
    distinct = {repr(request): request for request in requests}
    connection = Connection(endpoint)
    with open_answer_cache(cache) as answers, connection.session:
        budget = Budget(endpoint)
        batch = _Batch(Conversations(endpoint, connection, answers, budget))
        pending = batch.recall(distinct)
        _log_estimate(endpoint, what, list(pending.values()), len(distinct) - len(pending))
        num_recalled = budget.num_answers
        batch.send(pending, what)
    words = f"{budget.num_answers:,} answers of {endpoint.model}, {budget.spent.in_words(endpoint)}"
    logger.info("%s: %s; %d of them were cached before.", what, words, num_recalled)
    return RequestOutcome([batch.texts.get(repr(request)) for request in requests], batch.left_out, words)


@dataclass
class _Batch:
    conversations: Conversations
    texts: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def recall(self, requests: dict[str, Request]) -> dict[str, Request]:
        """Take what the cache has; return the requests that must be sent."""
        pending = {}
        for key, request in requests.items():
            try:
                self._note(key, self.conversations.recall(request))
            except NotCachedError:
                pending[key] = request
        return pending

    def send(self, requests: dict[str, Request], what: str) -> None:
        """Send the requests, several at a time, in their order."""
        with ThreadPoolExecutor(self.conversations.endpoint.concurrency) as pool:
            try:
                sent = {pool.submit(self.conversations.send, request): key for key, request in requests.items()}
                for done in with_progress(as_completed(sent), what, lambda _: 1, len(sent)):
                    if not isinstance(done.exception(), CancelledError):  # by the error of another one, which follows
                        self._settle(sent[done], done)
            finally:  # whatever ends this: answers under way are cached, nothing more is sent
                self.conversations.connection.stop.set()
                pool.shutdown(cancel_futures=True)

    def _settle(self, key: str, done: "Future[list[str] | None]") -> None:
        try:
            self._note(key, done.result())
        except LimitError:
            self.left_out[OVER_LIMIT] += 1
        except RefusedError as refusal:
            self.left_out[REFUSED] += 1
            if not self.texts and self.left_out[REFUSED] >= _MOST_REFUSED:
                text, expected = f"refuses all requests: {refusal}", "a model and parameters that the server knows"
                fix, url = ("endpoint.model=<name>", "~endpoint.parameters.<name>"), self.conversations.endpoint.url
                raise EndpointError(text, key="endpoint.url", given=url, expected=expected, fix=fix) from refusal
            logger.warning("A request was refused by the server: %s", refusal)

    def _note(self, key: str, texts: list[str] | None) -> None:
        if texts is None:
            self.left_out[UNUSABLE] += 1
        else:
            self.texts[key] = texts


def _log_estimate(endpoint: Endpoint, what: str, pending: Sequence[Request], num_cached: int) -> None:
    read = sum(estimated_tokens(message["content"] for message in request.messages) for request in pending)
    most = Tokens(read, len(pending) * endpoint.answer_tokens)
    logger.info(
        "%s: %d requests to %s (%s), about %s at most; %d are answered already.",
        what, len(pending), endpoint.address, endpoint.model, most.in_words(endpoint), num_cached,
    )  # fmt: skip
    if sends_key_unencrypted(endpoint) and pending:
        logger.warning("%s is no https address: the key goes there unencrypted.", endpoint.url)
