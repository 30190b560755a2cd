"""celeste serve: starts the gRPC server and stops it on a signal."""

import asyncio
import os
import signal
import sys
from typing import Any

import click

from celeste_image.cli.one_client import end_with_client
from celeste_image.cli.process_one import reap_orphans
from celeste_image.core.install import install_hint

__all__ = ["command"]

CONSOLES = ("rich", "pygments")
"""Packages that structlog and httpx import, where they are installed, for consoles that a server does not have."""


@click.command(name="serve")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="host:port or unix:PATH; repeatable.")
@click.option("--store", metavar="URL", help="file:///FOLDER or memory:///.")
@click.option("--for-client", "folder", metavar="FOLDER", hidden=True, help="Listen in FOLDER; end with stdin.")
def command(listen: tuple[str, ...], store: str | None, folder: str | None) -> int:
    """Start the gRPC server. Settings come from celeste.toml and CELESTE_ variables; see the docs."""
    if folder:
        end_with_client(folder)
    # Pydantic would read the files of every installed package to find plugins, and run those that it finds.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for name in CONSOLES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None makes Python's import fail
    try:
        from pydantic import ValidationError

        from celeste_image.app import build_app
        from celeste_image.config import Settings, explain
        from celeste_image.memory import SETTLE_SECONDS, limit_arenas, settle, trim_always
        from celeste_image.rpc.server import Server
        from celeste_image.sandbox.server import forget_environment, protect_process
        from celeste_image.sandbox.workers import NotSealed
        from celeste_image.telemetry import configure_logs
    except ModuleNotFoundError as error:
        text = f"the server needs {error.name}; get it with: {install_hint('local')}"
        raise click.ClickException(text) from error

    protect_process()
    limit_arenas()
    given: dict[str, Any] = {}
    if listen:
        given["server"] = {"listen": list(listen)}
    if folder:  # the only client has ended when the server stops
        given["server"] = {"listen": [f"unix:{folder}/celeste.sock"], "drain_seconds": 0}
    if store:
        given["store"] = {"url": store}
    try:
        settings = Settings(**given)
        configure_logs(settings.log.level, settings.log.format)
        app = build_app(settings)
    except ValidationError as error:
        raise click.UsageError("; ".join(explain(error).splitlines())) from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    forget_environment()  # the providers and the store have their keys

    async def serve() -> int:
        import structlog

        log = structlog.get_logger("celeste_image.server")
        server = Server(app)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals = [signal.SIGINT, signal.SIGTERM]
        if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            signals.append(signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, stopping.set)
        try:
            await app.workers.check()
        except NotSealed as error:
            log.error("start", error=str(error))
            return 1
        try:
            addresses = await server.start(settings.server.listen)
        except OSError as error:
            log.error("start", error=str(error))
            return 1
        always = asyncio.gather(reap_orphans(), trim_always(app.held_bytes))
        loop.call_later(SETTLE_SECONDS, settle)
        log.info("serving", addresses=addresses, store=settings.store.url)
        await stopping.wait()
        always.cancel()
        await asyncio.gather(always, return_exceptions=True)  # or asyncio would log a traceback
        log.info("stopping")
        for number in signals:
            loop.add_signal_handler(number, os._exit, 1)  # a second signal exits at once; workers end with their parent
        await server.stop(settings.server.drain_seconds)
        log.info("stopped")
        return 0

    if sys.platform == "win32":
        return asyncio.run(serve())
    import uvloop

    return uvloop.run(serve())
