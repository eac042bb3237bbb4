"""Servers that embed texts: what each API is sent, and its answers as vectors, checked one by one.

Two APIs are known: OpenAI's `/v1/embeddings`, which vLLM, llama.cpp, Ollama and others speak, and `/embed` of Hugging
Face's text-embeddings-inference (TEI).
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy

from embexp.endpoints.client import BusyError, Connection, RefusedError, Server, shown
from embexp.errors import EndpointError

OPENAI, TEI = "openai", "tei"
_MOST_BYTES = 256 * 2**20  # of an answer: 32 texts of 4,096 numbers are 3 MB of JSON


class EmbeddingServer(Server, Protocol):
    """What `Server` has, and what is sent to a server of embeddings.

    Attributes:
        name: of the model; None where the server has only one.
        api: OPENAI or TEI.
        encoding: of the numbers, float or base64; None for the server's own.
        dimensions: that are requested; None for all.
        parameters: sent with each request as they are.
    """

    name: str | None
    api: str
    encoding: str | None
    dimensions: int | None
    parameters: Mapping[str, Any]


def name_in(url: str) -> tuple[str, str | None]:
    """A URL without the name of a model in its query, and that name.

    >>> name_in("http://host/v1/embeddings?model=org/small&api-version=1")
    ('http://host/v1/embeddings?api-version=1', 'org/small')
    """
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    name = next((value for key, value in query if key == "model" and value), None)
    return urlunsplit(parts._replace(query=urlencode([each for each in query if each[0] != "model"]))), name


def api_of(url: str) -> str:
    """The API that a URL's end names: TEI's for `/embed`, else OpenAI's."""
    return TEI if urlsplit(url).path.rstrip("/").endswith("/embed") else OPENAI


def address_of(url: str, api: str) -> str:
    """Where requests go: a URL up to its API's end is completed, slashes at its end do not count.

    >>> [address_of(url, "openai") for url in ("http://host:8000", "https://host/v1/", "http://host/v1/embeddings/")]
    ['http://host:8000/v1/embeddings', 'https://host/v1/embeddings', 'http://host/v1/embeddings']
    >>> address_of("http://host:8080/", "tei")
    'http://host:8080/embed'
    """
    parts = urlsplit(url)
    path, end = parts.path.rstrip("/"), "/embed" if api == TEI else "/embeddings"
    if not path.endswith(end):
        path = f"{path or ('' if api == TEI else '/v1')}{end}"
    return urlunsplit(parts._replace(path=path))


def connect(server: EmbeddingServer) -> Connection:
    """The way to a server of embeddings, whose answers are longer than those of others."""
    return Connection(server, _MOST_BYTES)


def request_vectors(
    server: EmbeddingServer, connection: Connection, texts: Sequence[str], num_tokens: int
) -> numpy.ndarray:
    """The vectors of a request's texts, in their order, float32 `(len(texts), dim)`.

    Raises:
        RefusedError: the server does not accept the request.
        EndpointError: further requests are of no use, or the vectors are not those of the texts.
        CancelledError: everything is to stop.
    """
    if server.api == TEI:  # as every model does, a text that is too long is cut
        body = {"inputs": [*texts], "truncate": True}
    else:
        body = {"input": [*texts]} | ({"model": server.name} if server.name else {})
        body |= {"encoding_format": server.encoding} if server.encoding else {}
    body |= {"dimensions": server.dimensions} if server.dimensions else {}
    body |= server.parameters
    return connection.send(body, num_tokens, lambda content: _vectors(server, content, texts))


def refused(server: EmbeddingServer, text: str, refusal: RefusedError) -> EndpointError:
    """The message for a single text that a server refuses: too long for it, or a parameter that it does not know."""
    section, shown_text = server.section, text[:_SHOWN_CHARS]
    fix = f"'{section}.parameters={{truncate_prompt_tokens: -1}}'"  # vLLM's
    note = "Its answers until now are kept. vLLM cuts texts that are too long for it with the parameter below"
    return EndpointError(
        f"refuses a text of {len(text):,} characters that begins with {shown_text!r}: {refusal}",
        key=f"{section}.url",
        given=server.url,
        expected="a text and parameters that the server takes",
        note=note,
        fix=(fix, f"{server.name_key}=<name>"),
    )


