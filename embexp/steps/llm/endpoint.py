"""The language model to call: its URL, parameters, pace and price, and what is wrong with these settings."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from embexp.data.values import is_number
from embexp.errors import ConfigError

_SETS_LENGTH = ("max_tokens", "max_completion_tokens")  # parameters that bound an answer
_USUAL_LENGTH = 512  # tokens of an answer, where no parameter bounds it
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's chat completions, hosted or local, and the limits that are kept with it.

    Args:
        url: up to before `/chat/completions`, such as http://localhost:8000/v1.
        api_key_env: the environment variable that holds the key, None for none. The key itself goes nowhere but into
            the header of a request.
        parameters: sent with each request as they are, such as temperature, max_tokens and seed.
        json_schema: ask the server to hold itself to the schema (`response_format`); one that does not take that is
            asked without. Answers are checked in any case.
        attempts: requests for one text, until an answer fits the schema.
        tries: of one request, when the server is busy, fails or cannot be reached.
        timeout: seconds from a request to the end of its answer.
        first_wait, longest_wait: seconds before the second try, which double with each; a server may ask for longer
            ones by Retry-After, up to the longest.
        concurrency: requests at the same time.
        requests_per_minute, tokens_per_minute: spread evenly; None for no limit.
        input_price, output_price: of a million tokens, in any currency; None where there is none.
        max_cost, max_total_tokens: what all answers of a step together may cost, those of earlier starts included.
            What is not asked for when one is reached is left out.
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
        """The most tokens of an answer, or as many as are usual."""
        bounds = [self.parameters[name] for name in _SETS_LENGTH if is_number(self.parameters.get(name))]
        return int(bounds[0]) if bounds else _USUAL_LENGTH

    def key(self) -> str | None:
        """The key, from the environment.

        Raises:
            ConfigError: the variable is not set, or holds what cannot be a key.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(
                f"endpoint.api_key_env={self.api_key_env}, and this environment variable is not set. Expected the key "
                f"in it: type export {self.api_key_env}=<key>, or endpoint.api_key_env=null for a server without one."
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(
                f"The environment variable {self.api_key_env} holds spaces or characters that no key has. "
                f"Expected the key alone: type export {self.api_key_env}=<key>."
            )
        return key


def is_open(endpoint: Endpoint) -> bool:
    """Whether a key would go unencrypted to another machine."""
    parts = urlsplit(endpoint.url)
    return endpoint.api_key_env is not None and parts.scheme == "http" and parts.hostname not in _HERE


_SET_BY_US = {"messages", "model", "response_format", "stream", "n"}
_COUNTS = ("attempts", "tries", "concurrency")
_SECONDS = ("timeout", "first_wait", "longest_wait")
_RATES = ("requests_per_minute", "tokens_per_minute")
_AMOUNTS = ("input_price", "output_price", "max_cost", "max_total_tokens")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def faults_of(endpoint: Endpoint) -> Iterator[str]:
    """What is wrong, a line each; a value that may hold a secret is not repeated."""
    yield from _address_faults(endpoint.url)
    name, parameters = endpoint.api_key_env, endpoint.parameters
    if not isinstance(endpoint.model, str) or not endpoint.model.strip():
        yield f"endpoint.model={endpoint.model!r} must be the name of a model, as the server knows it."
    if name is not None and not (isinstance(name, str) and _VARIABLE.fullmatch(name)):
        yield "endpoint.api_key_env must be the name of an environment variable, such as OPENAI_API_KEY, not a key."
    if not isinstance(parameters, Mapping):
        yield f"endpoint.parameters={parameters!r} must be a mapping, such as {{temperature: 0.7}}."
    elif own := sorted(_SET_BY_US & {*parameters}):
        yield f"endpoint.parameters must not hold {', '.join(own)}: the step says these itself. Leave them out."
    yield from _number_faults(endpoint)
    if endpoint.max_cost is not None and endpoint.input_price is None and endpoint.output_price is None:
        yield "endpoint.max_cost has no effect without prices: set endpoint.input_price and endpoint.output_price."


def _number_faults(endpoint: Endpoint) -> Iterator[str]:
    for name in _COUNTS:
        value = getattr(endpoint, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"endpoint.{name}={value} must be a whole number from 1."
    for name in _SECONDS:
        if not is_number(value := getattr(endpoint, name)) or value <= 0:
            yield f"endpoint.{name}={value} must be a number of seconds above 0."
    for name in _RATES:
        if (value := getattr(endpoint, name)) is not None and (not is_number(value) or value <= 0):
            yield f"endpoint.{name}={value} must be a number above 0, or null for no limit."
    for name in _AMOUNTS:
        if (value := getattr(endpoint, name)) is not None and (not is_number(value) or value < 0):
            yield f"endpoint.{name}={value} must be a number from 0, or null for none."


def _address_faults(url: Any) -> Iterator[str]:
    """What is wrong with an address; one that may hold a secret is not repeated."""
    expected = "Expected one such as http://localhost:8000/v1"
    parts = _parts(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        yield f"endpoint.url is no address of a server. {expected}."
    elif parts.username or parts.password or parts.query or parts.fragment:
        yield (
            f"endpoint.url names a user, a password or something after a ? or #, on {parts.hostname}. {expected}; "
            "a key goes into an environment variable, which endpoint.api_key_env names."
        )
    elif parts.path.rstrip("/").endswith("/chat/completions"):
        yield f"endpoint.url={url} must end before /chat/completions. {expected}."


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # raises when it is none
    except ValueError:
        return None
    return parts
