"""Secrets: what nothing that embexp writes, prints or sends to a tracker may repeat.

As in the logs of a CI service, values are noted where they come from and masked wherever a text leaves: passwords in
addresses, and texts under keys and environment variables that are named like secrets (`hub_token`, `PGPASSWORD`).
"""

import html
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from embexp.errors import printable

MASK = "***"
_NAME = (
    r"(?:password|passwd|passphrase|secret|credentials?|connection_string|(?:^|[\W_])(?:pwd|dsn|token|bearer|authorization"
    r"|(?:api|access|private|secret|account|storage|signing|encryption)_?key))"
)
_NAMED = re.compile(rf"{_NAME}$", re.IGNORECASE)
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORKING_DIRECTORIES = ("PWD", "OLDPWD")
_SHORTEST = 6  # characters: a shorter one is masked in addresses only, since ordinary words would go with it
# user:password@, where what follows the colon is no port: a password may hold slashes, as a path after a port does.
_IN_ADDRESS = re.compile(r"(?<=://)([^\s/:@]*):(?!\d{1,5}(?:[\s/?#)\"'>,\]]|$))(\S*)@")
_IN_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&\s#\"']+)")
_known: set[str] = set()
_WORD = re.compile(r"[a-z]{1,11}")  # a secret that is a plain word, such as `postgres`: masked behind its key only


def note_secrets(config: Mapping[str, Any]) -> None:
    """Mask from now on what a configuration and the environment hold of secrets.

    Args:
        config: plain values, nested.
    """
    found = {*_secrets_of_environment(), *_secrets_in("", config)}
    _known.update(form for value in found if len(value) >= _SHORTEST for form in _forms(value))


def note_overrides(typed: Iterable[str]) -> None:
    """The same of what was typed, before it is composed; an override of no value is a flag."""
    note_secrets({key.lstrip("+~"): value.strip("'\"") for key, _, value in (each.partition("=") for each in typed)})


def redacted(text: str) -> str:
    """The text with its secrets masked: those that were noted, and passwords and keys in addresses.

    >>> redacted("sent to postgresql://me:secret@host/mlflow and http://host/a?user=me&token=abc")
    'sent to postgresql://me:***@host/mlflow and http://host/a?user=me&token=***'
    """
    for value in sorted(_known, key=len, reverse=True):
        if value not in text:
            continue
        whole = rf"{re.escape(value)}(?![A-Za-z0-9])"
        if _WORD.fullmatch(value):
            text = re.sub(rf"(?i:({_NAME}[\"']?\s*[:=]\s*[\"']?)){whole}", rf"\1{MASK}", text)
        else:
            text = re.sub(rf"(?<![A-Za-z0-9]){whole}", MASK, text)
    text = _IN_ADDRESS.sub(rf"\1:{MASK}@", text)
    return _IN_QUERY.sub(lambda found: f"{found[1]}={MASK}" if _is_secret_in_query(found[1]) else found[0], text)


def redact_files(paths: Iterable[Path]) -> None:
    """Mask the secrets in text files that another program has written."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if (shown := redacted(text)) != text:
            path.write_text(shown, encoding="utf-8")


def is_secret_name(name: str) -> bool:
    """Whether a key or a variable is named like a secret.

    >>> [name for name in ("hub_token", "PGPASSWORD", "api_key_env", "max_tokens", "apiKey") if is_secret_name(name)]
    ['hub_token', 'PGPASSWORD', 'apiKey']
    """
    return name not in _WORKING_DIRECTORIES and _NAMED.search(_NEW_WORD.sub("_", name)) is not None


class Redacting(logging.Formatter):
    """Formats records of a log without the secrets in them, and without what would control a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record)))


def _secrets_of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if is_secret_name(name) and not value.startswith(os.sep):  # else it names a file that holds the secret
            yield value
        yield from _passwords_in(value)


def _secrets_in(key: str, value: Any) -> Iterator[str]:
    """The secrets of a value and of what it holds; a tokenizer's marks, such as `pad_token: "[PAD]"`, are none."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets_in(str(name), inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets_in(key, inner)
    elif isinstance(value, str):
        if is_secret_name(key) and not value.startswith(("[", "<", "$")):
            yield value
        yield from _passwords_in(value)


def _passwords_in(text: str) -> Iterator[str]:
    if "://" in text:
        yield from (found[2] for found in _IN_ADDRESS.finditer(text))
        yield from (found[2] for found in _IN_QUERY.finditer(text) if _is_secret_in_query(found[1]))


def _is_secret_in_query(name: str) -> bool:
    """Of a signed address, too; `viewStateShareKey` of a page of MLflow is none."""
    return is_secret_name(name) or name.lower() in ("key", "sig") or name.lower().endswith("signature")


def _forms(value: str) -> set[str]:
    """How a value stands in addresses, JSON, YAML and HTML."""
    plain = unquote(value)
    return {value, plain, quote(plain, safe=""), json.dumps(plain)[1:-1], html.escape(plain), plain.replace("'", "''")}
