"""Where a language model is asked, with which parameters, how fast and for how much."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from embexp.data.values import is_number
from embexp.errors import ConfigError

SETS_LENGTH = ("max_tokens", "max_completion_tokens")  # parameters that bound an answer
USUAL_LENGTH = 512  # tokens of an answer, where no parameter bounds it
HERE = ("localhost", "127.0.0.1", "::1")


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
        bounds = [self.parameters[name] for name in SETS_LENGTH if is_number(self.parameters.get(name))]
        return int(bounds[0]) if bounds else USUAL_LENGTH

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
    return endpoint.api_key_env is not None and parts.scheme == "http" and parts.hostname not in HERE
