"""Chunks of artifacts inside messages, read from the wire and written to it without copies.

Protobuf copies the bytes of a chunk into its message and out of it again, and the check of the rules copies them twice
more. So this module reads and writes the wire form itself, where a message is nothing but one chunk.
"""

from dataclasses import dataclass
from typing import Final, Self

from google.protobuf.message import Message

from celeste_image.store import CHUNK_BYTES, Data
from celeste_image.v1 import artifact_http_service_pb2 as http
from celeste_image.v1 import artifact_service_pb2 as pb
from celeste_image.wire.encoded import LENGTH_PREFIXED, varint

__all__ = ["ARTIFACT_BODY", "ARTIFACT_CHUNK", "UPLOADS", "Chunk", "Form", "read_varint"]

LARGEST_OFFSET: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """A message of an upload that is nothing but a chunk, and keeps the rules of the contract.

    Attributes:
        offset: Position of the first byte in the artifact; 0 if the message has no offsets.
        data: The bytes, as a view of the received message.
    """

    offset: int
    data: memoryview

    def ByteSize(self) -> int:
        """Returns the number of bytes, as a message of protobuf does."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Form:
    """How a message with one chunk looks on the wire: every encoder writes these tags, in this order.

    Attributes:
        chunk: Tag of the chunk in the message.
        offset: Tag of the offset in the chunk; None if it has none.
        data: Tag of the bytes in the chunk.
    """

    chunk: int
    offset: int | None
    data: int

    @classmethod
    def of(cls, message: type[Message], field: str) -> Self:
        """Returns the form of a message class whose chunk is in this field."""
        chunk = message.DESCRIPTOR.fields_by_name[field]
        assert chunk.message_type
        parts = chunk.message_type.fields_by_name
        return cls(
            chunk.number << 3 | LENGTH_PREFIXED,
            parts["offset"].number << 3 if "offset" in parts else None,
            parts["data"].number << 3 | LENGTH_PREFIXED,
        )

    def write(self, data: Data, offset: int = 0) -> bytes:
        """Returns the message with this chunk, as protobuf serializes it."""
        return b"".join((self._head(offset, len(data)), data))

    def read(self, message: bytes) -> Chunk | None:
        """Returns the chunk of a message; None if the message is anything else, or its chunk breaks a rule."""
        try:
            _, at = read_varint(message, 1)
            offset = 0
            if message[at] == self.offset:
                offset, at = read_varint(message, at + 1)
            size, at = read_varint(message, at + 1)
        except IndexError:
            return None
        if at + size != len(message) or size > CHUNK_BYTES or offset > LARGEST_OFFSET:
            return None
        # Protobuf reads other spellings of the same numbers too, and would disagree with `read_varint` about some.
        if message[:at] != self._head(offset, size):
            return None
        return Chunk(offset, memoryview(message)[at:])

    def _head(self, offset: int, size_bytes: int) -> bytes:
        """Returns everything before the bytes."""
        inner = bytes((self.data,)) + varint(size_bytes)
        if offset and self.offset is not None:
            inner = bytes((self.offset,)) + varint(offset) + inner
        return bytes((self.chunk,)) + varint(len(inner) + size_bytes) + inner


UPLOADS: Final[dict[type[Message], Form]] = {
    pb.WriteArtifactRequest: Form.of(pb.WriteArtifactRequest, "chunk"),
    http.UploadArtifactRequest: Form.of(http.UploadArtifactRequest, "body"),
}
"""The messages that callers stream."""
ARTIFACT_CHUNK: Final = Form.of(pb.ReadArtifactResponse, "chunk")
ARTIFACT_BODY: Final = Form.of(http.DownloadArtifactResponse, "body")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Returns the number at a position and the position after it.

    Raises:
        IndexError: The bytes end within the number, or it has more than ten bytes.
    """
    byte = data[position]
    position += 1
    if byte < 128:
        return byte, position
    value, shift = byte & 127, 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:  # a number has at most ten bytes
            raise IndexError
