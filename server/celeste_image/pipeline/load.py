"""Loading: reads the images of a request, from bytes, artifacts and URIs, and inspects them in a limited process."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import replace

from celeste_image.admission import Budget, ByteBudget
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

__all__ = ["ImagesIn", "at_path", "loading"]

COPIES = 2
"""Copies in memory of an image at work: its bytes, and those on their way to a process or a provider."""


class ImagesIn:
    """Reads the images of requests: bytes, artifacts and URIs become bytes with facts.

    Args:
        store: Where artifacts are read.
        guard: Decodes each image in a limited process.
        memory: Room for artifacts and URIs; None means no limit.
        uris: Fetches URIs; None means that no URI is fetched.
        pixels: Room for the pixels of images, while calls work on them; None means no limit.
    """

    def __init__(
        self,
        store: ArtifactStore,
        guard: Guard,
        memory: ByteBudget | None = None,
        uris: Http | None = None,
        pixels: Budget | None = None,
    ) -> None:
        self._store, self._guard, self._uris = store, guard, uris
        self.memory = memory or ByteBudget()
        self.pixels = pixels

    async def size(self, path: str, image: ImageInput, call: Call) -> int:
        """Returns the most bytes that loading an image will add to those of the request. Raises ArtifactNotFound."""
        try:
            if image.uri:  # its size is unknown until it was fetched
                return self._guard.limits.max_bytes
            return (await self._store.find(call.caller.tenant, image.artifact)).size_bytes if image.artifact else 0
        except ArtifactNotFound as error:
            raise at_path(path, error) from error

    async def load(self, path: str, image: ImageInput, call: Call) -> ImageInput:
        """Returns an image with its bytes and facts.

        Raises:
            InvalidRequest: The digest or the media type differs from what the request says.
            CelesteError: The image can't be had, is no image, or is beyond the limits; the error names `path`.
        """
        try:
            data = await self._fetch(image, call)
            facts = await self._guard.inspect(data, call.deadline)
        except (NotAnImage, ImageTooLarge, ImageRefused, ArtifactNotFound, UriRefused, UriFailed) as error:
            raise at_path(path, error) from error
        if image.sha256 and image.sha256 != facts.sha256:
            raise InvalidRequest.at(f"{path}.sha256", "differs from the digest of the bytes", value=facts.sha256)
        if image.media_type not in ("", facts.media_type):
            raise InvalidRequest.at(
                f"{path}.media_type", f"differs from the media type of the bytes, {facts.media_type}"
            )
        return replace(image, data=data, facts=facts)

    async def _fetch(self, image: ImageInput, call: Call) -> bytes:
        if image.artifact:
            return await self._store.get(call.caller.tenant, image.artifact)
        if not image.uri:
            return image.data
        if self._uris is None:
            raise UriRefused("URIs are not fetched here")
        limit = self._guard.limits.max_bytes
        return (await self._uris.download(image.uri, deadline=call.deadline, max_bytes=limit)).body


def loading(run: Run, images_in: ImagesIn) -> Run:
    """Loads every image of a request.

    Room for all artifacts and URIs of a request is reserved before the first is read, so a request that holds memory
    never waits for more.
    """

    def load(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        given = list(request.images())
        return loaded(request, call, given) if given else run(request, call)

    async def loaded(
        request: ImageRequest, call: Call, given: Sequence[tuple[str, ImageInput]]
    ) -> AsyncGenerator[Event, None]:
        sizes = [await images_in.size(path, image, call) for path, image in given]
        with await images_in.memory.reserve(COPIES * sum(sizes)) as hold:
            images = {path: await images_in.load(path, image, call) for path, image in given}
            # A fetched image may be smaller than was reserved. Bytes of the request are counted with the request.
            added = [path for path, image in given if not image.data]
            hold.resize(COPIES * sum(len(images[path].data) for path in added))
            pixels = sum(image.facts.width * image.facts.height for image in images.values() if image.facts)
            room: AbstractContextManager[object] = (
                await images_in.pixels.reserve(pixels) if images_in.pixels else nullcontext()
            )
            with room:
                async with aclosing(run(request.with_images(images), call)) as events:
                    async for event in events:
                        yield event

    return load


def at_path(path: str, error: CelesteError) -> CelesteError:
    """Returns the same error with the path of the image in the request."""
    return type(error)(
        f"{path}: {error.message}",
        metadata=error.metadata,
        violations=[Violation(path, error.message)],
        resource=error.resource,
    )
