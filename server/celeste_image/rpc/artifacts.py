"""ArtifactService: uploads, downloads and lists artifacts."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from celeste_image.core.errors import InvalidRequest, Violation
from celeste_image.rpc.chunks import ARTIFACT_CHUNK, Chunk
from celeste_image.rpc.identity import caller
from celeste_image.rpc.pages import PAGE_BYTES, next_page_token, page_size, page_start
from celeste_image.rpc.transfers import Transfers, checked_data, first_of
from celeste_image.rpc.validate import check_strictly
from celeste_image.store import Data
from celeste_image.v1 import artifact_service_pb2 as pb
from celeste_image.v1 import artifact_service_pb2_grpc
from celeste_image.wire.artifacts import artifact_to_proto

__all__ = ["ArtifactServicer"]

Context = grpc.aio.ServicerContext[Any, Any]
FirstRequest = pb.WriteArtifactRequest | pb.WriteArtifactChunkRequest


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Stores artifacts and returns them.

    Args:
        transfers: Moves bytes into the store and out.
    """

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers
        self._store = transfers.store

    async def WriteArtifact(
        self, requests: AsyncIterator[pb.WriteArtifactRequest | Chunk], context: Context
    ) -> pb.WriteArtifactResponse:
        """Begins or resumes an upload."""
        first, data = await first_of(requests, pb.WriteArtifactRequest(), "chunk")
        committed, artifact = await self._write(caller.get().tenant, first, _chunks(first, data, requests))
        return pb.WriteArtifactResponse(committed_size_bytes=committed, artifact=artifact)

    async def WriteArtifactChunk(
        self, request: pb.WriteArtifactChunkRequest, context: Context
    ) -> pb.WriteArtifactChunkResponse:
        """Writes one chunk of an upload."""
        data = checked_data(request, "chunk")
        committed, artifact = await self._write(caller.get().tenant, request, _chunks(request, data))
        return pb.WriteArtifactChunkResponse(committed_size_bytes=committed, artifact=artifact)

    async def _write(
        self, caller: str, first: FirstRequest, chunks: AsyncGenerator[tuple[int, Data], None]
    ) -> tuple[int, pb.Artifact | None]:
        self._transfers.check_size(first.size_bytes, "size_bytes")
        committed, artifact = await self._transfers.write(caller, first.name, first.size_bytes, chunks)
        return committed, artifact_to_proto(artifact) if artifact else None

    async def QueryWriteStatus(
        self, request: pb.QueryWriteStatusRequest, context: Context
    ) -> pb.QueryWriteStatusResponse:
        """Returns the committed size of an upload."""
        check_strictly(request)
        committed, artifact = await self._store.committed(caller.get().tenant, request.name)
        return pb.QueryWriteStatusResponse(committed_size_bytes=committed, complete=artifact is not None)

    async def ReadArtifact(self, request: pb.ReadArtifactRequest, context: Context) -> None:  # type: ignore[override]
        """Streams an artifact from an offset. The first message has its facts."""
        check_strictly(request)
        artifact = await self._store.open(caller.get().tenant, request.name)
        response = pb.ReadArtifactResponse(artifact=artifact_to_proto(artifact, lineages=False)).SerializeToString()
        async with aclosing(self._transfers.read(artifact, request.offset, request.limit)) as pieces:
            async for offset, data in pieces:
                response += ARTIFACT_CHUNK.write(data, offset)
                await context.write(response)
                response = b""
        if response:  # nothing was read
            await context.write(response)

    async def GetArtifact(self, request: pb.GetArtifactRequest, context: Context) -> pb.GetArtifactResponse:
        """Returns the facts of an artifact."""
        check_strictly(request)
        return pb.GetArtifactResponse(
            artifact=artifact_to_proto(await self._store.find(caller.get().tenant, request.name))
        )

    async def ListArtifacts(self, request: pb.ListArtifactsRequest, context: Context) -> pb.ListArtifactsResponse:
        """Lists the caller's artifacts by name, up to a number and a size of the page."""
        check_strictly(request)
        tenant = caller.get().tenant
        response = pb.ListArtifactsResponse()
        size = 0
        async with aclosing(self._store.owned(tenant, page_start(request, tenant))) as artifacts:
            async for artifact in artifacts:
                message = artifact_to_proto(artifact, lineages=False)
                size += message.ByteSize()
                if len(response.artifacts) == page_size(request) or (size > PAGE_BYTES and response.artifacts):
                    response.next_page_token = next_page_token(request, tenant, response.artifacts[-1].name)
                    break
                response.artifacts.append(message)
        return response

    async def FindMissingArtifacts(
        self, request: pb.FindMissingArtifactsRequest, context: Context
    ) -> pb.FindMissingArtifactsResponse:
        """Returns the names without an artifact of the caller."""
        check_strictly(request)
        return pb.FindMissingArtifactsResponse(missing=await self._store.missing(caller.get().tenant, request.names))

    async def DeleteArtifact(self, request: pb.DeleteArtifactRequest, context: Context) -> pb.DeleteArtifactResponse:
        """Deletes an artifact of the caller."""
        check_strictly(request)
        await self._store.delete(caller.get().tenant, request.name)
        return pb.DeleteArtifactResponse()


async def _chunks(
    first: FirstRequest, data: bytes, later: AsyncIterator[pb.WriteArtifactRequest | Chunk] | None = None
) -> AsyncGenerator[tuple[int, Data], None]:
    """Yields the chunks of an upload, in order of arrival. A message without a chunk has an empty chunk.

    Args:
        first: The first message, checked.
        data: Its bytes.
        later: The messages after it.
    """
    yield first.chunk.offset, data
    if later:
        async for request in later:
            if isinstance(request, Chunk):
                yield request.offset, request.data
                continue
            data = checked_data(request, "chunk")
            if request.name not in ("", first.name) or request.size_bytes not in (0, first.size_bytes):
                raise InvalidRequest.of([Violation("name", "must be that of the first message, or be left out")])
            yield request.chunk.offset, data
