"""Delivery: puts the bytes of a result's first images inside the answer, up to the request's limit."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from celeste_image.admission import ByteBudget, Hold
from celeste_image.core.call import Call
from celeste_image.core.events import Completed, Event, Run, Saved
from celeste_image.core.request import ImageRequest
from celeste_image.core.result import OperationResult
from celeste_image.store import ArtifactStore

__all__ = ["INLINE_MAXIMUM_BYTES", "delivering"]

INLINE_MAXIMUM_BYTES = 3 << 20
"""Most image bytes inside one answer. A gRPC answer may have 3.5 MiB; the rest is room for everything else."""


def delivering(run: Run, store: ArtifactStore, memory: ByteBudget, inline_default_bytes: int) -> Run:
    """Puts image bytes inside the result: the first images by index, as many as fit together.

    Bytes of an image that may fit are kept when the image is saved, and counted in `memory` until the stream is closed.
    Bytes of other images of the result, such as those of an earlier call, are read from the store and counted, too.

    Args:
        run: The rest of the pipeline.
        store: Where images are stored.
        memory: Counts the bytes that are kept.
        inline_default_bytes: Bytes inside an answer if the request sets no limit; at most INLINE_MAXIMUM_BYTES count.
    """

    async def delivered(request: ImageRequest, call: Call) -> AsyncGenerator[Event, None]:
        asked = request.options.inline_limit_bytes
        limit = min(inline_default_bytes if asked is None else asked, INLINE_MAXIMUM_BYTES)
        kept = _Kept(limit, memory)
        try:
            async with aclosing(run(request, call)) as events:
                async for event in events:
                    match event:
                        case Saved():
                            if event.data:  # an image of an earlier result has none
                                kept.add(event)
                            yield Saved(event.image)
                        case Completed(result):
                            yield Completed(await _with_bytes(result, limit, kept, store, call))
                        case _:
                            yield event
        finally:
            kept.close()

    return delivered


async def _with_bytes(
    result: OperationResult, limit: int, kept: "_Kept", store: ArtifactStore, call: Call
) -> OperationResult:
    """Returns a result with the bytes of its first images, whose sizes sum up to `limit` at most."""
    images = []
    for image in result.images:
        limit -= image.size_bytes
        if limit >= 0:
            data = kept.data(image.index)
            if data is None:
                data = await store.get(call.caller.tenant, image.artifact)
                kept.count(len(data))
            images.append(replace(image, data=data))
        else:
            limit = -1  # a smaller image after one that does not fit stays outside, too
            images.append(image)
    return replace(result, images=tuple(images))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """The bytes of one image, and their place in the memory budget."""

    data: bytes
    hold: Hold


class _Kept:
    """Bytes of saved images that may go inside the answer: the first by index, up to a limit in total."""

    def __init__(self, limit: int, memory: ByteBudget) -> None:
        self._limit = limit
        self._memory = memory
        self._bytes: dict[int, _Bytes] = {}
        self._others: list[Hold] = []
        self._end: int | None = None
        """Index of the first image that did not fit. Images from there on can't go inside."""

    def data(self, index: int) -> bytes | None:
        """Returns the bytes of an image; None if they were not kept."""
        found = self._bytes.get(index)
        return found.data if found else None

    def add(self, event: Saved) -> None:
        """Keeps the bytes of a saved image if they may fit, and drops those that no longer fit before it."""
        index = event.image.index
        if self._end is not None and index >= self._end:
            return
        self._bytes[index] = _Bytes(event.data, self._memory.count(len(event.data)))
        total = 0
        for each in sorted(self._bytes):
            total += len(self._bytes[each].data)
            if total > self._limit:
                self._drop_from(each)
                return

    def count(self, size_bytes: int) -> None:
        """Counts bytes from the store in the memory."""
        self._others.append(self._memory.count(size_bytes))

    def close(self) -> None:
        """Drops all bytes."""
        while self._others:
            self._others.pop().close()
        self._drop_from(min(self._bytes, default=0))

    def _drop_from(self, first: int) -> None:
        self._end = first
        for index in [index for index in self._bytes if index >= first]:
            self._bytes.pop(index).hold.close()
