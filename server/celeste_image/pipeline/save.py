"""saving: bytes go no higher; above, an image is a digest."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from celeste_image.admission import ByteBudget
from celeste_image.core.artifact import Lineage
from celeste_image.core.call import Candidate
from celeste_image.core.events import CandidateRun, Event, Picture, Saved
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import ImageOutput
from celeste_image.store import ArtifactStore
from celeste_image.store.artifacts import utc_now

__all__ = ["saving"]


def saving(
    run: CandidateRun, store: ArtifactStore, budget: ByteBudget | None = None, now: Callable[[], datetime] = utc_now
) -> CandidateRun:
    """Stores each picture and says so once it is safe; begins no work when there is no room for its result.

    A picture is counted as soon as it is there, without waiting: its work is done.
    """
    budget = budget or ByteBudget()

    async def saved(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        call = candidate.call
        await store.check_room()  # before work that is paid for
        parents = tuple(image.facts.sha256 for _, image in request.images() if image.facts)
        async with aclosing(run(request, candidate)) as events:
            async for event in events:
                if not isinstance(event, Picture):
                    yield event
                    continue
                made = Lineage(call.request_id, request.kind.value, request.model, now(), event.seed, parents)
                with budget.count(len(event.data)):
                    artifact = await store.put(
                        call.caller, event.data, width=event.width, height=event.height, lineage=made
                    )
                image = ImageOutput(
                    artifact=artifact.name,
                    media_type=event.media_type,
                    width=event.width,
                    height=event.height,
                    size_bytes=artifact.size_bytes,
                    sha256=artifact.sha256,
                    index=event.index,
                    seed=event.seed,
                    parents=parents,
                    revised_prompt=event.revised_prompt,
                )
                yield Saved(image)

    return saved
