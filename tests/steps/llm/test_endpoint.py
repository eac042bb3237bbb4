"""Asking a chat server: what is sent, retries, limits, the answers that are kept, and servers that misbehave."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, completion, echo, texts

from embexp.config.session import conf_dir
from embexp.errors import ConfigError, EndpointError
from embexp.steps.llm import batch
from embexp.steps.llm.batch import OVER_LIMIT, REFUSED, UNUSABLE, request_all
from embexp.steps.llm.chat import Request
from embexp.steps.llm.endpoint import Endpoint

KEY = "sk-very-secret-4711"


def endpoint_of(url, **changes):
    """The endpoint of the YAML, quick to try again."""
    from omegaconf import OmegaConf

    given = OmegaConf.to_container(OmegaConf.load(conf_dir() / "step" / "endpoint" / "chat.yaml"))
    del given["_target_"]
    quick = {"url": url, "model": "toy", "first_wait": 0.01, "timeout": 5, "concurrency": 4}
    return Endpoint(**given | quick | changes)


@pytest.fixture
def serve():
    """Starts servers that behave as given; they end with the test."""
    running = []

    def start(behave=echo):
        context = ChatServer(behave).running()
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def requests_for(*given, number=1):
    return [Request([{"role": "user", "content": f"Text: {text}\na list of {number}"}], number) for text in given]


def scripted(*replies):
    """Replies one after the other, then the echo."""
    return lambda request: replies[request.number - 1] if request.number <= len(replies) else echo(request)


def asked(server, *given, number=1, cache=None, **changes):
    return request_all(endpoint_of(server.url, **changes), requests_for(*given, number=number), "toys", cache)


def test_what_is_sent_and_what_comes_back(serve, monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOY_KEY", KEY)
    server = serve()
    done = asked(server, "a", "b", number=2, api_key_env="TOY_KEY", cache=tmp_path, input_price=10, output_price=100)
    assert done.texts == [["a as put 1", "a as put 2"], ["b as put 1", "b as put 2"]]
    assert done.report() == "2 answers of toy, 40 tokens read, 20 written, cost 0.0024"
    request = server.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert {name: request.body[name] for name in ("model", "temperature", "max_tokens", "seed")} == {
        "model": "toy",
        "temperature": 0.8,
        "max_tokens": 1024,
        "seed": 42,
    }
    schema = request.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["texts"] | {"title": ""} == {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 2,
        "maxItems": 2,
        "title": "",
    }
    assert (schema["required"], schema["additionalProperties"]) == (["texts"], False)
    assert KEY not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def test_what_it_will_take_is_logged_before_anything_is_sent(serve, caplog):
    caplog.set_level(logging.INFO)
    server = serve()
    done = asked(server, "a", "b", max_total_tokens=0, output_price=1.0)
    assert (server.requests, done.left_out) == ([], {OVER_LIMIT: 2})
    # "Text: a", "a list of 1": 19 letters are 5 tokens, 4 more around them; at most 1,024 are written.
    assert (
        f"toys: 2 requests to {server.url}/chat/completions (toy), about 18 tokens read, 2,048 written" in caplog.text
    )


def test_a_text_that_occurs_twice_is_requested_once(serve):
    server = serve()
    assert asked(server, "a", "a", "b").texts == [["a as put 1"], ["a as put 1"], ["b as put 1"]]
    assert len(server.requests) == 2


def test_no_answer_is_paid_for_twice(serve, tmp_path):
    server = serve()
    first = asked(server, "a", "b", cache=tmp_path)
    again = asked(server, "b", "a", "c", cache=tmp_path)
    assert len(server.requests) == 3
    assert again.texts[:2] == first.texts[::-1]
    assert again.report() == "3 answers of toy, 60 tokens read, 30 written"
    asked(server, "a", cache=tmp_path, parameters={"temperature": 0})
    asked(server, "a", cache=tmp_path, model="other")
    assert len(server.requests) == 5


def test_answers_around_which_a_model_talks_are_understood(serve):
    server = serve(scripted(completion('<think>hm</think>Sure!\n```json\n{"texts": [" x\\n y "]}\n```\nBye')))
    assert asked(server, "a").texts == [["x y"]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("no idea", "it is no JSON"),
        ('{"texts": ["half', "it is no JSON"),
        ('{"texts": "x"}', "texts: Input should be a valid list"),
        ('{"texts": []}', "texts: List should have at least 1 item after validation, not 0"),
        ('{"texts": ["x", "y"]}', "texts: List should have at most 1 item after validation, not 2"),
        ('{"texts": [1]}', "texts.0: Input should be a valid string"),
        ('{"texts": ["x"], "why": 1}', "why: Extra inputs are not permitted"),
        ('{"texts": [" "]}', "a text is empty"),
        ('[{"texts": ["x"]}, {}]', "it is no JSON"),
        (None, "it is no JSON"),
    ],
)
def test_an_answer_that_does_not_fit_is_requested_again_with_the_reason(content, fault, serve):
    server = serve(scripted(completion(content)))
    assert asked(server, "a").texts == [["a as put 1"]]
    said, wanted = server.requests[1].body["messages"][1:]
    assert said == {"role": "assistant", "content": content or "(nothing)"}
    assert wanted["content"].startswith(f"That does not fit: {fault}")


def test_two_texts_that_are_one_do_not_fit(serve):
    server = serve(scripted(texts("Same", "same")))
    assert asked(server, "a", number=2).texts == [["a as put 1", "a as put 2"]]
    assert "a text stands there twice" in server.requests[1].body["messages"][-1]["content"]


def test_what_never_fits_is_left_out_and_its_answers_are_kept_too(serve, tmp_path):
    server = serve(lambda request: completion("{", "length") if "Text: bad" in request.first else echo(request))
    done = asked(server, "good", "bad", cache=tmp_path)
    assert (done.texts, done.left_out) == ([["good as put 1"], None], {UNUSABLE: 1})
    assert done.report() == f"4 answers of toy, 80 tokens read, 40 written; left out: 1 {UNUSABLE}"
    assert any("it is cut off" in request.body["messages"][-1]["content"] for request in server.requests)
    assert asked(server, "good", "bad", cache=tmp_path).report() == done.report()
    assert len(server.requests) == 4


def test_a_server_that_refuses_the_schema_gets_requests_without(serve):
    def behave(request):
        return Reply({"error": "no response_format"}, 400) if "response_format" in request.body else echo(request)

    server = serve(behave)
    assert asked(server, "a", "b", concurrency=1).texts == [["a as put 1"], ["b as put 1"]]
    assert ["response_format" in request.body for request in server.requests] == [True, False, False]
    plain = serve()
    asked(plain, "a", json_schema=False)
    assert "response_format" not in plain.requests[0].body


GARBAGE = [
    Reply(b"<html>Hello</html>"),
    Reply(b'{"choices": []}'),
    Reply(b'{"choices": [{"message": {"content": 3}}]}'),
    Reply(b'{"error": {"message": "overloaded"}}'),
    Reply(b"[" * 100_000),
    Reply(b"\xff\xfe\x00"),
    Reply(b'{"choices": [{"mess', announced=5000),
    Reply(drops=True),
    Reply(b"oh", 500),
    Reply(b"", 503),
    Reply(b"slow down", 429),
    Reply(b"x", headers={"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize("reply", GARBAGE, ids=lambda reply: f"{reply.status} {reply.body[:12]!r} {reply.drops}")
def test_a_fault_is_tried_again(reply, serve):
    server = serve(scripted(reply, reply))
    assert asked(server, "a").texts == [["a as put 1"]]
    assert len(server.requests) == 3


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"prompt_tokens": -5, "completion_tokens": "many"}}])
def test_tokens_are_estimated_where_the_server_does_not_count_them(usage, serve):
    reply = {"choices": [{"message": {"content": '{"texts": ["b"]}'}}]} | usage
    assert asked(serve(scripted(Reply(reply))), "a").report() == "1 answers of toy, 9 tokens read, 8 written"


def test_a_server_that_stays_broken_ends_the_step_and_answers_are_kept(serve, tmp_path):
    server = serve(lambda request: echo(request) if request.number <= 2 else Reply(b"oh no", 500))
    with pytest.raises(EndpointError) as given_up:
        asked(server, "a", "b", "c", concurrency=1, tries=3, cache=tmp_path)
    assert str(given_up.value).startswith(
        f"endpoint.url={server.url} gave no answer in 3 of 3 tries; the last one: status 500: oh no."
    )
    assert "hint: type endpoint.tries=6\n" in str(given_up.value)
    assert len(server.requests) == 5
    server.behave = echo
    assert asked(server, "a", "b", "c", cache=tmp_path).texts[2] == ["c as put 1"]
    assert len(server.requests) == 6


def test_a_server_that_nobody_runs():
    with pytest.raises(EndpointError, match=r"gave no answer in 2 of 2 tries; the last one: ConnectionError"):
        request_all(endpoint_of("http://127.0.0.1:9/v1", tries=2), requests_for("a"), "toys", None)


@pytest.mark.parametrize("seconds", ["0.4", "date"])
def test_retry_after_is_honoured_by_all(seconds, serve):
    if seconds == "date":
        seconds, least = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2)), 0.9
    else:
        least = 0.4
    refusal = Reply(b"", 429, {"Retry-After": seconds})
    server = serve(lambda request: refusal if request.number == 1 else replace(echo(request), seconds=0.1))
    assert asked(server, "a", "b", "c", concurrency=2).left_out == {}
    # The second request was under way already; the third one, of another thread, waits, too.
    assert server.requests[2].at - server.requests[0].at >= least


def test_a_server_that_asks_for_a_long_wait_ends_the_step(serve):
    server = serve(lambda _: Reply(b"", 429, {"Retry-After": "3600"}))
    with pytest.raises(EndpointError, match=r"wants a wait of 3,600 s, more than longest_wait=60"):
        asked(server, "a")
    assert len(server.requests) == 1


def test_waits_double(serve):
    server = serve(scripted(*[Reply(b"", 500)] * 3))
    asked(server, "a", first_wait=0.1)
    waits = [later.at - sooner.at for sooner, later in zip(server.requests, server.requests[1:], strict=False)]
    assert [round(wait / least, 1) >= 1.0 for wait, least in zip(waits, (0.05, 0.1, 0.2), strict=True)] == [True] * 3
    assert waits[2] < 0.8


def test_a_slow_answer_is_given_up(serve):
    server = serve(scripted(Reply(seconds=1.0)))
    start = time.monotonic()
    assert asked(server, "a", timeout=0.3).texts == [["a as put 1"]]
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "api_key_env=<variable>"),
        (403, "api_key_env=<variable>"),
        (404, "hint: type endpoint.url=<address>\nhint: type endpoint.model=<name>"),
    ],
)
def test_what_no_try_mends_ends_the_step_at_once(status, hint, serve):
    server = serve(lambda _: Reply(b"you shall not pass", status))
    with pytest.raises(EndpointError, match=f"status {status}: you shall not pass") as refusal:
        asked(server, "a", "b", concurrency=1)
    assert hint in str(refusal.value)
    assert len(server.requests) == 1


def test_the_error_is_told_whichever_request_ends_first(serve, monkeypatch):
    def last_first(sent):
        wait(sent)
        return reversed([*sent])

    monkeypatch.setattr(batch, "as_completed", last_first)
    server = serve(lambda _: Reply(b"you shall not pass", 401))
    with pytest.raises(EndpointError, match="status 401: you shall not pass"):
        asked(server, "a", "b", "c", concurrency=1)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nothing_is_sent_to_where_a_server_points(status, serve, monkeypatch):
    monkeypatch.setenv("TOY_KEY", KEY)
    other = serve()
    server = serve(lambda _: Reply(b"", status, {"Location": f"{other.url}/chat/completions"}))
    with pytest.raises(EndpointError, match="Redirects are not followed"):
        asked(server, "a", api_key_env="TOY_KEY")
    assert (len(server.requests), other.requests) == (1, [])


def test_no_proxy_and_no_netrc_come_between(serve, monkeypatch, tmp_path):
    other, server = serve(), serve()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password pw\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("TOY_KEY", KEY)
    asked(server, "a", api_key_env="TOY_KEY")
    assert (len(server.requests), other.requests) == (1, [])
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_that_a_server_repeats_is_blotted_out(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("TOY_KEY", KEY)
    server = serve(lambda request: texts(f"{request.headers['Authorization']} is yours"))
    assert asked(server, "a", api_key_env="TOY_KEY", cache=tmp_path).texts == [["Bearer *** is yours"]]
    server.behave = lambda request: Reply(f"Incorrect key {request.headers['Authorization']}".encode(), 401)
    with pytest.raises(EndpointError) as refusal:
        asked(server, "b", api_key_env="TOY_KEY", cache=tmp_path)
    assert "Incorrect key Bearer ***" in str(refusal.value)
    assert "environment variable TOY_KEY" in str(refusal.value)


def test_a_key_that_is_missing_or_none(serve, monkeypatch):
    monkeypatch.delenv("TOY_KEY", raising=False)
    with pytest.raises(ConfigError, match="export TOY_KEY=<key>"):
        asked(serve(), "a", api_key_env="TOY_KEY")
    monkeypatch.setenv("TOY_KEY", "two words")
    with pytest.raises(ConfigError, match="Expected the key alone") as refusal:
        asked(serve(), "a", api_key_env="TOY_KEY")
    assert "two words" not in str(refusal.value)


def test_a_request_that_is_refused_is_left_out(serve):
    server = serve(lambda request: Reply(b"too long", 413) if "Text: long" in request.first else echo(request))
    done = asked(server, "a", "long", "b")
    assert (done.texts, done.left_out) == ([["a as put 1"], None, ["b as put 1"]], {REFUSED: 1})


def test_a_server_that_takes_no_request_ends_the_step(serve):
    server = serve(lambda _: Reply(b"unknown parameter: seed", 400))
    with pytest.raises(EndpointError, match="refuses all requests: status 400: unknown parameter: seed"):
        asked(server, *map(str, range(50)), concurrency=1)
    assert len(server.requests) < 30


@pytest.mark.parametrize("limit", [{"max_total_tokens": 200}, {"max_cost": 2e-4, "input_price": 1, "output_price": 1}])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_limit_is_never_passed_and_ends_the_step_cleanly(limit, concurrency, serve, tmp_path):
    server = serve()
    settings = limit | {"concurrency": concurrency, "parameters": {"max_tokens": 50}, "cache": tmp_path}
    done = asked(server, *map(str, range(20)), **settings)
    # An answer takes 30 tokens, a request could take 9 and 50: after 5 answers, 150, another one could pass 200.
    assert len(server.requests) == 5
    assert done.left_out == {OVER_LIMIT: 15}
    assert len([made for made in done.texts if made]) == 5
    assert asked(server, *map(str, range(20)), **settings).texts == done.texts
    assert len(server.requests) == 5  # what was spent before counts


def test_requests_are_spread_over_a_minute(serve):
    server = serve()
    asked(server, *"abcd", requests_per_minute=600)
    times = [request.at for request in server.requests]
    assert 0.25 <= times[-1] - times[0] < 1.0
    server = serve()
    asked(server, *"abcd", tokens_per_minute=60 * 590, parameters={"max_tokens": 50})  # 59 tokens: a tenth of a second
    times = [request.at for request in server.requests]
    assert 0.25 <= times[-1] - times[0] < 1.0


def test_so_many_requests_are_under_way_at_the_same_time(serve):
    server = serve(lambda request: replace(echo(request), seconds=0.05))
    asked(server, *"abcdefgh", concurrency=3)
    assert server.most_at_once == 3


CHILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_endpoint import asked
class Server: url = {url!r}
done = asked(Server, *map(str, range(30)), cache=Path({cache!r}), concurrency=2)
print(json.dumps(done.texts))
"""


