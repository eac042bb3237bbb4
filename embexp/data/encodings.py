"""Which encoding a text file seems to have, from its bytes: for a message about bytes that are no UTF-8."""

import gzip
import zlib
from pathlib import Path
from typing import Any

_LOOKED_AT = 2**20  # bytes
_WIDE = ("gb18030", "big5", "shift_jis", "euc_kr")
_MOST_BAD = 0.02  # share of the characters outside of ASCII that may be damaged in a file that is UTF-8


def encoding_fix(source: Any) -> str:
    """What to type for a file whose bytes are no UTF-8; empty where it is UTF-8 with a few damaged ones.

    Args:
        source: the file's path; anything else gives an empty text.
    """
    encoding = likely_encoding(_head(source)) if isinstance(source, Path) else ""
    return f"dataset.reader.encoding={encoding}" if encoding else ""


def _head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            return file.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return b""


def likely_encoding(data: bytes) -> str:
    """The encoding that bytes seem to have; empty for UTF-8, with some damaged bytes too, and where none is likely.

    >>> likely_encoding("标签 正面 负面".encode()), likely_encoding("标签 正面 负面".encode("gb18030"))
    ('', 'gb18030')
    >>> likely_encoding("Größe, naïve café".encode("latin-1")), likely_encoding("数据, 标签".encode() + b" x\\xff")
    ('cp1252', '')
    """
    if zeros := _utf_16(data):
        return zeros
    text = data.decode("utf-8", "replace")
    foreign = sum(character > "\x7f" for character in text)
    bad = text.count("\ufffd")
    if not bad or (foreign - bad) * _MOST_BAD >= bad or (foreign - bad >= bad and bad <= 2):
        return ""
    if bad <= 2 and foreign == bad and len(data) > 200:  # one damaged byte in an ASCII file is no encoding
        return "cp1252" if _is_latin(data) else ""
    if _is_latin(data):
        return "cp1252"
    scores = {name: _likeness(data, name) for name in _WIDE}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0 else "cp1252"


def _utf_16(data: bytes) -> str:
    """UTF-16 without a byte order mark, by where its zero bytes are."""
    even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
    if even + odd < max(2, len(data[:4096]) // 8):
        return ""
    return "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else ""


def _is_latin(data: bytes) -> bool:
    """Whether most bytes outside of ASCII are single letters within words, as in western European languages."""
    high = [place for place, byte in enumerate(data) if byte > 127]
    single = [p for p in high if not (p and data[p - 1] > 127) and not (p + 1 < len(data) and data[p + 1] > 127)]
    in_words = [
        p for p in single if (p and chr(data[p - 1]).isalpha()) or (p + 1 < len(data) and chr(data[p + 1]).isalpha())
    ]
    return data[:1] != b"" and len(single) > 0.8 * len(high) and len(in_words) > 0.5 * len(high)


def _likeness(data: bytes, encoding: str) -> float:
    """How usual the characters are that bytes give in an encoding: 0 where they cannot be decoded."""
    text = data.decode(encoding, "replace")
    foreign = [character for character in text if character > "\x7f"]
    bad = foreign.count("\ufffd")
    if not foreign or bad > 0.01 * len(foreign) + 1:  # the last character may be cut
        return 0.0
    return sum(_is_usual(character, encoding) for character in foreign) / len(foreign)


def _is_usual(character: str, encoding: str) -> bool:
    """Whether a character is among the frequent ones of the languages that an encoding is for."""
    if encoding == "shift_jis":
        return "\u3040" <= character <= "\u30ff" or "\u3000" <= character <= "\u3002"
    if encoding == "euc_kr":
        return "\uac00" <= character <= "\ud7a3"
    if not ("\u4e00" <= character <= "\u9fff" or character in "，。？！、：；（）《》“”"):
        return False
    lead = character.encode(encoding, "replace")[0]
    return 0xB0 <= lead <= 0xD7 if encoding == "gb18030" else 0xA1 <= lead <= 0xC6  # those of everyday texts
