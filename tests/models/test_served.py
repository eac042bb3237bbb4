"""A model behind a URL as an encoder: what is sent, what comes back, servers that misbehave, and what is kept."""

import base64
import contextlib
import functools
import hashlib
import logging
import sqlite3
import time

import numpy
import pytest
from omegaconf import OmegaConf

from embexp.cli.overrides import each_model, expand_paths
from embexp.config.compose import compose, instantiate
from embexp.errors import ConfigError, EndpointError
from embexp.models.served import ALWAYS_SENT, PROBES
from embexp.models.served_encoder import ServedEncoder
from tests.steps.llm.chat_server import ChatServer, Reply

KEY = "sk-very-secret-4711"
WIDTH = 8


def vector_of(text, width=WIDTH):
    seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    return numpy.random.default_rng(seed).normal(size=width).astype("float32")


def openai(request, vectors=None, **changes):
    """What OpenAI's API answers, in the encoding that was requested."""
    given = request.body["input"]
    vectors = [vector_of(text, request.body.get("dimensions", WIDTH)) for text in given] if vectors is None else vectors
    if request.body.get("encoding_format") == "base64":
        shown = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    else:
        shown = [[*map(float, vector)] for vector in vectors]
    data = [{"object": "embedding", "index": place, "embedding": each} for place, each in enumerate(shown)]
    return Reply({"object": "list", "data": data, "usage": {"prompt_tokens": 3}} | changes)


def tei(request):
    return Reply([[*map(float, vector_of(text))] for text in request.body["inputs"]])


@pytest.fixture
def serve():
    """Starts servers that behave as given; they end with the test."""
    running = []

    def start(behave=openai):
        context = ChatServer(behave).running()
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


@functools.cache
def settings_of_the_yaml():
    typed = expand_paths(["model=http://host/v1"])
    return OmegaConf.to_container(compose(typed, "evaluate"), resolve=True)["model"]


def model_of(url, **changes):
    """The model of `model=<url>`, quick to try again, which keeps nothing unless a folder is given."""
    quick = {"first_wait": 0.01, "timeout": 5, "cache": None, "url": url} | changes
    return instantiate(settings_of_the_yaml() | quick)


def encoded(server, *texts, prompt=None, path="", **changes):
    return ServedEncoder(model_of(f"{server.url}{path}", **changes)).encode(texts, prompt)


def expected(*texts):
    return numpy.stack([vector_of(text) for text in texts])


def sent(server):
    """The texts of all requests but those of the probes."""
    given = [request.body.get("input") or request.body.get("inputs") for request in server.requests]
    return [each for each in given if each[0] not in PROBES]


