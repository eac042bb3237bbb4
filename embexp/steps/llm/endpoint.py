"""The language model to call: its URL, parameters, rate limits and prices."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from embexp.core.arguments import COUNT, TEXT, LegalValues, problems_with
from embexp.data.values import is_number
from embexp.errors import ConfigError, Problem, listed

_SETS_LENGTH = ("max_tokens", "max_completion_tokens")  # parameters that bound an answer
_USUAL_LENGTH = 512  # tokens of an answer, where no parameter bounds it
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions, hosted or local, and the limits for its use.

    Args:
        url: up to before `/chat/completions`, such as http://localhost:8000/v1.
        api_key_env: the environment variable that holds the key, None for none. The key itself goes nowhere but into
            the header of a request.
        parameters: sent with each request as they are, such as temperature, max_tokens and seed.
        json_schema: send the schema of an answer (`response_format`); a server that refuses it gets requests without.
            Answers are checked in any case.
        attempts: requests for one text, until an answer fits the schema.
        tries: of one request, when the server is busy, fails or cannot be reached.
        timeout: seconds from a request to the end of its answer.
        first_wait, longest_wait: seconds before the second try, which double with each; a server may ask for longer
            ones by Retry-After, up to the longest.
        concurrency: requests at the same time.
        requests_per_minute, tokens_per_minute: spread evenly; None for no limit.
        input_price, output_price: of a million tokens, in any currency; None where there is none.
        max_cost, max_total_tokens: what all answers of a step together may cost, those of earlier starts included.
            Requests over the limit are left out.
    """

    url: str
    model: str
    api_key_env: str | None
    parameters: Mapping[str, Any]
    json_schema: bool
    attempts: int
    tries: int
    timeout: float
    first_wait: float
    longest_wait: float
    concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    input_price: float | None
    output_price: float | None
    max_cost: float | None
    max_total_tokens: int | None

    @property
    def address(self) -> str:
        """Where requests go, and nowhere else."""
        return f"{self.url.rstrip('/')}/chat/completions"

    @property
    def answer_tokens(self) -> int:
        """The most tokens that an answer may have; a usual number where `parameters` do not say."""
        bounds = [self.parameters[name] for name in _SETS_LENGTH if is_number(self.parameters.get(name))]
        return int(bounds[0]) if bounds else _USUAL_LENGTH

    @property
    def sends_key_unencrypted(self) -> bool:
        """Whether a key goes to another machine without encryption."""
        parts = urlsplit(self.url)
        return self.api_key_env is not None and parts.scheme == "http" and parts.hostname not in _HERE

    def key(self) -> str | None:
        """The key, from the environment.

        Raises:
            ConfigError: the variable is not set, or holds what cannot be a key.
        """
        if self.api_key_env is None:
            return None
        key, export = os.environ.get(self.api_key_env, "").strip(), f"export {self.api_key_env}=<key>"
        if not key:
            text, expected = "is not set", "a variable that holds the key, or null for a server without one"
            fix = (export, "endpoint.api_key_env=null")
        elif not (key.isascii() and key.isprintable() and " " not in key):
            text, expected, fix = "holds spaces or characters that no key has", "the key alone", (export,)
        else:
            return key
        raise ConfigError(text, key="endpoint.api_key_env", given=self.api_key_env, expected=expected, fix=fix)

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the settings; a value that may hold a secret is not repeated."""
        yield from _address_problems(self.url)
        note = "The server knows the model by this name"
        yield from problems_with("endpoint.model", self.model, TEXT, "<name>", note)
        name, own = self.api_key_env, ()
        if name is not None and not (isinstance(name, str) and _VARIABLE.fullmatch(name)):
            expected = "the environment variable that holds the key (never the key itself), or null"
            fix = ("endpoint.api_key_env=OPENAI_API_KEY",)
            yield Problem("is not the name of a variable", key="endpoint.api_key_env", expected=expected, fix=fix)
        if not isinstance(self.parameters, Mapping):
            fix = ("'endpoint.parameters={temperature: 0.7}'",)
            yield Problem(key="endpoint.parameters", given=self.parameters, expected="a mapping", fix=fix)
        else:
            own = sorted(_SET_BY_US & {*self.parameters})
        if own:
            yield Problem(f"must not hold {listed(own)}: the step sets this itself", key="endpoint.parameters")
        for field, (legal, such_as) in _NUMBERS.items():
            yield from problems_with(f"endpoint.{field}", getattr(self, field), legal, such_as)
        if self.max_cost is not None and self.input_price is None and self.output_price is None:
            text, expected = "has no effect without prices", "the price of a million tokens, too"
            fix = ("endpoint.input_price=<price> endpoint.output_price=<price>", "endpoint.max_cost=null")
            yield Problem(text, key="endpoint.max_cost", given=self.max_cost, expected=expected, fix=fix)


_SET_BY_US = {"messages", "model", "response_format", "stream", "n"}
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_RATE, _AMOUNT = LegalValues(above=0, optional=True), LegalValues(least=0, optional=True)
_NUMBERS = {  # what each may be, and an example
    "attempts": (COUNT, 3),
    "tries": (COUNT, 6),
    "concurrency": (COUNT, 8),
    "timeout": (LegalValues(above=0), 120),
    "first_wait": (LegalValues(above=0), 1),
    "longest_wait": (LegalValues(above=0), 60),
    **dict.fromkeys(("requests_per_minute", "tokens_per_minute"), (_RATE, "null")),
    **dict.fromkeys(("input_price", "output_price", "max_cost", "max_total_tokens"), (_AMOUNT, "null")),
}


def _address_problems(url: Any) -> Iterator[Problem]:
    fix = ("endpoint.url=http://localhost:8000/v1",)
    expected = "an address up to before /chat/completions"
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        parts and parts.port  # noqa: B018  # raises when it is not a port
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield Problem("is not the address of a server", key="endpoint.url", expected=expected, fix=fix)
    elif parts.username or parts.password or parts.query or parts.fragment:
        text = f"has a user, a password or something after a ? or #, on {parts.hostname}"
        note = "A key goes into an environment variable, which endpoint.api_key_env names"
        yield Problem(text, key="endpoint.url", expected=expected, note=note, fix=fix)
    elif (path := parts.path.rstrip("/")).endswith("/chat/completions"):
        fix = (f"endpoint.url={parts.scheme}://{parts.netloc}{path.removesuffix('/chat/completions')}",)
        yield Problem("goes too far", key="endpoint.url", given=url, expected=expected, fix=fix)