_SHOWN_CHARS = 60


def _vectors(server: EmbeddingServer, content: str, texts: Sequence[str]) -> numpy.ndarray:
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError) as error:
        if content.lstrip().startswith("<"):
            raise _misfit(server, f"answers with a page in place of numbers: {shown(content)}") from error
        raise BusyError(f"no embeddings: {shown(content)}") from error
    rows = _rows(server, reply, content)
    if len(rows) != len(texts):
        text = f"gives {len(rows)} vector{'s' * (len(rows) != 1)} for {len(texts)} text{'s' * (len(texts) != 1)}"
        raise _misfit(server, text)
    vectors = [_vector(server, row, text) for row, text in zip(rows, texts, strict=True)]
    if len(widths := sorted({len(each) for each in vectors})) > 1:
        raise _misfit(server, f"gives vectors of {widths[0]} and of {widths[-1]} numbers in one answer")
    return numpy.stack(vectors)


def _rows(server: EmbeddingServer, reply: Any, content: str) -> list[Any]:
    """What stands for each text, in the order of the texts."""
    if isinstance(reply, list):
        return reply
    data = reply.get("data") if isinstance(reply, Mapping) else None
    if not isinstance(data, list) or not all(isinstance(each, Mapping) and "embedding" in each for each in data):
        raise _misfit(server, f"answers without embeddings: {shown(content)}")
    places = [each.get("index", place) for place, each in enumerate(data)]
    if sorted(places, key=str) != sorted(range(len(data)), key=str):
        raise _misfit(server, f"numbers its vectors {', '.join(map(str, places[:8]))}")
    return [
        row for _, row in sorted(zip(places, (each["embedding"] for each in data), strict=True), key=lambda x: x[0])
    ]


def _vector(server: EmbeddingServer, row: Any, text: str) -> numpy.ndarray:
    """One text's vector, sent as numbers or as the float32 of them in base64."""
    try:
        if isinstance(row, str):
            vector = numpy.frombuffer(base64.b64decode(row, validate=True), dtype="<f4").astype("float32")
        else:
            vector = numpy.array(row, dtype="float32")
    except (ValueError, TypeError, binascii.Error) as error:
        raise _misfit(server, f"gives no numbers for {text[:_SHOWN_CHARS]!r}: {shown(str(row))}") from error
    if vector.ndim != 1 or not len(vector):
        what = "a vector for each token" if vector.ndim == 2 else "no vector"
        raise _misfit(server, f"gives {what} for {text[:_SHOWN_CHARS]!r}")
    if not numpy.isfinite(vector).all():
        value = vector[~numpy.isfinite(vector)][0]
        raise _misfit(server, f"gives a vector that holds {value} for {text[:_SHOWN_CHARS]!r}")
    return vector


def width_problem(server: EmbeddingServer, width: int, known: int | None) -> EndpointError | None:
    """The message for vectors of another width than was requested, or than those before them."""
    if server.dimensions and width != server.dimensions:
        text = f"gives vectors of {width} numbers; {server.dimensions} were requested"
        fix = (f"{server.section}.dimensions=null", f"{server.section}.dimensions={width}")
        key, given = f"{server.section}.dimensions", server.dimensions
        return EndpointError(text, key=key, given=given, expected="what the model has, or null for all", fix=fix)
    if known and width != known:
        return _misfit(server, f"gives vectors of {width} numbers, after ones of {known}")
    return None


def _misfit(server: EmbeddingServer, text: str) -> EndpointError:
    expected = "a vector for each text, all of one width, of finite numbers"
    fix = (f"{server.section}.url=<address>", f"{server.name_key}=<name>")
    note = "Its answers until now are kept"
    return EndpointError(text, key=f"{server.section}.url", given=server.url, expected=expected, note=note, fix=fix)
