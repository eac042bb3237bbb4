"""Hydra's quotes: put around each text of an override that Hydra's grammar does not read without."""

import json
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

# What Hydra's grammar (OverrideLexer.g4) does not read without quotes, signs of lists and the like among it.
FOREIGN = re.compile(r"[^A-Za-z0-9_/\\.$%*@?|:+ \t-]")
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")
_INTERPOLATION = re.compile(r"\$\{[^}]+\}")
QUOTED = re.compile(r"""("|')(?:\\.|(?!\1)[^\\])*\1""")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def quote_texts(arguments: Sequence[str]) -> list[str]:
    """Overrides with quotes around each text that Hydra's grammar does not read without, in lists and such too.

    >>> quote_texts(["name=实验", "loss=mnrl", "conversion.positive_labels=[蕴含, same]"])
    ['name="实验"', 'loss=mnrl', 'conversion.positive_labels=["蕴含", same]']
    """
    return [_quote(argument) for argument in arguments]


def _quote(argument: str) -> str:
    key, sign, value = argument.partition("=")
    if not sign or key.startswith("-") or not FOREIGN.search(value):
        return argument
    try:
        quoted = f"{key}={_Quoting(key).quote(value)}"
        OverridesParser.create().parse_override(quoted)
    except HydraException:  # no quotes help: Hydra refuses it as it was typed
        return argument
    return quoted


def quoted(text: str) -> str:
    """A text in the quotes of Hydra's grammar."""
    return QuotedString(text, Quote.double).with_quotes()


class _Quoting:
    """Puts in quotes those texts of an override's value that Hydra's grammar does not read without.

    The grammar has no quotes for the keys of a dictionary: a dictionary with a key that needs them is handed to the
    resolver `oc.create` as JSON.

    Attributes:
        done: what was written so far, in pieces; `text` is not yet among it.
        opened: the signs of what is open around the place, `{:` after a key.
        names: keys of the outermost dictionary or list that need quotes, in their order.
    """

    def __init__(self, key: str) -> None:
        self.key, self.text, self.start = key, "", 0
        self.done: list[str] = []
        self.opened: list[str] = []
        self.names: list[str] = []

    def quote(self, value: str) -> str:
        """The value with quotes where they are needed.

        >>> _Quoting("key").quote("[a, 中立, c=d]")
        '[a, "中立", "c=d"]'
        """
        place = 0
        while place < len(value):
            token = self._token(value, place)
            place += len(token)
            if len(token) > 1 or not self._is_sign(token):
                self.text += token
        self._close_text()
        return "".join(self.done)

    def _token(self, value: str, place: int) -> str:
        whole = _INTERPOLATION.match(value, place) or _ESCAPED.match(value, place)
        whole = whole or (None if self.text.strip() else QUOTED.match(value, place))
        return whole.group() if whole else value[place]

    def _is_sign(self, sign: str) -> bool:
        """Whether a character is a sign of the grammar at this place; then it is written."""
        inside = self.opened[-1] if self.opened else ""
        if sign in "[{" or (sign == "(" and _FUNCTION_NAME.fullmatch(self.text.strip())):
            self._close_text()
            self.start = self.start if self.opened else len(self.done)
            self.opened.append(sign)
        elif sign == "," or (sign == "=" and inside == "("):
            self._close_text()
            self.opened[-1:] = ["{" if inside == "{:" else inside] if inside else []
        elif sign == ":" and inside == "{":
            self._close_text(is_key=True)
            self.opened[-1] = "{:"
        elif sign in "]}" or (sign == ")" and inside == "("):
            self._close_text()
            self.done.append(sign)
            self.opened[-1:] = []
            self._close_container()
            return True
        else:
            return False
        self.done.append(sign)
        return True

    def _close_text(self, is_key: bool = False) -> None:
        text, self.text = self.text, ""
        core = text.strip(" \t")
        plain = _ESCAPED.sub(r"\1", core)
        in_quotes = QUOTED.fullmatch(core) is not None
        if is_key and (in_quotes or FOREIGN.search(core)):
            self.names.append(unquoted(core) if in_quotes else plain)
            text = f"_{len(self.names) - 1}_"
        elif not in_quotes and FOREIGN.search(_INTERPOLATION.sub("", _ESCAPED.sub("", core))):
            text = text.replace(core, quoted(plain))
        self.done.append(text)

    def _close_container(self) -> None:
        if self.opened or not self.names:
            return
        written = "".join(self.done[self.start :])
        plain = OverridesParser.create().parse_override(f"{self.key}={written}").value()
        literal = json.dumps(self._with_names(plain), ensure_ascii=False).replace("'", "\\'")
        self.done[self.start :] = [quoted(f"${{oc.create:'{literal}'}}")]
        self.names = []

    def _with_names(self, value: Any) -> Any:
        if isinstance(value, dict):
            known = {f"_{place}_": name for place, name in enumerate(self.names)}
            return {known.get(key, key): self._with_names(inner) for key, inner in value.items()}
        return [self._with_names(inner) for inner in value] if isinstance(value, list) else value


def unquoted(text: str) -> str:
    return OverridesParser.create().parse_override(f"text={text}").value()
