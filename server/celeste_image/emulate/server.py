"""Emulator: serves fake vendors on loopback, each on its own port, with a shared ledger."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler

from celeste_image.emulate.base import FakeVendor
from celeste_image.emulate.behavior import Behavior, BehaviorUnknown
from celeste_image.emulate.ledger import Ledger
from celeste_image.emulate.sending import end

__all__ = ["CONTROL", "Emulated", "Emulator", "emulating"]

CONTROL = "/_emulator"
"""Path of the control API on each vendor's port: `ledger` (GET, DELETE) and `next` (POST of a directive)."""
MOST_BYTES = 256 << 20
HOST = "127.0.0.1"


class Emulated:
    """A fake vendor and its address."""

    def __init__(self, vendor: FakeVendor, port: int) -> None:
        self.vendor = vendor
        self.origin = f"http://{HOST}:{port}"
        self.url = self.origin + vendor.base_path()

    @property
    def table(self) -> dict[str, Any]:
        """The table `[providers.NAME]` for servers that use this vendor."""
        return self.vendor.table(self.url)


class Emulator(Mapping[str, Emulated]):
    """Running fake vendors by name, and their ledger."""

    def __init__(self, ledger: Ledger, vendors: Mapping[str, Emulated]) -> None:
        self.ledger = ledger
        self._vendors = dict(vendors)

    def __getitem__(self, name: str) -> Emulated:
        return self._vendors[name]

    def __iter__(self) -> Any:
        return iter(self._vendors)

    def __len__(self) -> int:
        return len(self._vendors)

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables `[providers]` for servers that use these vendors."""
        return {name: emulated.table for name, emulated in self._vendors.items()}


@asynccontextmanager
async def emulating(
    vendors: Sequence[type[FakeVendor]], *, port: int = 0, usual: Behavior | None = None, ledger: Ledger | None = None
) -> AsyncGenerator[Emulator, None]:
    """Runs fake vendors until the block ends.

    Args:
        vendors: The vendors to run.
        port: Port of the first vendor; each further one has the next port. 0 means any free ports.
        usual: Behavior of the requests that name none.
        ledger: Records the requests; a new one by default.

    Raises:
        OSError: A port is taken.
    """
    ledger = ledger or Ledger()
    found: dict[str, Emulated] = {}
    async with AsyncExitStack() as stack:
        for index, cls in enumerate(vendors):
            vendor = cls(ledger, usual)
            found[cls.name] = Emulated(vendor, await _listen(stack, vendor, port and port + index))
        yield Emulator(ledger, found)


async def _listen(stack: AsyncExitStack, vendor: FakeVendor, port: int) -> int:
    """Starts a vendor's server and returns its port."""
    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_knowing(vendor)])
    for route in vendor.routes():
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            path = vendor.base_path() + route.path
            app.router.add_route(method, path, partial(vendor.serve, route), expect_handler=_expected)
    app.router.add_get(f"{CONTROL}/ledger", partial(_ledger, vendor))
    app.router.add_delete(f"{CONTROL}/ledger", partial(_clear, vendor))
    app.router.add_post(f"{CONTROL}/next", partial(_next, vendor))
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None
    speak = runner.server

    def protocol() -> asyncio.BaseProtocol:
        for index, behavior in enumerate(vendor.next):
            if behavior.on == "connection":
                left = behavior.times - 1
                vendor.next[index : index + 1] = [behavior.model_copy(update={"times": left})] if left > 0 else []
                return _Resetting()
        return speak()

    server = await asyncio.get_running_loop().create_server(protocol, HOST, port)
    stack.callback(server.close)
    return int(server.sockets[0].getsockname()[1])


def _knowing(vendor: FakeVendor) -> Any:
    """Returns the middleware that answers unknown paths and methods as the vendor does."""

    @web.middleware
    async def known(request: web.Request, handler: Handler) -> web.StreamResponse:
        error = request.match_info.http_exception
        return await (vendor.serve_unknown(request, error.status) if error else handler(request))

    return known


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Tells a client that waits for it to send its body. Other expectations are met by the answer, if at all."""
    if request.version >= HttpVersion11 and request.headers.get("expect", "").lower() == "100-continue":
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


async def _ledger(vendor: FakeVendor, request: web.Request) -> web.Response:
    entries = [entry.as_json() for entry in vendor.ledger.entries]
    return web.json_response({"charged": str(vendor.ledger.charged()), "entries": entries})


async def _clear(vendor: FakeVendor, request: web.Request) -> web.Response:
    vendor.ledger.clear()
    return web.Response(status=204)


async def _next(vendor: FakeVendor, request: web.Request) -> web.Response:
    try:
        vendor.next.append(Behavior.parse(await request.text()))
    except (BehaviorUnknown, UnicodeDecodeError, LookupError) as error:  # LookupError: an unknown charset
        return web.Response(status=400, text=str(error))
    return web.Response(status=204)


class _Resetting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        end(transport)
