"""Which image the guard decodes when: the same bytes once, and large images never in all processes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from tests.support.pictures import bomb, plain

from celeste_image.core.errors import EngineLost, ImageTooLarge, NotAnImage
from celeste_image.imaging.guard import Guard, ImageLimits
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.pool import WorkerPool

SMALL, LARGE = plain(40, 30), bomb(2100, 2100)
FACTS = {"media_type": "image/png", "width": 40, "height": 30, "mode": "RGB", "has_alpha": False}


class Decoders(WorkerPool):
    """Processes that decode when they are told to.

    Attributes:
        begun: The images that were begun, in order.
        go: Lets all of them end.
    """

    def __init__(self, answer: Exception | dict[str, Any] = FACTS) -> None:
        self.begun: list[bytes] = []
        self.go = asyncio.Event()
        self._answer = answer

    async def run(self, task: dict[str, Any], pictures: Sequence[bytes] = ()) -> AsyncGenerator[Frame, Frame | None]:
        self.begun += pictures
        await self.go.wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        yield Frame("facts", self._answer)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_same_bytes_are_decoded_once() -> None:
    decoders = Decoders()
    guard = Guard(decoders, ImageLimits())
    calls = [asyncio.create_task(guard.inspect(SMALL)) for _ in range(5)]
    await settle()
    decoders.go.set()
    facts = await asyncio.gather(*calls)
    assert facts == [await guard.inspect(SMALL)] * 5
    assert decoders.begun == [SMALL]
    assert (facts[0].size_bytes, facts[0].width) == (len(SMALL), 40)


@pytest.mark.parametrize(
    "refusal", [NotAnImage("is damaged"), ImageTooLarge("has 9 frames", metadata={"unit": "frames"})]
)
async def test_refusals_are_remembered_too(refusal: NotAnImage | ImageTooLarge) -> None:
    decoders = Decoders(refusal)
    decoders.go.set()
    guard = Guard(decoders, ImageLimits())
    for _ in range(3):
        with pytest.raises(type(refusal)) as caught:
            await guard.inspect(SMALL)
        assert (caught.value.message, caught.value.metadata) == (refusal.message, refusal.metadata)
        assert caught.value is not refusal, "a traceback would hold the image's bytes"
    assert decoders.begun == [SMALL]


async def test_a_caller_that_leaves_takes_nothing_from_those_who_wait() -> None:
    decoders = Decoders()
    guard = Guard(decoders, ImageLimits())
    first, second = (asyncio.create_task(guard.inspect(SMALL)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert decoders.begun == [SMALL, SMALL]
    decoders.go.set()
    assert (await second).width == 40
    assert first.cancelled()


async def test_a_lost_process_is_no_outcome() -> None:
    decoders = Decoders(EngineLost("gone", metadata={"at": "start"}))
    decoders.go.set()
    guard = Guard(decoders, ImageLimits())
    for _ in range(2):
        with pytest.raises(EngineLost):
            await guard.inspect(SMALL)
    assert len(decoders.begun) == 2


async def test_only_the_latest_outcomes_are_remembered() -> None:
    decoders = Decoders()
    decoders.go.set()
    guard = Guard(decoders, ImageLimits(), remembered=2)
    one, two, three = (plain(side, side) for side in (10, 11, 12))
    for data in (one, two, one, three, one, two):
        await guard.inspect(data)
    assert decoders.begun == [one, two, three, two], "the one that was asked for again stayed"


@pytest.mark.parametrize("large", [1, 2])
async def test_large_images_leave_processes_for_small_ones(large: int) -> None:
    decoders = Decoders()
    guard = Guard(decoders, ImageLimits(), large=large)
    unknown = b"of an unknown size"
    many = [LARGE, unknown, bomb(2100, 2101), bomb(2100, 2102)]
    calls = [asyncio.create_task(guard.inspect(data)) for data in many]
    await settle()
    assert decoders.begun == many[:large]
    calls.append(asyncio.create_task(guard.inspect(SMALL)))
    await settle()
    assert decoders.begun == [*many[:large], SMALL], "a small image waits for no large one"
    decoders.go.set()
    await asyncio.gather(*calls)
    assert sorted(decoders.begun) == sorted([*many, SMALL])
