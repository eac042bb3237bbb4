"""Cleaning one text: broken encoding, HTML, Unicode forms, invisible characters, white space."""

import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

UNICODE_FORMS = ("NFC", "NFKC")

# Invisible characters that carry no meaning. Joiners and tags are not among them: see without_invisible.
_INVISIBLE = (
    r"\x00-\x08\x0e-\x1f\x7f\x80-\x84\x86-\x9f"  # control characters but for those that are white space
    r"\u00ad\u034f\u061c\u180e\u200b\u200e\u200f"  # soft hyphen, joiners of graphemes, zero width, marks of direction
    r"\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
)
# Arabic, Syriac, Thaana, N'Ko, Mandaic; the Indic scripts; Tibetan, Myanmar, Khmer, Mongolian; Arabic's other forms.
_JOINING_SCRIPTS = (
    r"\u0600-\u0605\u0610-\u061b\u0620-\u0dff\u0f00-\u109f\u1780-\u17ff\u1820-\u18af"
    r"\ufb50-\ufdff\ufe70-\ufefc"
)
_EMOJI = r"\u00a9\u00ae\u20e3\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001F000-\U0001FAFF"
_UNWANTED = re.compile(
    rf"(\U0001F3F4[\U000E0020-\U000E007E]+\U000E007F)"  # the flags of England, Scotland and Wales: kept
    rf"|[{_INVISIBLE}\U000E0000-\U000E007F]"
    rf"|(?<![{_JOINING_SCRIPTS}])(?<![{_EMOJI}](?=\u200d[{_EMOJI}]))[\u200c\u200d]"
)
# One set of characters is searched for many times faster than the pattern above.
_MAY_BE_UNWANTED = re.compile(rf"[{_INVISIBLE}\u200c\u200d\U000E0000-\U000E007F]")
# Wrongly decoded text holds characters of these blocks (Latin-1 to symbols); text of ASCII and CJK alone does not.
_MAY_BE_MOJIBAKE = re.compile(r"[\x80-\u2fff\uf000-\uf8ff\ufb00-\ufb06\ufffd]")
_OTHER_REPAIRS = ("unescape_html", "remove_terminal_escapes", "fix_latin_ligatures", "fix_character_width", "explain")
_OTHER_REPAIRS += ("uncurl_quotes", "fix_line_breaks", "fix_surrogates", "remove_control_chars")  # of ftfy

# A "<" that opens none of these is a sign, as in "a < b" or "<me@example.com>".
_ELEMENTS = (
    "a|abbr|address|article|aside|audio|b|blockquote|body|br|button|canvas|caption|center|cite|code|col|colgroup|dd|"
    "del|details|dfn|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|"
    "iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|nav|noscript|object|ol|option|p|param|picture|"
    "pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|"
    "textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
_NO_ELEMENT = re.compile(rf"<(?!/?(?:{_ELEMENTS})(?:[\s/][^<>]*)?>)", re.IGNORECASE)
_DOCTYPE = re.compile(r"<!doctype\b", re.IGNORECASE)
_NO_ENTITY = re.compile(r"&(?!(?:[a-zA-Z][a-zA-Z0-9]*|#[0-9]+|#[xX][0-9a-fA-F]+);)")
_WITHIN_A_LINE = re.compile(
    "a|abbr|b|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr"
)


def cleaner(unicode: str | None, control: bool, html: bool, whitespace: bool, mojibake: bool) -> Callable[[str], str]:
    """A function that cleans a text, in the order: encoding, HTML, Unicode, invisible characters, white space."""

    def cleaned(text: str) -> str:
        if mojibake:
            text = _with_encoding_repaired(text)
        if html:
            text = _without_html(text)
        if unicode:
            text = unicodedata.normalize(unicode, text)
        if control:
            visible = _without_invisible(text)
            # The neighbours of a removed character may compose.
            text = unicodedata.normalize(unicode, visible) if unicode and visible != text else visible
        return " ".join(text.split()) if whitespace else text

    return cleaned


def _with_encoding_repaired(text: str) -> str:
    """The text with a wrong decoding undone; other texts stay as they are.

    >>> _with_encoding_repaired("cafÃ© â€” &amp; ﬁne “quotes”"), _with_encoding_repaired("café")
    ('café — &amp; ﬁne “quotes”', 'café')
    """
    import ftfy
    from ftfy.badness import is_bad

    if not _MAY_BE_MOJIBAKE.search(text) or not is_bad(text):
        return text
    only_encoding = ftfy.TextFixerConfig(normalization=None, **dict.fromkeys(_OTHER_REPAIRS, False))
    return ftfy.fix_text(text, only_encoding)


def _without_html(text: str) -> str:
    """The text between the tags, with entities replaced by their characters; scripts and styles go.

    Only the elements of HTML are tags, and only what ends in a semicolon is an entity, so signs survive. An element
    that breaks the line leaves a space where it began or ended.

    >>> _without_html("<p>a &lt; b</p><p>R&D <b>b</b>old</p><script>x < y</script> and c < d > e <me@example.com>")
    ' a < b  R&D bold   and c < d > e <me@example.com>'
    """
    if "<" not in text and "&" not in text:
        return text
    parser = _TextOnly()
    parser.feed(_with_signs_escaped(_NO_ENTITY.sub("&amp;", text)))
    parser.close()
    return "".join(parser.parts)


def _with_signs_escaped(text: str) -> str:
    """The text with `&lt;` for each "<" that opens no element, no comment and no document type that has an end.

    The ends are looked up once: a pattern with `.*?-->` searches the rest of the text at each "<!--" without one.
    """
    end_of_comments, end_of_tags = text.rfind("-->"), text.rfind(">")

    def escaped(sign: re.Match[str]) -> str:
        start = sign.start()
        is_comment = text.startswith("<!--", start) and end_of_comments >= start + len("<!--")
        is_kept = is_comment or (end_of_tags > start and _DOCTYPE.match(text, start))
        return "<" if is_kept else "&lt;"

    return _NO_ELEMENT.sub(escaped, text)


def _without_invisible(text: str) -> str:
    """The text without control characters, zero-width spaces, byte order marks, marks of direction, soft hyphens.

    Tabs and ends of lines are white space and stay. The joiners U+200C and U+200D stay where they have a meaning:
    after a letter of a script that uses them (Arabic, Persian, Hindi and their relatives), and U+200D between two emoji
    that make one picture.

    >>> _without_invisible("zero\\u200bwidth x\\u200dy"), _without_invisible("می\\u200cخواهم") == "می\\u200cخواهم"
    ('zerowidth xy', True)
    """
    return _UNWANTED.sub(r"\1", text) if _MAY_BE_UNWANTED.search(text) else text


class _TextOnly(HTMLParser):
    """Collects the text between the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self._hidden = tag
        self._break_line(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = ""
        self._break_line(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)

    def _break_line(self, tag: str) -> None:
        if not self._hidden and not _WITHIN_A_LINE.fullmatch(tag):
            self.parts.append(" ")
