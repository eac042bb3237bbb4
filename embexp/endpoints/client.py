"""Requests to a server of models: where they go, what may be tried again, and how fast it may go.

By requests rather than by openai's client, which follows redirects to other hosts and retries by rules of its own.
"""

import datetime
import email.utils
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from urllib.parse import urlsplit

from embexp.errors import ConfigError, EndpointError, Problem

if TYPE_CHECKING:
    import requests

_Read = TypeVar("_Read")


class Server(Protocol):
    """A server and the limits for its use, as a configuration has them.

    Attributes:
        section: the key below which these settings stand, such as `endpoint`.
        name_key: the key of the model's name.
        gives: what an answer is, for messages: a chat completion.
        url: as it was given; `address` is where requests go, and nowhere else.
        api_key_env, timeout, tries, first_wait, longest_wait, concurrency, requests_per_minute, tokens_per_minute: as
            in `embexp.steps.llm.endpoint.Endpoint`.
    """

    section: ClassVar[str]
    name_key: ClassVar[str]
    gives: ClassVar[str]
    url: str
    api_key_env: str | None
    timeout: float
    tries: int
    first_wait: float
    longest_wait: float
    concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None

    @property
    def address(self) -> str: ...


_HERE = ("localhost", "127.0.0.1", "::1")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def sends_key_unencrypted(server: Server) -> bool:
    """Whether a key goes to another machine without encryption."""
    parts = urlsplit(server.url)
    return server.api_key_env is not None and parts.scheme == "http" and parts.hostname not in _HERE


def key_of(server: Server) -> str | None:
    """The key, from the environment.

    Raises:
        ConfigError: the variable is not set, or holds what cannot be a key.
    """
    name, place = server.api_key_env, f"{server.section}.api_key_env"
    if name is None:
        return None
    key, export = os.environ.get(name, "").strip(), f"export {name}=<key>"
    if not key:
        text, expected = "is not set", "a variable that holds the key, or null for a server without one"
        fix = (export, f"{place}=null")
    elif not (key.isascii() and key.isprintable() and " " not in key):
        text, expected, fix = "holds spaces or characters that no key has", "the key alone", (export,)
    else:
        return key
    raise ConfigError(text, key=place, given=name, expected=expected, fix=fix)


