"""The limits of HTTP/2, each read back by an attack: who attacks is cut off or refused, and nobody else notices."""

import asyncio
import contextlib
import struct

import grpc
import pytest
from tests.support.grpc_calls import GENERATE, calls, healthy
from tests.support.raw_http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    RESET,
    SETTINGS,
    RawCalls,
    call_headers,
    frame,
    header,
)
from tests.support.servers import Running, running
from tests.support.waiting import until

from celeste_image.rpc import http2
from celeste_image.v1 import GetServerInfoRequest, ModelServiceStub

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANCEL, REFUSED_STREAM, ENHANCE_YOUR_CALM, NO_ERROR = 8, 7, 11, 0
MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 3, 6
INFO = "/celeste.image.v1.ModelService/GetServerInfo"


async def test_streams_beyond_the_limit_are_refused() -> None:
    async with running(server={"concurrent_streams": 10}) as server, RawCalls(server.address) as attacker:
        await attacker.settled.wait()
        assert attacker.settings[MAX_CONCURRENT_STREAMS] == 10
        streams = [attacker.call(GENERATE, None) for _ in range(25)]
        await until(lambda: len(attacker.resets) == 15)
        assert attacker.resets == dict.fromkeys(streams[10:], REFUSED_STREAM)
        name = f"HandleExceptions[{GENERATE}]"
        await until(lambda: [task.get_name() for task in calls()].count(name) == 10)
        async with grpc.aio.insecure_channel(server.address) as channel:
            await healthy(channel)


async def test_a_flood_of_pings_ends_the_connection(channel: grpc.aio.Channel, server: Running) -> None:
    async with RawCalls(server.address) as attacker:
        await attacker.send(frame(PING, 0, 0, bytes(8)) * 300)
        await asyncio.wait_for(attacker.closed.wait(), 10)
        assert attacker.goaway == (ENHANCE_YOUR_CALM, b"too_many_pings")
    await healthy(channel)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([("a", "x" * 7000)], grpc.StatusCode.OK),
        ([("a", "x" * 17_000)], grpc.StatusCode.RESOURCE_EXHAUSTED),
        ([("a", "x" * 1_000_000)], grpc.StatusCode.RESOURCE_EXHAUSTED),
        ([(f"key-{number}", "x") for number in range(1000)], grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["7 kB", "17 kB", "1 MB", "1,000 keys"],
)
async def test_metadata_has_a_limit(
    channel: grpc.aio.Channel, metadata: list[tuple[str, str]], code: grpc.StatusCode
) -> None:
    call = ModelServiceStub(channel).GetServerInfo(GetServerInfoRequest(), metadata=metadata, timeout=60)
    other = asyncio.create_task(healthy(channel))
    assert await call.code() is code
    await other


async def test_headers_without_end_harm_nobody(channel: grpc.aio.Channel, server: Running) -> None:
    """16 MB in CONTINUATION frames (CVE-2024-27316)."""
    async with RawCalls(server.address) as attacker:
        await attacker.send(frame(HEADERS, 0, 1, call_headers(INFO)))
        more = frame(CONTINUATION, 0, 1, header(b"a", b"x" * 16_000))
        for _ in range(1000):
            if not attacker.closed.is_set():
                await attacker.send(more)
        await healthy(channel)
    await until(lambda: not calls())


async def test_headers_that_are_no_base64_harm_no_other_call(server: Running) -> None:
    async with RawCalls(server.address) as attacker:
        block = call_headers(INFO, (b"x-bin", b"!!!no base64!!!"))
        await attacker.send(frame(HEADERS, END_HEADERS, 1, block))
        good = 3
        await attacker.send(frame(HEADERS, END_HEADERS, good, call_headers(INFO)))
        await attacker.send(frame(DATA, 1, good, bytes(5)))
        await asyncio.wait_for(attacker.over[good].wait(), 10)
        assert attacker.received[good], "an answer"


async def test_rapid_resets_leave_nothing_behind(channel: grpc.aio.Channel, server: Running) -> None:
    """CVE-2023-44487. gRPC does not hang up on them: limit them per connection in a proxy."""
    async with RawCalls(server.address) as attacker:
        for start in range(1, 4001, 2):
            block = frame(HEADERS, END_HEADERS, start, call_headers(INFO))
            await attacker.send(block + frame(RESET, 0, start, struct.pack(">I", CANCEL)))
        await healthy(channel)
    await until(lambda: not calls())
    assert server.app.budget.held_bytes == 0


async def test_floods_of_settings_and_empty_data_harm_nobody(channel: grpc.aio.Channel, server: Running) -> None:
    async with RawCalls(server.address) as attacker:
        await attacker.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 16)) * 1000)
        number = attacker.call(GENERATE, None)
        await attacker.send(frame(DATA, 0, number) * 1000)
        await healthy(channel)
    await until(lambda: not calls())


async def silent(address: str, count: int) -> None:
    """Opens connections that send nothing, and returns when the server has closed them all."""
    host, _, port = address.rpartition(":")

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                pass
        writer.close()

    await asyncio.gather(*(one() for _ in range(count)))


async def test_silent_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "HANDSHAKE_SECONDS", 0.3)
    async with running() as server, grpc.aio.insecure_channel(server.address) as channel:
        async with asyncio.timeout(20):
            await silent(server.address, 50)
        await healthy(channel)


async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "IDLE_SECONDS", 0.3)
    async with running() as server, RawCalls(server.address) as idle:
        await asyncio.wait_for(idle.closed.wait(), 20)
        assert idle.goaway
        assert idle.goaway[1] == b"connection idle"


async def test_a_peer_that_is_gone_is_found_out_in_the_middle_of_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "KEEPALIVE_SECONDS", 0.3)
    monkeypatch.setattr(http2, "KEEPALIVE_ANSWER_SECONDS", 0.3)
    async with running() as server, RawCalls(server.address, answers_pings=False) as gone:
        gone.call(GENERATE, None)
        await until(calls)
        await asyncio.wait_for(gone.closed.wait(), 20)
        assert gone.pings
        assert gone.goaway == (ENHANCE_YOUR_CALM, b"ping_timeout")
        await until(lambda: not calls())


async def test_an_old_connection_takes_no_new_calls_and_its_calls_go_on() -> None:
    async with running(server={"connection_age_seconds": 0.3}) as server, RawCalls(server.address) as old:
        running_call = old.call(GENERATE, None)
        await until(lambda: old.goaway)
        assert old.goaway == (NO_ERROR, b"max_age")
        assert calls()
        assert not old.closed.is_set()
        old.reset(running_call)
        await asyncio.wait_for(old.closed.wait(), 20)
