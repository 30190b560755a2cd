"""Frames: the messages between server and worker process, each a JSON object and raw bytes. Never pickle.

    4 bytes   length of the JSON text, big-endian
    8 bytes   length of the payload, big-endian
    JSON      one object with a member "kind"
    payload   raw bytes

A malicious image may have taken over its worker, so the reader checks both lengths before it reads.
"""

import contextlib
import json
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from celeste_image.core.errors import EngineLost

if TYPE_CHECKING:
    import asyncio  # worker processes import this module and need no event loop

__all__ = [
    "MAX_JSON_BYTES",
    "MAX_PAYLOAD_BYTES",
    "BadFrame",
    "Frame",
    "all_of",
    "read_frame",
    "reading",
    "receive_frame",
]

HEADER = struct.Struct(">IQ")
MAX_JSON_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 256 << 20


class BadFrame(Exception):
    """The other side sent malformed bytes and can't be trusted any more."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Raises EngineLost, with metadata `at` "work", when a frame of a process is not as the block needs it.

    A process that was taken over sends anything: missing fields, other types, values out of range. That is no bug of
    the server.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise EngineLost("the engine's process sent a malformed message", metadata={"at": "work"}) from error


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    payload: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Returns the header and the JSON text; the caller writes the payload after them."""
        text = json.dumps({**self.fields, "kind": self.kind}, separators=(",", ":")).encode()
        return HEADER.pack(len(text), len(self.payload)) + text


async def all_of(frames: AsyncIterator[Frame], most: int) -> list[Frame]:
    """Returns the frames of a task, which the server holds in memory. Raises ValueError for more than `most`."""
    found: list[Frame] = []
    async for frame in frames:
        if len(found) == most:
            raise ValueError(f"more than {most} messages")
        found.append(frame)
    return found


def task_frame(task: dict[str, Any], pictures: Sequence[bytes], *, is_timed: bool = False) -> Frame:
    """Returns the frame of a task and its images; `is_timed` asks for the task's phases: see `phases.py`."""
    fields = {"task": task, "lengths": [len(p) for p in pictures]}
    return Frame("task", fields | {"timed": True} if is_timed else fields, b"".join(pictures))


def split_pictures(frame: Frame) -> list[bytes]:
    """Returns the images of a task's frame."""
    pictures, start = [], 0
    for length in frame.fields["lengths"]:
        pictures.append(frame.payload[start : start + length])
        start += length
    return pictures


def decode_header(header: bytes) -> tuple[int, int]:
    """Returns the lengths of JSON and payload. Raises BadFrame when one exceeds its limit."""
    json_bytes, payload_bytes = HEADER.unpack(header)
    if json_bytes > MAX_JSON_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        raise BadFrame(f"a frame of {json_bytes} and {payload_bytes} bytes")
    return json_bytes, payload_bytes


def decode_frame(text: bytes, payload: bytes) -> Frame:
    """Returns the frame. Raises BadFrame when the text is not a JSON object with a `kind`, or has half characters."""
    try:
        fields = json.loads(text, parse_constant=_no_number)
        kind = fields.pop("kind")
        if b"\\u" in text:
            json.dumps(
                fields, ensure_ascii=False
            ).encode()  # JSON can hold half of a surrogate pair, which no other format can
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise BadFrame("a frame without kind") from error
    if not isinstance(kind, str):
        raise BadFrame("a frame whose kind is not text")
    return Frame(kind, fields, payload)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def read_frame(stream: BinaryIO) -> Frame | None:
    """Returns the next frame of a blocking pipe; None at its end. Raises BadFrame, also for a truncated frame."""
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


async def receive_frame(stream: "asyncio.StreamReader") -> Frame:
    """Returns the next frame. Raises BadFrame, and asyncio.IncompleteReadError at the pipe's end."""
    json_bytes, payload_bytes = decode_header(await stream.readexactly(HEADER.size))
    return decode_frame(await stream.readexactly(json_bytes), await stream.readexactly(payload_bytes))
