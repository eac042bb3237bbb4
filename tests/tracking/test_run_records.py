"""What is cut, renamed, refused or unreadable goes to MLflow as far as it can, with a note; the rest is not stopped."""

import os
import unicodedata
from types import SimpleNamespace

import pytest
from requests import HTTPError, Response

from embexp.tracking.run_records import NOTE_FILE, NOTE_TAG, RunRecords
from embexp.tracking.store_limits import allowed_name, allowed_path, allowed_text, batches

ODD_NAMES = (
    "中文/指标 🙂",
    "🙂",
    "🙃",
    "دقة",
    "\u202eדיוק",
    "कि",
    "की",
    "ñ",
    unicodedata.normalize("NFD", "ñ"),
    "a\nb",
    "a\tb",
    "a\0b",
    "a\x1b[31mb",
    "a\udc80b",
    "..",
    ".",
    "",
    "/",
    "a/../b",
    "a//b",
    "a/./b",
    "/a",
    "a/",
    "..a",
    "a@1",
    "a_at_1",
    "a+b",
    "a b",
    "a'b\"c`d\\e",
    "z_more/a",
    "a" * 243,
    "a" * 244,
    "a" * 250 + "b",
    "a" * 250 + "c",
    "好" * 9000,
    "🙂" * 300,
    allowed_name("🙂"),
)


def test_names_that_differ_stay_apart_and_are_such_as_mlflow_takes():
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    names = [allowed_name(name) for name in ODD_NAMES]
    assert len(set(names)) == len(ODD_NAMES)
    for name in [*names, *(f"z_more/{name}" for name in names)]:
        _validate_metric(name, 1.0, 1, 1)
        _validate_param(name, "")
        _validate_tag(name, "")
    assert {name for name in ODD_NAMES if allowed_name(name) == name} == {
        "دقة",
        "ñ",
        "a_at_1",
        "a b",
        "a" * 243,
    }


ODD_FILES = (
    "a#b.txt",
    "a?b.txt",
    "a%41.txt",
    "a\\b",
    "a\nb",
    "\x1b[31m",
    "C:",
    " a",
    ".artifact.uploading.x",
    "a\udcff",
)
PLAIN_FILES = (
    "好 🙂.txt",
    "..a",
    "a..",
    "ab:c",
    "a'b\"c",
    "~x",
    "-d",
    ".hid",
    "tr ",
    "x" * 200,
    "é.txt",
    "e\u0301.txt",
)


def test_files_that_differ_stay_apart_and_keep_their_ends():
    names = [*ODD_FILES, *PLAIN_FILES, "x" * 250 + ".json", "x" * 249 + "y.json", "好" * 85]
    paths = [allowed_path(name) for name in names]
    assert len(set(paths)) == len(names)
    assert max(len(path.encode()) for path in paths) <= 200
    assert [name for name in names if allowed_path(name) == name] == [*PLAIN_FILES]
    assert allowed_path("a#b.tar.gz").endswith(".gz")
    assert allowed_path("plots/../../a#b/c.png").count("..") == 0


@pytest.mark.parametrize("length", [0, 1, 249, 250, 251, 100_000])
@pytest.mark.parametrize("letter", ["x", "好", "🙂", "\0", "\udc80"])
def test_a_text_is_as_long_as_it_may_be_and_says_how_long_it_was(length, letter):
    shown = allowed_text(letter * length, 250)
    shown.encode()
    assert "\0" not in shown
    assert len(shown) <= 250
    if length > 250:
        assert f"({length} characters, sha256 " in shown
        assert shown != allowed_text(letter * (length - 1) + "y", 250)
    elif letter not in "\0\udc80":
        assert shown == letter * length


def test_requests_are_small_enough_for_servers_and_proxies():
    from mlflow.entities import Metric, Param

    long = [Param(str(number), "好" * 6000) for number in range(100)]
    sizes = [len(batch) for batch in batches(long, 100)]
    assert sum(sizes) == 100
    assert max(sizes) == 13  # of 36 kB each, as JSON writes them
    assert [len(batch) for batch in batches([Metric(str(n), 1.0, 1, 1) for n in range(2100)], 1000)] == [
        1000,
        1000,
        100,
    ]
    assert [*batches([], 100)] == []


class PickyClient:
    """Refuses what `refuses` says of an entry or a file, and keeps the rest."""

    def __init__(self, refuses=lambda _: False, error=None, takes_notes=True):
        self.refuses = refuses
        self.error = error or refusal()
        self.taken, self.files, self.calls = {}, {}, 0
        self.takes_notes = takes_notes

    def log_batch(self, _run, **kinds):
        self.calls += 1
        entries = [entry for each in kinds.values() for entry in each]
        if any(self.refuses(entry) for entry in entries):
            raise self.error
        self.taken |= {entry.key: entry.value for entry in entries}

    def log_artifact(self, _run, path, folder=None):
        if self.refuses(path):
            raise self.error
        with open(path, "rb") as file:
            self.files[f"{folder}/{os.path.basename(path)}"] = file.read()

    def set_tag(self, _run, key, value):
        if not self.takes_notes:
            raise self.error
        self.taken[key] = value

    def log_text(self, _run, text, file):
        self.files[file] = text

    def list_artifacts(self, _run):
        return [SimpleNamespace(path=path) for path in self.files]


def refusal():
    return error_of("INVALID_PARAMETER_VALUE", "no")


