"""Saving: stores each image; above this step an image is a digest with its facts."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from celeste_image.admission import ByteBudget
from celeste_image.core.artifact import Lineage
from celeste_image.core.call import Candidate
from celeste_image.core.events import CandidateRun, Event, Picture, Saved
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput
from celeste_image.pipeline.per_image import per_image
from celeste_image.store import ArtifactStore
from celeste_image.store.ages import utc_now

__all__ = ["saving"]


def saving(
    run: CandidateRun, store: ArtifactStore, memory: ByteBudget | None = None, now: Callable[[], datetime] = utc_now
) -> CandidateRun:
    """Stores each image, and reports it once its bytes are safe. Starts no paid work if the store has no room.

    The bytes of an image are counted in `memory` at once, without waiting: the work is already done.
    """
    memory = memory or ByteBudget()

    async def saved(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call = candidate.call
        parents = tuple(image.facts.sha256 for _, image in request.images() if image.facts)

        async def save(picture: Picture) -> AsyncGenerator[Event, None]:
            lineage = Lineage(call.request_id, request.kind.value, request.model, now(), picture.seed, parents)
            with memory.count(len(picture.data)):
                artifact = await store.put(
                    call.caller.tenant, picture.data, width=picture.width, height=picture.height, lineage=lineage
                )
                image = ImageOutput(
                    artifact=artifact.name,
                    media_type=picture.media_type,
                    width=picture.width,
                    height=picture.height,
                    size_bytes=artifact.size_bytes,
                    sha256=artifact.sha256,
                    index=picture.index,
                    seed=picture.seed,
                    parents=parents,
                    revised_prompt=picture.revised_prompt,
                )
                yield Saved(image, picture.data, picture.original_size)

        await store.check_room()
        async with aclosing(per_image(run(request, candidate), save, candidate.card)) as events:
            async for event in events:
                yield event

    return saved
