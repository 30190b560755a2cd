"""Reads multipart forms, such as those of image edits, from a whole request body.

aiohttp's own reader (3.14) warns of a deprecated call of its own when a small piece of a body is followed by a large
one, which fails tests that turn warnings into errors.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from itertools import pairwise
from typing import NamedTuple

__all__ = ["FormPart", "parts_of_form"]


class FormPart(NamedTuple):
    """A part of a form; `filename` is None for a plain field."""

    name: str
    filename: str | None
    data: bytes


def parts_of_form(body: bytes, content_type: str) -> Iterator[FormPart]:
    """Yields the parts of a multipart body in order. Raises ValueError when the body is malformed or truncated."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise ValueError("the content type has no boundary")
    # A delimiter is a whole line: a boundary may begin other lines. White space may follow it (RFC 2046).
    line = rb"\r\n--" + re.escape(boundary.encode(errors="surrogateescape")) + rb"(--)?[ \t]*(?=\r\n|\Z)"
    ends: list[re.Match[bytes]] = []
    for found_at in re.finditer(line, b"\r\n" + body):
        ends.append(found_at)
        if found_at[1]:
            break
    if not ends or not ends[-1][1]:
        raise ValueError("the form is truncated")
    for this, following in pairwise(ends):
        part = this.string[this.end() + 2 : following.start()]
        head, found, data = part.partition(b"\r\n\r\n")
        headers = message_from_bytes(head)
        name = headers.get_param("name", header="content-disposition")
        if not found or not isinstance(name, str):
            raise ValueError("a part of the form has no name")
        yield FormPart(name, headers.get_filename(), data)
