"""ArtifactService: stored bytes, in chunks."""

from contextlib import aclosing
from typing import Any

import grpc

from celeste_image.rpc.check import check_message
from celeste_image.store import ArtifactStore
from celeste_image.v1 import artifact_service_pb2, artifact_service_pb2_grpc

__all__ = ["ArtifactServicer"]


class ArtifactServicer(artifact_service_pb2_grpc.ArtifactServiceServicer):
    """Hands out artifacts."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def ReadArtifact(  # type: ignore[override]
        self, request: artifact_service_pb2.ReadArtifactRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """Streams an artifact from an offset; the first message says what it is."""
        check_message(request)
        artifact = await self._store.open(request.name)
        response = artifact_service_pb2.ReadArtifactResponse(
            artifact=artifact_service_pb2.Artifact(
                name=artifact.name, media_type=artifact.media_type, size_bytes=artifact.size_bytes
            )
        )
        empty = True
        async with aclosing(self._store.read(artifact, request.offset, request.limit)) as chunks:
            async for offset, data in chunks:
                response.chunk.offset, response.chunk.data = offset, data
                await context.write(response)
                response = artifact_service_pb2.ReadArtifactResponse()
                empty = False
        if empty:
            await context.write(response)
