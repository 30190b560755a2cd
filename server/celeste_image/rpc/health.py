"""Health: what the health service says of the server, its services and its providers.

| name | SERVING means |
| --- | --- |
| `liveness` | the event loop turns; also while the server drains |
| `""`, `readiness`, each service of the contract | new calls are welcome: see `Health.look` |
| `providers/NAME` | the provider has a model that can be used, and is not paused. It never unreadies the server |
"""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog
from grpc_health.v1 import health, health_pb2

from celeste_image.app import App
from celeste_image.core.errors import CelesteError

__all__ = ["LIVENESS", "READINESS", "Health", "status_of"]

log = structlog.get_logger("celeste_image.server")

LIVENESS, READINESS = "liveness", "readiness"
LOOK_SECONDS = 1.0
"""Time between two looks. A look costs microseconds."""
PROBE_SECONDS = 30.0
"""Time between two writes that try the store while it works."""
ANSWER_SECONDS = 10.0
"""Longest time of such a write."""


def status_of(is_serving: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    """Returns the status of the health service."""
    return health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Keeps the health service up to date.

    Load never makes a server unready: its replicas would get the load and follow.

    Args:
        app: The app.
        services: Names of the services of the contract.
        clock: The time in seconds.

    Attributes:
        servicer: The health service of the server's own listeners.
        mirrors: Health services in threads of their own, which get each status too.
        why: The reasons for which the server is not ready; empty when it is.
    """

    def __init__(self, app: App, services: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.servicer = health.aio.HealthServicer()
        self.mirrors: list[health.HealthServicer] = []
        self.why: tuple[str, ...] = ()
        self._app, self._clock = app, clock
        self._ready_names = ("", READINESS, *services)
        self._statuses: dict[str, bool] = {}
        self._broken: set[str] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._probed_at = clock()
        self._probe: asyncio.Task[None] | None = None
        self._answer_by = 0.0
        self._is_stopping = False
        self._telling = asyncio.Lock()

    async def begin(self) -> None:
        """Sets all statuses for the first time. A store elsewhere must be tried before the server is ready."""
        if self._app.store.is_near:
            await self.look()
        else:
            self._probed_at -= PROBE_SECONDS
            self.why = ("store: it was not tried yet",)
            await self._tell(self.why, {})

    async def watch(self) -> None:
        """Looks again and again, without end."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("health not known")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Brings all statuses up to date.

        The server is ready while its store can be written, the store's disk has `store.ready_percent` of its room free,
        a provider can be used, and it does not stop.
        """
        why = [text for text in (await self._trouble_of_store(), self._trouble_of_room()) if text]
        usable = {name: self._is_usable(name) for name in self._app.registry.providers}
        if not any(usable.values()):
            why.append("providers: none has a model that can be used")
        paused = {name for name, breaker in self._app.breakers.items() if breaker.left_seconds}
        await self._tell(tuple(why), {name: is_usable and name not in paused for name, is_usable in usable.items()})

    def note_pause(self, provider: str, seconds: float) -> None:
        """Shows in a provider's health that it is paused for some seconds; 0 means that it is tried again."""
        loop = asyncio.get_running_loop()
        if seconds:
            log.warning("provider paused", provider=provider, seconds=seconds)
            loop.call_later(seconds, self._note_end_of_pause, provider)
        else:
            log.info("provider tried again", provider=provider)
        look = loop.create_task(self.look())
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    def _note_end_of_pause(self, provider: str) -> None:
        if not self._app.breakers[provider].left_seconds:
            self.note_pause(provider, 0.0)

    async def stop(self) -> None:
        """Sets every status but `liveness` to NOT_SERVING, for good."""
        self._is_stopping = True
        await self._tell((), {})

    async def close(self) -> None:
        """Ends a write that tries the store. One that hangs is left alone."""
        if self._probe:
            self._probe.cancel()
            await asyncio.wait([self._probe], timeout=1.0)

    async def _tell(self, why: tuple[str, ...], usable: dict[str, bool]) -> None:
        async with self._telling:
            if self._is_stopping:
                why, usable = ("the server stops",), dict.fromkeys(self._app.registry.providers, False)
            elif why != self.why:
                if why:
                    log.warning("not ready", why=list(why))
                else:
                    log.info("ready")
            self.why = why
            statuses = {LIVENESS: True} | dict.fromkeys(self._ready_names, not why)
            statuses |= {f"providers/{name}": is_usable for name, is_usable in usable.items()}
            for name, status in statuses.items():
                if self._statuses.get(name) is not status:
                    await self.servicer.set(name, status_of(status))
                    for mirror in self.mirrors:
                        mirror.set(name, status_of(status))
            self._statuses = statuses

    async def _trouble_of_store(self) -> str:
        """Returns why nothing can be stored. Tries by a write each PROBE_SECONDS, and at each look after a failure.

        A disk that hangs can't be given up, so the write goes on, and the next looks come back to it.
        """
        if self._probe is None:
            is_due = self._clock() >= self._probed_at + PROBE_SECONDS
            if is_due:
                self._probed_at = self._clock()
            self._probe = asyncio.create_task(self._app.store.check_room(by_writing=is_due))
            self._answer_by = asyncio.get_running_loop().time() + ANSWER_SECONDS
        probe = self._probe  # another look may wait for it, too
        await asyncio.wait([probe], timeout=max(0.0, self._answer_by - asyncio.get_running_loop().time()))
        if not probe.done():
            return f"store: it did not answer within {ANSWER_SECONDS:g} s"
        if self._probe is probe:
            self._probe = None
        try:
            await probe
        except CelesteError as error:
            return f"store: {error.message}"
        return ""

    def _is_usable(self, provider: str) -> bool:
        """Returns whether a provider has a model that can be used. One that fails has none; the log says why, once."""
        try:
            is_usable = self._app.registry.configured(provider)
        except Exception:  # a plug-in's
            if provider not in self._broken:
                log.exception("provider's health not known", provider=provider)
            self._broken.add(provider)
            return False
        self._broken.discard(provider)
        return is_usable

    def _trouble_of_room(self) -> str:
        least, share = self._app.settings.store.ready_percent, self._app.store.free_share()
        if share is None or share * 100 >= least:
            return ""
        return f"store: {share:.1%} of its room are free; below {least:g} % no new calls are welcome"
