"""A file of a run that cannot be read any more is one message that names it, and ends nothing that does not need it."""

import json

import pytest

from embexp.core.run_folder import CONFIG, RECORD, RESULT, read_config, read_json, readable, run_folder, status_of
from embexp.errors import ConfigError, UnreadableError

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
