"""Text files of an operator, as editors and shells of any system write them."""

import codecs
from pathlib import Path

__all__ = ["decode", "read_text"]

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # what PowerShell's `>` writes
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks with the encodings that they announce."""


def decode(data: bytes) -> str:
    """Returns a text without its byte order mark. Without a mark, the text is UTF-8. Raises UnicodeDecodeError."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.removeprefix(mark).decode(encoding)
    return data.decode("utf-8")


def read_text(path: Path) -> str:
    """Returns the text of a file; see `decode`. Raises OSError and UnicodeDecodeError."""
    return decode(path.read_bytes())
