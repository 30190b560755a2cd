"""The guard: bytes from outside are decoded here, in limited worker processes, before anything else sees them."""

from contextlib import aclosing

from celeste_image.core.request import ImageFacts
from celeste_image.guard.limits import ImageLimits
from celeste_image.worker.pool import WorkerPool

__all__ = ["Guard", "ImageLimits"]


class Guard:
    """Finds out what encoded bytes are, by decoding them where it does no harm."""

    def __init__(self, pool: WorkerPool, limits: ImageLimits) -> None:
        self._pool = pool
        self.limits = limits

    async def inspect(self, data: bytes) -> ImageFacts:
        """Returns the facts about a picture, which was decoded to its last pixel.

        Raises:
            NotAnImage: The bytes are no picture in a format that is read, or a damaged one.
            ImageTooLarge: It is beyond the limits.
            EngineLost: The process that decoded it did not survive it.
        """
        self.limits.check_bytes(len(data))
        async with aclosing(self._pool.run({"limits": self.limits.as_task()}, [data])) as frames:
            # Read to the end: a worker that is left before it is done is killed.
            facts = [ImageFacts(**frame.fields) async for frame in frames]
        return facts[0]