def test_texts_go_there_and_vectors_come_back_in_their_order(serve, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TOY_KEY", KEY)
    server = serve()
    texts = ["b", "a", "利率", "b", "a long text"]
    found = encoded(server, *texts, prompt="q: ", path="?model=toy", api_key_env="TOY_KEY", price=2.0)
    assert (found == expected(*(f"q: {text}" for text in texts))).all()
    assert found.dtype == "float32"
    assert sent(server) == [["q: b", "q: a", "q: 利率", "q: a long text"]]
    request = server.requests[-1]
    assert (request.path, request.body["model"]) == ("/v1/embeddings", "toy")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert {*request.body} == {"input", "model"}
    assert "toy@127.0.0.1:" in caplog.text
    assert "4 texts to embed, about 25 tokens, cost 0.0001; 0 more are kept already." in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("changes", [
    {}, {"path": "/embeddings/"}, {"encoding": "base64"}, {"encoding": "float"}, {"name": "org/toy"},
    {"batch_texts": 1}, {"concurrency": 1}, {"parameters": {"input_type": "query"}}, {"prompt_key": "p: "},
])  # fmt: skip
def test_all_ways_to_the_same_vectors(changes, serve):
    server = serve()
    prompt = changes.pop("prompt_key", "")
    if prompt:
        changes["prompt"] = None
        found = ServedEncoder(model_of(server.url, prompt=prompt)).encode(["a", "b"])
    else:
        found = encoded(server, "a", "b", **changes)
    assert (found == expected(f"{prompt}a", f"{prompt}b")).all()
    for key, value in changes.get("parameters", {}).items():
        assert server.requests[-1].body[key] == value


def test_tei_is_known_by_the_end_of_its_url_and_cuts_long_texts(serve):
    server = serve(tei)
    found = ServedEncoder(model_of(server.url.replace("/v1", "/embed/"))).encode(["b", "a"])
    assert (found == expected("b", "a")).all()
    assert (server.requests[-1].path, server.requests[-1].body["truncate"]) == ("/embed", True)


def test_vectors_in_another_order_are_put_in_order_by_their_index(serve):
    def mixed(request):
        reply = openai(request)
        reply.body["data"].reverse()
        return reply

    assert (encoded(serve(mixed), "a", "b", "c") == expected("a", "b", "c")).all()


def test_dimensions_are_requested_and_checked(serve):
    server = serve()
    assert encoded(server, "a", dimensions=4).shape == (1, 4)
    with pytest.raises(EndpointError, match=r"model\.dimensions=4 gives vectors of 8 numbers; 4 were requested"):
        encoded(serve(lambda request: openai(request, [vector_of(text) for text in request.body["input"]])), "a",
                dimensions=4)  # fmt: skip


def after_the_probes(behave, number=1):
    """A server that answers well until the texts come, and behaves so from the request of that number on."""
    seen = []

    def answer(request):
        if request.body["input"][0] in PROBES:
            return openai(request)
        seen.append(request)
        return behave(request) if len(seen) >= number else openai(request)

    return answer


BAD = {
    "fewer": (lambda request: openai(request, [vector_of("x")] * (len(request.body["input"]) - 1)),
              "gives 1 vector for 2 texts"),
    "twice": (lambda request: openai(request, data=[{"index": 0, "embedding": [1.0]}] * 2), "numbers its vectors 0, 0"),
    "nan": (lambda request: openai(request, [numpy.full(WIDTH, numpy.nan)] * 2), "a vector that holds nan for 'a'"),
    "null": (lambda request: openai(request, data=[{"index": n, "embedding": None} for n in range(2)]),
             "gives no vector for 'a'"),
    "per token": (lambda request: openai(request, data=[{"index": n, "embedding": [[1.0, 2]] * 3} for n in range(2)]),
                  "a vector for each token"),
    "no base64": (lambda request: openai(request, data=[{"index": n, "embedding": "?"} for n in range(2)]),
                  "gives no numbers for 'a'"),
    "two widths": (lambda request: openai(request, [vector_of("a"), vector_of("b", 4)]),
                   "gives vectors of 4 and of 8 numbers in one answer"),
    "other width": (lambda request: openai(request, [vector_of("a", 4)] * 2), "gives vectors of 4 numbers, after"),
    "html": (lambda _: Reply(b"<html><body>Welcome</body></html>"), "a page in place of numbers: <html>"),
    "error": (lambda _: Reply({"error": {"message": "no such model"}}), "without embeddings: .*no such model"),
    "no json": (lambda _: Reply(b"oops"), "gave no answer in 2 of 2 tries; the last one: no embeddings: oops"),
    "cut off": (lambda _: Reply(b'{"data": [', announced=400), "gave no answer in 2 of 2 tries"),
    "dies": (lambda _: Reply(drops=True), "gave no answer in 2 of 2 tries; the last one: ConnectionError"),
    "busy": (lambda _: Reply(b"later", 503), "gave no answer in 2 of 2 tries; the last one: status 503: later"),
    "401": (lambda _: Reply(b"who are you?", 401), "answers with status 401: who are you.*Expected a key"),
    "404": (lambda _: Reply(b"no such model", 404), r"status 404(.|\n)*model\.name=<name>"),
    "redirect": (lambda _: Reply(b"", 302, {"Location": "http://127.0.0.1:9/"}), "Redirects are not followed"),
    "too long": (lambda _: Reply(b"too many tokens", 400), "refuses a text of 1 characters that begins with 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_server_is_one_message(fault, serve):
    behave, message = BAD[fault]
    with pytest.raises(EndpointError, match=message) as error:
        encoded(serve(after_the_probes(behave)), "a", "b", tries=2)
    assert len(error.value.problems) == 1
    assert "http://127.0.0.1" in str(error.value) or "model." in str(error.value)


def test_a_width_that_changes_between_requests_is_noticed_and_the_first_are_kept(serve, tmp_path):
    def other(request):
        return openai(request, [vector_of(text, 4) for text in request.body["input"]])

    settings = {"batch_texts": 1, "concurrency": 1, "cache": str(tmp_path)}
    with pytest.raises(EndpointError, match="gives vectors of 4 numbers, after ones of 8"):
        encoded(serve(after_the_probes(other, 3)), "a", "b", "c", "d", **settings)


def test_too_many_texts_are_halved_until_the_server_takes_them_and_so_are_those_after_them(serve):
    def small(request):
        return openai(request) if len(request.body["input"]) <= 3 else Reply(b"batch too large", 413)

    server = serve(small)
    texts = [f"text {number}" for number in range(16)]
    assert (encoded(server, *texts, batch_texts=8, concurrency=1) == expected(*texts)).all()
    assert [len(each) for each in sent(server)][:4] == [8, 4, 2, 2]
    assert [len(each) for each in sent(server)].count(8) == 1


def test_a_server_that_is_busy_is_waited_for_as_it_says(serve):
    def busy(request):
        return openai(request) if request.number > 5 else Reply(b"", 429, {"Retry-After": "0.2"})

    began = time.monotonic()
    assert (encoded(serve(busy), "a") == expected("a")).all()
    assert time.monotonic() - began >= 0.9


def test_what_came_before_a_server_died_is_not_requested_again(serve, tmp_path):
    dead = after_the_probes(lambda _: Reply(drops=True), 3)
    alive = []
    server = serve(lambda request: openai(request) if alive else dead(request))
    texts = [f"text {number}" for number in range(6)]
    settings = {"batch_texts": 2, "concurrency": 1, "tries": 1, "cache": str(tmp_path)}
    with pytest.raises(EndpointError, match="gave no answer"):
        encoded(server, *texts, **settings)
    alive.append(True)
    before = len(sent(server))
    assert (encoded(server, *texts, **settings) == expected(*texts)).all()
    assert sent(server)[before:] == [["text 4", "text 5"]]
    encoded(server, *texts, **settings)
    assert len(sent(server)) == before + 1


def test_vectors_of_two_models_are_never_mixed(serve, tmp_path, caplog):
    def by_name(request):
        return openai(request, [vector_of(f"{request.body.get('model')} {text}") for text in request.body["input"]])

    server = serve(by_name)
    for name in ("one", "two", "one"):
        found = encoded(server, "a", name=name, cache=str(tmp_path))
        assert (found == expected(f"{name} a")).all()
    assert len(sent(server)) == 2
    assert not caplog.records


def test_another_model_behind_the_same_address_is_noticed_though_nothing_else_changed(serve, tmp_path, caplog):
    version = ["1"]
    server = serve(lambda request: openai(request, [vector_of(version[0] + each) for each in request.body["input"]]))
    assert (encoded(server, "a", cache=str(tmp_path)) == expected("1a")).all()
    version[0] = "2"
    assert (encoded(server, "a", cache=str(tmp_path)) == expected("2a")).all()
    assert "the model behind the URL has changed" in caplog.text
    version[0] = "1"
    before = len(sent(server))
    assert (encoded(server, "a", cache=str(tmp_path)) == expected("1a")).all()
    assert len(sent(server)) == before


def cut_and_scaled(settings):
    """A server that reads so many letters of a text, and gives vectors of such a length."""

    def answer(request):
        vectors = [vector_of(text[: settings["letters"]]) * settings["length"] for text in request.body["input"]]
        return openai(request, vectors)

    return answer


@pytest.mark.parametrize("changed", [{"length": 1.1}, {"length": 0.2}, {"letters": 9000}, {"letters": 2400}])
def test_vectors_of_another_length_or_cut_elsewhere_are_not_mixed_with_those_that_were_kept(
    changed, serve, tmp_path, caplog
):
    settings = {"letters": 2000, "length": 1.0}
    server = serve(cut_and_scaled(settings))
    texts = ["a", "word " * 600]
    first = encoded(server, *texts, cache=str(tmp_path))
    settings.update(changed)
    found = encoded(server, *texts, cache=str(tmp_path))
    assert "the model behind the URL has changed, or how it is served" in caplog.text
    assert (found == [vector_of(text[: settings["letters"]]) * settings["length"] for text in texts]).all()
    before = len(sent(server))
    settings.update({"letters": 2000, "length": 1.0005})  # rounded otherwise
    assert (encoded(server, *texts, cache=str(tmp_path)) == first).all()
    assert len(sent(server)) == before


def test_short_texts_need_no_long_probe_and_what_was_kept_of_them_stays_in_use(serve, tmp_path, caplog):
    settings = {"letters": 2000, "length": 1.0}
    server = serve(cut_and_scaled(settings))
    encoded(server, "a", "b", cache=str(tmp_path))
    assert len(server.requests) == ALWAYS_SENT + 1
    encoded(server, "word " * 600, cache=str(tmp_path))
    sizes = [len(request.body["input"][0]) for request in server.requests[ALWAYS_SENT + 1 : -1]]
    assert 3000 < max(sizes) < 12000
    settings["letters"] = 9000
    before = len(sent(server))
    encoded(server, "a", "b", cache=str(tmp_path))  # which are the same
    assert len(sent(server)) == before
    assert not caplog.records
    one = ServedEncoder(model_of(server.url, cache=str(tmp_path)))
    one.encode(["a"])
    assert (one.encode(["word " * 600]) == expected("word " * 600)).all()
    assert "has changed" in caplog.text


def test_probes_that_an_earlier_version_kept_are_left_alone(serve, tmp_path):
    server = serve()
    encoded(server, "a", cache=str(tmp_path))
    (file,) = tmp_path.rglob("vectors.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as table, table:
        table.execute("create table models (model integer primary key, probes blob)")
        table.execute("insert into models values (1, ?)", (b"1234" * 7,))
        table.execute("delete from answers")
    before = len(sent(server))
    assert (encoded(server, "a", cache=str(tmp_path)) == expected("a")).all()
    assert len(sent(server)) == before + 1


def test_nothing_is_sent_that_costs_more_than_it_may(serve):
    server = serve()
    with pytest.raises(ConfigError, match=r"model\.max_cost=1e-06 is less than the 0\.0020 that these texts cost"):
        encoded(server, "x" * 4000, price=2.0, max_cost=0.000001)
    assert sent(server) == []


def test_the_check_before_everything_else_sends_one_text(serve):
    server = serve()
    model_of(server.url).check()
    assert [request.body["input"] for request in server.requests] == [[PROBES[0]]]
    with pytest.raises(EndpointError, match="status 401"):
        model_of(serve(lambda _: Reply(b"no", 401)).url).check()
    with pytest.raises(EndpointError, match=r"model\.url=http://127\.0\.0\.1:9 gave no answer in 3 of 3 tries"):
        model_of("http://127.0.0.1:9").check()


@pytest.mark.parametrize(("typed", "message"), [
    ("http://me:secret@host/v1", "has a user, a password or something after a #, on host"),
    ("http://host:99999/v1", "is not the address of a server"),
    ("http:///v1", "is not the address of a server"),
    ("http://host/v1#x", "something after a #"),
])  # fmt: skip
def test_an_address_that_cannot_be_is_refused(typed, message):
    with pytest.raises(ConfigError, match=message) as error:
        model_of(typed)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("changes", "message"), [
    ({"name": "b"}, r"model\.name=b is not the model of the URL, a"),
    ({"api_key_env": "sk 4711"}, r"model\.api_key_env is not the name of a variable"),
    ({"batch_texts": 0}, r"model\.batch_texts=0"), ({"dimensions": 0}, r"model\.dimensions=0"),
    ({"encoding": "int8"}, r"model\.encoding=int8"), ({"api": "cohere"}, r"model\.api=cohere"),
    ({"parameters": {"input": "x"}}, r"model\.parameters must not hold input"),
    ({"max_cost": 1}, r"model\.max_cost=1 has no effect without a price"), ({"tries": 0}, r"model\.tries=0"),
])  # fmt: skip
def test_a_value_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        model_of("http://host/v1?model=a", **changes)


def test_a_key_is_read_from_its_variable_only(serve, monkeypatch):
    monkeypatch.delenv("TOY_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"model\.api_key_env=TOY_KEY is not set(.|\n)*export TOY_KEY=<key>"):
        model_of(serve().url, api_key_env="TOY_KEY").check()


def test_names_of_models_behind_one_url():
    names = [
        model_of(f"http://host:8000/v1{query}").locate()["id"] for query in ("?model=org/a", "/embeddings?model=b", "")
    ]
    assert names == ["org/a@host:8000", "b@host:8000", "host:8000/v1/embeddings"]


def test_keys_of_a_url_are_not_given_to_other_models():
    models, others = each_model(["model=http://h/v1?model=a,minilm", "model.api_key_env=K", "seed=1"])
    assert models[0][:2] == ["model=served", 'model.url="http://h/v1?model=a"']
    assert models[0][2:] == ["model.api_key_env=K"]
    assert (models[1], others) == (["model=minilm"], ["seed=1"])


@pytest.mark.parametrize("command", ["config", "pairs", "inspect"])
def test_what_needs_weights_refuses_a_url_at_once(command):
    with pytest.raises(ConfigError, match=r"model=http://h/v1 is a model behind a URL, without weights here") as error:
        compose(expand_paths(["model=http://h/v1"]), command)
    assert error.value.problems[0].fix[0] == "python -m embexp.evaluate model=http://h/v1"


def test_a_sweep_over_a_url_and_another_model_is_refused_with_the_command_that_scores_both():
    with pytest.raises(ConfigError, match="is a model behind a URL") as error:
        expand_paths(["model=http://h/v1,minilm"])
    assert error.value.problems[0].fix[0] == "python -m embexp.evaluate model=http://h/v1,minilm"
