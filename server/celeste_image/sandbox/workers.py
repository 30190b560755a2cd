"""Workers: makes the worker pools of all engines, and checks that each engine can be sealed."""

import asyncio
import os
from collections.abc import Collection
from typing import Any

from celeste_image.core.errors import EngineLost
from celeste_image.core.protection import Protection
from celeste_image.sandbox.pool import WorkerPool
from celeste_image.sandbox.protections import unprotected

__all__ = ["NotSealed", "Workers"]


class NotSealed(Exception):
    """An engine lacks a protection that the operator requires. The text names both, and the missing controls."""


class Workers:
    """The pools of a server's engines.

    Args:
        required: Protections without which an engine gets no task.

    Attributes:
        pools: All pools made so far, by the engine's name.
    """

    def __init__(self, required: Collection[Protection] = ()) -> None:
        self.required = tuple(required)
        self.pools: dict[str, WorkerPool] = {}

    def pool(self, name: str, module: str, **given: Any) -> WorkerPool:
        """Returns a new pool, which the caller closes; `given` are the arguments of WorkerPool."""
        self.pools[name] = WorkerPool(module, name=name, required=self.required, **given)
        return self.pools[name]

    async def inspect(self) -> dict[str, dict[str, str] | EngineLost]:
        """Starts a process of each engine; returns its controls (see `confine.py`), or why it did not start."""
        at_once = asyncio.Semaphore(os.cpu_count() or 1)

        async def one(pool: WorkerPool) -> dict[str, str] | EngineLost:
            async with at_once:
                try:
                    return await pool.inspect()
                except EngineLost as error:
                    return error

        return dict(zip(self.pools, await asyncio.gather(*map(one, self.pools.values())), strict=True))

    async def check(self) -> None:
        """Starts a process of each engine, if protections are required.

        Raises NotSealed for the first engine that lacks one.
        """
        if not self.required:
            return
        for name, controls in (await self.inspect()).items():
            if isinstance(controls, EngineLost):
                raise NotSealed(f"the engine {name} did not start, so it can't be sealed: {controls.message}")
            for protection, why in unprotected(controls, self.required).items():
                raise NotSealed(f"the engine {name} can't be sealed here: [sandbox] requires {protection!r} ({why})")
