"""Metrics: switches them on, serves them to Prometheus at an address of this process, and exports them by OTLP.

    metrics = open_metrics("127.0.0.1:9464", os.environ)   # None while both are off
    await metrics.start()
    await metrics.close()

While metrics are off, neither prometheus_client nor OpenTelemetry is imported.
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import structlog

from celeste_image.telemetry import otlp
from celeste_image.telemetry.instruments import INSTRUMENTS, LOOP_DELAY
from celeste_image.telemetry.series import begin_recording, end_recording, take_snapshot

if TYPE_CHECKING:
    from celeste_image.telemetry.otlp_metrics import OtlpExporter
    from celeste_image.telemetry.prometheus import Exposition

__all__ = ["LoopDelay", "Metrics", "open_metrics"]

log = structlog.get_logger("celeste_image.metrics")

CLOSE_SECONDS = 5.0
"""Longest wait for the last export when the server stops."""
TICK_SECONDS = 0.1
"""Time between two looks at the event loop."""
KEPT_SECONDS = 60.0
"""How long a delay is shown. Two readers see the same, and no scrape once a minute misses one."""


def open_metrics(listen: str, environment: Mapping[str, str]) -> "Metrics | None":
    """Switches metrics on if somebody may read them, and returns what serves them. Call it before the server is built.

    Args:
        listen: `host:port` for Prometheus; empty means that this process has no such address.
        environment: OpenTelemetry's standard variables.

    Raises:
        ValueError: A variable is wrong; the text names it.
    """
    exports = otlp.exports("metrics", environment)
    if not listen and not exports:
        return None
    preference = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    if exports and environment.get(preference, "").strip().lower() not in ("", "cumulative"):
        raise ValueError(f"{preference}: this server exports sums since its start: leave it unset, or cumulative")
    every_seconds = max(1.0, otlp.number(environment, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)) / 1000
    facts = {name: str(value) for name, value in otlp.resource().attributes.items()}
    exposition = exporter = None
    if listen:
        from celeste_image.telemetry.prometheus import Exposition

        exposition = Exposition(facts)
    if exports:
        from celeste_image.telemetry.otlp_metrics import OtlpExporter

        exporter = OtlpExporter(facts)
    begin_recording(INSTRUMENTS)
    return Metrics(listen, exposition, exporter, every_seconds)


class Metrics:
    """The metrics of this process.

    Args:
        listen: `host:port` for Prometheus.
        exposition: Writes the metrics for Prometheus; None means that nothing listens.
        exporter: Sends the metrics by OTLP; None means that nothing is sent.
        every_seconds: Time between two exports.
    """

    def __init__(
        self, listen: str, exposition: "Exposition | None", exporter: "OtlpExporter | None", every_seconds: float
    ) -> None:
        self._listen, self._exposition = listen, exposition
        self._exporter, self._every_seconds = exporter, every_seconds
        self._writing = asyncio.Lock()
        self._closing = AsyncExitStack()
        self._closing.callback(end_recording)

    async def start(self) -> str:
        """Listens and begins to export. Returns the address; a port 0 becomes the port that the system chose.

        Raises:
            OSError: The process can't listen there.
        """
        address = ""
        if self._exposition:
            from celeste_image.telemetry.endpoint import Endpoint

            endpoint = Endpoint(partial(self._page, self._exposition))
            self._closing.push_async_callback(endpoint.close)
            try:
                address = await endpoint.start(self._listen)
            except OSError as error:
                why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                raise OSError(f"metrics.listen: can't listen on {self._listen}: {why}") from error
        delay = LoopDelay()
        self._closing.callback(LOOP_DELAY.watch(delay.read))
        self._run(delay.watch())
        if self._exporter:
            thread = ThreadPoolExecutor(1, "celeste-metrics")
            self._closing.push_async_callback(self._export_last, self._exporter, thread)
            self._run(self._export_always(self._exporter, thread))
        return address

    async def close(self) -> None:
        """Exports for the last time, ends the listener, and switches metrics off."""
        await self._closing.aclose()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._closing.push_async_callback(end)

    async def _page(self, exposition: "Exposition", accept: str) -> tuple[bytes, str]:
        """Returns the metrics for Prometheus. A second reader waits, so that readers take one thread."""
        async with self._writing:
            return await asyncio.to_thread(exposition.write, take_snapshot(INSTRUMENTS), accept)

    async def _export_always(self, exporter: "OtlpExporter", thread: Executor) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            await self._export(exporter, thread)

    async def _export(self, exporter: "OtlpExporter", thread: Executor) -> None:
        loop = asyncio.get_running_loop()
        try:
            is_sent = await loop.run_in_executor(thread, exporter.send, take_snapshot(INSTRUMENTS))
        except Exception:
            log.exception("metrics not exported")
        else:
            if not is_sent:
                log.warning("metrics not exported")

    async def _export_last(self, exporter: "OtlpExporter", thread: ThreadPoolExecutor) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._export(exporter, thread), CLOSE_SECONDS)
        exporter.close()
        thread.shutdown(wait=False, cancel_futures=True)


class LoopDelay:
    """Measures how late the event loop is: how much longer a short sleep takes than asked for.

    Args:
        clock: The clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest: deque[tuple[float, float]] = deque()
        """Times and delays of the last minute; each delay is longer than all after it."""

    async def watch(self) -> None:
        """Measures without end."""
        while True:
            due = self._clock() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self.note(self._clock() - due)

    def note(self, seconds: float) -> None:
        """Notes a delay."""
        while self._longest and self._longest[-1][1] <= seconds:
            self._longest.pop()
        self._longest.append((self._clock(), max(0.0, seconds)))

    def read(self) -> Iterator[tuple[float, tuple[str, ...]]]:
        """Yields the longest delay of the last minute."""
        while self._longest and self._longest[0][0] < self._clock() - KEPT_SECONDS:
            self._longest.popleft()
        yield (self._longest[0][1] if self._longest else 0.0), ()
