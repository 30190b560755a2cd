"""Minimal gateway, which Celeste is compared with: what one writes in an hour on the same libraries.

    .venv/bin/python -m bench.speed.minimal --provider http://127.0.0.1:PORT/v1 [--port 0]

`Generate` and `Stream` go by httpx, json and base64 to OpenAI's image route. Artifacts are chunks in memory. There is
no validation, queue, store, digest, retry, limit or log: this is the floor under a gateway, not one to use. It serves
the messages of Celeste's contract, so that the same request and the same client measure both. The first line on
standard output is the port.
"""

import argparse
import asyncio
import base64
from collections.abc import AsyncIterator

import grpc
import httpx

from celeste_image import v1


def client(provider: str) -> httpx.AsyncClient:
    """Returns a client of a provider."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=provider, headers={"authorization": "Bearer key"}, timeout=600, limits=limits)


class Images(v1.ImageServiceServicer):
    """Images of a provider."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def Generate(self, request: v1.GenerateRequest, context: grpc.aio.ServicerContext) -> v1.GenerateResponse:
        return v1.GenerateResponse(result=await self._result(request, context))

    async def Stream(
        self, request: v1.StreamRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.StreamResponse]:
        yield v1.StreamResponse(event=v1.OperationEvent(sequence=1, started=v1.StartedEvent(model="image")))
        result = await self._result(request.operation.generate, context)
        yield v1.StreamResponse(event=v1.OperationEvent(sequence=2, completed=v1.CompletedEvent(result=result)))

    async def _result(self, request: v1.GenerateRequest, context: grpc.aio.ServicerContext) -> v1.OperationResult:
        asked = {"model": "image", "prompt": request.prompt, "n": request.count or 1}
        try:
            answer = await self._http.post("/images/generations", json=asked)
        except httpx.HTTPError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        if answer.status_code != 200:
            await context.abort(grpc.StatusCode.UNAVAILABLE, answer.text[:200])
        images = [v1.ImageOutput(data=base64.b64decode(each["b64_json"])) for each in answer.json()["data"]]
        return v1.OperationResult(model=request.model, images=images)


class Artifacts(v1.ArtifactServiceServicer):
    """Uploads and downloads without a store."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[bytes]] = {}

    async def WriteArtifact(
        self, requests: AsyncIterator[v1.WriteArtifactRequest], context: grpc.aio.ServicerContext
    ) -> v1.WriteArtifactResponse:
        name, chunks = "", []
        async for request in requests:
            name = name or request.name
            if request.chunk.data:
                chunks.append(request.chunk.data)
        self._chunks = {name: chunks}
        return v1.WriteArtifactResponse(committed_size_bytes=sum(map(len, chunks)))

    async def ReadArtifact(
        self, request: v1.ReadArtifactRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[v1.ReadArtifactResponse]:
        offset = 0
        for chunk in self._chunks[request.name]:
            yield v1.ReadArtifactResponse(chunk=v1.ArtifactChunk(offset=offset, data=chunk))
            offset += len(chunk)


async def serve(server: grpc.aio.Server, port: int) -> None:
    """Listens on a port, 0 for any, prints it, and serves without end."""
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--provider", required=True)
    chosen = arguments.parse_args()
    server = grpc.aio.server()
    v1.add_ImageServiceServicer_to_server(Images(client(chosen.provider)), server)
    v1.add_ArtifactServiceServicer_to_server(Artifacts(), server)
    await serve(server, chosen.port)


if __name__ == "__main__":
    asyncio.run(main())
