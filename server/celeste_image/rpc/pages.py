"""Pagination of lists: page sizes and opaque page tokens.

A token holds the last key of its page and a digest over list, caller and filters. Every replica of a server therefore
accepts a token, also after a restart. A forged token, and a token of another list, caller or filter, is refused. The
digest needs no secret: a token only says where to begin in a list that its caller may read anyway.
"""

import base64
import hashlib
from binascii import Error
from typing import Protocol

from google.protobuf.message import Message

from celeste_image.core.errors import InvalidRequest

__all__ = ["PAGE_BYTES", "next_page_token", "page_size", "page_start", "token_refused"]

PAGE_BYTES = 3 << 20
"""Most bytes of a page, whatever `page_size` says: half a MiB below the largest response."""
DEFAULT_PAGE_SIZE = 100
MAXIMUM_PAGE_SIZE = 1000
DIGEST_BYTES = 9


class ListRequest(Protocol):
    """A request with `page_size` and `page_token`."""

    page_size: int
    page_token: str


def page_size(request: ListRequest) -> int:
    """Returns the most items of a page: 100 if the request says nothing, at most 1,000."""
    return min(request.page_size or DEFAULT_PAGE_SIZE, MAXIMUM_PAGE_SIZE)


def next_page_token(request: Message, caller: str, last: str) -> str:
    """Returns the token of the page that begins after the key `last`."""
    data = _digest(request, caller, last) + last.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def page_start(request: Message, caller: str) -> str:
    """Returns the key after which the page begins; empty for the first page.

    Raises:
        InvalidRequest: The page token is not from this list with these filters.
    """
    token: str = request.page_token  # type: ignore[attr-defined]  # a ListRequest
    if not token:
        return ""
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        last = data[DIGEST_BYTES:].decode()
    except (Error, ValueError):
        last = ""
    if not last or next_page_token(request, caller, last) != token:
        raise token_refused()
    return last


def token_refused() -> InvalidRequest:
    """Returns the error for a page token that is not from this list with these filters."""
    text = "must be a next_page_token of the same list with the same filters, or empty for the first page"
    return InvalidRequest.at("page_token", text)


def _digest(request: Message, caller: str, last: str) -> bytes:
    """Returns a digest over everything that a token belongs to."""
    filters = type(request)()
    filters.CopyFrom(request)
    filters.ClearField("page_size")
    filters.ClearField("page_token")
    parts = (request.DESCRIPTOR.full_name.encode(), caller.encode(), filters.SerializeToString(deterministic=True))
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in (*parts, last.encode()))
    return hashlib.sha256(framed).digest()[:DIGEST_BYTES]