def address_problems(server: Server, such_as: str, expected: str, query: bool = False) -> Iterator[Problem]:
    """What is wrong with the URL and the name of the key's variable; a value that may hold a secret is not repeated.

    Args:
        query: whether the URL may have something after a `?`.
    """
    key, name = f"{server.section}.url", server.api_key_env
    try:
        parts = urlsplit(server.url) if isinstance(server.url, str) else None
        parts and parts.port  # noqa: B018  # raises when it is not a port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield Problem("is not the address of a server", key=key, expected=expected, fix=(f"{key}={such_as}",))
    elif parts.username or parts.password or parts.fragment or (parts.query and not query):
        after = "after a #" if query else "after a ? or #"
        text = f"has a user, a password or something {after}, on {parts.hostname}"
        note = f"A key goes into an environment variable, which {server.section}.api_key_env names"
        yield Problem(text, key=key, expected=expected, note=note, fix=(f"{key}={such_as}",))
    if name is not None and not (isinstance(name, str) and _VARIABLE.fullmatch(name)):
        expected = "the environment variable that holds the key (never the key itself), or null"
        fix = (f"{server.section}.api_key_env=OPENAI_API_KEY",)
        yield Problem("is not the name of a variable", f"{server.section}.api_key_env", expected=expected, fix=fix)


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
        stop: once it is set, no request is sent any more.
    """

    def __init__(self, server: Server, most_bytes: int = _MOST_BYTES) -> None:
        """Read the key, which goes into the header and is blotted out wherever the server repeats it.

        Args:
            most_bytes: of an answer.

        Raises:
            ConfigError: the key is not where it should be.
        """
        from http.cookiejar import DefaultCookiePolicy

        import requests
        from requests.adapters import HTTPAdapter

        self._server, self._key, self._most_bytes = server, key_of(server), most_bytes
        self.stop = threading.Event()
        self._limiter = RateLimiter(server.requests_per_minute, server.tokens_per_minute, self.stop)
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, and no password of a .netrc in place of the key
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=server.concurrency))

    def send(self, body: Mapping[str, Any], num_tokens: int, read: Callable[[str], _Read]) -> _Read:
        """What `read` makes of the answer to a request, which is tried again while the server is busy.

        Args:
            num_tokens: about how many it takes, for the limits.
            read: raises BusyError for an answer that another try may mend.

        Raises:
            RefusedError: the server does not accept the request.
            EndpointError: further requests are of no use: no answer in all tries, a wrong key or address, a redirect.
            CancelledError: everything is to stop.
        """
        for attempt in range(1, self._server.tries + 1):
            self._limiter.wait(num_tokens)
            try:
                return read(self._posted(body))
            except BusyError as busy:
                if attempt == self._server.tries or (busy.wait or 0) > self._server.longest_wait:
                    raise self._given_up(attempt, busy) from busy
                self._wait(attempt, busy)
        raise AssertionError("a try either returns or raises")

    def _posted(self, body: Mapping[str, Any]) -> str:
        """The content of an answer.

        Raises:
            BusyError: no answer now: no connection, too slow, too many requests, a server error.
        """
        status, headers, content = self._post(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
        if status == 200:
            return content
        said = shown(content)
        if status in _BUSY or status >= 500:
            raise BusyError(f"status {status}: {said}", _seconds_to_wait(headers.get("Retry-After")))
        if status in _REFUSED:
            raise RefusedError(f"status {status}: {said}")
        raise self._hopeless(status, said)

    def _post(self, data: bytes) -> tuple[int, Mapping[str, str], str]:
        import requests

        seconds = self._server.timeout
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        options = {"headers": headers, "timeout": seconds, "allow_redirects": False, "stream": True}
        deadline = time.monotonic() + seconds
        try:
            with self.session.post(self._server.address, data=data, **options) as response:
                content = self._without_key(_read(response, deadline, self._most_bytes))
                return response.status_code, response.headers, content
        except requests.RequestException as error:
            raise BusyError(self._without_key(f"{type(error).__name__}: {error}"[: 2 * _SHOWN_CHARS])) from error

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text

    def _wait(self, attempt: int, busy: BusyError) -> None:
        doubled = self._server.first_wait * 2 ** (attempt - 1)
        seconds = min(self._server.longest_wait, doubled) * random.uniform(0.5, 1.0)
        if busy.wait is None:
            self._limiter.sleep(seconds)
        else:  # all requests wait, and chance spreads them afterwards
            self._limiter.hold(busy.wait)
            self._limiter.sleep(busy.wait + min(seconds, self._server.first_wait))

    def _given_up(self, attempt: int, busy: BusyError) -> EndpointError:
        limits, wanted, section = self._server, "", self._server.section
        if busy.wait is not None and busy.wait > limits.longest_wait:
            wanted = f" It wants a wait of {busy.wait:,.0f} s, more than longest_wait={limits.longest_wait:g}."
        text = f"gave no answer in {attempt} of {limits.tries} tries; the last one: {busy}.{wanted}"
        note = "Answers that came are cached: type the same command to resume, or allow for more time"
        longest = max(2 * limits.longest_wait, busy.wait or 0)
        fix = (
            f"{section}.tries={2 * limits.tries}",
            f"{section}.longest_wait={longest:g}",
            f"{section}.timeout={2 * limits.timeout:g}",
        )
        return EndpointError(text, key=f"{section}.url", given=limits.url, expected=limits.gives, note=note, fix=fix)

    def _hopeless(self, status: int, said: str) -> EndpointError:
        server, section = self._server, self._server.section
        name, note = server.api_key_env, ""
        if status in (401, 403):
            expected = f"a key that it accepts{f' in the environment variable {name}' if name else ''}"
            fix = f"export {name}=<key>" if name else f"{section}.api_key_env=<variable>"
        elif 300 <= status < 400:
            note, expected = "Redirects are not followed", "the server's own address"
            fix = f"{section}.url=<address>"
        else:
            expected, fix = server.gives, (f"{section}.url=<address>", f"{server.name_key}=<name>")
        text = f"answers with status {status}: {said}"
        return EndpointError(text, key=f"{section}.url", given=server.url, expected=expected, note=note, fix=fix)


def shown(content: str) -> str:
    """As much of what a server said as a message has room for."""
    return " ".join(content.split())[:_SHOWN_CHARS]


def _read(response: "requests.Response", deadline: float, most_bytes: int) -> str:
    """The whole body, unless it comes too slowly or does not end."""
    parts, length = [], 0
    for part in response.iter_content(64 * 1024):
        parts.append(part)
        length += len(part)
        if length > most_bytes:
            raise BusyError(f"an answer of more than {most_bytes:,} bytes")
        if time.monotonic() > deadline:
            raise BusyError("the answer did not end in time")
    return b"".join(parts).decode("utf-8", "replace")
