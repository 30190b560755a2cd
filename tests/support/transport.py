"""FakeTransport: the one double for the HTTP transport of a vendor, with its responses and their bodies."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

__all__ = ["Body", "FakeTransport", "Step", "answer", "raw"]

Step = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


class FakeTransport(httpx.AsyncBaseTransport):
    """Answers each request with the next step: a response, an error to raise, or a function of the request.

    Args:
        steps: What happens to each request in turn.
        repeat: Whether the last step also answers every later request; otherwise a later request fails the test.

    Attributes:
        requests: The requests so far.
    """

    def __init__(self, *steps: Step, repeat: bool = False) -> None:
        self._steps, self._repeat = list(steps), repeat
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert self._steps, f"one request too many: {request.method} {request.url}"
        step = self._steps[0] if self._repeat and len(self._steps) == 1 else self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, httpx.Response):  # a copy, since a step may be used several times
            return httpx.Response(step.status_code, headers=step.headers, stream=step.stream)
        made = step(request)
        return await made if inspect.isawaitable(made) else made

    def sent(self) -> list[str]:
        """Returns the method and the path of each request."""
        return [f"{request.method} {request.url.path}" for request in self.requests]


class Body(httpx.AsyncByteStream):
    """The body of a response, in pieces. It can be read again.

    Args:
        content: The bytes.
        error: Raised after the last byte.
        hangs: Whether the end never comes.
        piece_bytes: Size of a piece; 0 means about a hundred pieces, of 7 bytes or more.

    Attributes:
        closed: How many readers closed it.
        hanging: Set when a reader waits for the end that never comes.
    """

    def __init__(
        self, content: bytes, error: Exception | None = None, *, hangs: bool = False, piece_bytes: int = 0
    ) -> None:
        self._content, self._error, self._hangs = content, error, hangs
        self._piece_bytes = piece_bytes or max(7, len(content) // 100)
        self.closed = 0
        self.hanging = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), self._piece_bytes):
            yield self._content[start : start + self._piece_bytes]
        if self._error:
            raise self._error
        if self._hangs:
            self.hanging.set()
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed += 1


def answer(value: Any = None, status: int = 200, **headers: str) -> httpx.Response:
    """Returns a response in JSON; bytes go as they are, and `retry_after` is the header `retry-after`."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return raw(content, status, **{"content-type": "application/json"} | named)


def raw(content: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """Returns a response with these bytes."""
    return httpx.Response(status, headers=headers, stream=Body(content))
