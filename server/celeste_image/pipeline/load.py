"""loading: every picture of a request becomes bytes with facts, found out in a limited process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from celeste_image.core.errors import (
    ArtifactNotFound,
    CelesteError,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
    Violation,
)
from celeste_image.core.events import Event, Run
from celeste_image.core.request import Call, ImageInput, ImageRequest
from celeste_image.guard import Guard
from celeste_image.store import ArtifactStore

__all__ = ["loading"]


def loading(run: Run, store: ArtifactStore, guard: Guard) -> Run:
    """Reads artifacts, checks digests, and has each picture decoded by the guard."""

    async def load(path: str, image: ImageInput, call: Call) -> ImageInput:
        try:
            data = await store.get(call.caller, image.artifact) if image.artifact else image.data
            facts = await guard.inspect(data)
        except (NotAnImage, ImageTooLarge, ArtifactNotFound) as error:
            raise _at(path, error) from error
        if image.sha256 and image.sha256 != facts.sha256:
            raise InvalidRequest.at(f"{path}.sha256", "is not the digest of the bytes", value=facts.sha256)
        if image.media_type not in ("", facts.media_type):
            raise InvalidRequest.at(f"{path}.media_type", f"is not that of the bytes, which is {facts.media_type}")
        return replace(image, data=data, facts=facts)

    async def loaded(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        images = {path: await load(path, image, call) for path, image in request.images()}
        async with aclosing(run(request.with_images(images), call)) as events:
            async for event in events:
                yield event

    return loaded


def _at(path: str, error: CelesteError) -> CelesteError:
    """Returns the same error with the field that holds the picture."""
    return type(error)(
        f"{path}: {error.message}",
        metadata=error.metadata,
        violations=[Violation(path, error.message)],
        resource=error.resource,
    )
