"""Reads the bodies of requests: JSON, forms, and raw bytes, however they are sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from celeste_image.emulate.forms import parts_of_form

__all__ = ["Body", "BodyUnreadable", "read_body"]


class BodyUnreadable(Exception):
    """A body that can't be read; `status` is the answer's HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Body:
    """A body.

    Attributes:
        data: Its bytes, without the content encoding.
        fields: The fields of a JSON object, or the plain fields of a form as text.
        files: The files of a form by field name, in order.
        media_type: The content type in lower case, without parameters; empty when the request has none.
    """

    data: bytes = field(default=b"", repr=False)
    fields: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, Sequence[bytes]] = field(default_factory=dict, repr=False)
    media_type: str = ""

    @property
    def is_form(self) -> bool:
        """Whether the body is a multipart form."""
        return self.media_type.startswith("multipart/")


async def read_body(request: web.Request, *, raw: bool = False) -> Body:
    """Returns the body of a request.

    Args:
        request: The request.
        raw: Whether only the bytes are wanted.

    Raises:
        BodyUnreadable: The body is too large, broken off, badly encoded, or neither a form nor a JSON object.
    """
    kind = request.content_type.lower() if "content-type" in request.headers else ""
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise BodyUnreadable("the body is too large", 413) from error
    except (web.RequestPayloadError, BadHttpMessage) as error:
        raise BodyUnreadable("the body can't be read by its content-encoding or transfer-encoding") from error
    if raw:
        return Body(data, media_type=kind)
    if kind.startswith("multipart/"):
        fields: dict[str, Any] = {}
        files: dict[str, list[bytes]] = {}
        try:
            for part in parts_of_form(data, request.headers["content-type"]):
                if part.filename is None:
                    fields[part.name] = part.data.decode(errors="replace")
                else:
                    files.setdefault(part.name, []).append(part.data)
        except ValueError as error:
            raise BodyUnreadable(str(error)) from error
        return Body(data, fields, files, kind)
    if not data:
        return Body(media_type=kind)
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise BodyUnreadable("the body is not JSON") from error
    if not isinstance(value, dict):
        raise BodyUnreadable("the body is not a JSON object")
    return Body(data, value, media_type=kind)
