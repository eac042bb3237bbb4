"""Which encoding a text file seems to have, from its bytes: for a message about bytes that are no UTF-8."""

import codecs
import gzip
import re
import zlib
from pathlib import Path
from typing import Any

_LOOKED_AT = 2**20  # bytes
_WIDE = ("gb18030", "big5", "shift_jis", "euc_kr")
_LITTLE = 200  # bytes
# The most frequent characters of a language, where its encoding is like that of another one.
_FREQUENT = {
    "gb18030": "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她"
    "里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长样现定民意",
    "euc_kr": "이다의는을에가고로한기지사하인도리어들은를자대시정서해부일그아나상라수적보으제주전국"
    "원구만여장비오성있습니까요",
}
_MOST_BAD = 0.02  # share of the characters outside of ASCII that may be damaged in a file that is UTF-8


def encoding_fix(source: Any) -> str:
    """What to type for a file whose bytes are no UTF-8; empty where it is UTF-8 with a few damaged ones.

    Args:
        source: the file's path; anything else gives an empty text.
    """
    encoding = _likely_encoding(_head(source)) if isinstance(source, Path) else ""
    return f"dataset.reader.encoding={encoding}" if encoding else ""


def _head(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            return file.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return b""


def _likely_encoding(data: bytes) -> str:
    """The encoding that bytes seem to have; empty for UTF-8, with some damaged bytes too, and where none is likely.

    >>> _likely_encoding("标签 正面 负面".encode()), _likely_encoding("标签 正面 负面".encode("gb18030"))
    ('', 'gb18030')
    >>> _likely_encoding("Größe, naïve café".encode("latin-1")), _likely_encoding("数据, 标签".encode() + b" x\\xff")
    ('cp1252', '')
    """
    if zeros := _utf_16(data):
        return zeros
    text = data.decode("utf-8", "replace")
    foreign = sum(character > "\x7f" for character in text)
    bad = text.count("\ufffd")
    if not bad or (foreign - bad) * _MOST_BAD >= bad or (foreign - bad >= bad and bad <= 2):
        return ""
    if bad == 1 and len(data) > _LITTLE:  # a damaged byte in an ASCII file is no encoding
        return ""
    if _is_latin(data) and _decodes(data, "cp1252"):
        return "cp1252"
    scores = {name: _likeness(data, name) for name in _WIDE}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] > 0 else ""


def _utf_16(data: bytes) -> str:
    """UTF-16 without a byte order mark, by where its zero bytes are."""
    even, odd = data[:4096:2].count(0), data[1:4096:2].count(0)
    if even + odd < max(2, len(data[:4096]) // 8):
        return ""
    return "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else ""


def _is_latin(data: bytes) -> bool:
    """Whether most bytes outside of ASCII are one or two letters within words, as in western European languages."""
    runs = [*re.finditer(rb"[\x80-\xff]+", data)]
    high = b"".join(run[0] for run in runs)
    in_words = sum(
        len(run[0]) <= 2
        and bool(data[max(0, run.start() - 1) : run.start()].isalpha() or data[run.end() : run.end() + 1].isalpha())
        for run in runs
    )
    return in_words > 0.6 * len(runs) and sum(byte >= 0xC0 for byte in high) > 0.8 * len(high)


def _likeness(data: bytes, encoding: str) -> float:
    """How usual the characters are that bytes give in an encoding: 0 where they cannot be decoded."""
    if not _decodes(data, encoding):
        return 0.0
    foreign = [character for character in data.decode(encoding, "ignore") if character > "\x7f"]
    if not foreign:  # one byte, the first of a character that was cut off
        return 0.0
    frequent = sum(character in _FREQUENT.get(encoding, "") for character in foreign)
    return (sum(_is_usual(character, encoding) for character in foreign) + 2 * frequent) / len(foreign)


def _decodes(data: bytes, encoding: str) -> bool:
    """Whether bytes are text in an encoding; the last character may be cut."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return False
    return True


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
