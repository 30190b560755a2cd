"""Chunks by hand: written as protobuf writes them, and read only where protobuf would read the same."""

from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from celeste_image.core.errors import InvalidRequest
from celeste_image.rpc.chunks import ARTIFACT_BODY, ARTIFACT_CHUNK, UPLOADS, Chunk
from celeste_image.rpc.parsing import parser
from celeste_image.store import CHUNK_BYTES
from celeste_image.v1 import (
    ArtifactChunk,
    DownloadArtifactResponse,
    ReadArtifactResponse,
    UploadArtifactRequest,
    WriteArtifactRequest,
)

OFFSETS = st.integers(0, (1 << 63) - 1) | st.sampled_from([0, 1, 127, 128, (1 << 63) - 1])
DATA = st.binary(min_size=1, max_size=20) | st.sampled_from([bytes(n) for n in (118, 126, 127, 128, 16_384, 1 << 20)])


def chunk(offset: int, data: bytes) -> bytes:
    return WriteArtifactRequest(chunk=ArtifactChunk(offset=offset, data=data)).SerializeToString()


def body(data: bytes) -> bytes:
    return UploadArtifactRequest(body=HttpBody(data=data)).SerializeToString()


@given(OFFSETS, DATA)
def test_messages_are_written_as_protobuf_writes_them(offset: int, data: bytes) -> None:
    part = ArtifactChunk(offset=offset, data=data)
    assert ARTIFACT_CHUNK.write(memoryview(data), offset) == ReadArtifactResponse(chunk=part).SerializeToString()
    assert ARTIFACT_BODY.write(data) == DownloadArtifactResponse(body=HttpBody(data=data)).SerializeToString()


@given(OFFSETS, DATA)
def test_a_plain_chunk_is_a_view_of_the_received_message(offset: int, data: bytes) -> None:
    for cls, message, expected in (
        (WriteArtifactRequest, chunk(offset, data), offset),
        (UploadArtifactRequest, body(data), 0),
    ):
        found = parser(cls.FromString)(message)
        assert isinstance(found, Chunk)
        assert (found.offset, found.data, found.ByteSize()) == (expected, data, len(data))
        assert found.data.obj is message, "no copy"


PLAIN = chunk(300, b"some bytes")
OTHERS = {
    "nothing": (WriteArtifactRequest, b""),
    "a name": (WriteArtifactRequest, WriteArtifactRequest(name="n", size_bytes=3).SerializeToString()),
    "a chunk and a name": (WriteArtifactRequest, PLAIN + WriteArtifactRequest(name="n").SerializeToString()),
    "a name and a chunk": (WriteArtifactRequest, WriteArtifactRequest(name="n").SerializeToString() + PLAIN),
    "no bytes": (WriteArtifactRequest, chunk(5, b"")),
    "an empty chunk": (WriteArtifactRequest, chunk(0, b"")),
    "an offset below zero": (WriteArtifactRequest, chunk(-1, b"x")),
    "more than a chunk": (WriteArtifactRequest, chunk(0, bytes(CHUNK_BYTES + 1))),
    "an unknown field": (WriteArtifactRequest, PLAIN + b"\xa0\x38\x01"),
    "an unknown field in the chunk": (WriteArtifactRequest, b"\x1a\x06\x12\x01x\xa0\x38\x01"),
    "two chunks": (WriteArtifactRequest, PLAIN + PLAIN),
    "the bytes before the offset": (WriteArtifactRequest, b"\x1a\x05\x12\x01x\x08\x07"),
    "an offset of zero": (WriteArtifactRequest, b"\x1a\x05\x08\x00\x12\x01x"),
    "a long spelling of a length": (WriteArtifactRequest, b"\x1a\x84\x00\x12\x81\x00x"),
    "a content type": (UploadArtifactRequest, b"\x12\x06\x0a\x01t\x12\x01x"),
    "another kind of field 1": (UploadArtifactRequest, b"\x12\x05\x08\x07\x12\x01x"),
    "bytes after the end of the chunk": (WriteArtifactRequest, b"\x1a\x04\x12\x01xy"),
    "a chunk that is cut": (WriteArtifactRequest, PLAIN[:-1]),
    "a length that is cut": (WriteArtifactRequest, b"\x1a\xff"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_every_other_message_is_left_to_protobuf(what: str) -> None:
    cls, message = OTHERS[what]
    assert UPLOADS[cls].read(message) is None
    try:
        expected: Any = cls.FromString(message)
    except DecodeError:
        with pytest.raises(InvalidRequest):
            parser(cls.FromString)(message)
    else:
        assert parser(cls.FromString)(message) == expected


@given(
    st.sampled_from([*(message for _, message in OTHERS.values() if len(message) < 100), PLAIN, body(b"some")]),
    st.integers(0, 99),
    st.integers(0, 3),
    st.binary(max_size=3),
)
def test_a_chunk_that_is_read_is_the_one_that_protobuf_reads(message: bytes, at: int, cut: int, more: bytes) -> None:
    """Of a message with any few bytes changed, added or left out."""
    at %= len(message) + 1
    message = message[:at] + more + message[at + cut :]
    for cls, form in UPLOADS.items():
        found = form.read(message)
        if found:
            assert found == of_protobuf(cls.FromString(message))


def of_protobuf(message: Message) -> Chunk:
    """Returns the chunk of a message that has nothing else."""
    if isinstance(message, WriteArtifactRequest):
        assert message == WriteArtifactRequest(chunk=message.chunk)
        return Chunk(message.chunk.offset, memoryview(message.chunk.data))
    assert isinstance(message, UploadArtifactRequest)
    assert message == UploadArtifactRequest(body=HttpBody(data=message.body.data))
    return Chunk(0, memoryview(message.body.data))
