"""A server on loopback that speaks OpenAI's chat completions as configured: well, slowly, with faults, with garbage."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LISTED = re.compile(r"(?:Passage|Text|Query): (.*)")
NUMBER = re.compile(r"list of (\d+)")


@dataclass(frozen=True)
class Reply:
    """What is sent back.

    Attributes:
        body: JSON, or bytes as they are.
        seconds: before it.
        announced: bytes that Content-Length says; None for as many as there are.
        drops: the connection ends without a word.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    announced: int | None = None
    drops: bool = False

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def completion(content: str | None, finish: str = "stop", **usage: Any) -> Reply:
    """A well-formed answer with that content, of 20 tokens read and 10 written unless said otherwise."""
    usage = {"prompt_tokens": 20, "completion_tokens": 10} | usage
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return Reply({"object": "chat.completion", "choices": [choice], "usage": usage})


def texts(*given: str) -> Reply:
    return completion(json.dumps({"texts": given}))


def echo(request: "Request") -> Reply:
    """As many texts as are asked for, made of the one in the prompt: `b` becomes `b as put 1`, ..."""
    number = int(NUMBER.search(request.first)[1])
    return texts(*(f"{LISTED.search(request.first)[1]} as put {place}" for place in range(1, number + 1)))


@dataclass(frozen=True)
class Request:
    """What arrived: its place among all, path, headers and JSON."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def first(self) -> str:
        """What the user said first."""
        return next(message["content"] for message in self.body["messages"] if message["role"] == "user")


class ChatServer:
    """Answers as `behave` says; keeps all that arrived."""

    def __init__(self, behave: Callable[[Request], Reply]) -> None:
        self.behave = behave
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator["ChatServer"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def reply_to(self, path: str, headers: dict[str, str], content: bytes) -> Reply:
        with self._lock:
            request = Request(len(self.requests) + 1, path, headers, json.loads(content), time.monotonic())
            self.requests.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        reply = self.behave(request)
        time.sleep(reply.seconds)
        with self._lock:
            self._at_once -= 1
        return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                reply = server.reply_to(self.path, dict(self.headers), content)
                if reply.drops:
                    linger = struct.pack("ii", 1, 0)
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                length = len(reply.content) if reply.announced is None else reply.announced
                for name, value in {"Content-Length": str(length), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.content)
                self.close_connection = length != len(reply.content)

            def do_GET(self) -> None:
                server.reply_to(self.path, dict(self.headers), b"{}")

            def log_message(self, *_: Any) -> None: ...

        return Handler
