"""Bytes of a text file to text: gzip, byte order marks, and the encodings people's files have. It does not know the format."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from modelyard.errors import DataError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before utf-16, whose mark it starts with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"), (b"PAR1", "a Parquet file"), (b"\x89PNG", "a PNG image"),
    (b"%PDF", "a PDF document"), (b"\xd0\xcf\x11\xe0", "an old Excel workbook"), (b"\x1f\x8b", "a gzip file: name it .gz"),
    (b"SQLite format 3", "an SQLite database"),
)  # fmt: skip
COMMON_HAN = 0.9
"""Share of non-ASCII characters that must lie in GB 2312 (what Chinese text uses) before bytes are read as gb18030: gb18030 accepts
almost any bytes, but Western accents read as it give characters outside GB 2312."""


def read(path: Path) -> tuple[str, str]:
    """A file's text and the encoding that fitted; DataError where none does."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is not a readable gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if not raw.strip():
        raise DataError(f"{path}: is empty ({len(raw)} bytes)")
    for start, what in FOREIGN:
        if raw.startswith(start):
            raise DataError(f"{path}: is {what}, not text. Save the table as CSV, JSON Lines or Parquet.")
    return decode(raw, str(path))


def decode(raw: bytes, name: str) -> tuple[str, str]:
    """Text and encoding. A mark decides; else utf-8, utf-16, gb18030 (where it reads as Chinese), cp1252, in this order."""
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            return _strict(raw, encoding, name), encoding
    try:
        text = raw.decode("utf-8")
        if "\x00" not in text[:10_000]:
            return text, "utf-8"
    except UnicodeDecodeError:
        pass
    for encoding in ("utf-16-le", "utf-16-be"):
        if _looks_utf16(raw, encoding):
            return _strict(raw, encoding, name), encoding
    if raw[:10_000].count(0) > len(raw[:10_000]) // 100:
        raise DataError(
            f"{name}: is not a text file: it holds null bytes. Save the table as CSV, JSON Lines or Parquet."
        )
    try:
        return raw.decode("utf-8"), "utf-8"  # a few stray null bytes; cleaning takes them out and counts them
    except UnicodeDecodeError:
        pass
    try:
        text = raw.decode("gb18030")
        if _is_chinese(text):
            return text, "gb18030"
    except UnicodeDecodeError:
        pass
    return _strict(raw, "cp1252", name), "cp1252"


def _strict(raw: bytes, encoding: str, name: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        byte = raw[error.start] if error.start < len(raw) else 0
        raise DataError(
            f"{name}: is text in none of the encodings utf-8, utf-8-sig, utf-16, gb18030 and cp1252 (byte 0x{byte:02x} at {error.start}). Save it as UTF-8."
        ) from None


def _looks_utf16(raw: bytes, encoding: str) -> bool:
    """Half of the bytes of Western text in UTF-16 are null, all on one side."""
    sample = raw[:10_000]
    high = sample[1::2] if encoding == "utf-16-le" else sample[0::2]
    low = sample[0::2] if encoding == "utf-16-le" else sample[1::2]
    return len(raw) % 2 == 0 and bool(high) and high.count(0) > 0.4 * len(high) and low.count(0) < 0.05 * len(low)


def _is_chinese(text: str) -> bool:
    foreign = [character for character in text[:200_000] if ord(character) > 127]
    known = len("".join(foreign).encode("gb2312", "ignore")) // 2
    return bool(foreign) and known >= COMMON_HAN * len(foreign)
