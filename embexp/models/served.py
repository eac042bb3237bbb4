"""Models behind URLs, as encoders: batches, requests side by side, vectors kept on disk so that none is paid twice."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from embexp.config.compose import SERVED
from embexp.core.arguments import COUNT, LegalValues, problems_with, refuse
from embexp.endpoints.client import RefusedError, address_problems, sends_key_unencrypted
from embexp.endpoints.embeddings import (
    OPENAI,
    TEI,
    address_of,
    api_of,
    connect,
    name_in,
    refused,
    request_vectors,
    width_problem,
)
from embexp.endpoints.keeping import estimated_tokens
from embexp.errors import ConfigError, ModelError, Problem
from embexp.protocols import TextSource

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)
_RATE, _AMOUNT = LegalValues(above=0, optional=True), LegalValues(least=0, optional=True)
_LEGAL = {  # what each key may be, and an example
    "name": (LegalValues(text=True, optional=True), "null"),
    "api": (LegalValues(one_of=(OPENAI, TEI), optional=True), "null"),
    "prompt": (LegalValues(optional=True, text=True), "null"),
    "dimensions": (LegalValues(least=1, whole=True, optional=True), "null"),
    "encoding": (LegalValues(one_of=("float", "base64"), optional=True), "null"),
    "batch_texts": (COUNT, 32),
    "tries": (COUNT, 6),
    "concurrency": (COUNT, 4),
    "timeout": (LegalValues(above=0), 120),
    "first_wait": (LegalValues(above=0), 1),
    "longest_wait": (LegalValues(above=0), 60),
    **dict.fromkeys(("requests_per_minute", "tokens_per_minute"), (_RATE, "null")),
    **dict.fromkeys(("price", "max_cost"), (_AMOUNT, "null")),
}
_SET_BY_US = {"input", "inputs", "model", "encoding_format", "dimensions", "stream"}


# What shows whether a server still has the model whose vectors were kept: words, another script, and texts of about 280
# tokens to 40,000, of which those are sent that are needed to see where the server cuts the texts at hand.
PROBES = ("a probe", "测试：一二三 42 %", *(
    " ".join(f"sentence {number} of a long text." for number in range(40 * 2**doubled)) for doubled in range(8)
))  # fmt: skip
ALWAYS_SENT = 3  # of them


@dataclass(frozen=True)
class ServedModel:
    """A model behind a URL. It has no weights here, so it can be evaluated and compared, not trained.

    Args:
        url: with `?model=<name>` where a server has several; what else its query holds is sent, too.
        name: of the model; None for that in the URL.
        api: openai or tei; None: by the end of the URL.
        prompt: before each text for which the data set names none.
        dimensions: requested; vectors of another width are refused.
        encoding: float or base64; None leaves it to the server.
        parameters: sent with each request as they are.
        price: of a million tokens.
        max_cost: nothing is sent where all texts would cost more.
        cache: the folder in which vectors are kept; None keeps them for this process only.
        api_key_env, tries, timeout, first_wait, longest_wait, concurrency, requests_per_minute, tokens_per_minute: as
            of a server of a language model.

    Raises:
        ConfigError: lists every value that cannot be.
    """

    has_transformer: ClassVar[bool] = False
    trains_adapter: ClassVar[bool] = False
    merges_adapter: ClassVar[bool] = False
    section: ClassVar[str] = "model"
    name_key: ClassVar[str] = "model.name"
    gives: ClassVar[str] = "embeddings"
    output_price: ClassVar[None] = None

    url: str
    name: str | None
    api: str | None
    api_key_env: str | None
    prompt: str | None
    dimensions: int | None
    encoding: str | None
    parameters: Mapping[str, Any]
    batch_texts: int
    tries: int
    timeout: float
    first_wait: float
    longest_wait: float
    concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    price: float | None
    max_cost: float | None
    cache: str | None = None

    def __post_init__(self) -> None:
        refuse(self._problems())
        url, named = name_in(self.url)
        if named and self.name not in (None, named):
            text, expected = f"is not the model of the URL, {named}", "the model's name in one place"
            raise ConfigError(text, key="model.name", given=self.name, expected=expected, fix="model.name=null")
        known = {"url": url, "name": self.name or named, "api": self.api or api_of(url)}
        for key, value in known.items():
            object.__setattr__(self, key, value)

    def _problems(self) -> Iterator[Problem]:
        expected = "an address such as http://localhost:8000/v1/embeddings?model=<name>"
        yield from address_problems(self, "http://localhost:8000/v1/embeddings", expected, query=True)
        for key, (legal, such_as) in _LEGAL.items():
            yield from problems_with(f"model.{key}", getattr(self, key), legal, such_as)
        own = [] if not isinstance(self.parameters, Mapping) else sorted(_SET_BY_US & {*self.parameters})
        if not isinstance(self.parameters, Mapping):
            yield Problem(
                key="model.parameters", given=self.parameters, expected="a mapping", fix=("model.parameters={}",)
            )
        for name in own:
            yield Problem(f"must not hold {name}, which has a key of its own or is set here", key="model.parameters")
        if self.max_cost is not None and self.price is None:
            text, expected = "has no effect without a price", "the price of a million tokens, too"
            fix = ("model.price=<price>", "model.max_cost=null")
            yield Problem(text, key="model.max_cost", given=self.max_cost, expected=expected, fix=fix)

    @property
    def address(self) -> str:
        """Where requests go, and nowhere else."""
        return address_of(self.url, self.api)

    @property
    def input_price(self) -> float | None:
        return self.price

    @property
    def short_name(self) -> str:
        """What a table calls it: the model's name at its server."""
        parts = urlsplit(self.address)
        return f"{self.name}@{parts.netloc}" if self.name else f"{parts.netloc}{parts.path}"

    def locate(self) -> dict[str, str]:
        """The server's address; there are no weights to find."""
        return {"id": self.short_name, "source": SERVED, "location": self.address}

    def check(self) -> None:
        """Send one short text, so that a wrong address, key, name or width is known before anything else is done.

        Raises:
            EndpointError: the server gives no vector, or not the one that was requested.
        """
        server = dataclasses.replace(self, tries=min(self.tries, 3))
        with (connection := connect(server)).session:
            try:
                vectors = request_vectors(server, connection, [PROBES[0]], estimated_tokens(PROBES[:1]))
            except RefusedError as refusal:
                raise refused(server, PROBES[0], refusal) from refusal
        if problem := width_problem(self, vectors.shape[1], None):
            raise problem
        if sends_key_unencrypted(self):
            logger.warning("%s is no https address: the key goes there unencrypted.", self.url)

    def load(self, training_texts: TextSource, folder: Path) -> "SentenceTransformer":
        """Refused: there are no weights here."""
        text = "is a model behind a URL, which has no weights here"
        raise ModelError(text, key="model.url", given=self.url, expected="a folder, a Hub id or an option of model=")
