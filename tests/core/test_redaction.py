"""Secrets are masked in whatever text they come, and nothing else is."""

import logging

import pytest

from embexp.config.compose import compose
from embexp.core import redaction
from embexp.core.redaction import Redacting, is_secret_name, note_overrides, note_secrets, redacted
from embexp.core.run_folder import write_json


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())


ADDRESSES = {
    "postgresql+psycopg://me:p%40ss@host:5432/mlflow": "postgresql+psycopg://me:***@host:5432/mlflow",
    "http://:onlytoken@host": "http://:***@host",
    "mysql://me:p@ss@host/db": "mysql://me:***@host/db",
    "in words: https://用户:密码@主机/x, and more": "in words: https://用户:***@主机/x, and more",
    "https://host/x?a=1&X-Amz-Signature=abc#top": "https://host/x?a=1&X-Amz-Signature=***#top",
    "mysql://me:a/b/c@host/db": "mysql://me:***@host/db",
    "mysql://me:12345@host/db": "mysql://me:***@host/db",
    "(see http://127.0.0.1:5000) a@b": "(see http://127.0.0.1:5000) a@b",
    "https://host/x?key=abc&api_key=def&a=1": "https://host/x?key=***&api_key=***&a=1",
    "http://host/#/runs?viewStateShareKey=embexp-1": "http://host/#/runs?viewStateShareKey=embexp-1",
    "http://127.0.0.1:5000/#/runs/ndcg@10": "http://127.0.0.1:5000/#/runs/ndcg@10",
    "sqlite:////a/b@c/mlflow.db": "sqlite:////a/b@c/mlflow.db",
    "git@github.com:a/b.git": "git@github.com:a/b.git",
}


@pytest.mark.parametrize(("text", "shown"), ADDRESSES.items())
def test_passwords_in_addresses_are_masked_and_other_addresses_stay(text, shown):
    assert redacted(text) == shown


NAMES = "hub_token token HF_TOKEN PGPASSWORD mysql_passwd client_secret clientSecret AWS_SECRET_ACCESS_KEY db.password"
NAMES += " headers.Authorization apiKey api_key my-token AZURE_STORAGE_CONNECTION_STRING SENTRY_DSN google_credentials"
OTHERS = "PWD max_tokens tokenizer api_key_env token_path key keys loss.keyword monkey TOKENIZERS_PARALLELISM turkey"


def test_a_secret_is_known_by_the_name_of_its_key_or_variable():
    assert [name for name in NAMES.split() if not is_secret_name(name)] == []
    assert [name for name in OTHERS.split() if is_secret_name(name)] == []


def test_a_noted_secret_is_masked_in_every_form_it_is_written_in(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "hf_FromEnvironment")
    monkeypatch.setenv("OTHER_TOKEN", "/run/secrets/token")  # the place of a secret is none
    note_secrets({"a": [{"password": "q\"uo'te<&>/x"}], "uri": "db://me:in%2Faddress@h", "pad_token": "[PADDING]"})
    note_overrides(["+trainer.hub_token='typed-token'", "~loss.scale"])
    write_json(tmp_path / "a.json", {"q": "q\"uo'te<&>/x", "list": ["in/address", "in%2Faddress", "[PADDING]"]})
    text = (tmp_path / "a.json").read_text() + "q&quot;uo&#x27;te&lt;&amp;&gt;/x hf_FromEnvironment typed-token"
    text = redacted(text + " q%22uo%27te%3C%26%3E%2Fx /run/secrets/token")
    assert text.count("***") == 7
    assert [word for word in ("uo", "in/", "%2F", "Environment", "typed") if word in text] == []
    assert "[PADDING]" in text
    assert "/run/secrets/token" in text


def test_a_secret_that_is_an_ordinary_word_is_masked_behind_its_key_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "postgres")
    note_secrets({"client": {"secret": "finance"}, "api_key": "sk-1234"})
    text = "uri: postgresql://h/postgres\nclient:\n  secret: finance\ndataset: finance\nPGPASSWORD=postgres"
    shown = "uri: postgresql://h/postgres\nclient:\n  secret: ***\ndataset: finance\nPGPASSWORD=***"
    assert redacted(text) == shown
    assert redacted('{"secret": "finance"} sk-1234 sk-12345 disk-1234') == '{"secret": "***"} *** sk-12345 disk-1234'


def test_short_values_are_no_secrets_of_texts():
    note_secrets({"password": "abc"})
    assert redacted("the abc of embeddings") == "the abc of embeddings"


def test_logs_are_masked_with_their_tracebacks():
    note_secrets({"api_key": "sk-0123456789"})
    try:
        raise ValueError("refused: sk-0123456789")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "%s", ("key sk-0123456789",), (type(error), error, None))
    assert Redacting("%(message)s").format(record) == "key ***\nValueError: refused: ***"


def test_composing_notes_the_secrets_of_the_configuration():
    compose(["+trainer.hub_token=hf_0123456789", "tracking.uri=postgresql://me:other-secret@h/d"])
    assert redacted("hf_0123456789 other-secret") == "*** ***"
