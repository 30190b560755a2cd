"""loading: every picture of a request becomes bytes with facts, found out in a limited process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from celeste_image.admission import ByteBudget
from celeste_image.core.call import Call
from celeste_image.core.errors import (
    ArtifactNotFound,
    CelesteError,
    ImageRefused,
    ImageTooLarge,
    InvalidRequest,
    NotAnImage,
    UriFailed,
    UriRefused,
    Violation,
)
from celeste_image.core.events import Event, Run
from celeste_image.core.image import ImageInput
from celeste_image.core.request import ImageRequest
from celeste_image.imaging.guard import Guard
from celeste_image.outbound.client import Http
from celeste_image.store import ArtifactStore

__all__ = ["loading"]

COPIES = 2
"""Of an artifact at work: its bytes, and those on their way to a process or a provider."""


def loading(
    run: Run, store: ArtifactStore, guard: Guard, budget: ByteBudget | None = None, uris: Http | None = None
) -> Run:
    """Reads artifacts, fetches URIs, checks digests, and has each picture decoded by the guard.

    Without `uris`, the client for them, none is fetched. There must be room for all artifacts and URIs of a request
    before the first is read: who holds one never waits for another.
    """
    budget = budget or ByteBudget()

    async def size(path: str, image: ImageInput, call: Call) -> int:
        try:
            if image.uri:  # nobody knows before it is fetched
                return guard.limits.max_bytes
            return (await store.find(call.caller, image.artifact)).size_bytes if image.artifact else 0
        except ArtifactNotFound as error:
            raise _at(path, error) from error

    async def fetch(image: ImageInput, call: Call) -> bytes:
        if image.artifact:
            return await store.get(call.caller, image.artifact)
        if not image.uri:
            return image.data
        if uris is None:
            raise UriRefused("URIs are not fetched here")
        reply = await uris.download(image.uri, deadline=call.deadline, max_bytes=guard.limits.max_bytes)
        return reply.body

    async def load(path: str, image: ImageInput, call: Call) -> ImageInput:
        try:
            data = await fetch(image, call)
            facts = await guard.inspect(data)
        except (NotAnImage, ImageTooLarge, ImageRefused, ArtifactNotFound, UriRefused, UriFailed) as error:
            raise _at(path, error) from error
        if image.sha256 and image.sha256 != facts.sha256:
            raise InvalidRequest.at(f"{path}.sha256", "is not the digest of the bytes", value=facts.sha256)
        if image.media_type not in ("", facts.media_type):
            raise InvalidRequest.at(f"{path}.media_type", f"is not that of the bytes, which is {facts.media_type}")
        return replace(image, data=data, facts=facts)

    async def loaded(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        sizes = [await size(path, image, call) for path, image in request.images()]
        with await budget.reserve(COPIES * sum(sizes)) as hold:
            images = {path: await load(path, image, call) for path, image in request.images()}
            # What was fetched is smaller than it might have been; what came in the request is counted with it.
            named = [path for path, image in request.images() if not image.data]
            hold.resize(COPIES * sum(len(images[path].data) for path in named))
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
