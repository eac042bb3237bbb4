"""What is wrong with the settings of an endpoint."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from embexp.data.values import is_number
from embexp.steps.asking.endpoint import Endpoint

SET_BY_US = {"messages", "model", "response_format", "stream", "n"}
COUNTS = ("attempts", "tries", "concurrency")
SECONDS = ("timeout", "first_wait", "longest_wait")
RATES = ("requests_per_minute", "tokens_per_minute")
AMOUNTS = ("input_price", "output_price", "max_cost", "max_total_tokens")
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
    elif own := sorted(SET_BY_US & {*parameters}):
        yield f"endpoint.parameters must not hold {', '.join(own)}: the step says these itself. Leave them out."
    yield from _number_faults(endpoint)
    if endpoint.max_cost is not None and endpoint.input_price is None and endpoint.output_price is None:
        yield "endpoint.max_cost has no effect without prices: set endpoint.input_price and endpoint.output_price."


def _number_faults(endpoint: Endpoint) -> Iterator[str]:
    for name in COUNTS:
        value = getattr(endpoint, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"endpoint.{name}={value} must be a whole number from 1."
    for name in SECONDS:
        if not is_number(value := getattr(endpoint, name)) or value <= 0:
            yield f"endpoint.{name}={value} must be a number of seconds above 0."
    for name in RATES:
        if (value := getattr(endpoint, name)) is not None and (not is_number(value) or value <= 0):
            yield f"endpoint.{name}={value} must be a number above 0, or null for no limit."
    for name in AMOUNTS:
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
