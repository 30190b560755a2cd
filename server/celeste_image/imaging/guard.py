"""The guard: bytes from outside are decoded here, in limited worker processes, before anything else sees them."""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import aclosing

from celeste_image.core.errors import EngineLost, ImageRefused
from celeste_image.core.image import ImageFacts
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.pool import WorkerPool

__all__ = ["Guard", "ImageLimits"]

REMEMBERED = 1000
"""Pictures that cost a process, of which the guard keeps the digests: the latest."""
ALLOWED_LOSSES = 1
"""Processes that a picture may cost; one may have ended for another reason."""


class Guard:
    """Finds out what encoded bytes are, by decoding them where it does no harm."""

    def __init__(self, pool: WorkerPool, limits: ImageLimits) -> None:
        self._pool = pool
        self._losses: OrderedDict[str, int] = OrderedDict()
        self.limits = limits

    async def inspect(self, data: bytes) -> ImageFacts:
        """Returns the facts about a picture, which was decoded to its last pixel.

        When the process that decodes it does not survive it, another tries once more: it costs little, and one may
        have ended for another reason. A picture that two did not survive is known from then on.

        Raises:
            NotAnImage: The bytes are no picture in a format that is read, or a damaged one.
            ImageTooLarge: It is beyond the limits.
            EngineLost: No process can be started.
            ImageRefused: It ended two processes, now or before.
        """
        self.limits.check_bytes(len(data))
        digest = await _digest(data) if self._losses else ""  # most servers never lose a process
        while self._losses.get(digest, 0) <= ALLOWED_LOSSES:
            try:
                facts = await self._decode(data)
            except EngineLost as error:
                if error.metadata["at"] == "start":  # it never saw the picture
                    raise
                digest = digest or await _digest(data)
                self._losses[digest] = self._losses.get(digest, 0) + 1
                self._losses.move_to_end(digest)
                if len(self._losses) > REMEMBERED:
                    self._losses.popitem(last=False)
            else:
                self._losses.pop(digest, None)
                return facts
        self._losses.move_to_end(digest)
        raise ImageRefused("ended two decoders and is not tried again", metadata={"sha256": digest})

    async def _decode(self, data: bytes) -> ImageFacts:
        async with aclosing(self._pool.run({"limits": self.limits.as_task()}, [data])) as frames:
            # Read to the end: a worker that is left before it is done is killed.
            facts = [ImageFacts(**frame.fields) async for frame in frames]
        return facts[0]


async def _digest(data: bytes) -> str:
    """Returns the SHA-256, found beside the event loop: 64 MiB take a tenth of a second."""
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
