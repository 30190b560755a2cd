"""A vendor of jobs that is played by a list, and clocks that nobody waits for."""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import httpx

from celeste_image.core.call import Candidate
from celeste_image.core.errors import CelesteError, ProviderFailed
from celeste_image.core.events import Event
from celeste_image.imaging.pixels import Pixels

KEY = "sk-test-canary-0123456789abcdef"
Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]
Calling = Callable[[Candidate], AsyncGenerator[Event, None]]


def answer(value: Any, status: int = 200, **headers: str) -> httpx.Response:
    """Returns an answer in JSON; `retry_after` is the header `retry-after`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return raw(json.dumps(value).encode(), status, **{"content-type": "application/json"} | named)


def raw(content: bytes, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=Body(content))


class Body(httpx.AsyncByteStream):
    """A body in pieces that may break off; it can be read again."""

    def __init__(self, content: bytes, error: Exception | None = None) -> None:
        self._content, self._error = content, error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 7):
            yield self._content[start : start + 7]
        if self._error:
            raise self._error


class Script(httpx.AsyncBaseTransport):
    """Answers each request with the next step, and with the last step for ever; the requests are kept."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        if callable(step):
            return step(request)
        return httpx.Response(step.status_code, headers=step.headers, stream=step.stream)

    def sent(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


class Clock:
    """A clock that only `sleep` moves on, from now: the connections have the real one."""

    def __init__(self) -> None:
        self.began = self.now = time.monotonic()
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @property
    def passed(self) -> float:
        return self.now - self.began


class Measured(Pixels):
    """Pictures that start no process: bytes that begin with `PNG` are 4 x 3."""

    def __init__(self) -> None:
        super().__init__("played")

    async def facts(self, data: bytes) -> tuple[str, int, int]:
        if not data.startswith(b"PNG"):
            raise ProviderFailed("its image can't be used")
        return "image/png", 4, 3

    async def preview(self, data: bytes) -> tuple[bytes, str, int, int]:
        return data, *await self.facts(data)


async def events_of(run: Calling, candidate: Candidate) -> list[Event]:
    """Returns the events of `run(candidate)`."""
    async with aclosing(run(candidate)) as events:
        return [event async for event in events]


async def outcome_of(run: Calling, candidate: Candidate) -> tuple[list[Event], CelesteError]:
    """Returns the events before the error, and the error."""
    seen: list[Event] = []
    try:
        async with aclosing(run(candidate)) as events:
            async for event in events:
                seen.append(event)
    except CelesteError as error:
        return seen, error
    raise AssertionError(f"no error, but {seen}")
