"""Delivery: the first images that fit go inside the answer; their bytes are hashed once and never read back."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import stores
from tests.support.fake_provider import CALL, PAINTER, REQUEST, Fake, picture, routed

from celeste_image.admission import ByteBudget
from celeste_image.core.events import Completed, Event, Picture, Reused, Run, Saved
from celeste_image.core.request import Generate, RequestOptions
from celeste_image.core.result import ImageOutput, OperationResult, ResultSource
from celeste_image.pipeline.complete import completing
from celeste_image.pipeline.deliver import INLINE_MAXIMUM_BYTES, delivering
from celeste_image.pipeline.save import saving
from celeste_image.pipeline.split import splitting
from celeste_image.store import ArtifactStore, blobs


class Counting:
    """A store that counts what is read back."""

    def __init__(self) -> None:
        self.store: ArtifactStore = stores.memory()
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def get(self, owner: str, name: str) -> bytes:
        self.reads += 1
        return await self.store.get(owner, name)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes that the store made digests of."""
    seen: list[bytes] = []

    async def sha256_of(data: bytes) -> str:
        seen.append(data)
        return hashlib.sha256(data).hexdigest()

    monkeypatch.setattr(blobs, "sha256_of", sha256_of)
    monkeypatch.setattr("celeste_image.store.artifacts.sha256_of", sha256_of)
    return seen


def road(store: Any, memory: ByteBudget, *made: Picture, default: int = 100, most: int = 16) -> Run:
    """Returns the steps that bytes go through, around a provider that makes some images."""
    provider = Fake(*made)
    run = routed(splitting(saving(provider, store, memory)), [replace(PAINTER, max_count=most)])
    return delivering(completing(run), store, memory, default)


def request(count: int, limit: int | None = None) -> Generate:
    return replace(REQUEST, count=count, options=RequestOptions(inline_limit_bytes=limit))


def inside(result: OperationResult) -> dict[int, bytes]:
    return {image.index: image.data for image in result.images if image.data}


async def run_to_the_end(run: Run, asked: Generate) -> tuple[list[Event], OperationResult]:
    async with aclosing(run(asked, CALL)) as events:
        seen = [event async for event in events]
    assert isinstance(seen[-1], Completed)
    return seen, seen[-1].result


async def test_bytes_inside_are_hashed_once_and_never_read_back(hashed: list[bytes]) -> None:
    store, memory = Counting(), ByteBudget()
    one, other = b"a" * 30, b"b" * 40
    events, result = await run_to_the_end(road(store, memory, picture(one, 0), picture(other, 1)), request(2))
    assert inside(result) == {0: one, 1: other}
    assert (hashed, store.reads) == ([one, other], 0)
    assert [image.sha256 for image in result.images] == [hashlib.sha256(data).hexdigest() for data in (one, other)]
    assert all(event.data == b"" for event in events if isinstance(event, Saved)), "bytes go no higher but inside"
    assert memory.held_bytes == 0


@pytest.mark.parametrize(
    ("sizes", "limit", "default", "indexes"),
    [
        ([30, 40, 50], None, 100, [0, 1]),
        ([30, 40, 50], 120, 0, [0, 1, 2]),
        ([30, 40, 50], 119, 0, [0, 1]),
        ([30, 40, 50], 0, 100, []),
        ([90, 20, 5], None, 100, [0]),
        ([101, 1], None, 100, []),
    ],
)
async def test_the_first_by_index_that_fit_together_go_inside(
    sizes: list[int], limit: int | None, default: int, indexes: list[int]
) -> None:
    for order in (1, -1):
        store = Counting()
        made = [picture(bytes([index]) * size, index) for index, size in enumerate(sizes)][::order]
        _, result = await run_to_the_end(road(store, ByteBudget(), *made, default=default), request(len(sizes), limit))
        assert list(inside(result)) == indexes
        assert [image.index for image in result.images] == list(range(len(sizes)))
        assert store.reads == 0


async def test_no_request_has_more_inside_than_an_answer_can_hold() -> None:
    data = b"x" * (INLINE_MAXIMUM_BYTES // 2 + 1)
    run = road(Counting(), ByteBudget(), picture(data, 0), picture(data, 1), default=1 << 40)
    for limit in (None, 1 << 40):
        assert list(inside((await run_to_the_end(run, request(2, limit)))[1])) == [0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 150), st.randoms(use_true_random=False))
async def test_whatever_the_order_of_saving_nothing_is_read_back(sizes: list[int], limit: int, random: Any) -> None:
    store, memory = Counting(), ByteBudget()
    made = [picture(bytes([index]) * size, index) for index, size in enumerate(sizes)]
    random.shuffle(made)
    _, result = await run_to_the_end(road(store, memory, *made), request(len(sizes), limit))
    expected = [index for index in range(len(sizes)) if sum(sizes[: index + 1]) <= limit]
    assert list(inside(result)) == expected
    assert (store.reads, memory.held_bytes) == (0, 0)


async def test_kept_bytes_count_until_the_stream_is_closed_and_others_do_not() -> None:
    memory = ByteBudget()
    run = road(stores.memory(), memory, *(picture(b"x" * 40, index) for index in range(3)))
    held = []
    async with aclosing(run(request(3), CALL)) as events:
        async for event in events:
            if isinstance(event, Saved | Completed):
                held.append(memory.held_bytes)
    assert held[-1] == 80, "two of 40 fit into 100"
    assert memory.held_bytes == 0


async def test_closing_early_gives_the_bytes_back() -> None:
    memory = ByteBudget()
    run = road(stores.memory(), memory, picture(b"x" * 40, 0), picture(b"x" * 40, 1))
    async with aclosing(run(request(2), CALL)) as events:
        async for event in events:
            if isinstance(event, Saved):
                assert memory.held_bytes >= 40
                break
    assert memory.held_bytes == 0


async def test_images_of_an_earlier_call_are_read_from_the_store() -> None:
    store = Counting()
    artifact = await store.put(CALL.caller.tenant, b"earlier")
    image = ImageOutput(artifact.name, "image/png", 1, 1, artifact.size_bytes, artifact.sha256)

    async def earlier(*_: object) -> AsyncIterator[Event]:
        yield Completed(OperationResult("a-call", "fake/one", (image,)))

    _, result = await run_to_the_end(delivering(earlier, store, ByteBudget(), 100), request(1))  # type: ignore[arg-type]
    assert (inside(result), store.reads) == ({0: b"earlier"}, 1)


async def test_images_of_an_earlier_result_are_read_from_the_store_and_counted() -> None:
    store, memory = Counting(), ByteBudget()
    data = b"a" * 30
    artifact = await store.store.put(CALL.caller.tenant, data)
    image = ImageOutput(artifact.name, "image/png", 8, 8, len(data), artifact.sha256)
    run = delivering(completing(Fake(Reused(ResultSource.CACHED), Saved(image))), store.store, memory, 100)
    async with aclosing(run(request(1), CALL)) as events:
        async for event in events:
            if isinstance(event, Completed):
                assert inside(event.result) == {0: data}
                assert memory.held_bytes == len(data)
    assert memory.held_bytes == 0
    assert inside((await run_to_the_end(run, request(1, 29)))[1]) == {}
