"""Memory for large answers: a body stays with its sender until there is room for it, and gives it back."""

import asyncio

import httpx
import pytest

from celeste_image.admission import ByteBudget
from celeste_image.outbound.client import BODY_COPIES, LARGE_BYTES, Http
from celeste_image.outbound.exchange import ExchangeFailed
from celeste_image.outbound.origins import Origin

URL = "http://127.0.0.1:1/image"


def client(size: int, outer: ByteBudget) -> tuple[Http, ByteBudget]:
    """Returns a client whose server answers with `size` bytes, and the budget of its answers."""
    answers = ByteBudget(wait_seconds=None, within=outer)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=bytes(size)))
    return Http([], private=[Origin.of(URL)], transport=transport, memory=answers.reserve), answers


async def test_a_large_answer_waits_for_memory_and_one_is_always_read() -> None:
    outer = ByteBudget(4 * BODY_COPIES * LARGE_BYTES)
    http, answers = client(LARGE_BYTES, outer)
    with outer.count(outer.total):
        async with http.stream(http.request("GET", URL), deadline=None) as first:
            assert answers.held == BODY_COPIES * LARGE_BYTES, "one is read, or the others could never end"
            second = asyncio.ensure_future(http.send(http.request("GET", URL), deadline=None))
            for _ in range(50):
                await asyncio.sleep(0)
            assert (answers.waiting, second.done()) == (1, False)
            assert len((await first.whole()).body) == LARGE_BYTES
        assert len((await second).body) == LARGE_BYTES
    assert answers.held == 0


async def test_answers_are_read_together_while_calls_leave_room() -> None:
    outer = ByteBudget(2 * BODY_COPIES * LARGE_BYTES)
    http, answers = client(LARGE_BYTES, outer)
    held = outer.count(1)
    async with http.stream(http.request("GET", URL), deadline=None):
        second = asyncio.ensure_future(http.send(http.request("GET", URL), deadline=None))
        for _ in range(50):
            await asyncio.sleep(0)
        assert answers.waiting == 1
        held.close()
        assert len((await second).body) == LARGE_BYTES


async def test_a_small_answer_does_not_wait() -> None:
    outer = ByteBudget(1)
    http, answers = client(LARGE_BYTES - 1, outer)
    async with http.stream(http.request("GET", URL), deadline=None):
        assert (await http.send(http.request("GET", URL), deadline=None)).status == 200
    assert answers.held == 0


async def test_an_answer_that_finds_no_memory_in_time_says_so() -> None:
    now = 0.0
    outer = ByteBudget(1)
    answers = ByteBudget(wait_seconds=None, within=outer)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=bytes(LARGE_BYTES)))
    http = Http([], private=[Origin.of(URL)], transport=transport, clock=lambda: now, memory=answers.reserve)
    async with http.stream(http.request("GET", URL), deadline=None):
        with pytest.raises(ExchangeFailed, match="timed out before the answer was complete"):
            await http.send(http.request("GET", URL), deadline=0.05)
    assert (answers.held, answers.waiting) == (0, 0)
