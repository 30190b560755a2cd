"""saving: bytes go no higher; above, an image is a digest."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from celeste_image.core.events import Event, ImageOutput, Picture, Run, Saved
from celeste_image.core.request import Call, ImageRequest
from celeste_image.store import ArtifactStore

__all__ = ["saving"]


def saving(run: Run, store: ArtifactStore) -> Run:
    """Stores each picture and says so once it is safe."""

    async def saved(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        parents = tuple(image.facts.sha256 for _, image in request.images() if image.facts)
        async with aclosing(run(request, call)) as events:
            async for event in events:
                if not isinstance(event, Picture):
                    yield event
                    continue
                artifact = await store.put(event.data)
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
                )
                yield Saved(image)

    return saved
