"""A proxy in the environment: calls to this machine never take it, others do as gRPC's variables say."""

import asyncio
import subprocess

import pytest
from tests.support.command import CELESTE
from tests.support.servers import running

from celeste_image.client import AsyncClient, Client
from celeste_image.client.channels import channel_options

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
NO_PROXY = ("grpc.enable_http_proxy", 0)
DEAD = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that answers nothing, under every name."""
    for name in VARIABLES:
        monkeypatch.setenv(name, DEAD)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "form", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "dns:127.0.0.1:{}", "ipv4:127.0.0.1:{}"]
)
async def test_calls_to_this_machine_take_no_proxy(form: str) -> None:
    async with running() as server:
        address = form.format(server.address.rpartition(":")[2])
        client = AsyncClient(address)
        assert (await asyncio.wait_for(client.server_info(), 10)).version
        await client.close()
        with Client(address) as blocking:
            assert (await asyncio.wait_for(asyncio.to_thread(blocking.server_info), 10)).version


async def test_the_health_command_takes_no_proxy_to_this_machine() -> None:
    async with running() as server:
        command = [*CELESTE, "health", "--address", server.address, "--wait", "10"]
        asked = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        assert await asked.wait() == 0


async def test_calls_to_another_machine_take_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.readline())
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        for name in VARIABLES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        client = AsyncClient("images.example.com:50051")
        call = asyncio.ensure_future(client.server_info())
        assert (await asyncio.wait_for(asked.get(), 20)).startswith(b"CONNECT images.example.com:50051")
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await client.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:50051",
        "127.0.0.53:1",
        "127.1:1",
        "localhost:50051",
        "LocalHost.:50051",
        "a.localhost:1",
        "localhost",
        "[::1]:50051",
        "::1",
        "[::ffff:127.0.0.1]:1",
        "0.0.0.0:50051",
        "[::]:50051",
        "unix:/tmp/celeste.sock",
        "unix:///tmp/celeste.sock",
        "unix-abstract:celeste",
        "dns:///localhost:50051",
        "dns://8.8.8.8/localhost:1",
        "dns:localhost:1",
        "ipv4:127.0.0.1:1,127.0.0.2:1",
        "ipv6:[::1]:1",
        "ipv6:%5B::1%5D:1",
    ],
)
def test_addresses_of_this_machine(address: str) -> None:
    assert NO_PROXY in channel_options(address)


@pytest.mark.parametrize(
    "address",
    [
        "images.example.com:50051",
        "localhost.example.com:1",
        "notlocalhost:1",
        "10.0.0.1:1",
        "[2001:db8::1]:1",
        "128.0.0.1:1",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "dns://127.0.0.1/images.example.com:1",
        "dns:///images.example.com:1",
        "",
    ],
)
def test_addresses_of_other_machines(address: str) -> None:
    assert NO_PROXY not in channel_options(address)
