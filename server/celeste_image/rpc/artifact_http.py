"""ArtifactHttpService: uploads and downloads artifacts as the plain bodies of HTTP requests and responses."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from celeste_image.core.errors import InvalidRequest, Violation
from celeste_image.rpc.identity import caller_of
from celeste_image.rpc.transfers import Transfers, first_of
from celeste_image.rpc.validate import check_strictly
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
        self, requests: AsyncIterator[pb.UploadArtifactRequest], context: Context
    ) -> pb.UploadArtifactResponse:
        """Stores a whole body. The end of the stream ends the body: a cut body cancels the call."""
        first = await first_of(requests, pb.UploadArtifactRequest())
        _, artifact = await self._transfers.write(caller_of(context), first.name, None, self._chunks(first, requests))
        async for _ in self._chunks(first, requests):
            pass  # of a known artifact: many HTTP clients read no response before they have sent their body
        return pb.UploadArtifactResponse(artifact=artifact_to_proto(artifact) if artifact else None)

    async def _chunks(
        self, first: pb.UploadArtifactRequest, later: AsyncIterator[pb.UploadArtifactRequest]
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        offset = len(first.body.data)
        self._transfers.check_size(offset, "body")
        yield 0, first.body.data
        async for request in later:
            check_strictly(request)
            if request.name not in ("", first.name):
                raise InvalidRequest.of([Violation("name", "must be that of the first message, or be left out")])
            self._transfers.check_size(offset + len(request.body.data), "body")
            yield offset, request.body.data
            offset += len(request.body.data)

    async def DownloadArtifact(  # type: ignore[override]
        self, request: pb.DownloadArtifactRequest, context: Context
    ) -> None:
        """Streams an artifact from an offset. The first message has its media type."""
        check_strictly(request)
        artifact = await self._transfers.store.open(caller_of(context), request.name)
        response = pb.DownloadArtifactResponse()
        response.body.content_type = artifact.media_type
        async with aclosing(self._transfers.read(artifact, request.offset, request.limit)) as pieces:
            async for _, data in pieces:
                response.body.data = data
                await context.write(response)
                response = pb.DownloadArtifactResponse()
        if response.body.content_type:  # nothing was read
            await context.write(response)