def error_of(kind, text):
    """MLflow's error with a code, an answer with a status, or a connection that is lost."""
    if isinstance(kind, int):
        response = Response()
        response.status_code = kind
        return HTTPError(text, response=response)
    if kind == "ConnectionResetError":
        return ConnectionResetError(104, text)
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    return MlflowException(text, error_code=ErrorCode.Value(kind))


TOO_LONG = "(psycopg.errors.StringDataRightTruncation) value too long"
TOO_LARGE = "API request to endpoint /api failed with error code 413 != 200. Response body: '<html>'"
REFUSALS = [
    ("INVALID_PARAMETER_VALUE", "no"),
    ("BAD_REQUEST", TOO_LONG),
    ("INTERNAL_ERROR", TOO_LARGE),
    (413, "413 of the proxy"),
]
FAILURES = [
    ("TEMPORARILY_UNAVAILABLE", "no"),
    ("INTERNAL_ERROR", "no"),
    ("PERMISSION_DENIED", "no"),
    (403, "403 of the proxy"),
    (502, "502 of the proxy"),
    ("ConnectionResetError", "Connection reset by peer"),
]


@pytest.mark.parametrize(("kind", "text"), REFUSALS)
def test_of_a_batch_all_goes_through_but_what_is_refused_which_is_noted(kind, text, caplog):
    client = PickyClient(lambda entry: entry.key == "key.57", error_of(kind, text))
    RunRecords(client, "run", is_new=True).params({f"key.{number}": number for number in range(100)})
    assert len(client.taken) == 99 + 1
    assert "key.57" not in client.taken
    assert client.calls < 20
    assert "param key.57 is refused: " in client.taken[NOTE_TAG]
    assert "key.57" in client.files[NOTE_FILE]
    assert "Not in MLflow: param key.57" in caplog.text


@pytest.mark.parametrize(("kind", "text"), FAILURES)
def test_a_store_that_fails_is_no_refusal(kind, text):
    error = error_of(kind, text)
    client = PickyClient(lambda _: True, error)
    with pytest.raises(type(error)):
        RunRecords(client, "run", is_new=True).params({"a": 1, "b": 2})
    assert client.calls == 1


def test_a_store_that_refuses_the_note_too_has_failed():
    client = PickyClient(lambda _: True, takes_notes=False)  # the run was deleted, for example
    with pytest.raises(type(client.error)):
        RunRecords(client, "run", is_new=True).params({f"key.{number}": number for number in range(100)})
    assert client.calls < 10


@pytest.mark.parametrize("most", [5000, 500, 250])
def test_an_earlier_server_gets_values_as_long_as_it_takes(most):
    client = PickyClient(lambda entry: len(entry.value) > most)
    RunRecords(client, "run", is_new=True).tags({"short": "x", "long": "x" * 7000})
    assert {key: len(value) for key, value in client.taken.items() if key != NOTE_TAG} == {"short": 1, "long": most}
    assert f"value of tag long is cut to {most} characters" in client.taken[NOTE_TAG]


def test_values_that_are_not_finite_are_noted_once():
    client = PickyClient()
    records = RunRecords(client, "run", is_new=True)
    for step, value in enumerate([1.0, float("nan"), float("inf"), 0.5]):
        records.metrics({"loss": value, "other": 2}, step)
    assert (client.taken["loss"], client.taken["other"]) == (0.5, 2.0)
    assert (
        "values of metric loss are not all sent: the first that is not finite is nan at step 1"
        in client.taken[NOTE_TAG]
    )


def test_a_file_that_cannot_be_read_or_is_refused_does_not_stop_the_others(tmp_path, caplog):
    folder = tmp_path / "plots"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "deep/c.png", "too big.bin", "odd#name.txt"):
        (folder / name).write_text(name)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")  # opening it would wait for a writer
    client = PickyClient(lambda path: "too big" in path, error_of(413, "413 of the proxy"))
    records = RunRecords(client, "run", is_new=True)
    records.files(folder, "plots")
    records.file(tmp_path / "vanished.json")
    odd = allowed_path("odd#name.txt")
    assert {*client.files} - {NOTE_FILE} == {"plots/a.png", "plots/b.png", "plots/deep/c.png", f"plots/{odd}"}
    assert client.files[f"plots/{odd}"] == b"odd#name.txt"
    for part in (
        "plots/gone is missing",
        "plots/circle is missing",
        "plots/pipe is missing",
        "vanished.json is missing",
    ):
        assert part in client.files[NOTE_FILE].replace('": "', " ")
    assert f"which is {folder / 'too big.bin'}" in client.files[NOTE_FILE]
    assert "is refused: 413 of the proxy" in caplog.text


def test_a_store_that_fails_while_a_file_is_sent_has_failed(tmp_path):
    (tmp_path / "a").write_text("a")
    with pytest.raises(ConnectionResetError):
        RunRecords(PickyClient(lambda _: True, error_of(*FAILURES[-1])), "run", is_new=True).file(tmp_path / "a")


def test_a_long_description_is_whole_in_a_file():
    client = PickyClient()
    RunRecords(client, "run", is_new=True).describe("# title\n" + "x" * 9000)
    assert len(client.taken["mlflow.note.content"]) == 8000
    assert client.files["description.md"] == "# title\n" + "x" * 9000
    assert "description is cut, and whole in description.md" in client.taken[NOTE_TAG]
