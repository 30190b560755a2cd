"""Sends the answers of fake vendors, whole or as events, with the faults that were asked for."""

import asyncio
import re
import socket
import struct
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from celeste_image.emulate.ledger import Entry

__all__ = ["Answer", "end", "new_id", "send_answer"]

MIB = 1 << 20
PRIVATE = "http://169.254.169.254/latest/meta-data/"
DRIP_SECONDS = 0.05
BASE64 = re.compile(rb'"[A-Za-z0-9+/]{64,}={0,2}"')


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: a value for JSON, bytes of a media type, or events with `pause` seconds between them."""

    value: Any = None
    body: bytes = b""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    events: Sequence[tuple[str, Any]] = ()
    pause: float = 0.0


def new_id(prefix: str) -> str:
    """Returns a new id such as `req_8c1f...`."""
    return f"{prefix}_{uuid.uuid4().hex}"


async def send_answer(request: web.Request, entry: Entry, answer: Answer, fault: str) -> web.StreamResponse:
    """Sends an answer with a fault, and records its status and size.

    Args:
        request: The request.
        entry: Its line in the ledger.
        answer: The answer without the fault.
        fault: A value of `Behavior.answer`; empty for none.
    """
    if answer.events and fault in ("", "truncated", "cut", "bad-base64"):
        return await _stream(request, entry, answer, fault)
    body = answer.body or orjson.dumps(answer.value)
    kind, entry.status = answer.media_type, answer.status
    match fault:
        case "hang" | "reset":
            entry.status = 0
            if fault == "hang":
                await asyncio.get_running_loop().create_future()  # cancelled when the client disconnects
            _reset(request)
            return web.Response()  # the connection is closed already
        case "redirect":
            entry.status = 302
            return web.Response(status=302, headers={"location": PRIVATE})
        case "html":
            kind, body = "text/html", b"<html><body><h1>504 Gateway Time-out</h1></body></html>"
        case "list":
            kind, body = "application/json", b'[1, "x", null]'
        case "truncated":
            body = body[: len(body) // 2]
        case "bad-base64":
            body = BASE64.sub(b'"!! this is not base64 !!"', body) if kind == "application/json" else b"!!"
    entry.response_bytes = 0 if request.method == "HEAD" else len(body)
    headers = {"x-request-id": new_id("req"), **answer.headers, "content-type": kind}
    if fault not in ("oversized", "slow", "cut"):
        return web.Response(status=answer.status, body=body, headers=headers)
    response = web.StreamResponse(status=200, headers=headers)
    if fault == "cut":
        response.content_length = len(body)
    with suppress(ConnectionError):
        await response.prepare(request)
        if fault == "cut":
            await response.write(body[: len(body) // 2])
            _reset(request)
            return response
        entry.response_bytes = 0
        piece, pause, most = (bytes(MIB), 0.0, 1 << 14) if fault == "oversized" else (b" ", DRIP_SECONDS, 12_000)
        for _ in range(most):
            await response.write(piece)
            entry.response_bytes += len(piece)
            await asyncio.sleep(pause)
    return response


async def _stream(request: web.Request, entry: Entry, answer: Answer, fault: str) -> web.StreamResponse:
    headers = {"content-type": "text/event-stream", "x-request-id": new_id("req"), **answer.headers}
    response = web.StreamResponse(status=200, headers=headers)
    entry.status = 200
    with suppress(ConnectionError):
        await response.prepare(request)
        for name, value in answer.events if not fault.startswith(("trunc", "cut")) else answer.events[:1]:
            data = orjson.dumps(value)
            data = BASE64.sub(b'"!! this is not base64 !!"', data) if fault == "bad-base64" else data
            piece = (f"event: {name}\n".encode() if name else b"") + b"data: " + data + b"\n\n"
            await response.write(piece)
            entry.response_bytes += len(piece)
            await asyncio.sleep(answer.pause)
        if fault == "cut":
            _reset(request)
    return response


def _reset(request: web.Request) -> None:
    """Resets the connection."""
    if request.transport is not None:
        end(request.transport)


def end(transport: asyncio.BaseTransport) -> None:
    """Closes a connection with a TCP reset."""
    made = transport.get_extra_info("socket")
    with suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert isinstance(transport, asyncio.Transport)
    transport.abort()
