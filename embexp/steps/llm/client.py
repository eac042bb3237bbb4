"""Requests to a chat completions server: what is sent, what its answers mean, and how fast it may go.

By requests rather than by openai's client, which follows redirects to other hosts and retries by rules of its own.
"""

import datetime
import email.utils
import json
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from embexp.core.arguments import COUNT_FROM_0
from embexp.errors import EndpointError
from embexp.steps.llm.answers import Answer, estimated_tokens
from embexp.steps.llm.endpoint import Endpoint

if TYPE_CHECKING:
    import requests

_NUMBER = re.compile(r"\d+(\.\d*)?", re.ASCII)


class RateLimiter:
    """Spreads requests evenly, so that no minute has more of them, or of their tokens, than allowed.

    Args:
        requests_per_minute, tokens_per_minute: None for no limit.
        stop: ends all waiting once it is set.
    """

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None, stop: threading.Event
    ) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._stop = stop
        self._lock = threading.Lock()
        self._next = self._held_until = time.monotonic()

    def wait(self, num_tokens: int) -> None:
        """Wait until a request may be sent; one of so many tokens delays the next. Raises CancelledError as `sleep`."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + max(self._per_request, self._per_token * num_tokens)
        self.sleep(turn - time.monotonic())
        while (left := self._held_until - time.monotonic()) > 0:
            self.sleep(left)

    def hold(self, seconds: float) -> None:
        """Let no request start for so many seconds."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds; CancelledError when everything is to stop."""
        if self._stop.wait(max(0.0, seconds)):
            raise CancelledError


def _seconds_to_wait(header: str | None) -> float | None:
    """The wait that Retry-After names, in seconds or as a date; None where it cannot be read.

    >>> _seconds_to_wait("2.5"), _seconds_to_wait("soon"), _seconds_to_wait("Thu, 01 Jan 1970 00:00:00 GMT")
    (2.5, None, 0.0)
    """
    if header is None:
        return None
    if _NUMBER.fullmatch(header.strip()):
        return float(header)
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    date = date.replace(tzinfo=date.tzinfo or datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


_BUSY = (408, 409, 425, 429)  # and all from 500: worth another try
_REFUSED = (400, 413, 422)  # of this request; another one may be taken
_MOST_BYTES = 10 * 2**20  # of an answer
_MOST_TOKENS = 2**31  # that a count is believed
_SHOWN_CHARS = 200  # of what a server said


class BusyError(Exception):
    """The server could not answer now; it wants a wait of so many seconds, None where it does not say."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RefusedError(Exception):
    """The server does not accept this request."""


class Connection:
    """The way to a server: only its own address is called, without proxies and redirects. All threads may use it.

    Attributes:
        session: closed by the caller.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Read the key, which goes into the header and is blotted out wherever the server repeats it.

        Raises:
            ConfigError: the key is not where it should be.
        """
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        self._endpoint, self._key = endpoint, endpoint.key()
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, and no password of a .netrc in place of the key
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=endpoint.concurrency))

    def send(self, body: Mapping[str, Any]) -> Answer:
        """The answer to a request.

        Raises:
            BusyError: no answer now: no connection, too slow, too many requests, a server error, garbage.
            RefusedError: the server does not accept the request.
            EndpointError: further requests are of no use: a wrong key or address, a redirect.
        """
        status, headers, content = self._post(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        said = " ".join(content.split())[:_SHOWN_CHARS]
        if status == 200:
            return _answer(content, said, body)
        if status in _BUSY or status >= 500:
            raise BusyError(f"status {status}: {said}", _seconds_to_wait(headers.get("Retry-After")))
        if status in _REFUSED:
            raise RefusedError(f"status {status}: {said}")
        raise self._hopeless(status, said)

    def _post(self, data: bytes) -> tuple[int, Mapping[str, str], str]:
        import requests

        seconds = self._endpoint.timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        options = {"headers": headers, "timeout": seconds, "allow_redirects": False, "stream": True}
        deadline = time.monotonic() + seconds
        try:
            with self.session.post(self._endpoint.address, data=data, **options) as response:
                content = self._without_key(_read(response, deadline))
                return response.status_code, response.headers, content
        except requests.RequestException as error:
            raise BusyError(self._without_key(f"{type(error).__name__}: {error}"[: 2 * _SHOWN_CHARS])) from error

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    def _hopeless(self, status: int, said: str) -> EndpointError:
        name, note = self._endpoint.api_key_env, ""
        if status in (401, 403):
            expected = f"a key that it accepts{f' in the environment variable {name}' if name else ''}"
            fix = f"export {name}=<key>" if name else "endpoint.api_key_env=<variable>"
        elif 300 <= status < 400:
            note, expected, fix = "Redirects are not followed", "the server's own address", "endpoint.url=<address>"
        else:
            expected = f"a chat completion of the model {self._endpoint.model}"
            fix = ("endpoint.url=<address>", "endpoint.model=<name>")
        text = f"answers with status {status}: {said}"
        return EndpointError(text, key="endpoint.url", given=self._endpoint.url, expected=expected, note=note, fix=fix)


def _read(response: "requests.Response", deadline: float) -> str:
    """The whole body, unless it comes too slowly or does not end."""
    content = b""
    for part in response.iter_content(64 * 1024):
        content += part
        if len(content) > _MOST_BYTES:
            raise BusyError(f"an answer of more than {_MOST_BYTES:,} bytes")
        if time.monotonic() > deadline:
            raise BusyError("the answer did not end in time")
    return content.decode("utf-8", "replace")


def _answer(content: str, said: str, body: Mapping[str, Any]) -> Answer:
    try:
        reply = json.loads(content)
        choice = reply["choices"][0]
        text = choice["message"]["content"] or ""
        usage = reply.get("usage") or {}
        is_cut = choice.get("finish_reason") == "length"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BusyError(f"no chat completion: {said}") from error
    if not isinstance(text, str) or not isinstance(usage, Mapping):
        raise BusyError(f"no chat completion: {said}")
    sent = estimated_tokens(message["content"] for message in body["messages"])
    read = _count(usage.get("prompt_tokens"), sent)
    written = _count(usage.get("completion_tokens"), estimated_tokens([text]))
    return Answer(text.encode("utf-8", "replace").decode("utf-8"), read, written, is_cut)


def _count(given: Any, estimate: int) -> int:
    """What a server counted, or an estimate where that is not a count."""
    return given if COUNT_FROM_0.allow(given) and given < _MOST_TOKENS else estimate
