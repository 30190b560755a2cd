"""Streamed answers: the limits of complete answers apply, and every connection is closed."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from celeste_image.core.secret import Secret
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import ExchangeFailed, Limits, OriginRefused, SecretHeader, Stage
from celeste_image.outbound.origins import Origin

URL = "https://vendor.test/stream"
ORIGIN = Origin.of(URL)


class Slow(httpx.AsyncByteStream):
    """Yields some pieces and then, if `hanging`, waits forever."""

    def __init__(self, *pieces: bytes, hanging: bool = False) -> None:
        self.pieces, self.hanging, self.closed = pieces, hanging, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.hanging:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed += 1


class Fake(httpx.AsyncBaseTransport):
    def __init__(self, body: Slow, status: int = 200, **headers: str) -> None:
        self.body, self.status, self.headers, self.requests = body, status, headers, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(self.status, headers=self.headers, stream=self.body)


def client(transport: httpx.AsyncBaseTransport) -> Http:
    return Http({ORIGIN}, limits=Limits(body_bytes=100, exchanges=1), transport=transport)


async def read(http: Http, *, deadline: float | None = None) -> list[bytes]:
    async with http.stream(http.request("POST", URL, json={}), deadline=deadline) as answer:
        return [piece async for piece in answer.pieces]


async def test_pieces_come_as_they_are_and_the_next_has_the_slot() -> None:
    transport = Fake(Slow(b"one", b"two"))
    http = client(transport)
    assert await read(http) == [b"one", b"two"]
    async with http.stream(http.request("POST", URL), deadline=None) as answer:
        assert (await answer.whole()).body == b"onetwo"
    assert transport.body.closed == 2


async def test_leaving_early_closes_it() -> None:
    transport = Fake(Slow(b"one", hanging=True))
    http = client(transport)
    for turn in (1, 2):
        async with http.stream(http.request("POST", URL), deadline=None) as answer:
            pieces = answer.pieces
            assert await anext(pieces) == b"one"
            await pieces.aclose()
        assert transport.body.closed == turn


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        (Fake(Slow(b"x" * 60, b"x" * 60)), "over 100 bytes"),
        (Fake(Slow(b"x"), 302, location="/"), "redirect"),
        (Fake(Slow(b"x"), 200, **{"content-encoding": "gzip"}), "compressed"),
        (Fake(Slow(b"x"), 200, **{"x-long": "y" * (33 << 10)}), "headers are over"),
    ],
)
async def test_what_is_beyond_the_limits_is_refused(transport: Fake, text: str) -> None:
    with pytest.raises(ExchangeFailed, match=text) as caught:
        await read(client(transport))
    assert (caught.value.stage, caught.value.status) == (Stage.ANSWERED, transport.status)
    assert transport.body.closed == 1


async def test_one_deadline_holds_for_all_of_it() -> None:
    transport = Fake(Slow(b"one", hanging=True))
    http = client(transport)
    with pytest.raises(ExchangeFailed, match="timed out") as caught:
        await read(http, deadline=time.monotonic() + 0.05)
    assert caught.value.stage is Stage.ANSWERED and transport.body.closed == 1
    async with http.stream(http.request("POST", URL), deadline=None):
        with pytest.raises(ExchangeFailed, match="timed out") as caught:
            await read(http, deadline=time.monotonic() + 0.05)
        assert caught.value.stage is Stage.NOT_SENT, "it waited for the one slot there is"
    with pytest.raises(ExchangeFailed, match="before the request was sent") as caught:
        await read(http, deadline=time.monotonic() - 1)
    assert caught.value.stage is Stage.NOT_SENT
    assert transport.requests == 2


async def test_a_key_goes_to_its_origin_alone() -> None:
    transport = Fake(Slow())
    key = SecretHeader("authorization", Secret("canary"), frozenset({Origin.of("https://other.test")}))
    with pytest.raises(OriginRefused, match=r"is not for vendor\.test"):
        client(transport).request("POST", URL, secrets=[key])
    with pytest.raises(OriginRefused):
        client(transport).request("POST", "https://elsewhere.test")
    assert not transport.requests


async def test_an_error_of_the_reader_is_its_own() -> None:
    transport = Fake(Slow(b"one"))
    http = client(transport)
    with pytest.raises(TimeoutError, match="mine"):
        async with http.stream(http.request("POST", URL), deadline=None):
            raise TimeoutError("mine")
    assert transport.body.closed == 1
