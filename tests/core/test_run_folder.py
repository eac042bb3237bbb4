"""A file of a run that cannot be read any more is one message that names it, and ends nothing that does not need it."""

import json
from pathlib import Path

import pytest

from embexp.core.run_folder import CONFIG, RECORD, RESULT, read_config, read_json, readable, run_folder, status_of
from embexp.errors import ConfigError, UnreadableError
from embexp.experiment.resume import resumed
from embexp.tracking.journal import written_lines

DAMAGES = {
    "torn": b'{"key": "a',
    "empty": b"",
    "no text": bytes(range(256)),
    "zeros": b"\0" * 64,
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "no keys": b"{}",
    "another table": b'{"run": "x", "key": 3}',
    "other types": b'{"run": {"status": "FINISHED"}, "metrics": {"a": "b"}, "choices": [1]}',
    "half a character": b'{"run": {"status": "FINISHED"}, "name": "\\ud800", "choices": 1}',
    "nested without end": b"[" * 100_000,
    "another encoding": '{"run": {"status": "FINISHED"}, "name": "中文"}'.encode("gb18030"),
}


@pytest.mark.parametrize("damage", [*DAMAGES])
def test_damaged_json_is_named(tmp_path, damage):
    (tmp_path / RESULT).write_bytes(DAMAGES[damage])
    with pytest.raises(UnreadableError) as refusal:
        status_of(tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path / RESULT}: cannot be read: ")
    assert "Traceback" not in str(refusal.value)


@pytest.mark.parametrize("damage", [*DAMAGES])
def test_others_are_read_without_it_and_it_is_named_once(tmp_path, damage, caplog):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).write_text(json.dumps({"fingerprint": name}))
    (tmp_path / "b" / RECORD).write_bytes(DAMAGES[damage])
    for _ in range(2):
        found = readable(sorted(tmp_path.iterdir()), lambda folder: read_json(folder / RECORD)["fingerprint"])
        assert [fingerprint for _, fingerprint in found] == ["a", "c"]
    (warning,) = caplog.messages
    assert warning.startswith(f"Left out: {tmp_path / 'b' / RECORD}: cannot be read: ")


def test_a_file_that_went_meanwhile_is_left_out(tmp_path):
    assert [*readable([tmp_path / "gone.json"], read_json)] == []


@pytest.mark.parametrize("content", [b"loss: {a: [1, ", b"", b"- 1\n- 2", b"\xff\xfe\0", b"a: ${", b"loss:\n\t- x"])
def test_a_damaged_configuration_is_named(tmp_path, content):
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(UnreadableError, match=r"config\.yaml: cannot be read: "):
        read_config(tmp_path)


@pytest.mark.parametrize("damage", ["torn", "no text", "a list", "no keys"])
def test_a_run_with_a_damaged_record_is_not_resumed_and_others_are_found_by_their_ids(tmp_path, damage):
    for name in ("a", "b"):
        (tmp_path / "day" / name).mkdir(parents=True)
        (tmp_path / "day" / name / CONFIG).write_text("loss: x")
    (tmp_path / "day/a" / RECORD).write_bytes(DAMAGES[damage])
    (tmp_path / "day/b" / RECORD).write_text(json.dumps({"id": "1a2b", "layout": 2}, indent=2))
    assert run_folder("1a2b", "fresh", str(tmp_path)) == str(tmp_path / "day/b")
    with pytest.raises(ConfigError):
        run_folder(str(tmp_path / "day/a"), "fresh")


@pytest.mark.parametrize("name", [RECORD, RESULT, CONFIG])
def test_a_folder_in_the_place_of_a_file_is_one_message(tmp_path, name):
    for each in ("a", "b"):
        (tmp_path / each).mkdir()
        (tmp_path / each / CONFIG).write_text("loss: x")
        (tmp_path / each / RECORD).write_text(json.dumps({"id": each, "layout": 2}))
    (tmp_path / "a" / name).unlink(missing_ok=True)
    (tmp_path / "a" / name).mkdir()
    assert run_folder("b", "fresh", str(tmp_path)) == str(tmp_path / "b")
    with pytest.raises(ConfigError):
        status_of(tmp_path / "a") if name == RESULT else run_folder(str(tmp_path / "a"), "fresh")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / RESULT).write_text("{}")
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: (_ for _ in ()).throw(refused))
    with pytest.raises(UnreadableError, match="Permission denied"):
        read_json(tmp_path / RESULT)


@pytest.mark.parametrize("key", ["dataset", "trainer", "paths"])
def test_a_configuration_that_lacks_a_key_is_not_resumed(tmp_path, key):
    keys = {"dataset", "model", "loss", "trainer", "evaluator", "tracking", "paths", "seed"} - {key}
    (tmp_path / CONFIG).write_text("".join(f"{each}: {{}}\n" for each in keys))
    (tmp_path / RECORD).write_text(json.dumps({"key": "k", "choices": {}, "directory": str(Path.cwd())}))
    with pytest.raises(UnreadableError, match=rf"config\.yaml: cannot be read: it has no {key}"):
        resumed(tmp_path, ["resume=run"])


@pytest.mark.parametrize("line", ["{", "[]", '{"step": "a", "metrics": {}}', '{"step": 1}', "[" * 10**5, "\udcff"])
def test_a_damaged_line_of_metrics_is_left_out_and_named_by_its_number(line, tmp_path, caplog):
    whole = '{"step": 1, "metrics": {"a": 1.0}}'
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(f"{whole}\n{line}\n{whole}\n".encode("utf-8", "surrogateescape"))
    assert written_lines(path) == [json.loads(whole)] * 2
    assert "metrics.jsonl:2 cannot be read: " in caplog.text