def test_a_killed_step_resumes_where_it_was(serve, tmp_path):
    server = serve(lambda request: replace(echo(request), seconds=0.02))
    code = CHILD.format(folder=str(Path(__file__).parent), url=server.url, cache=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    while len(server.requests) < 10 and child.poll() is None:
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    time.sleep(0.1)
    before = len(server.requests)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == [[f"{number} as put 1"] for number in range(30)]
    assert 10 <= before < 30
    assert len(server.requests) <= 30 + 2  # but for those that were under way, one for each thread


def test_two_processes_do_not_pay_for_the_same_answers(serve, tmp_path):
    server = serve()
    code = CHILD.format(folder=str(Path(__file__).parent), url=server.url, cache=str(tmp_path))
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [child.communicate()[0] for child in children]
    assert outputs[0] == outputs[1] != b""
    assert len(server.requests) == 30


def test_a_key_over_an_open_line_is_warned_of(monkeypatch, caplog):
    monkeypatch.setenv("TOY_KEY", KEY)
    with pytest.raises(EndpointError):
        request_all(
            endpoint_of("http://127.0.0.2:9/v1", api_key_env="TOY_KEY", tries=1), requests_for("a"), "toys", None
        )
    assert "http://127.0.0.2:9/v1 is no https address: the key goes there unencrypted" in caplog.text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"url": "localhost:8000/v1"}, "endpoint.url is not the address of a server"),
        ({"url": "ftp://x/v1"}, "endpoint.url is not the address of a server"),
        ({"url": "http://x:port/v1"}, "endpoint.url is not the address of a server"),
        ({"url": 7}, "endpoint.url is not the address of a server"),
        ({"url": f"https://me:{KEY}@host/v1"}, "endpoint.url has a user, a password"),
        ({"url": f"https://host/v1?key={KEY}"}, "endpoint.url has a user, a password"),
        ({"url": "http://x/v1/chat/completions"}, "/chat/completions.\nhint: type endpoint.url=http://x/v1"),
        ({"model": " "}, "endpoint.model=  was given. Expected a text that is not blank"),
        ({"api_key_env": KEY}, "endpoint.api_key_env is not the name of a variable. Expected the environment variable"),
        ({"parameters": "hot"}, "endpoint.parameters=hot was given. Expected a mapping"),
        ({"parameters": {"n": 3, "stream": True}}, "must not hold n, stream"),
        (
            {"tries": 0},
            "endpoint.tries=0 was given. Expected a whole number of at least 1.\nhint: type endpoint.tries=6",
        ),
        ({"timeout": 0}, "endpoint.timeout=0 was given. Expected a number above 0.\nhint: type endpoint.timeout=120"),
        ({"requests_per_minute": 0}, "endpoint.requests_per_minute=0 was given. Expected a number above 0, or null"),
        ({"max_total_tokens": -1}, "endpoint.max_total_tokens=-1 was given. Expected a number of at least 0, or null"),
        ({"max_cost": 1}, "endpoint.max_cost=1 has no effect without prices"),
    ],
)
def test_an_invalid_setting(changes, fault):
    (problem,) = replace(endpoint_of("http://localhost:8000/v1"), **changes).problems()
    assert fault in str(problem)
    assert problem.expected or problem.text.startswith("must not hold")
    assert KEY not in str(problem) + repr(problem)
