"""Work on bytes: that of a large image waits for the turn of others."""

import asyncio

import pytest

from celeste_image.off_loop import TURN_BYTES, off_loop


@pytest.mark.parametrize(("size", "order"), [(TURN_BYTES + 1, ["other", "work"]), (TURN_BYTES, ["work", "other"])])
async def test_others_go_on_before_the_work_on_a_large_image(size: int, order: list[str]) -> None:
    done: list[str] = []
    asyncio.get_running_loop().call_soon(done.append, "other")
    await off_loop(size, done.append, "work")
    await asyncio.sleep(0)
    assert done == order
