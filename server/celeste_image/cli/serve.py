"""celeste serve: starts the gRPC server and stops it on a signal."""

import asyncio
import os
import signal
import sys
import tempfile
from functools import partial
from typing import Any

import click

from celeste_image.cli.configuration import configuration_options, refuse
from celeste_image.cli.hang_up import HangUp
from celeste_image.cli.one_client import end_with_client
from celeste_image.cli.process_one import reap_orphans
from celeste_image.core.address import is_local
from celeste_image.core.install import install_hint

__all__ = ["command"]

CONSOLES = ("rich", "pygments")
"""Packages that structlog and httpx import, where they are installed, for consoles that a server does not have."""
LAST_LINES_SECONDS = 1.0
"""Time for the log at an end that is not orderly."""
HURRY_SECONDS = 2.0
"""Time for the orderly end from a second signal on."""


@click.command(name="serve")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="host:port or unix:PATH; repeatable.")
@click.option("--store", metavar="URL", help="file:///FOLDER or memory:///.")
@configuration_options
@click.option("--for-client", "folder", metavar="FOLDER", hidden=True, help="Listen in FOLDER; end with stdin.")
def command(
    listen: tuple[str, ...], store: str | None, file: str | None, assignments: tuple[str, ...], folder: str | None
) -> int:
    """Start the gRPC server.

    Settings come from a file (celeste.toml, .yaml or .json), CELESTE_ variables and flags: see celeste config --help.
    SIGHUP reads them again.
    """
    if folder:
        end_with_client(folder)
        tempfile.tempdir = folder  # which goes with the client, also while the server starts
    # Pydantic would read the files of every installed package to find plugins, and run those that it finds.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    for name in CONSOLES:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None makes Python's import fail
    try:
        from celeste_image.app import build_app
        from celeste_image.cli.logs import open_logs
        from celeste_image.config import Flag, load
        from celeste_image.config.callers import CallerSettings, TlsSettings
        from celeste_image.memory import SETTLE_SECONDS, limit_arenas, settle, trim_always
        from celeste_image.rpc.server import Server
        from celeste_image.sandbox.server import forget_environment, protect_process
        from celeste_image.sandbox.workers import NotSealed
        from celeste_image.telemetry.metrics import open_metrics
        from celeste_image.telemetry.traces import open_tracer
    except ModuleNotFoundError as error:
        text = f"the server needs {error.name}; get it with: {install_hint('local')}"
        raise click.ClickException(text) from error

    protect_process()
    limit_arenas()
    flags = [Flag("--listen", ("server", "listen"), list(listen))] if listen else []
    if folder:  # the only client has ended when the server stops
        socket = Flag("--for-client", ("server", "listen"), [f"unix:{folder}/celeste.sock"])
        flags = [socket, Flag("--for-client", ("server", "drain_seconds"), 0)]
    if store:
        flags.append(Flag("--store", ("store", "url"), store))
    environment = dict(os.environ)
    configuration = load(flags, assignments=assignments, file=file, environment=environment)
    try:
        settings = configuration.valid()
        if folder:  # only its client reaches its socket
            server_settings = settings.server.model_copy(update={"tls": TlsSettings()})
            settings = settings.model_copy(update={"callers": CallerSettings(), "server": server_settings})
        logs = open_logs(settings.log)
        metrics = open_metrics("" if folder else settings.metrics.listen, os.environ)  # a command needs no port
        tracer = open_tracer(os.environ, propagates=settings.traces.propagate)
        app = build_app(settings, tracer=tracer)
        if metrics:
            app.closing.push_async_callback(metrics.close)  # before the parts that gauges read
    except (ValueError, OSError) as error:
        return refuse(configuration, environment, error, is_one_line=bool(folder))
    forget_environment()  # the providers and the store have their keys

    def exit_now() -> None:
        """Exits without an orderly end; workers end with their parent."""
        logs.close(LAST_LINES_SECONDS)
        os._exit(1)

    async def serve() -> int:
        import structlog

        log = structlog.get_logger("celeste_image.server")
        server = Server(app)
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        reloaders: list[Any] = []

        async def reload() -> None:
            if not reloaders:
                from celeste_image.reload import Reloader  # late: few servers reload

                again = partial(load, flags, assignments=assignments, file=file, environment=environment)
                reloaders.append(Reloader(app, again, environment))
            if not stopping.is_set():
                await reloaders[0].reload()
                await server.health.look()

        told: list[int] = []

        def heed(number: int) -> None:
            """Ends the server: in order at the first signal, soon at the second, at once at the third."""
            told.append(number)
            match len(told):
                case 1:
                    stopping.set()
                case 2:
                    server.hurry()
                    loop.call_later(HURRY_SECONDS, exit_now)
                case _:
                    exit_now()

        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, heed, each)
        HangUp(reload, stopping.set, only_stops=bool(folder))
        try:
            await app.workers.check()
            facts = {}
            if metrics and (endpoint := await metrics.start()):
                facts["metrics"] = f"http://{endpoint}/metrics"
            if settings.admin.listen and not folder:
                facts["admin"] = server.start_admin(settings.admin.listen)
            addresses = await server.start(settings.server.listen)
        except (NotSealed, OSError, ValueError) as error:
            log.error("start", error=str(error))
            if settings.log.file:
                click.echo(f"Error: {error}", err=True)
            return 1
        always = asyncio.gather(reap_orphans(), trim_always(app.held_bytes))
        loop.call_later(SETTLE_SECONDS, settle)
        asks = app.callers.are_known or settings.server.tls.client_ca_file
        if not asks and (reachable := [address for address in settings.server.listen if not is_local(address)]):
            log.warning("open", addresses=reachable)
        log.info("serving", addresses=addresses, store=settings.store.url, **facts)
        await stopping.wait()
        always.cancel()
        await asyncio.gather(always, return_exceptions=True)  # or asyncio would log a traceback
        last = (reloaders[0] if reloaders else app).settings.server
        # Load balancers look after servers that a supervisor ends, not after those of a terminal.
        notice_seconds = last.notice_seconds if told[:1] == [signal.SIGTERM] else 0.0
        log.info("stopping", notice_seconds=notice_seconds, drain_seconds=last.drain_seconds)
        await server.stop(last.drain_seconds, notice_seconds)
        log.info("stopped")
        return min(len(told) - 1, 1) if told else 0

    try:
        if sys.platform == "win32":
            return asyncio.run(serve())
        import uvloop

        return uvloop.run(serve())
    finally:
        logs.close()
