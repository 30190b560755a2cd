"""Health: alive, ready and why not, services and providers, also after a reload; the listener for operators."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs
from tests.support.servers import Running, running
from tests.support.waiting import until

from celeste_image.app import build_app
from celeste_image.config import Settings
from celeste_image.core.caller import ANONYMOUS
from celeste_image.core.errors import StorageUnavailable
from celeste_image.rpc import health
from celeste_image.rpc.pulse import Pulse
from celeste_image.rpc.server import SERVICES, Server

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
READY = ("", "readiness", *SERVICES)


async def status(channel: Any, name: str = "") -> Any:
    return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))).status


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[Running, Server, grpc.aio.Channel]]:
    settings["store"] = {"url": "memory:///", "reserve_bytes": 0} | settings.get("store", {})
    app = build_app(Settings(**settings))
    server = Server(app)
    (address,) = await server.start(["127.0.0.1:0"])
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(address, app), server, channel
    finally:
        await server.stop(0)


async def test_a_server_is_alive_and_ready_and_tells_of_each_service_and_provider() -> None:
    async with running(providers={"openai": {"key": "sk-" + "a" * 40}}) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            for name in (*READY, "liveness", "providers/local", "providers/openai"):
                assert await status(channel, name) == SERVING, name
            assert await status(channel, "providers/stability") == NOT_SERVING, "it has no key"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await status(channel, "providers/nobody")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_store_that_can_not_be_written_unreadies_the_server_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served() as (running, server, channel):
        broken = True

        async def check_room(*, by_writing: bool = False) -> None:
            if broken:
                raise StorageUnavailable("the artifact store can't be written")

        monkeypatch.setattr(type(running.app.store), "check_room", staticmethod(check_room))
        with capture_logs() as logs:
            await server.health.look()
            assert {await status(channel, name) for name in READY} == {NOT_SERVING}
            assert await status(channel, "liveness") == SERVING
            assert await status(channel, "providers/local") == SERVING
            await server.health.look()
            broken = False
            await server.health.look()
            assert {await status(channel, name) for name in READY} == {SERVING}
        why = ["store: the artifact store can't be written"]
        said = [(line["event"], line.get("why")) for line in logs if line["event"] in ("ready", "not ready")]
        assert said == [("not ready", why), ("ready", None)], "once each"


async def test_an_idle_server_tries_its_store_by_a_write(tmp_path: Path) -> None:
    """A read-only mount does not stop root, so the folder is replaced by a file."""
    now = 0.0
    app = build_app(Settings(store={"url": (tmp_path / "store").as_uri(), "reserve_bytes": 0}))  # type: ignore[arg-type]
    found = health.Health(app, SERVICES, lambda: now)
    try:
        await found.begin()
        assert found.why == ()
        (tmp_path / "store" / "probe").unlink(missing_ok=True)
        (tmp_path / "store" / "probe").mkdir()
        (tmp_path / "store" / "probe" / "in the way").touch()
        await found.look()
        assert found.why == (), "no write was due"
        now += health.PROBE_SECONDS
        await found.look()
        assert found.why == ("store: the artifact store can't be used",)
        (tmp_path / "store" / "probe" / "in the way").unlink()
        (tmp_path / "store" / "probe").rmdir()
        await found.look()
        assert found.why == ()
    finally:
        await found.close()
        await app.close()


async def test_a_store_that_hangs_unreadies_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.01)
    async with served() as (running, server, channel):
        answered = asyncio.Event()

        async def check_room(*, by_writing: bool = False) -> None:
            await answered.wait()

        monkeypatch.setattr(type(running.app.store), "check_room", staticmethod(check_room))
        await server.health.look()
        assert await status(channel) == NOT_SERVING
        assert server.health.why == ("store: it did not answer within 0.01 s",)
        answered.set()
        await until(lambda: server.health._probe is None or server.health._probe.done())
        await server.health.look()
        assert await status(channel) == SERVING


async def test_a_disk_that_fills_unreadies_the_server_before_work_is_refused() -> None:
    async with served(store={"memory_bytes": 1 << 20}) as (running, server, channel):
        artifact = await running.app.store.put(ANONYMOUS.tenant, bytes(1020 << 10))
        await server.health.look()
        assert await status(channel) == NOT_SERVING
        assert server.health.why[0].endswith("of its room are free; below 5 % no new calls are welcome")
        await running.app.store.check_room()
        await running.app.store.delete(ANONYMOUS.tenant, artifact.name)
        await running.app.store.sweep()
        assert running.app.store.free_share() is not None


async def test_a_server_without_a_usable_model_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as (running, server, channel):
        monkeypatch.setattr(type(running.app.registry), "configured", lambda registry, name: False)
        await server.health.look()
        assert await status(channel) == NOT_SERVING
        assert server.health.why == ("providers: none has a model that can be used",)
        assert await status(channel, "providers/local") == NOT_SERVING


async def test_a_server_that_stops_stays_alive_and_nothing_makes_it_ready_again() -> None:
    async with served() as (_, server, channel):
        await server.health.stop()
        await server.health.look()
        assert {await status(channel, name) for name in (*READY, "providers/local")} == {NOT_SERVING}
        assert await status(channel, "liveness") == SERVING


def test_the_pulse_tells_of_a_loop_that_stands_still_and_where() -> None:
    changes: list[bool] = []
    stood = threading.Event()

    def note(is_alive: bool) -> None:
        changes.append(is_alive)
        stood.set()

    async def run() -> None:
        pulse = Pulse(note, stall_seconds=0.1)
        pulse.start()
        stand_still()
        await until(lambda: changes == [False, True])
        pulse.stop()

    def stand_still() -> None:
        assert stood.wait(10)

    with capture_logs() as logs:
        asyncio.run(run())
    still, again = logs
    assert (still["event"], still["log_level"]) == ("the event loop stands still", "error")
    assert "in stand_still" in still["stack"]
    assert again["event"] == "the event loop turns again"


@asynccontextmanager
async def administered(**settings: Any) -> AsyncIterator[tuple[Server, str, str]]:
    """Yields a server, its address, and the address for operators."""
    store = {"url": "memory:///", "reserve_bytes": 0}
    app = build_app(Settings(store=store, admin={"listen": "127.0.0.1:0"}, **settings))  # type: ignore[arg-type]
    server = Server(app)
    admin = server.start_admin(app.settings.admin.listen)
    (address,) = await server.start(["127.0.0.1:0"])
    try:
        yield server, address, admin
    finally:
        await server.stop(0)


async def test_operators_see_the_health_and_the_connections() -> None:
    async with administered() as (_, address, admin):
        async with grpc.aio.insecure_channel(address) as caller, grpc.aio.insecure_channel(admin) as channel:
            assert await status(caller) == SERVING
            for name in (*READY, "liveness", "providers/local"):
                assert await status(channel, name) == SERVING, name
            stub = channelz_pb2_grpc.ChannelzStub(channel)
            servers = (await stub.GetServers(channelz_pb2.GetServersRequest())).server
            assert [each.data.calls_succeeded >= 1 for each in servers] == [True], "the server for callers alone"
            request = channelz_pb2.GetServerSocketsRequest(server_id=servers[0].ref.server_id)
            assert len((await stub.GetServerSockets(request)).socket_ref) == 1, "the connection of the caller"
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]))
            names = {each.name async for answer in answers for each in answer.list_services_response.service}
            assert "grpc.channelz.v1.Channelz" in names
            assert not any(name.startswith("celeste") for name in names)


async def test_the_listener_for_operators_answers_while_the_server_drains_and_its_loop_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("celeste_image.rpc.pulse.STALL_SECONDS", 0.1)
    async with administered() as (server, _, admin):
        with grpc.insecure_channel(admin) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            def check(name: str) -> Any:
                return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status

            await server.health.stop()
            assert check("readiness") == NOT_SERVING  # from this very thread: the loop stands still meanwhile
            while check("liveness") == SERVING:
                time.sleep(0.01)  # noqa: ASYNC251  # it stands still
            await until(lambda: check("liveness") == SERVING)


async def test_callers_see_no_channelz() -> None:
    async with administered() as (_, address, _), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
