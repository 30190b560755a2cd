"""Messages over a pipe: a JSON object and some bytes, each with its length before it. Never pickle.

    4 bytes   length of the JSON text, big-endian
    8 bytes   length of the payload, big-endian
    JSON      one object with a member "kind"
    payload   bytes as they are

A worker may have been taken over by the picture it decodes, so the reader checks both lengths before it reads.
"""

import asyncio
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

__all__ = ["MAX_JSON_BYTES", "MAX_PAYLOAD_BYTES", "BadFrame", "Frame", "read_frame", "receive_frame"]

HEADER = struct.Struct(">IQ")
MAX_JSON_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 256 << 20


class BadFrame(Exception):
    """The other side sent what is no frame: it is not to be trusted any more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    payload: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Returns its header and JSON text; the payload follows them on the pipe as it is."""
        text = json.dumps({**self.fields, "kind": self.kind}, separators=(",", ":")).encode()
        return HEADER.pack(len(text), len(self.payload)) + text


def task_frame(task: dict[str, Any], pictures: Sequence[bytes]) -> Frame:
    """Returns the frame that carries a task and its pictures."""
    return Frame("task", {"task": task, "lengths": [len(p) for p in pictures]}, b"".join(pictures))


def split_pictures(frame: Frame) -> list[bytes]:
    """Returns the pictures of a task's frame."""
    pictures, start = [], 0
    for length in frame.fields["lengths"]:
        pictures.append(frame.payload[start : start + length])
        start += length
    return pictures


def decode_header(header: bytes) -> tuple[int, int]:
    """Returns the two lengths. Raises BadFrame when one is beyond its bound."""
    json_bytes, payload_bytes = HEADER.unpack(header)
    if json_bytes > MAX_JSON_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise BadFrame(f"a frame of {json_bytes} and {payload_bytes} bytes")
    return json_bytes, payload_bytes


def decode_frame(text: bytes, payload: bytes) -> Frame:
    """Returns the frame. Raises BadFrame when the text is no JSON object with a kind."""
    try:
        fields = json.loads(text)
        kind = fields.pop("kind")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise BadFrame("a frame without kind") from error
    if not isinstance(kind, str):
        raise BadFrame("a frame whose kind is no text")
    return Frame(kind, fields, payload)


def read_frame(stream: BinaryIO) -> Frame | None:
    """Returns the next frame of a blocking pipe, None at its end. Raises BadFrame, also when it ends within a frame."""
    header = stream.read(HEADER.size)
    if not header:
        return None
    if len(header) < HEADER.size:
        raise BadFrame("half a header")
    json_bytes, payload_bytes = decode_header(header)
    text, payload = stream.read(json_bytes), stream.read(payload_bytes)
    if len(text) < json_bytes or len(payload) < payload_bytes:
        raise BadFrame("half a frame")
    return decode_frame(text, payload)


async def receive_frame(stream: asyncio.StreamReader) -> Frame:
    """Returns the next frame. Raises BadFrame, or asyncio.IncompleteReadError at the pipe's end."""
    json_bytes, payload_bytes = decode_header(await stream.readexactly(HEADER.size))
    return decode_frame(await stream.readexactly(json_bytes), await stream.readexactly(payload_bytes))
