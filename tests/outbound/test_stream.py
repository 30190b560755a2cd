"""Streamed answers: the limits of complete answers apply, and every connection is closed."""

import time

import httpx
import pytest
from tests.support.transport import Body, FakeTransport

from celeste_image.core.secret import Secret
from celeste_image.outbound.client import Http
from celeste_image.outbound.exchange import ExchangeFailed, Limits, OriginRefused, SecretHeader, Stage
from celeste_image.outbound.origins import Origin

URL = "https://vendor.test/stream"
ORIGIN = Origin.of(URL)


def streaming(body: Body, status: int = 200, **headers: str) -> FakeTransport:
    return FakeTransport(httpx.Response(status, headers=headers, stream=body), repeat=True)


def client(transport: httpx.AsyncBaseTransport) -> Http:
    return Http({ORIGIN}, limits=Limits(body_bytes=100, exchanges=1), transport=transport)


async def read(http: Http, *, deadline: float | None = None) -> list[bytes]:
    async with http.stream(http.request("POST", URL, json={}), deadline=deadline) as answer:
        return [piece async for piece in answer.pieces]


async def test_pieces_come_as_they_are_and_the_next_has_the_slot() -> None:
    body = Body(b"onetwo", piece_bytes=3)
    http = client(streaming(body))
    assert await read(http) == [b"one", b"two"]
    async with http.stream(http.request("POST", URL), deadline=None) as answer:
        assert (await answer.whole()).body == b"onetwo"
    assert body.closed == 2


async def test_leaving_early_closes_it() -> None:
    body = Body(b"one", hangs=True)
    http = client(streaming(body))
    for turn in (1, 2):
        async with http.stream(http.request("POST", URL), deadline=None) as answer:
            pieces = answer.pieces
            assert await anext(pieces) == b"one"
            await pieces.aclose()
        assert body.closed == turn


@pytest.mark.parametrize(
    ("content", "status", "headers", "text"),
    [
        (b"x" * 120, 200, {}, "over 100 bytes"),
        (b"x", 302, {"location": "/"}, "redirect"),
        (b"x", 200, {"content-encoding": "gzip"}, "compressed"),
        (b"x", 200, {"x-long": "y" * (33 << 10)}, "headers are over"),
    ],
    ids=["body", "redirect", "compressed", "headers"],
)
async def test_what_is_beyond_the_limits_is_refused(
    content: bytes, status: int, headers: dict[str, str], text: str
) -> None:
    body = Body(content, piece_bytes=60)
    with pytest.raises(ExchangeFailed, match=text) as caught:
        await read(client(streaming(body, status, **headers)))
    assert (caught.value.stage, caught.value.status) == (Stage.ANSWERED, status)
    assert body.closed == 1


async def test_one_deadline_holds_for_all_of_it() -> None:
    body = Body(b"one", hangs=True)
    transport = streaming(body)
    http = client(transport)
    with pytest.raises(ExchangeFailed, match="timed out") as caught:
        await read(http, deadline=time.monotonic() + 0.05)
    assert caught.value.stage is Stage.ANSWERED and body.closed == 1
    async with http.stream(http.request("POST", URL), deadline=None):
        with pytest.raises(ExchangeFailed, match="timed out") as caught:
            await read(http, deadline=time.monotonic() + 0.05)
        assert caught.value.stage is Stage.NOT_SENT, "it waited for the one slot there is"
    with pytest.raises(ExchangeFailed, match="before the request was sent") as caught:
        await read(http, deadline=time.monotonic() - 1)
    assert caught.value.stage is Stage.NOT_SENT
    assert len(transport.requests) == 2


async def test_a_key_goes_to_its_origin_alone() -> None:
    transport = streaming(Body(b""))
    key = SecretHeader("authorization", Secret("canary"), frozenset({Origin.of("https://other.test")}))
    with pytest.raises(OriginRefused, match=r"is not for vendor\.test"):
        client(transport).request("POST", URL, secrets=[key])
    with pytest.raises(OriginRefused):
        client(transport).request("POST", "https://elsewhere.test")
    assert not transport.requests


async def test_an_error_of_the_reader_is_its_own() -> None:
    body = Body(b"one")
    http = client(streaming(body))
    with pytest.raises(TimeoutError, match="mine"):
        async with http.stream(http.request("POST", URL), deadline=None):
            raise TimeoutError("mine")
    assert body.closed == 1
