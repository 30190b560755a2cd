"""Guard: validates callers' images by decoding them in sandboxed worker processes, before anything else sees them."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from weakref import WeakValueDictionary

from pydantic import TypeAdapter

from celeste_image.admission import Slots, asker
from celeste_image.core.errors import EngineLost, ImageRefused, ImageTooLarge, NotAnImage
from celeste_image.core.image import ImageFacts
from celeste_image.core.media import IMAGE_TYPES
from celeste_image.imaging.inspector import inspect
from celeste_image.imaging.limits import ImageLimits
from celeste_image.off_loop import off_loop
from celeste_image.sandbox.frames import all_of, reading
from celeste_image.sandbox.pool import WorkerPool

__all__ = ["Guard", "ImageLimits"]

FACTS = TypeAdapter(ImageFacts)

REMEMBERED = 1000
"""How many digests are kept: the latest of images that were decoded, and of those that ended a process."""
ALLOWED_LOSSES = 1
"""Processes that an image may cost before it is refused; one may have ended for another reason."""
SMALL_PIXELS = 2048 * 2048
"""The largest image that has a process kept for it. Its decoding takes a tenth of a second."""
LARGE_WAITING = 64
"""Most large images that wait to be decoded."""
MOST_TEXT = 4000
"""Characters of an image's notes and mode. A process that was taken over sends more."""

Outcome = ImageFacts | NotAnImage | ImageTooLarge


class Guard:
    """Finds the facts of encoded images, by decoding them where harm is contained.

    The same bytes are decoded once: facts and refusals are remembered by digest. Callers with the same bytes wait for
    the first of them.

    Args:
        pool: Worker processes of `guard_engine`.
        limits: The operator's limits.
        large: Most images at a time that say they have more than `SMALL_PIXELS`, or don't say it. The pool's other
            processes are left for small ones, so that a few large images delay no small one. Up to LARGE_WAITING wait,
            in a queue that is fair to askers and knows deadlines.
        remembered: Digests to keep.
    """

    def __init__(self, pool: WorkerPool, limits: ImageLimits, *, large: int = 1, remembered: int = REMEMBERED) -> None:
        self._pool = pool
        self._remembered = remembered
        self._large = Slots(large, LARGE_WAITING)
        self._at_work = WeakValueDictionary[str, asyncio.Lock]()
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self.limits = limits
        self.losses: OrderedDict[str, int] = OrderedDict()
        """Processes that each harmful image ended, by its SHA-256; the latest last."""

    @property
    def waiting(self) -> int:
        """Number of large images that wait to be decoded."""
        return self._large.waiting

    async def inspect(self, data: bytes, deadline: float | None = None) -> ImageFacts:
        """Returns the facts of an image after decoding every pixel.

        If the decoding process ends, another one tries once more: the first may have ended for another reason. An image
        that ended two processes is refused from then on, by its digest.

        Args:
            data: The encoded image.
            deadline: When the caller stops waiting, by `time.monotonic()`; None means never.

        Raises:
            NotAnImage: The bytes are not PNG, JPEG, WebP or AVIF, or are damaged.
            ImageTooLarge: The image exceeds the limits.
            EngineLost: No process can be started.
            ImageRefused: The image ended two processes, now or before.
            QueueFull: Too many large images wait, or too many for the deadline.
            DeadlineExceeded: No large image of its size was decoded as fast as the deadline demands.
        """
        self.limits.check_bytes(len(data))
        digest, pixels = await off_loop(len(data), _digest_and_pixels, data, self.limits)
        async with self._at_work.setdefault(digest, asyncio.Lock()):
            outcome = self._outcomes.get(digest)
            if outcome is None:
                async with self._turn(pixels, deadline):
                    outcome = await self._outcome(data, digest)
            self._outcomes[digest] = outcome
            self._outcomes.move_to_end(digest)
            if len(self._outcomes) > self._remembered:
                self._outcomes.popitem(last=False)
        if isinstance(outcome, ImageFacts):
            return outcome
        raise _again(outcome)

    @asynccontextmanager
    async def _turn(self, pixels: int, deadline: float | None) -> AsyncGenerator[None, None]:
        """Waits for the turn of an image of some pixels, 0 if unknown. Raises QueueFull or DeadlineExceeded."""
        if 0 < pixels <= SMALL_PIXELS:
            yield
            return
        turn = self._large.enter(object(), who=asker.get(), work=pixels.bit_length(), deadline=deadline)
        took: float | None = None
        try:
            while await turn.news():
                pass
            began = time.monotonic()
            yield
            took = time.monotonic() - began
        finally:
            self._large.leave(turn, took=took)

    async def _outcome(self, data: bytes, digest: str) -> Outcome:
        """Returns the facts or the refusal of these bytes, which stay the same. Raises as `inspect` does."""
        while self.losses.get(digest, 0) <= ALLOWED_LOSSES:
            try:
                facts = await self._decode(data, digest)
            except (NotAnImage, ImageTooLarge) as refusal:
                self.losses.pop(digest, None)
                return _again(refusal)
            except EngineLost as error:
                if error.metadata["at"] == "start":  # the process never saw the image
                    raise
                self.losses[digest] = self.losses.get(digest, 0) + 1
                self.losses.move_to_end(digest)
                if len(self.losses) > self._remembered:
                    self.losses.popitem(last=False)
            else:
                self.losses.pop(digest, None)
                return facts
        self.losses.move_to_end(digest)
        raise ImageRefused("ended two decoders and is not tried again", metadata={"sha256": digest})

    async def _decode(self, data: bytes, digest: str) -> ImageFacts:
        async with aclosing(self._pool.run({"limits": self.limits.as_task()}, [data])) as frames:
            with reading():
                (frame,) = await all_of(frames, 1)
                facts = FACTS.validate_python({**frame.fields, "size_bytes": len(data), "sha256": digest})
                if facts.media_type not in IMAGE_TYPES or min(facts.width, facts.height) < 1:
                    raise ValueError("no facts of an image")
                if len(facts.mode) + sum(map(len, facts.notes)) > MOST_TEXT:
                    raise ValueError("too many words")
        return facts


def _digest_and_pixels(data: bytes, limits: ImageLimits) -> tuple[str, int]:
    """Returns the SHA-256, and the pixels that decoding will cost by what the file says; 0 if it does not say it."""
    found = inspect(data, limits)
    return hashlib.sha256(data).hexdigest(), found.width * found.height


def _again(refusal: NotAnImage | ImageTooLarge) -> NotAnImage | ImageTooLarge:
    """Returns the same refusal without its traceback, which holds the image's bytes."""
    return type(refusal)(refusal.message, metadata=refusal.metadata)
