"""Endpoint: the HTTP listener of one process for its operators, `GET /metrics`.

Imported while the endpoint is on.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

__all__ = ["Endpoint"]

Page = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns a page and its content type for a header Accept."""


class Endpoint:
    """Serves the metrics at an address. Any other path is 404.

    Args:
        metrics: Writes the metrics.
    """

    def __init__(self, metrics: Page) -> None:
        self._metrics = metrics
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def start(self, address: str) -> str:
        """Listens and returns the address. A port 0 becomes the port that the system chose.

        Args:
            address: `host:port` or `unix:PATH`.

        Raises:
            OSError: The process can't listen there.
        """
        await self._runner.setup()
        if address.startswith("unix:"):
            await web.UnixSite(self._runner, address.removeprefix("unix:")).start()
            return address
        host, _, port = address.rpartition(":")
        await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        return f"{host}:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Ends the listener and its connections."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        page, content_type = await self._metrics(request.headers.get("accept", ""))
        return web.Response(body=page, headers={"content-type": content_type})
