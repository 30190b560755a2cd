"""The benches of speed: the fake provider, the minimal gateway, how load is read, and how a profile is counted."""

import hashlib
import io
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from bench.speed import provider
from bench.speed.load import Call, checked, parsed
from bench.speed.minimal import Artifacts, Images, client
from bench.speed.profile import counted
from bench.speed.streams import count_failures, count_refusals
from bench.speed.targets import TARGETS
from PIL import Image

from celeste_image import v1


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Runs the provider in this process, and gives its URL."""
    server = await provider.serve()
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def ask(url: str, prompt: str, **more: Any) -> list[bytes]:
    body = {"model": "image", "prompt": prompt} | more
    async with aiohttp.ClientSession() as session, session.post(f"{url}/images/generations", json=body) as response:
        return [b64decode(each["b64_json"]) for each in (await response.json())["data"]]


async def test_each_image_of_the_provider_is_whole_and_has_its_own_digest() -> None:
    async with serving() as url:
        small = [*(await ask(url, "small-0 a fox")), *(await ask(url, "small-0 a fox", n=3))]
        (big,) = await ask(url, "a fox, big-0")
    assert len({hashlib.sha256(data).hexdigest() for data in small}) == 4
    for data in (*small, big):
        Image.open(io.BytesIO(data)).load()
    assert 29_000 < len(small[0]) < 31_000
    assert 1_590_000 < len(big) < 1_610_000


async def test_the_provider_reads_chunked_bodies_and_keeps_the_connection() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"model": "image", '
        yield b'"prompt": "small-0"}'

    async with serving() as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for _ in range(2):
            async with session.post(f"{url}/images/generations", data=chunks()) as response:
                assert len((await response.json())["data"]) == 1
        async with session.post(f"{url}/images/generations", json={"prompt": "a fox"}) as response:
            assert response.status == 400
        async with session.get(f"{url}/stats") as response:
            assert await response.json() == {"requests": 2, "most_open": 1}


@asynccontextmanager
async def minimal() -> AsyncIterator[str]:
    """Runs the minimal gateway and the provider in this process, and gives the gateway's address."""
    async with serving() as url, client(url) as http:
        server = grpc.aio.server()
        v1.add_ImageServiceServicer_to_server(Images(http), server)
        v1.add_ArtifactServiceServicer_to_server(Artifacts(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


async def test_the_minimal_gateway_answers_the_same_call_as_celeste() -> None:
    async with minimal() as address:
        call = TARGETS["minimal"].call("small-0")
        assert call == TARGETS["celeste"].call("small-0")
        assert not await checked(f"http://{address}", call, 6, 3)


async def test_the_minimal_gateway_streams_and_keeps_bytes() -> None:
    data = b"bytes" * 1000
    async with minimal() as address, grpc.aio.insecure_channel(address) as channel:
        operation = v1.Operation(generate=v1.GenerateRequest(prompt="small-0 a fox"))
        events = [
            each.event async for each in v1.ImageServiceStub(channel).Stream(v1.StreamRequest(operation=operation))
        ]
        assert [each.WhichOneof("kind") for each in events] == ["started", "completed"]
        assert events[-1].completed.result.images[0].data.startswith(b"\x89PNG")
        artifacts = v1.ArtifactServiceStub(channel)
        requests = [v1.WriteArtifactRequest(name="a"), v1.WriteArtifactRequest(chunk=v1.ArtifactChunk(data=data))]
        assert (await artifacts.WriteArtifact(iter(requests))).committed_size_bytes == len(data)
        read_back = [each.chunk.data async for each in artifacts.ReadArtifact(v1.ReadArtifactRequest(name="a"))]
        assert b"".join(read_back) == data


LOG = """
2026-11-30T15:44:00Z [info     ] rpc      method=/celeste.image.v1.ImageService/Stream outcome=OK seconds=0.1
2026-11-30T15:44:01Z [info     ] rpc      method=/celeste.image.v1.ImageService/Stream outcome=QUEUE_FULL seconds=0.1
2026-11-30T15:44:01Z [warning  ] refused  calls={'QUEUE_FULL': 12} since_start={'QUEUE_FULL': 12}
2026-11-30T15:44:02Z [info     ] rpc      method=/celeste.image.v1.ImageService/Stream outcome=CANCELLED seconds=0.1
2026-11-30T15:44:02Z [info     ] call     images=1 operation=generate outcome=OK
2026-11-30T15:44:03Z [warning  ] refused  calls={'MEMORY_BUDGET': 5} since_start={'QUEUE_FULL': 12, 'MEMORY_BUDGET': 5}
"""


def test_what_the_server_counted_and_logged_is_read_from_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    assert count_refusals(tmp_path / "log") == 17
    assert count_failures(tmp_path / "log") == 2
    (tmp_path / "log").write_text("")
    assert count_refusals(tmp_path / "log") == count_failures(tmp_path / "log") == 0


async def test_an_answer_without_an_image_is_an_error() -> None:
    async with serving() as url:
        body = json.dumps({"prompt": "no size and no delay"}).encode()
        call = Call("http", "/v1/images/generations", body, 1000)
        errors = await checked(url.removesuffix("/v1"), call, 3, 1)
    assert errors.total() == 3
    assert "status 400" in next(iter(errors))


H2LOAD = """
finished in 512.50ms, 7.80 req/s, 11.71MB/s
requests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
traffic: 5.86MB (6144000) total, 1.20KB (1200) headers (space savings 0.00%), 5.85MB (6134000) data
"""


def test_a_run_of_h2load_is_read() -> None:
    sample = parsed(H2LOAD, ["1 200 1000", "2 200 3000", "3 200 2000"], 4, 1_000_000)
    assert sample.seconds == 0.5125
    assert sample.latencies == [0.001, 0.003, 0.002]
    assert sample.errors == {"no answer": 1}
    assert sample.figures()["p50 ms"] == 2


def test_answers_of_h2load_that_are_too_short_are_errors() -> None:
    sample = parsed(H2LOAD, ["1 200 1000", "2 200 3000", "3 503 100"], 3, 4_000_000)
    assert sample.latencies == []
    assert sample.errors == {"no image": 2, "status 503": 1}


def test_h2load_without_a_result_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="h2load failed"):
        parsed("could not connect", [], 4, 1)


def test_a_profile_counts_packages_and_functions_by_self_and_with_callees() -> None:
    ours, python = "/checkout/server/celeste_image", "/lib/python3.11"
    rpc, store = f"generate ({ours}/rpc/images.py:3)", f"put ({ours}/store/blobs.py:5)"
    packages, functions = counted(
        [
            f"process 1;run (uvloop/__init__.py:9);{rpc};{store} 3",
            f"{rpc};loads ({python}/json/decoder.py:7) 1",
            f"{rpc};post ({python}/site-packages/aiohttp/client.py:8);memcpy (libc.so) 2",
        ]
    )
    assert packages[1] == {"celeste_image.store": 3, "python: json": 1, "C code": 2}
    assert packages[2]["celeste_image.rpc"] == 6
    assert packages[2]["aiohttp"] == 2
    assert functions[2]["generate (celeste_image.rpc)"] == 6
