"""Transfers: writes the chunks of an upload into the store, and reads an artifact in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from celeste_image.core.artifact import Artifact
from celeste_image.core.errors import DigestMismatch, ImageTooLarge, InvalidRequest, Violation
from celeste_image.imaging.guard import ImageLimits
from celeste_image.rpc.chunks import Chunk
from celeste_image.rpc.validate import check_strictly
from celeste_image.store import CHUNK_BYTES, ArtifactStore, Data
from celeste_image.v1 import artifact_http_service_pb2, artifact_service_pb2

__all__ = ["Transfers", "checked_data", "first_of"]

First = TypeVar("First", artifact_service_pb2.WriteArtifactRequest, artifact_http_service_pb2.UploadArtifactRequest)

MESSAGE_BYTES = 512 << 10
"""Bytes per message of a download. A slow reader costs three copies of a message, and each message costs 0.2 ms."""
CUT_SECONDS = 0.5
"""How long the bytes of a whole body that are wrong stay. To gRPC, a connection that is cut ends the stream of requests
as its caller's end does, and cancels the call a moment later."""


async def first_of(requests: AsyncIterator[First | Chunk], empty: First, part: str) -> tuple[First, bytes]:
    """Returns the first message of an upload, which names the artifact, and its bytes.

    Args:
        requests: The messages.
        empty: Stands for a stream without messages.
        part: Field of the message whose field `data` has the bytes.

    Raises:
        InvalidRequest: The message breaks rules of the contract, or has no name.
        UnknownField: The message has fields that this server does not know.
    """
    first = await anext(aiter(requests), empty)
    if isinstance(first, Chunk):
        first = empty  # it has no name
    data = checked_data(first, part)
    if not first.name:
        raise InvalidRequest.of([Violation("name", "must be set in the first message")])
    return first, data


def checked_data(message: Message, part: str) -> bytes:
    """Returns the bytes of a message after checking the message. They are no longer in it.

    Args:
        message: A message of an upload.
        part: Field of the message whose field `data` has the bytes.

    Raises:
        InvalidRequest: The message breaks rules of the contract.
        UnknownField: The message has fields that this server does not know.
    """
    carrier = getattr(message, part)
    data: bytes = carrier.data
    # The check copies the message. Of the bytes it would only see whether they are longer than a chunk.
    if 0 < len(data) <= CHUNK_BYTES:
        carrier.ClearField("data")
    check_strictly(message)
    return data


@dataclass(frozen=True)
class Transfers:
    """Moves the bytes of artifacts between messages and a store.

    Attributes:
        store: Store of the artifacts.
        limits: Largest size of an artifact.
    """

    store: ArtifactStore
    limits: ImageLimits

    def check_size(self, size_bytes: int, field: str) -> None:
        """Raises ImageTooLarge, at a field of the request, when an artifact of this size is not allowed."""
        try:
            self.limits.check_bytes(size_bytes)
        except ImageTooLarge as error:
            raise ImageTooLarge(
                f"{field}: {error.message}", metadata=error.metadata, violations=[Violation(field, error.message)]
            ) from error

    async def write(
        self, caller: str, name: str, size_bytes: int | None, chunks: AsyncGenerator[tuple[int, Data], None]
    ) -> tuple[int, Artifact | None]:
        """Writes chunks, each with its offset, until the artifact is complete.

        Args:
            caller: Owner of the artifact.
            name: Name of the artifact.
            size_bytes: Size of the artifact; None means that the last chunk ends it.
            chunks: The chunks, in order.

        Returns:
            The committed size, and the artifact if it is complete. The chunks of a known artifact are not read.

        Raises:
            CelesteError: The bytes do not match, or the store can't take them; see `ArtifactStore`.
        """
        committed, artifact = await self.store.committed(caller, name)
        if artifact:
            if size_bytes not in (None, committed):
                raise DigestMismatch.at("size_bytes", f"must be the size of the artifact, {committed:,}")
            return committed, artifact
        async with self.store.upload(caller, name) as upload, aclosing(chunks):
            if upload.waited:
                committed, artifact = await self.store.committed(caller, name)
                if artifact:  # the other server has stored it
                    return committed, artifact
            async for offset, data in chunks:
                end = self.limits.max_bytes if size_bytes is None else size_bytes
                await self.store.write(upload, end, offset, data)
                if upload.done or (size_bytes is not None and upload.size >= size_bytes):
                    break
            else:
                if size_bytes is not None:
                    return upload.size, None
            if size_bytes is None:
                artifact = await self.store.finish(caller, name, upload.size, upload, CUT_SECONDS)
            else:
                artifact = await self.store.finish(caller, name, size_bytes, upload)
        return artifact.size_bytes, artifact

    async def read(self, artifact: Artifact, offset: int, limit: int) -> AsyncGenerator[tuple[int, Data], None]:
        """Yields an opened artifact's bytes in pieces for one message each; see `ArtifactStore.read`."""
        async with aclosing(self.store.read(artifact, offset, limit)) as chunks:
            async for at, data in chunks:
                view = memoryview(data)
                for start in range(0, len(view), MESSAGE_BYTES):
                    yield at + start, view[start : start + MESSAGE_BYTES]
