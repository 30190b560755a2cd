"""A model with large weights has one process: its calls wait for it, and are told where in the queue they are."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import pytest

from celeste_image.core.call import Call, Candidate
from celeste_image.core.events import Event, Picture, Queued
from celeste_image.core.image import Size
from celeste_image.core.request import Generate
from celeste_image.providers.base import Tools
from celeste_image.providers.local import provider as local
from celeste_image.providers.local.options import LocalSettings
from celeste_image.sandbox.frames import Frame
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.workers import Workers

COMPOSE = next(model for model in local.MODELS if model.card.id == "local/compose")
REQUEST = Generate(prompt="a fox", model="local/compose", size=Size(64, 64), count=1, seed=1)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


class Pool:
    """Worker processes whose tasks end when they are told to."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Event] = []

    async def run(self, task: dict[str, Any], pictures: Any) -> AsyncGenerator[Frame, None]:
        self.tasks.append(asyncio.Event())
        await self.tasks[-1].wait()
        yield Frame("picture", {"media_type": "image/png", "width": 1, "height": 1}, PNG)

    async def close(self) -> None:
        """There are no processes."""


@pytest.mark.parametrize("processes", [1, 0])
async def test_calls_wait_for_the_only_process_and_are_told_each_move(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    pool = Pool()
    monkeypatch.setattr(local, "all_models", lambda: (replace(COMPOSE, processes=processes),))
    monkeypatch.setattr(Workers, "pool", lambda *_, **__: cast(WorkerPool, pool))
    provider = local.LocalProvider(LocalSettings(concurrency=3, small_concurrency=0), Tools())
    assert provider.places(REQUEST) == (processes or 3)

    async def made() -> list[Event]:
        async with aclosing(provider.run(REQUEST, Candidate(Call("a-call"), COMPOSE.card))) as events:
            return [event async for event in events if isinstance(event, Queued | Picture)]

    calls = [asyncio.create_task(made()) for _ in range(3)]
    done = 0
    async with asyncio.timeout(10):
        while done < 3:
            for _ in range(50):
                await asyncio.sleep(0)
            for task in pool.tasks[done:]:
                task.set()
                done += 1
    positions = [[event.position for event in await call if isinstance(event, Queued)] for call in calls]
    assert positions == ([[], [1], [2, 1]] if processes else [[], [], []])
    await provider.close()
