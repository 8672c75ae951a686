"""Broken text: UTF-8 read as something else, stray control characters, Unicode forms. One text at a time; the standard library only.

`prepare` mends the columns of a file so, and a service whatever it is sent, or it would meet words that training never saw.
"""

from __future__ import annotations

import re
import unicodedata

CONTROL = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]"
"""C0 without tab, line feed and carriage return; DEL; C1."""
TELLTALE = "[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
"""A UTF-8 lead byte read as Latin-1, followed by a continuation byte read as Latin-1 or cp1252."""
_CONTROL, _TELLTALE = re.compile(CONTROL), re.compile(TELLTALE)


def mend(text: str) -> str:
    """Decoded again, without control characters, in NFC.

    >>> mend("cafÃ©\\x00 cafe\\u0301")
    'cafÃ© café'
    >>> mend("cafÃ©\\x00")
    'café'
    """
    if text.isascii():
        return _CONTROL.sub("", text)
    return unicodedata.normalize("NFC", _CONTROL.sub("", decode_again(text)))


def decode_again(text: str) -> str:
    """UTF-8 that was read as cp1252 or Latin-1, where the whole text turns back into valid UTF-8; anything doubtful is left.

    >>> decode_again("naÃ¯ve â€œquotesâ€\\x9d"), decode_again("São Tomé")
    ('naïve “quotes”', 'São Tomé')
    """
    try:
        return b"".join(map(_byte, text)).decode("utf-8") if _TELLTALE.search(text) else text
    except (UnicodeEncodeError, UnicodeDecodeError):
        return text


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")  # the five bytes that cp1252 leaves undefined pass through
