"""Many requests to a language model: what they will take, how far they are, what came of them."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from embexp.data.arrow import with_progress
from embexp.errors import EndpointError, listed
from embexp.steps.llm.answers import LimitError, Spending, Tokens, estimated_tokens, kept_answers
from embexp.steps.llm.chat import Conversations, NotKeptError, Request
from embexp.steps.llm.client import RefusedError, line_to
from embexp.steps.llm.endpoint import Endpoint, is_open

logger = logging.getLogger(__name__)
_MOST_REFUSED = 10  # requests that a server does not take before it takes one
UNUSABLE, REFUSED, OVER_LIMIT = "answers fit no schema", "requests refused by the server", "requests over the limit"


@dataclass
class RequestOutcome:
    """What came of requests.

    Attributes:
        texts: for each request its texts, None where there are none.
        left_out: how many have none, by the reason.
        took: what all answers took, in words.
    """

    texts: list[list[str] | None]
    left_out: Counter[str] = field(default_factory=Counter)
    took: str = ""

    def report(self, left_out: Mapping[str, int] = MappingProxyType({})) -> str:
        """What the answers took and what was left out, with what else was."""
        counts = listed(f"{count:,} {reason}" for reason, count in {**self.left_out, **left_out}.items() if count)
        return self.took + (f"; left out: {counts}" if counts != listed([]) else "")


def request_all(endpoint: Endpoint, requests: Sequence[Request], what: str, cache: Path | None) -> RequestOutcome:
    """The texts that a model answers with. Logs what it will take before anything is sent, and what it took.

    Each answer is kept in `cache` as it arrives: whoever is stopped goes on where that was, and pays for nothing twice.

    Args:
        what: they are asked for, for the progress bar and the log.

    Raises:
        ConfigError: the key is missing.
        EndpointError: it is of no use to go on; answers that came are kept.
    """
    distinct = {_identity(request): request for request in requests}
    line = line_to(endpoint)
    with kept_answers(cache) as kept, line.session:
        spending = Spending(endpoint)
        asking = _Batch(Conversations(endpoint, line, kept, spending))
        pending = asking.recall(distinct)
        _tell_what_it_takes(endpoint, what, list(pending.values()), len(distinct) - len(pending))
        num_recalled = spending.num_answers
        asking.ask(pending, what)
    words = f"{spending.num_answers:,} answers of {endpoint.model}, {spending.spent.words(endpoint)}"
    logger.info("%s: %s; %d of them were kept from before.", what, words, num_recalled)
    return RequestOutcome([asking.texts.get(_identity(request)) for request in requests], asking.left_out, words)


@dataclass
class _Batch:
    conversations: Conversations
    texts: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def recall(self, requests: dict[str, Request]) -> dict[str, Request]:
        """The requests that kept answers do not settle; those that they do are noted."""
        pending = {}
        for key, request in requests.items():
            try:
                self._note(key, self.conversations.recall(request))
            except NotKeptError:
                pending[key] = request
        return pending

    def ask(self, requests: dict[str, Request], what: str) -> None:
        """Ask for the texts of the requests, several at a time, in their order."""
        with ThreadPoolExecutor(self.conversations.endpoint.concurrency) as pool:
            try:
                asked = {pool.submit(self.conversations.ask, request): key for key, request in requests.items()}
                for done in with_progress(as_completed(asked), what, lambda _: 1, len(asked)):
                    self._settle(asked[done], done)
            finally:  # whatever ends this: what is under way is kept, nothing more is sent
                self.conversations.stop.set()
                pool.shutdown(cancel_futures=True)

    def _settle(self, key: str, done: "Future[list[str] | None]") -> None:
        try:
            self._note(key, done.result())
        except LimitError:
            self.left_out[OVER_LIMIT] += 1
        except RefusedError as refusal:
            self.left_out[REFUSED] += 1
            if not self.texts and self.left_out[REFUSED] >= _MOST_REFUSED:
                raise EndpointError(_takes_none(self.conversations.endpoint, refusal)) from refusal
            logger.warning("A request was refused by the server: %s", refusal)

    def _note(self, key: str, texts: list[str] | None) -> None:
        if texts is None:
            self.left_out[UNUSABLE] += 1
        else:
            self.texts[key] = texts


def _identity(request: Request) -> str:
    return repr(request)


def _tell_what_it_takes(endpoint: Endpoint, what: str, pending: Sequence[Request], num_kept: int) -> None:
    read = sum(estimated_tokens(_contents(request)) for request in pending)
    most = Tokens(read, len(pending) * endpoint.answer_tokens)
    logger.info(
        "%s: %d requests to %s (%s), about %s at most; %d are answered already.",
        what, len(pending), endpoint.address, endpoint.model, most.words(endpoint), num_kept,
    )  # fmt: skip
    if is_open(endpoint) and pending:
        logger.warning("%s is no https address: the key goes there unencrypted.", endpoint.url)


def _contents(request: Request) -> Iterator[str]:
    return (message["content"] for message in request.messages)


def _takes_none(endpoint: Endpoint, refusal: RefusedError) -> str:
    return (
        f"{endpoint.address} takes none of the requests: {refusal}.\nExpected a chat completion. "
        "Look at endpoint.model, and at endpoint.parameters: a server may know others, or fewer."
    )
