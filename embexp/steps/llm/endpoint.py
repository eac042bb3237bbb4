"""The language model to call: its URL, parameters, rate limits and prices."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from embexp.core.arguments import COUNT, TEXT, LegalValues, problems_with
from embexp.data.values import is_number
from embexp.endpoints.client import address_problems
from embexp.errors import Problem, listed

_SETS_LENGTH = ("max_tokens", "max_completion_tokens")  # parameters that bound an answer
_USUAL_LENGTH = 512  # tokens of an answer, where no parameter bounds it


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

    section: ClassVar[str] = "endpoint"
    name_key: ClassVar[str] = "endpoint.model"
    gives: ClassVar[str] = "a chat completion"

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
        return f"{self.url.rstrip('/')}{_END}"

    @property
    def answer_tokens(self) -> int:
        """The most tokens that an answer may have; a usual number where `parameters` do not say."""
        bounds = [self.parameters[name] for name in _SETS_LENGTH if is_number(self.parameters.get(name))]
        return int(bounds[0]) if bounds else _USUAL_LENGTH

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the settings; a value that may hold a secret is not repeated."""
        yield from address_problems(self, _SUCH_AS, _EXPECTED)
        if isinstance(self.url, str) and (path := self.url.rstrip("/")).endswith(_END):
            fix = (f"endpoint.url={path.removesuffix(_END)}",)
            yield Problem("goes too far", key="endpoint.url", given=self.url, expected=_EXPECTED, fix=fix)
        note = "The server knows the model by this name"
        yield from problems_with("endpoint.model", self.model, TEXT, "<name>", note)
        own = ()
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
_SUCH_AS, _EXPECTED, _END = "http://localhost:8000/v1", "an address up to before /chat/completions", "/chat/completions"
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
