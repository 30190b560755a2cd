"""ArtifactHttpService: uploads and downloads artifacts as the plain bodies of HTTP requests and responses."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from celeste_image.core.errors import InvalidRequest, Violation
from celeste_image.rpc.chunks import ARTIFACT_BODY, Chunk
from celeste_image.rpc.identity import caller
from celeste_image.rpc.transfers import Transfers, checked_data, first_of
from celeste_image.rpc.validate import check_strictly
from celeste_image.store import Data
from celeste_image.v1 import artifact_http_service_pb2 as pb
from celeste_image.v1 import artifact_http_service_pb2_grpc
from celeste_image.wire.artifacts import artifact_to_proto

__all__ = ["ArtifactHttpServicer"]

Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactHttpServicer(artifact_http_service_pb2_grpc.ArtifactHttpServiceServicer):
    """Stores artifacts and returns them, for the callers of a transcoder.

    Args:
        transfers: Moves bytes into the store and out.
    """

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def UploadArtifact(
        self, requests: AsyncIterator[pb.UploadArtifactRequest | Chunk], context: Context
    ) -> pb.UploadArtifactResponse:
        """Stores a whole body. The end of the stream ends the body: a cut body cancels the call."""
        first, data = await first_of(requests, pb.UploadArtifactRequest(), "body")
        chunks = self._chunks(first.name, data, requests)
        _, artifact = await self._transfers.write(caller.get().tenant, first.name, None, chunks)
        async for _ in self._chunks(first.name, data, requests):
            pass  # of a known artifact: many HTTP clients read no response before they have sent their body
        return pb.UploadArtifactResponse(artifact=artifact_to_proto(artifact) if artifact else None)

    async def _chunks(
        self, name: str, data: Data, later: AsyncIterator[pb.UploadArtifactRequest | Chunk]
    ) -> AsyncGenerator[tuple[int, Data], None]:
        """Yields the chunks of a body, which begins with `data`, in order of arrival."""
        offset = len(data)
        self._transfers.check_size(offset, "body")
        yield 0, data
        async for request in later:
            if isinstance(request, Chunk):
                data = request.data
            else:
                data = checked_data(request, "body")
                if request.name not in ("", name):
                    raise InvalidRequest.of([Violation("name", "must be that of the first message, or be left out")])
            self._transfers.check_size(offset + len(data), "body")
            yield offset, data
            offset += len(data)

    async def DownloadArtifact(  # type: ignore[override]
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> None:
        """Streams an artifact from an offset. The first message has its media type."""
        check_strictly(request)
        artifact = await self._transfers.store.open(caller.get().tenant, request.name)
        response = pb.DownloadArtifactResponse()
        response.body.content_type = artifact.media_type
        first: pb.DownloadArtifactResponse | None = response
        async with aclosing(self._transfers.read(artifact, request.offset, request.limit)) as pieces:
            async for _, data in pieces:
                if first is None:
                    await context.write(ARTIFACT_BODY.write(data))
                    continue
                first.body.data = bytes(data)
                await context.write(first)
                first = None
        if first is not None:  # nothing was read
            await context.write(first)
