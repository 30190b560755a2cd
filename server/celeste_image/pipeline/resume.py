"""Resuming: asks providers for the jobs of requests whose server is gone."""

import asyncio
import time
from contextlib import aclosing

import structlog

from celeste_image.core.call import Call
from celeste_image.core.errors import CelesteError
from celeste_image.core.events import Run
from celeste_image.ledger import LostRequest, Requests

__all__ = ["resume_lost"]

log = structlog.get_logger("celeste_image.ledger")

AT_ONCE = 4


async def resume_lost(run: Run, requests: Requests, call_seconds: float) -> int:
    """Goes on with the requests whose server is gone while a provider has a job for them, and returns how many.

    Their images are stored, their cost is known, and a repeat gets their outcome. No job is submitted a second time.
    A request with image bytes inside it waits for its caller, who has them.

    Args:
        run: The pipeline.
        requests: The requests of all servers.
        call_seconds: Time for each request.

    Raises:
        StorageUnavailable: The database can't be read.
    """
    lost = await requests.lost()
    slots = asyncio.Semaphore(AT_ONCE)

    async def resume(found: LostRequest) -> None:
        async with slots:
            call = Call(found.id, found.caller, time.monotonic() + call_seconds, is_named=True, is_watched=False)
            try:
                async with asyncio.timeout(call_seconds), aclosing(run(found.request, call)) as events:
                    async for _ in events:
                        pass
            except (CelesteError, TimeoutError):
                pass  # the pipeline has logged it; the entry stays uncertain if nobody knows more

    if lost:
        log.info("requests of a server that ended", resumed=len(lost))
        async with asyncio.TaskGroup() as group:
            for found in lost:
                group.create_task(resume(found))
    return len(lost)
