"""locking: what is outside of a mask stays as it was, and what the provider did there is measured."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from celeste_image.core.call import Candidate
from celeste_image.core.edits import Erase, Inpaint
from celeste_image.core.events import CandidateRun, Event, Measured, Picture, Warned
from celeste_image.core.request import Edit, ImageRequest
from celeste_image.imaging.pixels import Difference, Pixels
from celeste_image.pipeline.fidelity.sizes import same_shape

__all__ = ["pixel_locking"]

PNG: Final = "image/png"
LOSSLESS: Final = (PNG, "image/webp")

REPAINTED: Final = 12.0
"""Mean difference outside a mask from which on, if it is also half of that inside, the mask was not kept to.

Found on the photograph, a crop of it and the drawings in docs/images. JPEG at quality 10 makes 5.6 to 8.0, at 50 up to
3.8; WebP at 50 up to 3.6; half the size and back up to 3.5, a quarter up to 6.6; a blur of 2 pixels, strong sharpening
or a shift by 1 pixel up to 9.2; 5 % more light up to 6.7. Another picture makes 36 to 99, the same one mirrored 27 to
93, a quarter of another mixed in 18 to 24.
"""
UNCHANGED: Final = 8.0
"""Peak (see `Difference`) below which, if the mean inside is below REPAINTED too, nothing was changed inside a mask.

On the same pictures JPEG at quality 50 peaks at 4, at 30 at 6; WebP at 50 at 5; half the size and back at 2. A thing of
8 x 8 pixels that differs by 32 levels peaks at 8; one that is smaller still shows in the mean of a mask of its size.
"""


def pixel_locking(run: CandidateRun, pixels: Pixels) -> CandidateRun:
    """Puts the source's pixels back outside the mask, and measures how far the provider's picture was from it.

    For erasing and inpainting by models whose card has the edit's `pixel_lock`; those without keep to the mask by
    themselves. The provider is asked for a lossless picture. What can't be as asked is said before anything is sent,
    so that `strict` ends it there; what turns out later is measured, and refuses nothing.
    """

    async def locked(request: ImageRequest, candidate: Candidate) -> AsyncGenerator[Event, None]:
        lock = None
        match request:
            case Edit(edit=Erase() | Inpaint() as edit):
                if candidate.card.parameter(request.kind, f"{edit.field}.pixel_lock"):
                    lock = PixelLock(request, edit, pixels)
                    for warning in lock.warnings:
                        yield warning
                    request = lock.request
        async with aclosing(run(request, candidate)) as events:
            async for event in events:
                if lock and isinstance(event, Picture):
                    for told in await lock.finished(event):
                        yield told
                else:
                    yield event

    return locked


class PixelLock:
    """The lock of one request.

    Attributes:
        request: What the provider is asked.
        warnings: What is known not to be as asked before it is.
    """

    def __init__(self, request: Edit, edit: Erase | Inpaint, pixels: Pixels) -> None:
        facts = request.image.facts
        assert facts is not None
        self.request = request
        self.warnings: list[Warned] = []
        self._edit = edit
        self._pixels = pixels
        self._size = (facts.width, facts.height)
        self._holds = edit.pixel_lock is not False
        size, kind = (request.size.width, request.size.height), request.output_media_type
        if self._holds and any(size) and size != self._size:
            self._holds = False
            text = f"can't be: another size was asked for than that of the picture, {facts.width} x {facts.height}"
            self.warnings.append(Warned(f"{edit.field}.pixel_lock", text))
        if self._holds:
            if kind and kind not in LOSSLESS:
                text = f"is {PNG}, since {kind} would change the pixels that are put back"
                self.warnings.append(Warned("output_media_type", text))
            self.request = replace(request, output_media_type=kind if kind in LOSSLESS else PNG)

    async def finished(self, made: Picture) -> list[Event]:
        """Returns the picture, its pixels back where they can be, after what was found on the provider's own.

        Raises:
            ProviderFailed: It is no picture, or beyond the limits.
        """
        width, height = self._size
        if not same_shape(made.width / made.height, width / height):
            if not self._holds:
                return [made]
            text = f"nothing was put back: the provider made {made.width} x {made.height} of {width} x {height}"
            return [self._found(made, None, text), made]
        image, mask = self.request.image, self._edit.mask
        if self._holds:
            kind = self.request.output_media_type
            data, apart = await self._pixels.locked(image, mask, made.data, kind)
            made = replace(made, data=data, media_type=kind, width=width, height=height)
        else:
            apart = await self._pixels.compared(image, mask, made.data)
        text = ""
        if _is_repainted(apart):
            done = "those pixels were put back" if self._holds else "those pixels were left as it made them"
            text = f"the provider changed the picture outside of the mask too; {done}"
        means = {"outside_difference": apart.outside, "inside_difference": apart.inside}
        value = {name: round(mean, 2) for name, mean in means.items() if mean is not None}
        events: list[Event] = [self._found(made, value, text)]
        if _is_unchanged(apart):
            events.append(Measured(self._edit.field, text="nothing was changed inside of the mask", index=made.index))
        return [*events, made]

    def _found(self, made: Picture, value: Any, text: str) -> Measured:
        return Measured(f"{self._edit.field}.pixel_lock", value, text, made.index)


def _is_repainted(apart: Difference) -> bool:
    return apart.outside is not None and apart.outside >= max(REPAINTED, (apart.inside or 0.0) / 2)


def _is_unchanged(apart: Difference) -> bool:
    return apart.inside is not None and apart.inside < REPAINTED and apart.peak < UNCHANGED
