"""Authorizing: lets a request use only artifacts of its caller's tenant."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from celeste_image.core.call import Call
from celeste_image.core.errors import ArtifactNotFound
from celeste_image.core.events import Event, Run
from celeste_image.core.request import ImageRequest
from celeste_image.pipeline.load import at_path
from celeste_image.store import ArtifactStore

__all__ = ["authorizing"]


def authorizing(run: Run, store: ArtifactStore) -> Run:
    """Looks up each artifact that a request names, before anything else is done for the request.

    Another tenant's artifact is ArtifactNotFound, as one that does not exist: a digest is a name and no permission.
    """

    async def authorized(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        for path, image in request.images():
            if image.artifact:
                try:
                    await store.find(call.caller.tenant, image.artifact)
                except ArtifactNotFound as error:
                    raise at_path(path, error) from error
        async with aclosing(run(request, call)) as events:
            async for event in events:
                yield event

    return authorized
