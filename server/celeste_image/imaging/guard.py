"""Guard: validates foreign images by decoding them in sandboxed worker processes, before anything else sees them."""

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import aclosing

from pydantic import TypeAdapter

from celeste_image.core.errors import EngineLost, ImageRefused
from celeste_image.core.image import ImageFacts
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.imaging.limits import ImageLimits
from celeste_image.sandbox.frames import all_of, reading
from celeste_image.sandbox.pool import WorkerPool

__all__ = ["Guard", "ImageLimits"]

FACTS = TypeAdapter(ImageFacts)

REMEMBERED = 1000
"""How many digests of images that ended a process are kept: the latest."""
ALLOWED_LOSSES = 1
"""Processes that an image may cost before it is refused; one may have ended for another reason."""


class Guard:
    """Finds the facts of encoded images, by decoding them where harm is contained.

    Args:
        pool: Worker processes of `guard_engine`.
        limits: The operator's limits.
        remembered: Digests of harmful images to keep.
    """

    def __init__(self, pool: WorkerPool, limits: ImageLimits, remembered: int = REMEMBERED) -> None:
        self._pool = pool
        self._remembered = remembered
        self.limits = limits
        self.losses: OrderedDict[str, int] = OrderedDict()
        """Processes that each harmful image ended, by its SHA-256; the latest last."""

    async def inspect(self, data: bytes) -> ImageFacts:
        """Returns the facts of an image after decoding every pixel.

        If the decoding process ends, another one tries once more: the first may have ended for another reason. An image
        that ended two processes is refused from then on, by its digest.

        Raises:
            NotAnImage: The bytes are not PNG, JPEG, WebP or AVIF, or are damaged.
            ImageTooLarge: The image exceeds the limits.
            EngineLost: No process can be started.
            ImageRefused: The image ended two processes, now or before.
        """
        self.limits.check_bytes(len(data))
        digest = await _digest(data) if self.losses else ""  # most servers never lose a process
        while self.losses.get(digest, 0) <= ALLOWED_LOSSES:
            try:
                facts = await self._decode(data)
            except EngineLost as error:
                if error.metadata["at"] == "start":  # the process never saw the image
                    raise
                digest = digest or await _digest(data)
                self.losses[digest] = self.losses.get(digest, 0) + 1
                self.losses.move_to_end(digest)
                if len(self.losses) > self._remembered:
                    self.losses.popitem(last=False)
            else:
                self.losses.pop(digest, None)
                return facts
        self.losses.move_to_end(digest)
        raise ImageRefused("ended two decoders and is not tried again", metadata={"sha256": digest})

    async def _decode(self, data: bytes) -> ImageFacts:
        async with aclosing(self._pool.run({"limits": self.limits.as_task()}, [data])) as frames:
            with reading():
                (frame,) = await all_of(frames, 1)
                facts = FACTS.validate_python(frame.fields)
                if facts.media_type not in IMAGE_TYPES or min(facts.width, facts.height) < 1:
                    raise ValueError("no facts of an image")
        return facts


async def _digest(data: bytes) -> str:
    """Returns the SHA-256, computed in a thread: 64 MiB take a tenth of a second."""
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
